//! Stories: what somebody sees who runs a shop, or Weir, on a day that goes wrong, or does not.
//!
//! Each plays against the real engine. Those about orders play on streams in memory, and have a past: hours or weeks are played first,
//! in seconds, stamped as of when they were, so that what is usual is known. Those about [workers](super::workers) play with real ones.

use std::time::Duration;

use anyhow::ensure;

use super::shop::{DAY_MS, HOUR_MS, Mood, Rates, Shop};
use super::stage::{Stage, StageClock};
use super::tally::{Sent, Tally, append, print_json, print_summary, problems};
use super::{Args, workers};
use crate::commands::Ended;
use crate::commands::output::say;
use crate::commands::run::Signals;
use crate::edges::clock::Clock as _;
use crate::words::command::Command;

/// A story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Story {
    /// A sale: many times the usual orders, for one thing that is soon gone
    FlashSale,
    /// A carrier has delivered nothing for days, and promises are missed
    CarrierDelay,
    /// Customers of one carrier cancel, far more than is usual
    CancellationSurge,
    /// A leader dies, and later the last worker (on a server)
    DeadWorker,
    /// Snapshots cannot be stored, so the log fills up (on a server)
    FullLog,
    /// Few orders come, as in any such night
    QuietNight,
}

/// Something that happens.
struct Beat {
    at: Duration,
    says: &'static str,
    does: fn(&mut Shop),
}

/// A story on streams in memory.
struct Scene {
    /// What is added to the seed, so that what chance alone brings does not stand in the story's way.
    luck: u64,
    /// How much of the past is played.
    past_ms: i64,
    rates: Rates,
    /// What is out of the ordinary from the beginning on, where that is so many milliseconds since 1970.
    before: fn(i64) -> Mood,
    beats: &'static [Beat],
}

/// A past in which each hour of the week is seen twice, and this one a third time.
const TWO_WEEKS_MS: i64 = 14 * DAY_MS + 2 * HOUR_MS;
/// The past is played in steps of so much.
const PAST_STEP_MS: i64 = HOUR_MS / 3;
/// How often commands are sent.
const SEND_INTERVAL: Duration = Duration::from_millis(50);
/// How long a story goes on after its last beat, unless it is said.
const AFTERWARDS: Duration = Duration::from_secs(45);
/// How long swift has delivered nothing.
const STRIKE_MS: i64 = 5 * DAY_MS;

const SALE: Scene = Scene {
    luck: 0,
    past_ms: TWO_WEEKS_MS,
    rates: Rates { usual: 3_600, elsewhere: 6 },
    before: |_| ORDINARY,
    beats: &[
        Beat { at: Duration::ZERO, says: "An ordinary evening: an order a second.", does: |_| {} },
        Beat {
            at: Duration::from_secs(20),
            says: "The sale begins: 500 lamps, and forty orders a second.",
            does: |shop| {
                shop.receive_lamps(500);
                shop.mood = Mood { per_hour: Some(144_000), lamps_permille: 700, ..ORDINARY };
            },
        },
    ],
};

const DELAY: Scene = Scene {
    luck: 0,
    past_ms: TWO_WEEKS_MS,
    rates: Rates { usual: 360, elsewhere: 6 },
    before: |begins_ms| Mood { strike_from_ms: Some(begins_ms - STRIKE_MS), ..ORDINARY },
    beats: &[Beat {
        at: Duration::ZERO,
        says: "swift, which carries six of ten parcels, has delivered nothing for five days.",
        does: |_| {},
    }],
};

const SURGE: Scene = Scene {
    luck: 0,
    // As many as in the story, all the time: what is found is found against how many came before.
    past_ms: 4 * HOUR_MS,
    rates: Rates { usual: 7_200, elsewhere: 7_200 },
    before: |_| Mood { changed_mind_permille: 30, ..ORDINARY },
    beats: &[
        Beat { at: Duration::ZERO, says: "An ordinary day: two orders a second.", does: |_| {} },
        Beat {
            at: Duration::from_secs(20),
            says: "swift writes to its customers that parcels will be a week late: half of the new ones cancel.",
            does: |shop| shop.mood.too_late_permille = 500,
        },
    ],
};

const NIGHT: Scene = Scene {
    luck: 0,
    past_ms: TWO_WEEKS_MS,
    rates: Rates { usual: 180, elsewhere: 6 },
    before: |_| ORDINARY,
    beats: &[
        Beat { at: Duration::ZERO, says: "Three orders a minute, as in any such night.", does: |_| {} },
        Beat {
            at: Duration::from_secs(20),
            says: "Somebody asks for what nobody has ever had, and is refused.",
            does: Shop::ask_for_what_is_not_there,
        },
    ],
};

const ORDINARY: Mood = Mood {
    per_hour: None,
    lamps_permille: 0,
    changed_mind_permille: 0,
    too_late_permille: 0,
    strike_from_ms: None,
};

pub(super) async fn tell(story: Story, args: &Args, signals: Signals) -> anyhow::Result<Ended> {
    let scene = match story {
        Story::FlashSale => &SALE,
        Story::CarrierDelay => &DELAY,
        Story::CancellationSurge => &SURGE,
        Story::QuietNight => &NIGHT,
        Story::DeadWorker | Story::FullLog => return workers::tell(story, args, signals).await,
    };
    ensure!(args.nats.is_none(), "this story plays on streams in memory: tell it without --nats");
    in_memory(scene, args, signals).await
}

async fn in_memory(scene: &Scene, args: &Args, mut signals: Signals) -> anyhow::Result<Ended> {
    let mut teller = Teller::new(args.json);
    let clock = StageClock::new();
    let begins_ms = clock.wall_ns() / 1_000_000;
    clock.turn_to(begins_ms - scene.past_ms);
    let mut shop =
        Shop::new(args.seed.wrapping_add(scene.luck), scene.rates, begins_ms - scene.past_ms, begins_ms);
    shop.mood = (scene.before)(begins_ms);
    let mut stage = Stage::new(clock.clone()).await?;
    let (sent, mut tally) = (Sent::default(), Tally::default());
    teller.aside("What came before is played first, in some seconds.");
    for at_ms in (begins_ms - scene.past_ms..begins_ms).step_by(usize::try_from(PAST_STEP_MS)?) {
        tokio::select! {
            played = play_step(&mut stage, &clock, shop.until(at_ms), at_ms, (&sent, &mut tally)) => played?,
            () = signals.next() => return Ok(Ended::Done),
        }
    }
    clock.catch_up();
    append(&stage.streams, &shop.until(clock.wall_ns() / 1_000_000), &sent).await?;
    stage.take_all(&mut tally).await?;
    stage.settle().await;

    let audience = stage.show(&args.places).await?;
    if !args.json {
        audience.say();
    }
    let mut beats = scene.beats.iter().peekable();
    let last = scene.beats.last().map_or(Duration::ZERO, |beat| beat.at);
    let end = tokio::time::sleep(args.duration.unwrap_or(last + AFTERWARDS));
    tokio::pin!(end);
    let mut ticker = tokio::time::interval(SEND_INTERVAL);
    let started = clock.monotonic();
    loop {
        tokio::select! {
            taken = stage.take(&mut tally) => taken?,
            _ = ticker.tick() => {
                let elapsed = clock.monotonic().saturating_sub(started);
                while let Some(beat) = beats.next_if(|beat| beat.at <= elapsed) {
                    (beat.does)(&mut shop);
                    teller.tell(elapsed, beat.says);
                }
                append(&stage.streams, &shop.until(clock.wall_ns() / 1_000_000), &sent).await?;
                let verdict = audience.shown.verdict();
                let judged = || format!("{} {}", verdict.sentence, verdict.next_step);
                teller.judge(elapsed, verdict.condition.name(), judged);
            }
            () = &mut end => break,
            () = signals.next() => break,
        }
    }
    let elapsed = clock.monotonic().saturating_sub(started);
    let telemetry = stage.shard_telemetry();
    let inspection = stage.end(&mut tally, audience).await?;
    let problems = problems(&tally, &sent, &inspection);
    if args.json {
        print_json(&tally, &sent, &telemetry, elapsed, &problems);
    } else {
        print_summary("this story and what came before", &tally, &sent, &telemetry, &inspection, &problems);
    }
    Ok(if problems.is_empty() { Ended::Done } else { Ended::Failed })
}

/// Plays a piece of the past, as of when it was. The clock is turned on only once all is decided, timed and measured: no figure shows
/// how fast it was played.
async fn play_step(
    stage: &mut Stage,
    clock: &StageClock,
    commands: Vec<Command<'static>>,
    at_ms: i64,
    (sent, tally): (&Sent, &mut Tally),
) -> anyhow::Result<()> {
    clock.turn_to(at_ms);
    append(&stage.streams, &commands, sent).await?;
    stage.take_all(tally).await?;
    stage.settle().await;
    Ok(())
}

/// Says what happens, and how it looks to Weir whenever that has changed.
pub(super) struct Teller {
    silent: bool,
    judged: String,
}

impl Teller {
    pub(super) fn new(silent: bool) -> Self {
        Self { silent, judged: String::new() }
    }

    /// Says something that is no part of the story.
    pub(super) fn aside(&self, what: &str) {
        if !self.silent {
            say!("{what}");
        }
    }

    /// Says what happens.
    pub(super) fn tell(&self, at: Duration, what: &str) {
        self.aside(&format!("{}  {what}", time(at)));
    }

    /// Says how a worker judges itself, if that is another `condition` than before.
    pub(super) fn judge(&mut self, at: Duration, condition: &str, verdict: impl FnOnce() -> String) {
        if self.judged != condition {
            condition.clone_into(&mut self.judged);
            self.aside(&format!("{}    Weir: {}", time(at), verdict()));
        }
    }
}

/// Minutes and seconds.
fn time(at: Duration) -> String {
    format!("{:2}:{:02}", at.as_secs() / 60, at.as_secs() % 60)
}
