//! Asking workers: what `weir orders` and `weir stock list` share.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connect::Deployment;
use super::output::{self, say};
use crate::edges::jetstream::service::JetQuestions;
use crate::edges::questions::Questions as _;
use crate::words::config::Config;
use crate::words::query::{Common, QueryError, Question, ROWS_MAX};

/// How long a worker may take to answer, beyond what the question says.
const WITHIN: Duration = Duration::from_secs(20);

/// What both commands take.
#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    /// The shard to ask [default: the one that holds the site, or all]
    #[arg(long)]
    pub(super) shard: Option<String>,
    /// Answer only with what the log says up to this sequence, at least: one's own write
    #[arg(long, value_name = "SEQUENCE")]
    at_least: Option<u64>,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(super) json: bool,
    /// Print CSV, with a header
    #[arg(long, conflicts_with = "json")]
    pub(super) csv: bool,
}

impl Asked {
    pub(super) fn common(&self, shard: Option<&str>) -> Common {
        Common { shard: shard.map(ToOwned::to_owned), at_least: self.at_least, wait_ms: None }
    }

    /// The shards that a list is asked of.
    pub(super) fn shards<'c>(&self, config: &'c Config, site: Option<&str>) -> anyhow::Result<Vec<&'c str>> {
        let all = config.shards.0.iter().map(|shard| shard.name.as_str());
        if let Some(named) = &self.shard {
            let found: Vec<_> = all.filter(|shard| *shard == named).collect();
            anyhow::ensure!(!found.is_empty(), "there is no shard {named:?} in the configuration");
            return Ok(found);
        }
        let Some(site) = site else { return Ok(all.collect()) };
        let shard = config.shard_of(site);
        let shard = shard.with_context(|| format!("no shard of the configuration holds site {site:?}"))?;
        Ok(vec![&shard.name])
    }
}

/// Puts questions to the workers of a deployment.
pub(super) struct Asking(JetQuestions);

impl Asking {
    pub(super) fn new(deployment: &Deployment) -> Self {
        let link = deployment.connections.publishing.clone();
        Self(JetQuestions::new(link, deployment.names.clone()))
    }

    /// An answer to one question; the error within is a worker's own.
    pub(super) async fn ask<A: DeserializeOwned>(
        &self,
        shard: Option<&str>,
        question: &Question,
    ) -> anyhow::Result<Result<A, QueryError>> {
        question.check()?;
        match self.0.ask(shard, question.query(), question.to_json().into(), WITHIN).await {
            Ok(answer) => {
                Ok(Ok(serde_json::from_slice(&answer).context("a worker's answer cannot be read")?))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// The rows of a list, page by page, shard by shard, until there are as many as are wanted; and whether there are more.
    pub(super) async fn list<A: DeserializeOwned, R>(
        &self,
        shards: &[&str],
        limit: usize,
        question: impl Fn(&str, u32, Option<u64>) -> Question,
        page: impl Fn(A) -> (Vec<R>, Option<u64>),
    ) -> anyhow::Result<(Vec<R>, bool)> {
        let mut rows = Vec::new();
        for shard in shards {
            let mut cursor = None;
            loop {
                let left = limit - rows.len();
                if left == 0 {
                    return Ok((rows, true));
                }
                let wanted = u32::try_from(left).unwrap_or(u32::MAX).min(ROWS_MAX);
                let answer: A = self.ask(Some(shard), &question(shard, wanted, cursor)).await??;
                let (found, next) = page(answer);
                rows.extend(found);
                cursor = next;
                if next.is_none() {
                    break;
                }
            }
        }
        Ok((rows, false))
    }
}

/// Prints rows as they are wanted: JSON, CSV with the names of the fields in `header`, or a table.
pub(super) fn print<R: Serialize, const N: usize>(
    asked: &Asked,
    rows: &[R],
    header: [&str; N],
    cells: impl Fn(&R) -> [String; N],
) -> anyhow::Result<()> {
    if asked.json {
        rows.iter().for_each(output::json);
        return Ok(());
    }
    let cells: Vec<_> = rows.iter().map(cells).collect();
    if asked.csv {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(header)?;
        for row in &cells {
            csv.write_record(row)?;
        }
        let text = String::from_utf8(csv.into_inner()?)?;
        text.lines().for_each(|line| say!("{line}"));
        return Ok(());
    }
    let header = header.map(|name| name.replace('_', " ").to_uppercase());
    output::table(header.each_ref().map(String::as_str), &cells);
    Ok(())
}
