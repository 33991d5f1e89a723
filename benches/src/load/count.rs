//! The ceiling: a worker that only counts. It reads the logs as Weir does, and publishes as many bytes of outcomes, with
//! the same header, behind the same fence, one append at a time that carries all that gathered meanwhile.
//!
//! What it decides is nothing: a message's outcomes are a slice of filler in proportion to the message's size. So what it
//! reaches is what the way through the broker allows, and what Weir is measured against. It is meant to be hard to beat:
//! one thread, nothing copied, nothing decoded.

use std::collections::VecDeque;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::future::try_join_all;

use super::job::{CountJob, Said, say, take};
use weir::edges::jetstream::{Connection, Connections, JetStreams, Names};
use weir::edges::streams::Streams as _;
use weir::motion::store::onward::Onward;
use weir::words::append::{Append, AppendHeader, Chain};
use weir::words::identity::Identity;
use weir::words::message::LogMessage;
use weir::words::policy::RULES_NEWEST;

/// What a header may take of a message's size limit, as in Weir's own appends.
const HEADER_BYTES: usize = 1024;
/// No more is read while this many messages wait to be answered.
const QUEUED_MAX: usize = 65_536;

/// Runs the ceiling's worker.
pub(crate) async fn count() -> anyhow::Result<()> {
    let job: CountJob = take()?;
    let connection = Connection {
        urls: job.urls.clone(),
        name: "weir-bench ceiling".to_owned(),
        wait_for_server: false,
        ..Connection::default()
    };
    let connections = Connections::open(&connection).await?;
    let names = Names::new(&job.prefix)?;
    let mut shards = Vec::with_capacity(job.shards.len());
    for shard in &job.shards {
        let streams = JetStreams::new(connections.clone(), names.shard(shard)?);
        streams.log_state().await?;
        shards.push(Counting::new(&job, streams).run());
    }
    say(&Said::Ready)?;
    // None ends but by an error.
    try_join_all(shards).await?;
    Ok(())
}

/// One shard.
struct Counting {
    streams: JetStreams,
    job: CountJob,
    filler: Bytes,
    bytes_max: usize,
    /// Read and not answered: sequences, and bytes of outcomes.
    queue: VecDeque<(u64, usize)>,
    through: Identity,
    stream_last: u64,
}

impl Counting {
    fn new(job: &CountJob, streams: JetStreams) -> Self {
        let bytes_max = streams.payload_bytes_max().saturating_sub(HEADER_BYTES);
        Self {
            streams,
            job: job.clone(),
            filler: Bytes::from(vec![b' '; bytes_max]),
            bytes_max,
            queue: VecDeque::new(),
            through: Identity::START,
            stream_last: 0,
        }
    }

    async fn run(mut self) -> anyhow::Result<()> {
        let streams = self.streams.clone();
        let mut log = Onward::waiting(1, |from| streams.read_log(from));
        let mut under_way = None;
        loop {
            if under_way.is_none()
                && let Some(append) = self.append()
            {
                let (streams, expected_last) = (self.streams.clone(), self.stream_last);
                under_way =
                    Some(Box::pin(async move { streams.append_outcomes(append, expected_last).await }));
            }
            tokio::select! {
                biased;
                stored = async { under_way.as_mut().expect("guarded").await }, if under_way.is_some() => {
                    under_way = None;
                    self.stream_last = stored.context("the ceiling's append")?;
                }
                messages = log.next(|it: &LogMessage| it.sequence), if self.queue.len() < QUEUED_MAX => {
                    for message in messages.context("the log")? {
                        let bytes = message.payload.len() as u64 * self.job.bytes_out / self.job.bytes_in;
                        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).clamp(1, self.bytes_max);
                        self.queue.push_back((message.sequence, bytes));
                    }
                }
            }
        }
    }

    /// An append of all that waits, as far as it fits.
    fn append(&mut self) -> Option<Append> {
        let from = self.through;
        let mut bytes = 0;
        while let Some((sequence, more)) = self.queue.front().copied()
            && bytes + more <= self.bytes_max
        {
            bytes += more;
            // The whole message, however many records it has.
            self.through = Identity { sequence, index: u32::MAX, place: 0 };
            self.queue.pop_front();
        }
        let header = AppendHeader {
            from,
            through: self.through,
            rules: RULES_NEWEST,
            writer: "ceiling".to_owned(),
            chain: Chain { sequence: self.through.sequence, hash: u64::MAX },
        };
        (bytes > 0).then(|| Append { header, format: self.job.format, payload: self.filler.slice(..bytes) })
    }
}
