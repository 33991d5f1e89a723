//! The world that workers live in: clocks, the true content of the streams, and what may go wrong.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use tokio::sync::Notify;
use tokio::time::Instant;
use weir::edges::clock::{Clock, SharedClock};
use weir::edges::memory::{MemoryKeys, MemoryLimits, MemoryObjects, MemoryStreams};
use weir::edges::streams::{ClosableLog as _, Headers, Reader as _, StreamState, Streams as _};
use weir::words::append::StoredAppend;
use weir::words::codec::Format;
use weir::words::message::{LogMessage, Way};

/// The wall clocks' time at the start, in nanoseconds since 1970.
const START_NS: i64 = 1_763_780_400_000_000_000;

/// A clock that can be set.
pub(crate) struct SimClock {
    start: Instant,
    offset_ns: AtomicI64,
}

impl SimClock {
    fn new(start: Instant) -> Arc<Self> {
        Arc::new(Self { start, offset_ns: AtomicI64::new(0) })
    }

    pub(crate) fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ns.store(offset_ms * 1_000_000, Relaxed);
    }
}

impl Clock for SimClock {
    fn wall_ns(&self) -> i64 {
        let elapsed = i64::try_from(self.monotonic().as_nanos()).unwrap();
        START_NS + elapsed + self.offset_ns.load(Relaxed)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// How often what goes wrong: in 1,000 calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) reads_fail: u32,
    pub(crate) writes_refused: u32,
    pub(crate) replies_lost: u32,
    pub(crate) writes_late: u32,
    pub(crate) readers_break: u32,
    pub(crate) readers_stall: u32,
    pub(crate) readers_repeat: u32,
    /// How often an answer is from the past, while a server that was cut off may give any.
    pub(crate) stale: u32,
    /// The longest usual delay of a call, in milliseconds.
    pub(crate) delay_ms: u64,
    /// How often a call takes seconds.
    pub(crate) slow: u32,
}

impl Faults {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        // Some seeds are calm in some ways: what is rare together would never be seen, otherwise.
        let mut rate = |most: u32| if rng.bool() { 0 } else { rng.u32(0..=most) };
        Self {
            reads_fail: rate(30),
            writes_refused: rate(30),
            replies_lost: rate(60),
            writes_late: rate(60),
            readers_break: rate(30),
            readers_stall: rate(10),
            readers_repeat: rate(60),
            stale: rate(900),
            delay_ms: u64::from(rate(40)),
            slow: rate(10),
        }
    }
}

/// Tells the time that it was told, and once that is over the broker's.
struct Stamp {
    at_ns: AtomicI64,
    then: Arc<SimClock>,
}

impl Clock for Stamp {
    fn wall_ns(&self) -> i64 {
        match self.at_ns.load(Relaxed) {
            i64::MIN => self.then.wall_ns(),
            told => told,
        }
    }

    fn monotonic(&self) -> Duration {
        self.then.monotonic()
    }
}

/// What a server that was cut off from the others takes its streams for.
#[derive(Clone)]
pub(crate) struct Past {
    /// Until when it answers.
    until: Duration,
    pub(crate) log: StreamState,
    pub(crate) outcomes: StreamState,
    pub(crate) last: Option<StoredAppend>,
}

/// The true streams of a shard.
pub(crate) struct Truth {
    clock: Arc<SimClock>,
    streams: Mutex<MemoryStreams>,
    /// Every message that was ever stored, trimmed ones too.
    history: Mutex<Vec<LogMessage>>,
    /// Counts how often the streams were put in another's place: readers of the former break.
    pub(crate) generation: AtomicU64,
    /// What a server that was cut off answers.
    past: Mutex<Option<Past>>,
    /// The sequence of a message of the log that was lost though it was acknowledged; 0 for none.
    pub(crate) hole: AtomicU64,
}

impl Truth {
    pub(crate) fn streams(&self) -> MemoryStreams {
        self.streams.lock().unwrap().clone()
    }

    pub(crate) fn history(&self) -> Vec<LogMessage> {
        self.history.lock().unwrap().clone()
    }

    /// Cuts a server off from the others: it answers for so long from what it knows now.
    pub(crate) async fn cut_off_a_server(&self, now: Duration, answers_for: Duration) {
        let streams = self.streams();
        let past = Past {
            until: now + answers_for,
            log: streams.log_state().await.unwrap(),
            outcomes: streams.outcomes_state().await.unwrap(),
            last: streams.last_outcomes().await.unwrap(),
        };
        *self.past.lock().unwrap() = Some(past);
    }

    /// What an answer is given from, if it is one of the past.
    pub(crate) fn past(&self, world: &World) -> Option<Past> {
        let past = self.past.lock().unwrap().clone()?;
        (world.start.elapsed() < past.until && world.happens(world.faults.stale)).then_some(past)
    }

    /// Stores a message, whoever sends it.
    pub(crate) async fn append(
        &self,
        format: Format,
        payload: Bytes,
    ) -> Result<u64, weir::edges::streams::AppendError> {
        self.append_by(Way::Any, format, &Headers::default(), payload).await
    }

    /// The same, by one of the shard's subjects.
    pub(crate) async fn append_by(
        &self,
        way: Way,
        format: Format,
        headers: &Headers,
        payload: Bytes,
    ) -> Result<u64, weir::edges::streams::AppendError> {
        let streams = self.streams();
        let sequence = streams.append_log_by(way, format, headers, payload).await?;
        let stored = streams.log_message(sequence).await.unwrap().unwrap();
        self.history.lock().unwrap().push(stored);
        Ok(sequence)
    }

    /// Stores a message of a log that is closed.
    pub(crate) async fn append_closed(
        &self,
        way: Way,
        format: Option<Format>,
        payload: Bytes,
        expected_last: u64,
    ) -> Result<u64, weir::edges::streams::AppendError> {
        let streams = self.streams();
        let sequence = streams.append_closed(way, format, payload, expected_last).await?;
        let stored = streams.log_message(sequence).await.unwrap().unwrap();
        self.history.lock().unwrap().push(stored);
        Ok(sequence)
    }

    pub(crate) async fn appends(&self) -> Vec<StoredAppend> {
        let streams = self.streams();
        let last = streams.outcomes_state().await.unwrap().last_sequence;
        let mut all = Vec::new();
        let mut reader = streams.read_outcomes(1).await.unwrap();
        while (all.len() as u64) < last {
            all.extend(reader.next().await.unwrap());
        }
        all
    }

    /// Puts other streams in place of these: with this log, trimmed to its `first`, and these appends.
    pub(crate) async fn turn_into(&self, log: &[LogMessage], first: u64, appends: &[StoredAppend]) {
        let limits =
            MemoryLimits { payload_bytes_max: self.streams().payload_bytes_max(), ..MemoryLimits::default() };
        let stamp = Arc::new(Stamp { at_ns: AtomicI64::new(0), then: self.clock.clone() });
        let streams = MemoryStreams::new(stamp.clone(), limits);
        for message in log {
            stamp.at_ns.store(message.stored_at_ns, Relaxed);
            let format = message.format.unwrap();
            let (way, headers) = (message.way, Headers::default());
            let appended = streams.append_log_by(way, format, &headers, message.payload.clone()).await;
            assert_eq!(appended, Ok(message.sequence));
        }
        if first > 1 {
            streams.trim_log(first - 1).await.unwrap();
        }
        for stored in appends {
            streams.append_outcomes(stored.append.clone(), stored.sequence - 1).await.unwrap();
        }
        stamp.at_ns.store(i64::MIN, Relaxed);
        *self.streams.lock().unwrap() = streams;
        *self.history.lock().unwrap() = log.to_vec();
        self.generation.fetch_add(1, Relaxed);
    }
}

/// All that workers share.
pub(crate) struct World {
    pub(crate) seed: u64,
    rng: Mutex<Rng>,
    pub(crate) start: Instant,
    pub(crate) broker_clock: Arc<SimClock>,
    pub(crate) faults: Faults,
    /// Nothing goes wrong any more.
    pub(crate) calm: AtomicBool,
    pub(crate) calmed: Notify,
    pub(crate) shards: Vec<Truth>,
    pub(crate) keys: MemoryKeys,
    pub(crate) objects: MemoryObjects,
    /// Objects that have rotted.
    pub(crate) rotten: Mutex<BTreeSet<String>>,
    pub(crate) trace: bool,
}

impl World {
    pub(crate) fn new(seed: u64, shards: usize, limits: MemoryLimits, faults: Faults) -> Arc<Self> {
        let start = Instant::now();
        let broker_clock = SimClock::new(start);
        let truth = || Truth {
            clock: broker_clock.clone(),
            streams: Mutex::new(MemoryStreams::new(broker_clock.clone(), limits)),
            history: Mutex::default(),
            generation: AtomicU64::new(0),
            past: Mutex::default(),
            hole: AtomicU64::new(0),
        };
        Arc::new(Self {
            seed,
            rng: Mutex::new(Rng::with_seed(seed)),
            start,
            broker_clock: broker_clock.clone(),
            faults,
            calm: AtomicBool::new(false),
            calmed: Notify::new(),
            shards: (0..shards).map(|_| truth()).collect(),
            keys: MemoryKeys::default(),
            objects: MemoryObjects::default(),
            rotten: Mutex::default(),
            trace: std::env::var_os("WEIR_SEED").is_some(),
        })
    }

    pub(crate) fn rng(&self) -> MutexGuard<'_, Rng> {
        self.rng.lock().unwrap()
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.load(Relaxed)
    }

    pub(crate) fn calm_down(&self) {
        self.calm.store(true, Relaxed);
        self.calmed.notify_waiters();
    }

    /// Whether something happens that does so `rate` times in 1,000.
    pub(crate) fn happens(&self, rate: u32) -> bool {
        rate > 0 && !self.is_calm() && self.rng().u32(0..1000) < rate
    }

    pub(crate) fn tell(&self, what: &std::fmt::Arguments<'_>) {
        if self.trace {
            eprintln!("{:>10.3} s  {what}", self.start.elapsed().as_secs_f64());
        }
    }

    pub(crate) fn worker_clock(&self) -> Arc<SimClock> {
        SimClock::new(self.start)
    }
}

/// One incarnation of a worker, or of a client.
pub(crate) struct Life {
    pub(crate) world: Arc<World>,
    pub(crate) name: String,
    pub(crate) clock: Arc<SimClock>,
    alive: AtomicBool,
    /// How many calls it has begun or ended.
    pub(crate) steps: AtomicU64,
    /// The step at which it dies.
    crash_at: u64,
    pub(crate) died: Notify,
    /// Cut off from everything until then.
    cut_off: Mutex<Duration>,
    /// Its readers give nothing, and nothing else fails.
    pub(crate) readers_cut: AtomicBool,
    /// Its snapshots cannot be listed.
    pub(crate) pointers_hang: AtomicBool,
    /// Appends of outcomes wait while this is set.
    pub(crate) outcomes_hang: AtomicBool,
    /// How many appends of outcomes were read.
    pub(crate) outcomes_read: AtomicU64,
    /// Its snapshots are not stored.
    pub(crate) objects_hang: AtomicBool,
    /// The steps at which whatever takes them panics.
    panics_at: Mutex<BTreeSet<u64>>,
    /// The next call of a reader panics.
    pub(crate) reader_panics: AtomicBool,
}

impl Life {
    pub(crate) fn new(world: &Arc<World>, name: String, clock: Arc<SimClock>, crash_at: u64) -> Arc<Self> {
        Arc::new(Self {
            world: world.clone(),
            name,
            clock,
            alive: AtomicBool::new(true),
            steps: AtomicU64::new(0),
            crash_at,
            died: Notify::new(),
            cut_off: Mutex::default(),
            readers_cut: AtomicBool::new(false),
            pointers_hang: AtomicBool::new(false),
            outcomes_hang: AtomicBool::new(false),
            outcomes_read: AtomicU64::new(0),
            objects_hang: AtomicBool::new(false),
            panics_at: Mutex::default(),
            reader_panics: AtomicBool::new(false),
        })
    }

    pub(crate) fn shared_clock(&self) -> SharedClock {
        self.clock.clone()
    }

    pub(crate) fn die(&self) {
        self.alive.store(false, Relaxed);
        self.died.notify_one();
    }

    /// Has what takes these steps panic.
    pub(crate) fn panic_at(&self, steps: impl IntoIterator<Item = u64>) {
        self.panics_at.lock().unwrap().extend(steps);
    }

    pub(crate) fn cut_off(&self, duration: Duration) {
        *self.cut_off.lock().unwrap() = self.world.start.elapsed() + duration;
    }

    /// A step at which it may die; the dead take no further one.
    pub(crate) async fn step(&self) {
        let step = self.steps.fetch_add(1, Relaxed) + 1;
        if step == self.crash_at && !self.world.is_calm() {
            self.world.tell(&format_args!("{} dies at step {step}", self.name));
            self.die();
        }
        if !self.alive.load(Relaxed) {
            std::future::pending::<()>().await;
        }
        let panics = self.panics_at.lock().unwrap().remove(&step);
        assert!(!panics || self.world.is_calm(), "as the seed says");
    }

    /// The way to the other side.
    pub(crate) async fn travel(&self) {
        self.step().await;
        let until = *self.cut_off.lock().unwrap();
        let now = self.world.start.elapsed();
        if now < until {
            tokio::time::sleep(until.saturating_sub(now)).await;
        }
        let faults = self.world.faults;
        let millis = if self.world.happens(faults.slow) {
            self.world.rng().u64(500..6_000)
        } else if faults.delay_ms > 0 {
            self.world.rng().u64(0..=faults.delay_ms)
        } else {
            0
        };
        if millis > 0 {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        self.step().await;
    }
}
