//! `weir schema`: the contract for programs, made from what the program itself goes by.

mod asyncapi;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;

use super::Ended;
use super::output::say;
use crate::words::{advice, schema};

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Args {
    /// Which part of it
    #[arg(value_enum)]
    part: Option<Part>,
    /// Write all parts into this folder, as the project keeps them in docs
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// A part of the contract.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    /// JSON Schema of a command
    Command,
    /// JSON Schema of an outcome
    Outcome,
    /// JSON Schema of what a door answers
    Reply,
    /// AsyncAPI 3: subjects and messages
    Asyncapi,
    /// The catalogue of codes, as a page
    Errors,
}

impl Part {
    /// Where the project keeps it, in docs.
    const fn path(self) -> &'static str {
        match self {
            Self::Command => "schema/command.json",
            Self::Outcome => "schema/outcome.json",
            Self::Reply => "schema/reply.json",
            Self::Asyncapi => "asyncapi.json",
            Self::Errors => "errors.md",
        }
    }

    /// Its text, with a line's end.
    fn text(self) -> String {
        let json = |value| format!("{value:#}\n");
        match self {
            Self::Command => json(schema::command()),
            Self::Outcome => json(schema::outcome()),
            Self::Reply => json(schema::reply()),
            Self::Asyncapi => json(asyncapi::document()),
            Self::Errors => advice::page(),
        }
    }
}

pub(super) fn schema(args: &Args) -> anyhow::Result<Ended> {
    if let Some(part) = args.part {
        say!("{}", part.text().trim_end());
    }
    if let Some(folder) = &args.folder {
        for part in Part::value_variants() {
            let path = folder.join(part.path());
            let write = || {
                std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
                std::fs::write(&path, part.text())
            };
            write().with_context(|| path.display().to_string())?;
        }
    }
    Ok(Ended::Done)
}
