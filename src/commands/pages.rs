//! `weir completions` and `weir man`: the command line as shells and manuals know it.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap_complete::Shell;

use super::{Ended, command_line};

#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// The folder to write the pages to: weir.1, and one for each command
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub(super) fn completions(args: &Completions) -> Ended {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command_line(), "weir", &mut text);
    // Whoever reads it may have had enough.
    let _ = std::io::stdout().write_all(&text);
    Ended::Done
}

pub(super) fn man(args: &Man) -> anyhow::Result<Ended> {
    std::fs::create_dir_all(&args.folder)
        .and_then(|()| clap_mangen::generate_to(command_line(), &args.folder))
        .with_context(|| args.folder.display().to_string())?;
    Ok(Ended::Done)
}
