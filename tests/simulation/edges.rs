//! The edges of a worker in the simulation: the true ones, behind a way on which things go wrong.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use weir::edges::Edges;
use weir::edges::keys::{Entry, Keys};
use weir::edges::memory::{MemoryHeadlines, MemoryLog, MemoryObjectReader, MemoryOutcomes};
use weir::edges::objects::{ObjectInfo, ObjectReader, Objects};
use weir::edges::streams::{
    AppendError, ClosableLog, Headers, LogReader, ReadError, Reader, StoredMessage, StreamState, Streams,
};
use weir::words::append::{Append, DeadLetter, Headline, StoredAppend, StoredLetter};
use weir::words::codec::Format;
use weir::words::message::{LogMessage, Way};

use crate::world::{Life, Truth};

/// All edges in the simulation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum InSimulation {}

impl Edges for InSimulation {
    type Streams = SimStreams;
    type Keys = SimKeys;
    type Objects = SimObjects;
}

async fn read<T>(life: &Life, call: impl Future<Output = Result<T, ReadError>>) -> Result<T, ReadError> {
    life.travel().await;
    if life.world.happens(life.world.faults.reads_fail) {
        return Err(ReadError::Unavailable("as the seed says".to_owned()));
    }
    let answer = call.await;
    life.step().await;
    answer
}

async fn write<T: Send + 'static>(
    life: &Life,
    call: impl Future<Output = Result<T, AppendError>> + Send + 'static,
) -> Result<T, AppendError> {
    life.travel().await;
    let world = &life.world;
    if world.happens(world.faults.writes_refused) {
        return Err(AppendError::Unavailable("as the seed says".to_owned()));
    }
    if world.happens(world.faults.writes_late) {
        let late = Duration::from_millis(world.rng().u64(0..12_000));
        world.tell(&format_args!("{}: a write will land {late:?} later", life.name));
        tokio::spawn(async move {
            tokio::time::sleep(late).await;
            // Nobody waits for the answer any more.
            let _ = call.await;
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        return Err(AppendError::TimedOut);
    }
    let answer = call.await;
    if world.happens(world.faults.replies_lost) {
        world.tell(&format_args!("{}: a reply is lost", life.name));
        tokio::time::sleep(Duration::from_millis(500)).await;
        return Err(AppendError::TimedOut);
    }
    life.step().await;
    answer
}

/// The streams of a shard.
#[derive(Clone)]
pub(crate) struct SimStreams {
    pub(crate) life: Arc<Life>,
    pub(crate) shard: usize,
}

impl SimStreams {
    fn truth(&self) -> &Truth {
        &self.life.world.shards[self.shard]
    }

    fn reader<R, T>(&self, inner: R) -> SimReader<R, T> {
        let generation = self.truth().generation.load(Relaxed);
        SimReader {
            life: self.life.clone(),
            shard: self.shard,
            inner,
            generation,
            recent: VecDeque::new(),
            stalled: false,
        }
    }
}

impl Streams for SimStreams {
    type LogReader = SimLogReader;
    type OutcomeReader = SimOutcomeReader;
    type HeadlineReader = SimReader<MemoryHeadlines, Headline>;

    fn payload_bytes_max(&self) -> usize {
        self.truth().streams().payload_bytes_max()
    }

    async fn log_state(&self) -> Result<StreamState, ReadError> {
        let state = read(&self.life, async { self.truth().streams().log_state().await }).await?;
        Ok(self.truth().past(&self.life.world).map_or(state, |past| past.log))
    }

    async fn now_ns(&self) -> Result<Option<i64>, ReadError> {
        read(&self.life, async { self.truth().streams().now_ns().await }).await
    }

    async fn log_message(&self, sequence: u64) -> Result<Option<LogMessage>, ReadError> {
        let hole = self.truth().hole.load(Relaxed);
        let message = read(&self.life, async { self.truth().streams().log_message(sequence).await }).await?;
        let last = self.truth().past(&self.life.world).map_or(u64::MAX, |past| past.log.last_sequence);
        Ok(message.filter(|message| message.sequence != hole && message.sequence <= last))
    }

    async fn read_log(&self, from: u64) -> Result<Self::LogReader, ReadError> {
        let inner = read(&self.life, async { self.truth().streams().read_log(from).await }).await?;
        Ok(SimLogReader(self.reader(SimLog { inner, hole: self.truth().hole.load(Relaxed) })))
    }

    async fn append_log(&self, format: Format, payload: Bytes) -> Result<u64, AppendError> {
        let (world, shard) = (self.life.world.clone(), self.shard);
        write(&self.life, async move { world.shards[shard].append(format, payload).await }).await
    }

    async fn append_log_by(
        &self,
        way: Way,
        format: Format,
        headers: &Headers,
        payload: Bytes,
    ) -> Result<u64, AppendError> {
        let (world, shard, headers) = (self.life.world.clone(), self.shard, headers.clone());
        write(&self.life, async move { world.shards[shard].append_by(way, format, &headers, payload).await })
            .await
    }

    async fn trim_log(&self, through: u64) -> Result<(), AppendError> {
        self.life.world.tell(&format_args!("{} trims through {through}", self.life.name));
        let (world, shard) = (self.life.world.clone(), self.shard);
        write(&self.life, async move { world.shards[shard].streams().trim_log(through).await }).await
    }

    async fn outcomes_state(&self) -> Result<StreamState, ReadError> {
        let state = read(&self.life, async { self.truth().streams().outcomes_state().await }).await?;
        Ok(self.truth().past(&self.life.world).map_or(state, |past| past.outcomes))
    }

    async fn last_outcomes(&self) -> Result<Option<StoredAppend>, ReadError> {
        let last = read(&self.life, async { self.truth().streams().last_outcomes().await }).await?;
        Ok(self.truth().past(&self.life.world).map_or(last, |past| past.last))
    }

    async fn read_outcomes(&self, from: u64) -> Result<Self::OutcomeReader, ReadError> {
        let inner = read(&self.life, async { self.truth().streams().read_outcomes(from).await }).await?;
        Ok(SimOutcomeReader(self.reader(inner)))
    }

    async fn read_headlines(&self, from: u64) -> Result<Self::HeadlineReader, ReadError> {
        let inner = read(&self.life, async { self.truth().streams().read_headlines(from).await }).await?;
        Ok(self.reader(inner))
    }

    async fn append_outcomes(&self, append: Append, expected_last: u64) -> Result<u64, AppendError> {
        let (world, shard) = (self.life.world.clone(), self.shard);
        let name = self.life.name.clone();
        while self.life.outcomes_hang.load(Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        write(&self.life, async move {
            let (from, through) = (append.header.from, append.header.through);
            let stored = world.shards[shard].streams().append_outcomes(append, expected_last).await;
            world.tell(&format_args!("{name} announces {from} to {through} of shard {shard}: {stored:?}"));
            stored
        })
        .await
    }

    async fn dead_letters(&self, from: u64) -> Result<Vec<StoredLetter>, ReadError> {
        read(&self.life, async { self.truth().streams().dead_letters(from).await }).await
    }

    async fn append_dead_letter(&self, letter: DeadLetter) -> Result<(), AppendError> {
        let (world, shard) = (self.life.world.clone(), self.shard);
        write(&self.life, async move { world.shards[shard].streams().append_dead_letter(letter).await }).await
    }
}

impl ClosableLog for SimStreams {
    async fn close_log(&self) -> Result<(), AppendError> {
        let streams = self.truth().streams();
        write(&self.life, async move { streams.close_log().await }).await
    }

    async fn open_log(&self) -> Result<(), AppendError> {
        let streams = self.truth().streams();
        write(&self.life, async move { streams.open_log().await }).await
    }

    async fn append_closed(
        &self,
        way: Way,
        format: Option<Format>,
        payload: Bytes,
        expected_last: u64,
    ) -> Result<u64, AppendError> {
        let (world, shard) = (self.life.world.clone(), self.shard);
        write(&self.life, async move {
            world.shards[shard].append_closed(way, format, payload, expected_last).await
        })
        .await
    }
}

/// Reads what there is of a log.
pub(crate) struct SimLog {
    inner: MemoryLog,
    hole: u64,
}

impl Reader<StoredMessage> for SimLog {
    async fn next(&mut self) -> Result<Vec<StoredMessage>, ReadError> {
        loop {
            let mut messages = self.inner.next_stored().await?;
            messages.retain(|stored| stored.message.sequence != self.hole);
            if !messages.is_empty() {
                return Ok(messages);
            }
        }
    }
}

/// Reads a stream onwards, as long as that goes well.
pub(crate) struct SimReader<R, T> {
    life: Arc<Life>,
    shard: usize,
    inner: R,
    generation: u64,
    /// What was given lately.
    recent: VecDeque<T>,
    stalled: bool,
}

impl<R: Reader<T>, T: Clone + Send + Sync + 'static> Reader<T> for SimReader<R, T> {
    async fn next(&mut self) -> Result<Vec<T>, ReadError> {
        // All that waits comes before what is taken, so that nothing taken is lost where this is given up.
        self.life.travel().await;
        let world = self.life.world.clone();
        let faults = world.faults;
        assert!(!self.life.reader_panics.swap(false, Relaxed), "as the test says");
        if self.life.readers_cut.load(Relaxed) {
            std::future::pending::<()>().await;
        }
        if world.happens(faults.readers_stall) {
            world.tell(&format_args!("{}: a reader stalls", self.life.name));
            self.stalled = true;
        }
        if self.stalled {
            std::future::pending::<()>().await;
        }
        let broken = self.generation != world.shards[self.shard].generation.load(Relaxed);
        if broken || world.happens(faults.readers_break) {
            return Err(ReadError::Unavailable("the connection broke".to_owned()));
        }
        if !self.recent.is_empty() && world.happens(faults.readers_repeat) {
            return Ok(self.recent.iter().cloned().collect());
        }
        let taken = self.inner.next().await?;
        // What had begun to wait before it was cut off gets nothing either.
        if self.life.readers_cut.load(Relaxed) {
            std::future::pending::<()>().await;
        }
        self.recent.extend(taken.iter().cloned());
        while self.recent.len() > 8 {
            self.recent.pop_front();
        }
        Ok(taken)
    }
}

/// Reads outcomes onwards, as long as that goes well.
pub(crate) struct SimOutcomeReader(SimReader<MemoryOutcomes, StoredAppend>);

impl Reader<StoredAppend> for SimOutcomeReader {
    async fn next(&mut self) -> Result<Vec<StoredAppend>, ReadError> {
        let read = self.0.next().await?;
        self.0.life.outcomes_read.fetch_add(read.len() as u64, Relaxed);
        Ok(read)
    }
}

/// Reads a log onwards, as long as that goes well.
pub(crate) struct SimLogReader(SimReader<SimLog, StoredMessage>);

impl Reader<LogMessage> for SimLogReader {
    async fn next(&mut self) -> Result<Vec<LogMessage>, ReadError> {
        Ok(self.0.next().await?.into_iter().map(|stored| stored.message).collect())
    }
}

impl LogReader for SimLogReader {
    async fn next_stored(&mut self) -> Result<Vec<StoredMessage>, ReadError> {
        self.0.next().await
    }
}

/// A table.
#[derive(Clone)]
pub(crate) struct SimKeys {
    pub(crate) life: Arc<Life>,
}

impl Keys for SimKeys {
    async fn get(&self, key: &str) -> Result<Option<Entry>, ReadError> {
        while self.life.pointers_hang.load(Relaxed) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        read(&self.life, self.life.world.keys.get(key)).await
    }

    async fn all(&self) -> Result<Vec<(String, Entry)>, ReadError> {
        read(&self.life, self.life.world.keys.all()).await
    }

    async fn put(&self, key: &str, value: Bytes, expected: u64) -> Result<u64, AppendError> {
        let (keys, key) = (self.life.world.keys.clone(), key.to_owned());
        write(&self.life, async move { keys.put(&key, value, expected).await }).await
    }

    async fn remove(&self, key: &str, expected: u64) -> Result<(), AppendError> {
        let (keys, key) = (self.life.world.keys.clone(), key.to_owned());
        write(&self.life, async move { keys.remove(&key, expected).await }).await
    }
}

/// Snapshots.
#[derive(Clone)]
pub(crate) struct SimObjects {
    pub(crate) life: Arc<Life>,
}

impl Objects for SimObjects {
    type Reader = SimObjectReader;

    async fn write(&self, name: &str, mut chunks: mpsc::Receiver<Bytes>) -> Result<u64, AppendError> {
        // Chunk by chunk, so that a crash can come between any two.
        let (forward, stored) = mpsc::channel(1);
        let forwarding = async {
            while let Some(chunk) = chunks.recv().await {
                self.life.travel().await;
                while self.life.objects_hang.load(Relaxed) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                if forward.send(chunk).await.is_err() {
                    return;
                }
            }
            drop(forward);
        };
        let world = self.life.world.clone();
        let (written, ()) = tokio::join!(world.objects.write(name, stored), forwarding);
        let written = written?;
        if world.happens(world.faults.writes_late) {
            // Torn by the way, and not even told.
            world.tell(&format_args!("{}: {name} is torn", self.life.name));
            world.rotten.lock().unwrap().insert(name.to_owned());
        }
        self.life.step().await;
        Ok(written)
    }

    async fn read(&self, name: &str) -> Result<Option<SimObjectReader>, ReadError> {
        let inner = read(&self.life, self.life.world.objects.read(name)).await?;
        let rotten = self.life.world.rotten.lock().unwrap().contains(name);
        Ok(inner.map(|inner| SimObjectReader { life: self.life.clone(), inner, rotten }))
    }

    async fn list(&self) -> Result<Vec<ObjectInfo>, ReadError> {
        read(&self.life, self.life.world.objects.list()).await
    }

    async fn remove(&self, name: &str) -> Result<(), AppendError> {
        let (objects, name) = (self.life.world.objects.clone(), name.to_owned());
        write(&self.life, async move { objects.remove(&name).await }).await
    }
}

/// Reads an object, whose bytes are others where it has rotted.
pub(crate) struct SimObjectReader {
    life: Arc<Life>,
    inner: MemoryObjectReader,
    rotten: bool,
}

impl ObjectReader for SimObjectReader {
    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let piece = read(&self.life, self.inner.next()).await?;
        Ok(piece.map(|piece| {
            if !self.rotten {
                return piece;
            }
            let mut changed = piece.to_vec();
            let place = changed.len() / 2;
            changed[place] ^= 1;
            changed.into()
        }))
    }
}
