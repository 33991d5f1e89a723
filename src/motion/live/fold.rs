//! The fold's own place: a thread that applies what it is given, with bounded channels on both sides.
//!
//! It hands on what it has applied in slices: after some 64 KiB or 256 µs, and at once where nothing is on its way to the outcome
//! stream. Between two slices it answers questions. A simulation has one thread for everything and runs it as a task instead; what it
//! does is the same.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::input::{Input, Question};
use super::ports::{Ports, Seen};
use crate::edges::clock::SharedClock;
use crate::edges::streams::StoredMessage;
use crate::folds::inventory::{Broken, Digests, Frozen, Inventory, Totals};
use crate::motion::rules::folding::{Applied, Folding, Sliced, Slicing};
use crate::motion::rules::kept::DROPS_PAUSE;
use crate::words::append::Chain;
use crate::words::fault::Fault;
use crate::words::identity::Identity;

pub use crate::motion::rules::kept::FoldOn;

/// What is queued between two stages: a read, or a slice of one.
const QUEUED_MAX: usize = 8;
/// A slice ends with the message that takes it beyond this many bytes in memory: what an append's bytes take a while to write.
const SLICE_BYTES: usize = 64 << 10;
/// A slice ends with the message that takes it beyond this long: a small part of an append's round trip.
const SLICE_TIME: Duration = Duration::from_micros(256);
/// No further question is looked at before the next slice once they took this long together.
const QUESTIONS_TIME: Duration = Duration::from_micros(256);
/// The state in numbers, as it is between two batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The last message applied, and the chain after it.
    pub chain: Chain,
    /// The digests at that point.
    pub digests: Digests,
    /// Sums over the state at that point.
    pub totals: Totals,
    /// Whether the books hold.
    pub books: Result<(), Broken>,
}

impl Inspection {
    pub(super) fn of(inventory: &Inventory) -> Self {
        Self {
            chain: inventory.chain(),
            digests: inventory.digests(),
            totals: inventory.totals(),
            books: inventory.check_books(),
        }
    }
}

/// What leaves the fold.
pub(super) type Folded = Result<Arc<Applied>, Fault>;

/// A fold at work. It ends when its input is closed, after a fault, or when nobody takes its output.
pub(super) struct Fold {
    pub(super) input: mpsc::Sender<Input>,
    pub(super) output: mpsc::Receiver<Folded>,
    pub(super) ended: Ended,
}

/// Tells when a fold has ended.
pub(super) enum Ended {
    Thread(oneshot::Receiver<()>),
    Task(tokio::task::JoinHandle<()>),
}

impl Ended {
    /// Waits for its end; false where it panicked outside what it applied.
    pub(super) async fn well(self) -> bool {
        match self {
            Self::Thread(ended) => ended.await.is_ok(),
            Self::Task(task) => task.await.is_ok(),
        }
    }
}

/// Who reads beside the publisher.
pub(super) struct Readers {
    /// Observers and askers.
    pub(super) ports: Arc<Ports>,
    /// Whether nothing is on its way to the outcome stream, so that a slice is worth handing on however small it is.
    pub(super) idle: Arc<AtomicBool>,
}

/// Starts a fold. `lost` is told how many batches observers lost.
pub(super) fn start(
    on: FoldOn,
    name: &str,
    mut folding: Folding,
    clock: SharedClock,
    readers: Readers,
    lost: impl Fn(u64) + Send + 'static,
) -> Fold {
    let (input, inputs) = mpsc::channel(QUEUED_MAX);
    let (outputs, output) = mpsc::channel(QUEUED_MAX);
    let questions = readers.ports.open(input.downgrade());
    let Readers { ports, idle } = readers;
    let ends = Ends { inputs, outputs, questions, ports, idle, clock, lost: Box::new(lost) };
    let ended = match on {
        FoldOn::Thread => {
            let (well, ended) = oneshot::channel();
            let fold = move || {
                let ran = catch_unwind(AssertUnwindSafe(|| pollster::block_on(ends.run(&mut folding))));
                match ran {
                    Ok(()) => drop(well.send(())),
                    // Its end shows by that.
                    Err(_) => drop(well),
                }
                // Nobody waits for this, and it holds nobody up.
                folding.into_inventory().drop_in_steps(|| std::thread::sleep(DROPS_PAUSE));
            };
            let thread = std::thread::Builder::new().name(format!("fold-{name}")).spawn(fold);
            drop(thread.expect("the operating system gives a thread"));
            Ended::Thread(ended)
        }
        FoldOn::Task => Ended::Task(tokio::spawn(async move { ends.run(&mut folding).await })),
    };
    Fold { input, output, ended }
}

/// A fold's ends.
struct Ends {
    inputs: mpsc::Receiver<Input>,
    outputs: mpsc::Sender<Folded>,
    questions: mpsc::Receiver<Question>,
    ports: Arc<Ports>,
    idle: Arc<AtomicBool>,
    clock: SharedClock,
    lost: Box<dyn Fn(u64) + Send>,
}

impl Ends {
    async fn run(mut self, folding: &mut Folding) {
        while let Some(next) = self.inputs.recv().await {
            self.answer(folding);
            let go_on = match next {
                Input::Messages(messages) => self.fold(folding, messages).await,
                Input::Look => true,
                Input::Freeze(to) => {
                    // Who asked may have gone.
                    let _ = to.send(folding.freeze());
                    true
                }
            };
            if !go_on {
                return;
            }
        }
    }

    /// Applies what was read, slice by slice; false where the fold is over by it.
    async fn fold(&mut self, folding: &mut Folding, messages: Vec<StoredMessage>) -> bool {
        let messages = Arc::new(messages);
        let mut from = 0;
        while from < messages.len() {
            let slice = Slice { began: self.clock.monotonic(), clock: &self.clock, idle: &self.idle };
            let Sliced { applied, next, fault } =
                folding.slice(&messages, from, self.clock.wall_ns(), &slice);
            from = next;
            if let Some(mut applied) = applied {
                applied.applied_at_ns = self.clock.wall_ns();
                let applied = Arc::new(applied);
                let lost = self.ports.give(&Seen::Applied(applied.clone()));
                if lost > 0 {
                    (self.lost)(lost);
                }
                self.idle.store(false, Relaxed);
                if self.outputs.send(Ok(applied)).await.is_err() {
                    return false;
                }
            }
            if let Some(fault) = fault {
                // The receiver may have gone with a fault of its own.
                let _ = self.outputs.send(Err(fault)).await;
                return false;
            }
            self.answer(folding);
        }
        true
    }

    /// Answers questions, as many as there is time for.
    fn answer(&mut self, folding: &Folding) {
        let began = self.clock.monotonic();
        while let Ok(question) = self.questions.try_recv() {
            question(folding.inventory());
            if self.clock.monotonic().saturating_sub(began) >= QUESTIONS_TIME {
                return;
            }
        }
    }
}

/// Ends a slice by size, by time, or at once where whoever announces has nothing to do.
struct Slice<'c> {
    began: Duration,
    clock: &'c SharedClock,
    idle: &'c AtomicBool,
}

impl Slicing for Slice<'_> {
    fn ends(&self, bytes: usize) -> bool {
        bytes > SLICE_BYTES
            || self.idle.load(Relaxed)
            || self.clock.monotonic().saturating_sub(self.began) >= SLICE_TIME
    }
}

/// The state as a fold has it now, and the last outcome of its past; none where it has ended.
pub(super) async fn freeze(fold: mpsc::Sender<Input>) -> Option<(Frozen, Identity)> {
    let (frozen, taken) = oneshot::channel();
    fold.send(Input::Freeze(frozen)).await.ok()?;
    // Whoever waits does not keep it from ending.
    drop(fold);
    taken.await.ok()
}
