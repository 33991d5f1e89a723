//! Observing: feeds analytics with what was announced, on a thread of its own beside the fold, and tells what they find.
//!
//! It reads the shard's [ports](super::ports) through a bounded channel, decodes by itself, gives way to those that decide, and can never
//! slow the fold: what it has no room for is skipped and counted. Once it is calm again, the orders of the stretch that was skipped are
//! taken up again from the log and the outcome stream ([`retold`](crate::motion::past::retold)): not from the fold's state, which does not
//! keep what an order said of its promise, its carrier and its attributes.
//!
//! Who measures what, and once, is for [`Observing`] to say. The model's state is saved after snapshots and now and then, by the worker
//! that takes them; a worker begins with the newest one, and whoever takes over goes on with its own.
//!
//! Signals are published by the leader, best effort. A standby finds the same ones, and keeps those of the last minutes: when it
//! takes over it tells them again, under the same identities, since the one before may have died in between.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::context::Shard;
use super::measuring::Measures;
use super::options::AnalyticsOptions;
use super::ports::{Announcement, Observations, Seen};
use super::risks::Asked;
use super::signalling;
use super::stage::{Running, end_of, start};
use crate::edges::Edges;
use crate::edges::streams::{AppendError, ReadError, Streams as _};
use crate::edges::telemetry::analytics::Watched;
use crate::edges::threads::give_way;
use crate::folds::analytics::{Analytics, Finding, Findings};
use crate::motion::past::retold::{Retold, retell};
use crate::motion::rules::kept::FoldOn;
use crate::motion::rules::life::{Life, Stage, said};
use crate::motion::rules::observing::{Observing, tell};
use crate::motion::store::models::{Models, Saved};
use crate::motion::store::snapshots::Snapshots;
use crate::words::identity::Identity;
use crate::words::signal::SignalLetter;

/// How often it looks what is due.
const LOOK: Duration = Duration::from_secs(1);
/// How many looks apart the open orders are summed up, and snapshots are looked for.
const LOOKS_APART: u32 = 10;
/// Nothing was skipped for so many looks: it is calm.
const CALM_LOOKS: u32 = 5;
/// Nothing came for so many looks: log time follows the clock.
const QUIET_LOOKS: u32 = 10;
/// SKUs whose stock is asked for with one look.
const SKUS_PER_LOOK: usize = 64;
/// How long the fold may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// Without records, log time follows the clock so far behind, in whole minutes: all that follow a log find the same then.
const BEHIND_CLOCK_MS: i64 = 60_000;
const MINUTE_MS: i64 = 60_000;
/// Signals of so long ago are told again by whoever takes over: less than their stream knows ids for.
const RECENT_MS: i64 = 5 * MINUTE_MS;
/// At most so many.
const RECENT_MAX: usize = 1_024;
/// Signals that wait to be published; beyond, they are dropped and counted.
const LETTERS_QUEUED_MAX: usize = 1_024;
/// How many messages are measured before others may look at the model.
const MESSAGES_AT_ONCE: usize = 64;
/// How often the saved state is asked for before it is done without.
const LOAD_TRIES: u32 = 8;
const LOAD_PAUSE: Duration = Duration::from_millis(250);
/// The pause before observing begins again after a panic; it doubles for each further time.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Saving a state holds up the measuring: the next one is saved after so many times as long, or when it is due anyway.
const SAVED_ONE_IN: u32 = 500;
/// How long a shard that ends waits for what was measured to be saved.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// The observer of a shard, which ends where this is dropped.
pub(super) struct Beside {
    over: CancellationToken,
    /// Whether it is to save what it has before.
    saves: Arc<AtomicBool>,
    ended: mpsc::Receiver<()>,
}

impl Beside {
    /// Measures what is there, saves it, and ends.
    pub(super) async fn end(mut self) {
        self.saves.store(true, Relaxed);
        self.over.cancel();
        // It says nothing: it only goes.
        let _ = tokio::time::timeout(ENDS_WITHIN, self.ended.recv()).await;
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

impl<E: Edges> Shard<E> {
    /// Starts to observe, if anybody wants to.
    pub(super) fn observe(&self) -> Option<Beside> {
        let options = self.options.analytics.clone()?;
        let watched = Arc::new(Watched::new(options.settings.clone()));
        self.telemetry.watch(watched.clone());
        self.status.set_watched(watched.clone());
        let (over, saves) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
        let (going, ended) = mpsc::channel(1);
        let seen = self.status.ports().observe(options.room);
        let observer = Observer::new(self.clone(), options, watched, over.clone(), saves.clone());
        match self.options.fold_on {
            FoldOn::Thread => {
                let runtime = tokio::runtime::Handle::current();
                let name = format!("analytics-{}", self.status.shard);
                let work = move || {
                    // Those that decide come first.
                    give_way();
                    observer.run(&runtime, seen, going);
                };
                let thread = std::thread::Builder::new().name(name).spawn(work);
                drop(thread.expect("the operating system gives a thread"));
            }
            FoldOn::Task => {
                tokio::spawn(async move {
                    let mut observer = observer;
                    observer.observe(seen).await;
                    drop(going);
                });
            }
        }
        Some(Beside { over, saves, ended })
    }
}

/// Feeds the analytics of one shard.
struct Observer<E: Edges> {
    shard: Shard<E>,
    options: AnalyticsOptions,
    watched: Arc<Watched>,
    /// What it is asked.
    asked: Asked,
    over: CancellationToken,
    saves: Arc<AtomicBool>,
    models: Models<E>,
    observing: Observing,
    /// Whether a saved state is to be begun with.
    loads: bool,
    findings: Findings,
    /// Where signals go while this worker announces.
    letters: mpsc::Sender<SignalLetter>,
    /// The signals found lately while another did, and when, in milliseconds since 1970.
    recent: VecDeque<(i64, SignalLetter)>,
    /// What is told again.
    retold: Option<(Running<()>, mpsc::Receiver<Retold>)>,
    /// What is being saved.
    saving: Option<Running<Result<Option<Saved>, AppendError>>>,
    /// The position of what was saved last, when that was, and how long it held up the measuring.
    saved: (u64, Duration, Duration),
    looks: u32,
    /// Since how many looks nothing was skipped.
    calm: u32,
    /// Since how many looks nothing came.
    quiet: u32,
    /// The SKU that is looked at next.
    next_sku: usize,
}

impl<E: Edges> Observer<E> {
    fn new(
        shard: Shard<E>,
        options: AnalyticsOptions,
        watched: Arc<Watched>,
        over: CancellationToken,
        saves: Arc<AtomicBool>,
    ) -> Self {
        let (letters, told) = mpsc::channel(LETTERS_QUEUED_MAX);
        let name = shard.status.shard.clone();
        tokio::spawn(signalling::publish(name, shard.edges.streams.clone(), told, watched.clone()));
        Self {
            models: Models::new(&shard.status.shard, &shard.edges),
            saved: (0, shard.clock.monotonic(), Duration::ZERO),
            asked: shard.status.risks().open(),
            shard,
            options,
            watched,
            over,
            saves,
            observing: Observing::default(),
            loads: true,
            findings: Vec::new(),
            letters,
            recent: VecDeque::new(),
            retold: None,
            saving: None,
            looks: 0,
            calm: 0,
            quiet: 0,
            next_sku: 0,
        }
    }

    /// Observes on this thread until it is over, anew after each panic: with an empty model, as the one that panicked may be torn.
    fn run(mut self, runtime: &tokio::runtime::Handle, mut seen: Observations, going: mpsc::Sender<()>) {
        let mut pause = PAUSE;
        loop {
            let observed = catch_unwind(AssertUnwindSafe(|| runtime.block_on(self.observe(seen))));
            let Err(panic) = observed else { break };
            self.shard.panicked(Stage::Observer, &said(&*panic));
            let waited = runtime.block_on(self.over.run_until_cancelled(tokio::time::sleep(pause)));
            if waited.is_none() {
                break;
            }
            pause = (pause * 2).min(PAUSE_MAX);
            self.watched.watch().replace(Analytics::new(self.options.settings.clone()));
            (self.observing, self.loads, self.retold) = (Observing::anew(), false, None);
            self.findings.clear();
            seen = self.shard.status.ports().observe(self.options.room);
        }
        drop(going);
    }

    async fn observe(&mut self, mut seen: Observations) {
        if std::mem::take(&mut self.loads) {
            self.load().await;
        }
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let over = self.over.clone();
        loop {
            tokio::select! {
                what = seen.next() => match what {
                    Some(what) => self.see(what),
                    None => break,
                },
                question = self.asked.next() => self.asked.answer(question, &self.watched, self.looks),
                told = next_of(&mut self.retold) => self.recall(told),
                ended = end_of(&mut self.saving) => self.has_saved(ended),
                _ = looks.tick() => self.look().await,
                () = over.cancelled() => break,
            }
        }
        while let Some(what) = seen.ready() {
            self.see(what);
        }
        if self.saves.load(Relaxed) && self.shard.assigned.get().scribe {
            self.saving = None;
            self.save();
            if let Some(saving) = &mut self.saving {
                let ended = saving.ended().await;
                self.has_saved(ended);
            }
        }
    }

    /// Begins with the newest state that was saved, if there is one that can be read.
    async fn load(&mut self) {
        let shard = &self.shard.status.shard;
        for _ in 0..LOAD_TRIES {
            let loaded = async {
                let Some(saved) = self.models.newest().await? else { return Ok(None) };
                Ok::<_, ReadError>(self.models.load(&saved).await?.map(|bytes| (saved, bytes)))
            };
            match self.over.run_until_cancelled(loaded).await {
                None => return,
                Some(Ok(None)) => return tracing::info!(shard, "analytics begin anew"),
                Some(Ok(Some((saved, bytes)))) => {
                    let through = saved.through().unwrap_or(Identity::START);
                    match Analytics::restore(&bytes) {
                        Ok(model) => {
                            self.watched.watch().replace(model);
                            self.observing = Observing::after(saved.sequence, through);
                            self.saved.0 = saved.sequence;
                            tracing::info!(
                                shard,
                                sequence = saved.sequence,
                                "analytics go on from a saved state"
                            );
                        }
                        Err(error) => {
                            tracing::warn!(shard, %error, "a saved state of analytics is passed over");
                        }
                    }
                    return;
                }
                Some(Err(_)) => tokio::time::sleep(LOAD_PAUSE).await,
            }
        }
        tracing::warn!(shard, "the saved state of analytics cannot be read: they begin anew");
    }

    fn see(&mut self, what: Seen) {
        let mut wall_ns = self.shard.clock.wall_ns();
        match what {
            Seen::Restored { state, through } => self.observing.restored(state, through),
            Seen::Applied(applied) => {
                self.quiet = 0;
                self.observing.applied(applied);
            }
            Seen::Announced(Announcement { through, own, at_ns, .. }) => {
                self.settle(own);
                self.observing.announced(through);
                wall_ns = at_ns;
            }
            // What is missing shows by what follows.
            Seen::Lost(_) => self.calm = 0,
        }
        self.measure(wall_ns);
    }

    /// What is announced from now on is this worker's, or is not.
    fn settle(&mut self, own: bool) {
        let mut watching = self.watched.watch();
        let takes_over = own && !watching.facts().own;
        watching.settle(own);
        drop(watching);
        if takes_over {
            self.tell_recent();
        }
    }

    /// Measures what there is to measure, as announced at that moment.
    fn measure(&mut self, wall_ns: i64) {
        let mut more = true;
        while more {
            let mut watching = self.watched.watch();
            let own = watching.facts().own;
            more = false;
            for measured in 0..MESSAGES_AT_ONCE {
                let Some((applied, message)) = self.observing.take_next() else { break };
                more = measured + 1 == MESSAGES_AT_ONCE;
                let (model, findings) = (watching.model_mut(), &mut self.findings);
                let telemetry = (own && applied.live).then_some(&*self.shard.telemetry);
                let mut measures = Measures::new(model, findings, telemetry, wall_ns);
                let unread = tell(&applied, &message, &mut measures);
                let count = measures.end();
                let facts = watching.facts_mut();
                facts.records += count;
                facts.undecoded += unread;
            }
            let skipped = self.observing.take_skipped();
            if skipped > 0 {
                self.calm = 0;
            }
            let facts = watching.facts_mut();
            facts.skipped += skipped;
            (facts.sequence, facts.lag_messages) = (self.observing.done().0, self.observing.lag());
            let letters = letters_of(watching.model(), &self.shard.status.shard, &mut self.findings);
            let at_ms = watching.model().now_ms();
            drop(watching);
            self.tell(letters, own, at_ms);
        }
    }

    /// Publishes signals, or keeps them for the case that this worker takes over.
    fn tell(&mut self, letters: Vec<SignalLetter>, own: bool, at_ms: i64) {
        for letter in letters {
            if !own {
                if self.recent.len() == RECENT_MAX {
                    self.recent.pop_front();
                }
                self.recent.push_back((at_ms, letter));
            } else if self.letters.try_send(letter).is_err() {
                self.watched.watch().facts_mut().dropped[1] += 1;
            }
        }
    }

    fn tell_recent(&mut self) {
        let since_ms = self.shard.clock.wall_ns() / 1_000_000 - RECENT_MS;
        let recent = std::mem::take(&mut self.recent).into_iter();
        let letters = recent.filter(|(at_ms, _)| *at_ms >= since_ms).map(|(_, letter)| letter);
        self.tell(letters.collect(), true, since_ms);
    }

    /// Takes up the orders of what is told again; none at its end.
    fn recall(&mut self, told: Option<Retold>) {
        let Some(told) = told else {
            self.retold = None;
            self.watched.watch().facts_mut().rebuilding = false;
            return;
        };
        let mut watching = self.watched.watch();
        let (mut rebuilt, mut findings) = (0, std::mem::take(&mut self.findings));
        let unread = told.records(|record| rebuilt += watching.model_mut().recall(record, &mut findings));
        self.findings = findings;
        let facts = watching.facts_mut();
        (facts.rebuilt, facts.undecoded) = (facts.rebuilt + rebuilt, facts.undecoded + unread);
        let own = facts.own;
        let letters = letters_of(watching.model(), &self.shard.status.shard, &mut self.findings);
        let at_ms = watching.model().now_ms();
        drop(watching);
        self.tell(letters, own, at_ms);
    }

    /// Does what is due.
    async fn look(&mut self) {
        self.looks = self.looks.wrapping_add(1);
        self.calm = self.calm.saturating_add(1);
        self.quiet = self.quiet.saturating_add(1);
        // Whoever leads shows what is, also before it has anything to announce.
        let leads = matches!(self.shard.status.life(), Life::Leading) && self.shard.leads();
        if !leads || self.observing.is_idle() {
            self.settle(leads);
        }
        self.follow_the_clock();
        self.look_at_stock().await;
        if self.retold.is_none()
            && self.calm >= CALM_LOOKS
            && let Some(missed) = self.observing.take_missed()
        {
            let (to, told) = mpsc::channel(1);
            let streams = self.shard.edges.streams.beside();
            tracing::info!(
                shard = self.shard.status.shard,
                first = missed.first,
                last = missed.last,
                "analytics take up the orders again of what they skipped"
            );
            let shard = self.shard.status.shard.clone();
            let telling = start(async move {
                if let Err(error) = retell(&streams, missed, to).await {
                    tracing::warn!(shard, %error, "not all orders were taken up again");
                }
            });
            self.retold = Some((telling, told));
            self.watched.watch().facts_mut().rebuilding = true;
        }
        if self.looks % LOOKS_APART == 1 {
            self.sum_up();
            self.save_if_due().await;
        }
    }

    fn sum_up(&self) {
        let mut watching = self.watched.watch();
        let risks = watching.model().risks();
        watching.facts_mut().risks = risks;
    }

    /// Lets log time pass while nothing comes.
    fn follow_the_clock(&mut self) {
        let caught_up = matches!(self.shard.status.life(), Life::Leading | Life::Following)
            && self.quiet >= QUIET_LOOKS
            && self.observing.is_idle()
            && self.shard.status.progress().lag_messages() == 0;
        let wall_ms = self.shard.clock.wall_ns() / 1_000_000;
        let at_ms = (wall_ms - BEHIND_CLOCK_MS).div_euclid(MINUTE_MS) * MINUTE_MS;
        let mut watching = self.watched.watch();
        let now_ms = watching.model().now_ms();
        if !caught_up || now_ms == 0 || at_ms <= now_ms {
            return;
        }
        watching.model_mut().pass(at_ms, &mut self.findings);
        let letters = letters_of(watching.model(), &self.shard.status.shard, &mut self.findings);
        let own = watching.facts().own;
        drop(watching);
        self.tell(letters, own, at_ms);
    }

    /// Asks the fold for the stock of some SKUs, and says when they will run out.
    async fn look_at_stock(&mut self) {
        let skus: Vec<(String, String)> = {
            let watching = self.watched.watch();
            let followed = watching.model().stock().followed_from(self.next_sku, SKUS_PER_LOOK);
            followed.map(|(site, sku)| (site.to_owned(), sku.to_owned())).collect()
        };
        self.next_sku = if skus.len() < SKUS_PER_LOOK { 0 } else { self.next_sku + SKUS_PER_LOOK };
        if skus.is_empty() {
            return;
        }
        let ports = self.shard.status.ports().clone();
        let available = ports.ask(ANSWERS_WITHIN, move |inventory| {
            let of = |(site, sku): (String, String)| {
                let stock = inventory.stock_of(&site, &sku)?;
                Some((site, sku, stock.available))
            };
            skus.into_iter().filter_map(of).collect::<Vec<_>>()
        });
        if let Ok(available) = available.await {
            self.take_stock(available);
        }
    }

    fn take_stock(&mut self, available: Vec<(String, String, i64)>) {
        let mut watching = self.watched.watch();
        for (site, sku, available) in available {
            watching.model_mut().look_at_stock(&site, &sku, available, &mut self.findings);
        }
        let letters = letters_of(watching.model(), &self.shard.status.shard, &mut self.findings);
        let (own, at_ms) = (watching.facts().own, watching.model().now_ms());
        drop(watching);
        self.tell(letters, own, at_ms);
    }

    async fn save_if_due(&mut self) {
        let done = self.observing.done().0;
        if self.saving.is_some() || done <= self.saved.0 || !self.shard.assigned.get().scribe {
            return;
        }
        let passed = self.shard.clock.monotonic().saturating_sub(self.saved.1);
        let snapshots = Snapshots::new(&self.shard.status.shard, &self.shard.edges);
        let newest = snapshots.kept().await.ok().and_then(|kept| Some(kept.first()?.sequence));
        // Whoever recovers from the snapshot goes on with this.
        let is_behind = newest.is_some_and(|newest| self.saved.0 < newest && newest <= done);
        if is_behind && passed >= self.saved.2 * SAVED_ONE_IN || passed >= self.options.save_every {
            self.save();
        }
    }

    /// Begins to save the state as it is.
    fn save(&mut self) {
        let done = self.observing.done();
        if done.0 == 0 || done.0 == self.saved.0 {
            return;
        }
        let watching = self.watched.watch();
        let began = self.shard.clock.monotonic();
        let bytes = watching.model().save();
        drop(watching);
        let now = self.shard.clock.monotonic();
        let announced = self.shard.status.progress().through;
        let (models, writer) = (self.models.clone(), self.shard.options.writer.clone());
        self.saved = (self.saved.0, now, now.saturating_sub(began));
        self.saving = Some(start(async move { models.save(&writer, done, announced, bytes).await }));
    }

    fn has_saved(&mut self, ended: Result<Result<Option<Saved>, AppendError>, String>) {
        self.saving = None;
        let shard = &self.shard.status.shard;
        match ended {
            Ok(Ok(Some(saved))) => {
                self.saved.0 = saved.sequence;
                let at_ns = self.shard.clock.wall_ns();
                self.watched.watch().facts_mut().saved = Some((at_ns, saved.bytes));
                tracing::debug!(shard, state = saved.name, bytes = saved.bytes, "analytics were saved");
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::warn!(shard, %error, "analytics were not saved; trying on"),
            Err(panic) => self.shard.panicked(Stage::Observer, &panic),
        }
    }
}

/// The signals among findings; these are gone then.
fn letters_of(model: &Analytics, shard: &str, findings: &mut Findings) -> Vec<SignalLetter> {
    let letters = if findings.iter().any(|it| matches!(it, Finding::Signal(_))) {
        model.letters(shard, findings)
    } else {
        Vec::new()
    };
    findings.clear();
    letters
}

/// What comes next of what is told again; none at its end. It waits where nothing is told.
async fn next_of(retold: &mut Option<(Running<()>, mpsc::Receiver<Retold>)>) -> Option<Retold> {
    match retold {
        Some((_, told)) => told.recv().await,
        None => std::future::pending().await,
    }
}
