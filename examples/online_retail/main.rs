//! A year of a real shop as Weir's commands, one JSON object a line: what `weir import --format commands` reads.
//!
//! ```sh
//! cargo run --release --example online_retail -- online_retail.csv.gz | weir import --format commands -
//! ```
//!
//! An example of how a shop's own history gets in: read what there is, make up what is missing, write commands. The mapping's
//! own words say how ([`mapping`]).

#[path = "mapping.rs"]
mod mapping;

use std::io::Write as _;
use std::path::PathBuf;

use clap::Parser;

use mapping::{Options, online_retail};

/// Maps the rows of the "Online Retail" data set to Weir's commands
#[derive(Debug, Parser)]
struct Args {
    /// The CSV; `.gz` is read as it is, `-` is standard input
    file: PathBuf,
    /// How much of each SKU's demand is received before the first order, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 90, value_parser = clap::value_parser!(u32).range(0..=1000))]
    stock_share: u32,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let options = Options { stock_share_permille: args.stock_share * 10, ..Options::default() };
    let plan = online_retail(weir::commands::import::open(&args.file)?, &options)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for command in &plan.commands {
        serde_json::to_writer(&mut out, command)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    eprintln!("{:#?}", plan.counts);
    Ok(())
}
