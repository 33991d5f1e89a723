//! How many instructions an order costs, step by step: a figure that a noisy machine does not change, so that a regression of a
//! few percent shows.
//!
//! `cargo bench --bench counts` runs itself under valgrind's callgrind, each step twice, with more rounds the second time: the
//! difference is the step's own. It prints the figures beside those of `benches/counts.txt` and fails where one is more than
//! 5% higher; `-- --write` puts new ones there. They hold for one compiler and one processor's libraries, so the file names the
//! compiler: with another one nothing is compared.

mod reference;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail, ensure};

use weir::folds::inventory::Output;
use weir::words::codec::{Format, FrameWriter, JsonOutcomes, Next, Plain, commands, encode_commands};
use weir::words::message::LogMessage;
use weir::words::policy::RULES_NEWEST;

use reference::{Kind, ORDERS, State, orders};

/// Messages in the shorter run; the longer one has twice as many.
const ROUNDS: usize = 40;
/// Orders that are open before the first round.
const OPEN: u64 = 20_480;
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/counts.txt");
/// A figure may be so much higher than it was.
const TOLERANCE_PERCENT: u64 = 5;

/// What a step does to so many messages.
type Step = fn(usize);

const STEPS: [(&str, Step); 10] = [
    ("decode, Bincode", |rounds| decode(Kind::Plain, Format::Bincode, rounds)),
    ("decode, Json", |rounds| decode(Kind::Plain, Format::Json, rounds)),
    ("decode a full order, Bincode", |rounds| decode(Kind::Full, Format::Bincode, rounds)),
    ("decode a full order, Json", |rounds| decode(Kind::Full, Format::Json, rounds)),
    ("decode and apply", |rounds| apply(Kind::Plain, Format::Bincode, rounds)),
    ("decode and apply, Json", |rounds| apply(Kind::Plain, Format::Json, rounds)),
    ("decode and apply a full order", |rounds| apply(Kind::Full, Format::Bincode, rounds)),
    ("decode and apply a full order, Json", |rounds| apply(Kind::Full, Format::Json, rounds)),
    ("encode outcomes, Bincode", |rounds| encode(Format::Bincode, rounds)),
    ("encode outcomes, Json", |rounds| encode(Format::Json, rounds)),
];

fn decode(kind: Kind, format: Format, rounds: usize) {
    let payload = encode_commands(format, &orders(kind, 0));
    for _ in 0..rounds {
        let mut commands = commands(Some(format), black_box(&payload), RULES_NEWEST);
        let mut plain = Plain::ANY;
        while !matches!(commands.next_into(&mut plain), Next::End) {
            black_box(&plain);
        }
    }
}

fn apply(kind: Kind, format: Format, rounds: usize) {
    let mut state = State::of(kind, format, OPEN);
    // Both runs make as many messages, so that only applying them differs.
    let messages: Vec<LogMessage> = (0..2 * ROUNDS).map(|_| state.next_message()).collect();
    let mut output = Output::default();
    for message in &messages[..rounds] {
        output.clear();
        state.inventory.apply(message, &mut output).expect("the next message");
    }
    std::mem::forget(state);
}

fn outcomes() -> Output {
    let mut state = State::with_open(0);
    let mut output = Output::default();
    let message = state.next_message();
    state.inventory.apply(&message, &mut output).expect("the next message");
    output
}

fn encode(format: Format, rounds: usize) {
    let output = outcomes();
    for _ in 0..rounds {
        let output = black_box(&output);
        match format {
            Format::Bincode => {
                let mut frame = FrameWriter::new();
                frame.push_elements(output.elements(0, output.len()), output.len());
                black_box(frame.finish());
            }
            Format::Json => {
                // As who publishes them does.
                let room = output.len() * JsonOutcomes::USUAL_BYTES;
                let (mut json, mut outcomes) = (Vec::with_capacity(room), JsonOutcomes::default());
                for (_, bytes) in output.outcomes() {
                    outcomes.write(&mut json, bytes).expect("the fold wrote it");
                }
                black_box(json);
            }
        }
    }
}

/// The instructions of one run of a step, everything about it included.
fn instructions(step: &str, rounds: usize) -> anyhow::Result<u64> {
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["--step", step, &rounds.to_string()])
        .output()
        .context("valgrind (Debian's package of that name) cannot be run")?;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    ensure!(ran.status.success(), "valgrind failed: {said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    collected.and_then(|(_, count)| count.trim().parse().ok()).with_context(|| format!("no count in {said}"))
}

fn measured() -> anyhow::Result<BTreeMap<String, u64>> {
    STEPS
        .iter()
        .map(|(step, _)| {
            let more = instructions(step, 2 * ROUNDS)? - instructions(step, ROUNDS)?;
            Ok(((*step).to_owned(), more / (ROUNDS as u64 * ORDERS)))
        })
        .collect()
}

fn compiler() -> anyhow::Result<String> {
    let said = Command::new("rustc").arg("--version").output().context("rustc cannot be run")?;
    Ok(format!("# {}", String::from_utf8_lossy(&said.stdout).trim()))
}

fn recorded(compiler: &str) -> anyhow::Result<BTreeMap<String, u64>> {
    let text = std::fs::read_to_string(FILE).unwrap_or_default();
    if text.lines().next() != Some(compiler) {
        println!("{FILE} is of another compiler: nothing is compared");
        return Ok(BTreeMap::new());
    }
    let lines = text.lines().skip(1).map(|line| {
        let (count, step) = line.trim().split_once(' ').with_context(|| format!("not a figure: {line}"))?;
        Ok((step.to_owned(), count.parse()?))
    });
    lines.collect()
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, rounds] = &arguments[..]
        && flag == "--step"
    {
        let Some((_, run)) = STEPS.iter().find(|(step, _)| step == name) else { bail!("no step {name}") };
        run(rounds.parse()?);
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.iter().any(|argument| argument == "--test") {
        for (_, run) in STEPS {
            run(1);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!(
            "LEFT OUT: instructions are counted by valgrind (Debian's package of that name), which is not here"
        );
        return Ok(ExitCode::SUCCESS);
    }
    let (compiler, figures) = (compiler()?, measured()?);
    if arguments.iter().any(|argument| argument == "--write") {
        let lines = figures.iter().map(|(step, count)| format!("{count} {step}"));
        let text = std::iter::once(compiler.clone()).chain(lines).collect::<Vec<_>>().join("\n");
        std::fs::write(FILE, text + "\n")?;
    }
    let before = recorded(&compiler)?;
    println!("instructions an order:");
    let mut worse = false;
    for (step, count) in &figures {
        let was = before.get(step);
        worse |= was.is_some_and(|was| count * 100 > was * (100 + TOLERANCE_PERCENT));
        println!("{count:>8}  {step}{}", was.map_or_else(String::new, |was| format!(" (recorded: {was})")));
    }
    if worse {
        eprintln!("more than {TOLERANCE_PERCENT}% above what is recorded");
    }
    Ok(if worse { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
