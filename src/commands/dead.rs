//! `weir dead`: what was no command, and sending it again once it is one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::json;

use super::Ended;
use super::connect::{Deployment, one_shard, shard_names};
use super::output::{self, say};
use super::settings::Common;
use super::submit::may_be_sent;
use crate::edges::streams::{ReadError, Streams};
use crate::words::append::StoredLetter;
use crate::words::codec::{Format, FrameWriter, commands};
use crate::words::policy::RULES_NEWEST;
use crate::words::timestamp::Timestamp;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List what was no command, the newest last; what was stored twice is listed once
    List(List),
    /// Show one: where it came from, why it is here, and its bytes
    Show(Show),
    /// Send one to the log again, as it is or mended, if it is a command now; print its new sequence
    Resubmit(Resubmit),
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    common: Common,
    /// Only of this shard
    #[arg(long)]
    shard: Option<String>,
    /// The newest so many
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

/// Which one is meant.
#[derive(Debug, clap::Args)]
struct Which {
    #[command(flatten)]
    common: Common,
    /// The log message that it came in, and its index in that where there are several
    #[arg(value_name = "SEQUENCE[.INDEX]")]
    record: Record,
    /// The shard that it came from [default: the only one]
    #[arg(long)]
    shard: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    which: Which,
    /// Write exactly its bytes, and nothing else
    #[arg(long)]
    raw: bool,
    /// Print JSON; the bytes as base64
    #[arg(long, conflicts_with = "raw")]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Resubmit {
    #[command(flatten)]
    which: Which,
    /// Send what is in this file in its place: the same format, or JSON; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A record of the log; the index may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    sequence: u64,
    index: Option<u32>,
}

impl std::str::FromStr for Record {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a log sequence, or a sequence and an index, such as 53 or 53.2";
        let (sequence, index) = match text.split_once('.') {
            Some((sequence, index)) => (sequence, Some(index.parse().map_err(|_| wrong)?)),
            None => (text, None),
        };
        Ok(Self { sequence: sequence.parse().map_err(|_| wrong)?, index })
    }
}

/// A letter as it is listed.
struct Row {
    stored_at: Timestamp,
    format: Option<Format>,
    reason: String,
    bytes: u64,
    whole: bool,
    preview: String,
}

/// The most characters of a preview.
const PREVIEW_CHARS_MAX: usize = 100;
/// The bytes in a line of a dump.
const DUMP_BYTES: usize = 16;

pub(super) async fn dead(command: Command) -> anyhow::Result<Ended> {
    match command {
        Command::List(args) => list(args).await,
        Command::Show(args) => show(args).await,
        Command::Resubmit(args) => resubmit(args).await,
    }
}

async fn list(args: List) -> anyhow::Result<Ended> {
    let config = args.common.load(|_| {})?;
    let shards = match args.shard.as_deref() {
        Some(name) => vec![one_shard(&config, Some(name))?.name.clone()],
        None => shard_names(&config),
    };
    let deployment = Deployment::connect(&config, "dead", false).await?;
    let mut rows = Vec::new();
    for shard in shards {
        let newest = newest(&deployment.streams(&shard)?, args.limit).await?;
        rows.extend(newest.into_iter().map(|(record, row)| (row.stored_at, shard.clone(), record, row)));
    }
    rows.sort_by(|a, b| (a.0, &a.1, a.2).cmp(&(b.0, &b.1, b.2)));
    let mut out = std::io::stdout().lock();
    for (stored_at, shard, (sequence, index), row) in &rows[rows.len().saturating_sub(args.limit)..] {
        if args.json {
            let line = json!({
                "shard": shard, "sequence": sequence, "index": index, "stored_at": stored_at, "reason": row.reason,
                "bytes": row.bytes, "whole": row.whole, "format": row.format, "preview": row.preview,
            });
            writeln!(out, "{line}")?;
        } else {
            let (bytes, reason) = (row.bytes, safe(&row.reason));
            writeln!(out, "{shard} {sequence}.{index}  {stored_at}  {bytes} bytes  {reason}")?;
            writeln!(out, "    {}", row.preview)?;
        }
    }
    Ok(Ended::Done)
}

/// The newest letters of a shard by their records, each once.
async fn newest(streams: &impl Streams, limit: usize) -> Result<BTreeMap<(u64, u32), Row>, ReadError> {
    let mut rows = BTreeMap::new();
    each(streams, |stored| {
        let letter = &stored.letter;
        // The copy that was stored first tells when it came.
        rows.entry((letter.sequence, letter.index)).or_insert_with(|| Row {
            stored_at: stored_at(&stored),
            format: letter.format,
            reason: letter.reason.clone(),
            bytes: stored.bytes_all,
            whole: is_whole(&stored),
            preview: preview(&letter.bytes),
        });
        if rows.len() > limit {
            rows.pop_first();
        }
        true
    })
    .await?;
    Ok(rows)
}

/// Gives the letters of a shard to `see`, oldest first, until it returns false.
async fn each(streams: &impl Streams, mut see: impl FnMut(StoredLetter) -> bool) -> Result<(), ReadError> {
    let mut from = 1;
    loop {
        let letters = streams.dead_letters(from).await?;
        let Some(last) = letters.last() else { return Ok(()) };
        from = last.sequence + 1;
        if !letters.into_iter().all(&mut see) {
            return Ok(());
        }
    }
}

/// The streams of the shard that is meant, its name, and the letter.
async fn find(which: &Which) -> anyhow::Result<(impl Streams, String, StoredLetter)> {
    let config = which.common.load(|_| {})?;
    let shard = one_shard(&config, which.shard.as_deref())?.name.clone();
    let deployment = Deployment::connect(&config, "dead", false).await?;
    let streams = deployment.streams(&shard)?;
    let Record { sequence, index } = which.record;
    let mut found = BTreeMap::new();
    each(&streams, |stored| {
        let letter = &stored.letter;
        if letter.sequence == sequence && index.is_none_or(|index| letter.index == index) {
            found.entry(letter.index).or_insert(stored);
        }
        index.is_none() || found.is_empty()
    })
    .await?;
    if found.len() > 1 {
        let indices = found.keys().take(10).map(|index| format!("{sequence}.{index}")).collect::<Vec<_>>();
        bail!(
            "message {sequence} has {} dead letters: say which, such as {}",
            found.len(),
            indices.join(", ")
        );
    }
    let Some((_, letter)) = found.pop_first() else {
        let index = index.map(|index| format!(".{index}")).unwrap_or_default();
        bail!(
            "shard {shard} has no dead letter {sequence}{index}: `weir dead list` shows those that are kept"
        );
    };
    Ok((streams, shard, letter))
}

async fn show(args: Show) -> anyhow::Result<Ended> {
    let (_, shard, stored) = find(&args.which).await?;
    let letter = &stored.letter;
    let mut out = std::io::stdout().lock();
    if args.raw {
        out.write_all(&letter.bytes)?;
        out.flush()?;
        return Ok(Ended::Done);
    }
    if args.json {
        output::json(&json!({
            "shard": shard, "sequence": letter.sequence, "index": letter.index, "stored_at": stored_at(&stored),
            "reason": letter.reason, "bytes": stored.bytes_all, "whole": is_whole(&stored), "format": letter.format,
            "base64": BASE64_STANDARD.encode(&letter.bytes),
        }));
        return Ok(Ended::Done);
    }
    let cut =
        if is_whole(&stored) { String::new() } else { format!(", {} of them kept", letter.bytes.len()) };
    writeln!(out, "shard   {shard}")?;
    writeln!(out, "record  {}.{}", letter.sequence, letter.index)?;
    writeln!(out, "stored  {}", stored_at(&stored))?;
    writeln!(out, "format  {}", letter.format.map_or("not known", name))?;
    writeln!(out, "bytes   {}{cut}", stored.bytes_all)?;
    writeln!(out, "reason  {}\n", safe(&letter.reason))?;
    match std::str::from_utf8(&letter.bytes) {
        Ok(text) if text.chars().all(|letter| letter == '\n' || letter == '\t' || is_plain(letter)) => {
            writeln!(out, "{}", text.trim_end_matches('\n'))?;
        }
        _ => write!(out, "{}", dump(&letter.bytes))?,
    }
    Ok(Ended::Done)
}

async fn resubmit(args: Resubmit) -> anyhow::Result<Ended> {
    let (streams, shard, stored) = find(&args.which).await?;
    let letter = &stored.letter;
    let record = format!("{}.{}", letter.sequence, letter.index);
    let mut formats = letter.format.map_or(vec![Format::Json, Format::Bincode], |format| vec![format]);
    let bytes = match &args.file {
        Some(path) => {
            if !formats.contains(&Format::Json) {
                formats.push(Format::Json);
            }
            read(path, streams.payload_bytes_max())?
        }
        None if is_whole(&stored) => letter.bytes.to_vec(),
        None => bail!(
            "of the {} bytes of {record} only {} were kept: give them with --file (message {} of the log has them, \
             unless it was trimmed)",
            stored.bytes_all,
            letter.bytes.len(),
            letter.sequence
        ),
    };
    let (format, payload) = as_commands(&formats, &bytes).with_context(|| {
        let what = args.file.as_ref().map_or_else(|| record.clone(), |path| path.display().to_string());
        format!("{what} is no command that can be sent")
    })?;
    let sequence = streams
        .append_log(format, payload)
        .await
        .with_context(|| format!("{record} was not sent again, as far as is known"))?;
    if args.json {
        output::json(&json!({ "shard": shard, "sequence": sequence }));
    } else {
        say!("{sequence}");
    }
    eprintln!(
        "weir: sent to shard {shard} again. A second time it changes nothing: ids of orders, receipts, counts and the \
         like count once. What has no id of its own, such as a cancel of some lines, counts each time."
    );
    Ok(Ended::Done)
}

/// The payload to send, in the first format in which the bytes are commands, all of them.
fn as_commands(formats: &[Format], bytes: &[u8]) -> anyhow::Result<(Format, Bytes)> {
    let mut reasons = Vec::new();
    for &format in formats {
        let element = || {
            let mut frame = FrameWriter::new();
            frame.push(bytes);
            frame.finish()
        };
        // A bad element comes without its frame, a bad frame as a whole.
        let payloads = match format {
            Format::Json => vec![bytes.to_vec()],
            Format::Bincode => vec![element(), bytes.to_vec()],
        };
        let mut reason = None;
        for payload in payloads {
            match commands(Some(format), &payload, RULES_NEWEST).collect::<Result<Vec<_>, _>>() {
                Ok(commands) => {
                    commands.iter().try_for_each(may_be_sent)?;
                    return Ok((format, payload.into()));
                }
                Err(undecodable) => {
                    reason.get_or_insert(undecodable.reason);
                }
            }
        }
        reasons.push(format!("as {}: {}", name(format), safe(&reason.unwrap_or_default())));
    }
    bail!("{}", reasons.join("; "))
}

fn read(path: &Path, bytes_max: usize) -> anyhow::Result<Vec<u8>> {
    let source: Box<dyn std::io::Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).with_context(|| path.display().to_string())?)
    };
    let mut bytes = Vec::new();
    source.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    anyhow::ensure!(bytes.len() <= bytes_max, "{}: larger than the broker takes", path.display());
    Ok(bytes)
}

fn is_whole(stored: &StoredLetter) -> bool {
    stored.bytes_all == stored.letter.bytes.len() as u64
}

fn stored_at(stored: &StoredLetter) -> Timestamp {
    Timestamp::from_millis(stored.stored_at_ns.div_euclid(1_000_000))
}

const fn name(format: Format) -> &'static str {
    match format {
        Format::Json => "json",
        Format::Bincode => "bincode",
    }
}

/// Whether a character is shown as it is: not one that moves a terminal's cursor, colours it or turns text around.
fn is_plain(letter: char) -> bool {
    matches!(letter, '"' | '\'' | '\\') || letter.escape_debug().len() == 1
}

/// A text that does nothing to a terminal.
fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_plain(letter) {
            safe.push(letter);
        } else {
            safe.extend(letter.escape_debug());
        }
    }
    safe
}

/// The beginning of some bytes, on one line.
fn preview(bytes: &[u8]) -> String {
    // Enough for the longest characters.
    let start = &bytes[..bytes.len().min(4 * PREVIEW_CHARS_MAX)];
    let shown = safe(&String::from_utf8_lossy(start));
    let mut preview: String = shown.chars().take(PREVIEW_CHARS_MAX).collect();
    if preview.len() < shown.len() || start.len() < bytes.len() {
        preview.push('…');
    }
    preview
}

/// Bytes as numbers, and as text where they are such.
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (line, bytes) in bytes.chunks(DUMP_BYTES).enumerate() {
        let numbers = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        let plain = |byte: &u8| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' };
        let letters: String = bytes.iter().map(plain).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:08x}  {numbers:<47}  |{letters}|", line * DUMP_BYTES);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::command::{Command as LogCommand, Tick};

    #[test]
    fn records_are_named_by_sequence_and_index() {
        assert_eq!("53".parse(), Ok(Record { sequence: 53, index: None }));
        assert_eq!("53.2".parse(), Ok(Record { sequence: 53, index: Some(2) }));
        for bad in ["", ".", "53.", ".2", "53.2.0", "a", "-1"] {
            assert!(bad.parse::<Record>().is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_shown_moves_a_cursor() {
        assert_eq!(safe("\x1b[2J\r\n\u{202e}é \"日\\\""), "\\u{1b}[2J\\r\\n\\u{202e}é \"日\\\"");
        assert_eq!(preview(b"\xff\x00 not even text"), "\u{fffd}\\0 not even text");
        let long = preview("日".repeat(10_000).as_bytes());
        assert_eq!(long, format!("{}…", "日".repeat(PREVIEW_CHARS_MAX)));
        assert_eq!(preview(b"{}"), "{}");
        assert_eq!(
            dump(b"\x1b[2J and sixteen more"),
            "00000000  1b 5b 32 4a 20 61 6e 64 20 73 69 78 74 65 65 6e  |.[2J and sixteen|\n\
             00000010  20 6d 6f 72 65                                   | more|\n"
        );
    }

    #[test]
    fn bytes_become_commands_in_the_format_they_came_in() {
        let place = r#"{"place":{"order_id":"O-1","lines":[{"sku":"A","quantity":1}]}}"#;
        let both = [Format::Json, Format::Bincode];
        let sent = as_commands(&both, place.as_bytes()).unwrap();
        assert_eq!(sent, (Format::Json, Bytes::from(place)));
        let many = format!("[{place},{place}]");
        assert_eq!(as_commands(&[Format::Json], many.as_bytes()).unwrap().1, many);

        let LogCommand::Place(decoded) = serde_json::from_str(place).unwrap() else { panic!("{place}") };
        let element = crate::words::codec::encode_command(&LogCommand::Place(decoded));
        let mut frame = FrameWriter::new();
        frame.push(&element);
        let frame = Bytes::from(frame.finish());
        // An element gets a frame, a frame has one.
        for bytes in [&element[..], &frame] {
            assert_eq!(as_commands(&[Format::Bincode], bytes).unwrap(), (Format::Bincode, frame.clone()));
        }
        for (formats, bytes, reason) in [
            (&both[..1], &b"{\"place\":{\"ordre_id\":\"O-1\"}}"[..], "as json: unknown field `ordre_id`"),
            (&both[1..], b"\xff\xff", "as bincode: "),
            (&both, b"\x1b[2J", "as json: "),
        ] {
            let error = as_commands(formats, bytes).unwrap_err().to_string();
            assert!(error.starts_with(reason) && !error.contains('\x1b'), "{error}");
        }
        let tick = serde_json::to_vec(&LogCommand::Tick(Tick {})).unwrap();
        assert_eq!(as_commands(&both, &tick).unwrap_err().to_string(), "only a shard's leader sends ticks");
    }
}
