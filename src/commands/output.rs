//! What commands print: lines, tables, JSON. Standard output may be closed at any time (`| head`), which ends a command quietly;
//! whatever is not its result goes to standard error.

use std::fmt;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Columns of a table stand so far apart.
const GAP: &str = "  ";
/// How wide a table may be where nobody says how wide the terminal is.
const WIDTH_PLAIN: usize = 400;
/// How often what works shows that it does.
const TICK: Duration = Duration::from_millis(120);

/// Prints a line. A reader that has had enough ends the process, as it would end one that knows nothing of this.
pub(super) fn line(text: fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("weir: standard output: {error}");
            std::process::exit(1);
        }
    }
}

/// Prints a line, like `println!`.
macro_rules! say {
    ($($argument:tt)*) => { $crate::commands::output::line(format_args!($($argument)*)) };
}
pub(super) use say;

/// Prints a value as one line of JSON.
pub(super) fn json(value: &impl Serialize) {
    say!("{}", serde_json::to_string(value).expect("what is printed is JSON"));
}

/// Rows below a header, aligned. The last column is cut where the terminal ends; a number stands to the right.
pub(super) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) {
    for line in aligned(header, rows, width()) {
        say!("{line}");
    }
}

fn width() -> usize {
    let terminal = console::Term::stdout();
    if terminal.is_term() { usize::from(terminal.size().1) } else { WIDTH_PLAIN }
}

fn aligned<const N: usize>(header: [&str; N], rows: &[[String; N]], width: usize) -> Vec<String> {
    let header = header.map(str::to_owned);
    let all = || std::iter::once(&header).chain(rows);
    let mut widths = [0; N];
    for row in all() {
        for (cell, width) in row.iter().zip(&mut widths) {
            *width = console::measure_text_width(cell).max(*width);
        }
    }
    let is_number = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    let right: [bool; N] = std::array::from_fn(|column| rows.iter().all(|row| is_number(&row[column])));
    let lines = all().map(|row| {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let side = if right[column] { console::Alignment::Right } else { console::Alignment::Left };
            console::pad_str(cell, widths[column], side, None).into_owned()
        });
        let line = cells.collect::<Vec<_>>().join(GAP);
        console::truncate_str(line.trim_end(), width, "…").into_owned()
    });
    lines.collect()
}

/// Names and what stands beside them, aligned, in the order given.
pub(super) fn pairs(pairs: &[(&str, String)]) {
    let widest = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in pairs {
        say!("  {name:<widest$}{GAP}{value}");
    }
}

/// Shows on standard error that something long is under way, and for how long, until it is dropped. Nothing where there is no
/// terminal.
pub(super) fn working(what: String) -> Working {
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {msg} ({elapsed})").expect("a constant template"));
    bar.set_message(what);
    bar.enable_steady_tick(TICK);
    Working(bar)
}

/// See [`working`].
pub(super) struct Working(ProgressBar);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A bar for something of which it is known how much there is.
pub(super) fn progress(count: u64, unit: &str) -> ProgressBar {
    let bar = ProgressBar::new(count);
    let template = format!("{{bar:30}} {{human_pos}} of {{human_len}} {unit}, {{per_sec}}, {{eta}} to go");
    bar.set_style(ProgressStyle::with_template(&template).expect("a template without marks"));
    bar
}

/// Whether standard output is a terminal.
pub(super) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// A line cut to the terminal's width.
pub(super) fn cut(line: &str) -> String {
    console::truncate_str(line, width(), "…").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_and_fit() {
        let rows = [
            ["main".to_owned(), "7".to_owned(), "a".to_owned()],
            ["süd".to_owned(), "1234".to_owned(), "bcdef".to_owned()],
        ];
        let lines = aligned(["SHARD", "LAG", "LEADER"], &rows, 17);
        assert_eq!(lines, ["SHARD   LAG  LEA…", "main      7  a", "süd    1234  bcd…"]);
    }
}
