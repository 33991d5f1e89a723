//! The fold's own place: a thread that applies what it is given, with bounded channels on both sides.
//!
//! A simulation has one thread for everything and runs it as a task instead; what it does is the same.

use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::edges::clock::SharedClock;
use crate::folds::inventory::{Broken, Digests, Totals};
use crate::motion::rules::folding::{Applied, Folding};
use crate::motion::rules::kept::Written;
use crate::words::append::Chain;
use crate::words::fault::Fault;
use crate::words::message::LogMessage;

pub use crate::motion::rules::kept::FoldOn;

/// Batches between two stages. A batch is what a reader gives at once.
const BATCHES_QUEUED_MAX: usize = 8;

/// The pause between two steps of giving memory back. The kernel lets one thread at a time change what a process has mapped, and
/// another that wants to, if only to allocate, comes between two steps alone.
const DROPS_PAUSE: Duration = Duration::from_micros(50);

/// What reaches the fold.
#[derive(Debug)]
pub(super) enum Input {
    Messages(Vec<LogMessage>),
    Inspect(oneshot::Sender<Inspection>),
    /// Write the state as it is now; it stands still meanwhile.
    Snapshot {
        chunks: mpsc::Sender<Bytes>,
        written: oneshot::Sender<Written>,
    },
}

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

/// What leaves the fold.
pub(super) type Folded = Result<Applied, Fault>;

/// A fold at work. It ends when its input is closed, after a fault, or when nobody takes its output.
pub(super) struct Fold {
    pub(super) input: mpsc::Sender<Input>,
    pub(super) output: mpsc::Receiver<Folded>,
    pub(super) ended: Ended,
}

/// Tells when a fold has ended.
pub(super) enum Ended {
    Thread(JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

impl Ended {
    /// Waits for its end; false where it panicked outside what it applied.
    pub(super) async fn well(self) -> bool {
        match self {
            Self::Thread(thread) => {
                matches!(tokio::task::spawn_blocking(move || thread.join()).await, Ok(Ok(())))
            }
            Self::Task(task) => task.await.is_ok(),
        }
    }
}

/// Starts a fold. `measure` sees each batch right after it was applied.
pub(super) fn start(
    on: FoldOn,
    name: &str,
    mut folding: Folding,
    clock: SharedClock,
    measure: impl Fn(&Applied) + Send + 'static,
) -> Fold {
    let (input, mut inputs) = mpsc::channel(BATCHES_QUEUED_MAX);
    let (outputs, output) = mpsc::channel(BATCHES_QUEUED_MAX);
    let ended = match on {
        FoldOn::Thread | FoldOn::Beside => {
            let fold = move || {
                while let Some(next) = inputs.blocking_recv() {
                    let go_on = match next {
                        Input::Messages(messages) => {
                            let give = |folded| outputs.blocking_send(folded).is_ok();
                            apply(&mut folding, &messages, &clock, &measure, give)
                        }
                        Input::Inspect(reply) => inspect(&folding, reply),
                        Input::Snapshot { chunks, written } => {
                            let write = |chunk| chunks.blocking_send(chunk);
                            snapshot(&folding, write, written)
                        }
                    };
                    if !go_on {
                        break;
                    }
                }
                if on == FoldOn::Beside {
                    folding.into_inventory().drop_in_steps(|| std::thread::sleep(DROPS_PAUSE));
                }
            };
            let thread = std::thread::Builder::new().name(format!("fold-{name}")).spawn(fold);
            Ended::Thread(thread.expect("the operating system gives a thread"))
        }
        FoldOn::Task => Ended::Task(tokio::spawn(async move {
            while let Some(next) = inputs.recv().await {
                let go_on = match next {
                    Input::Messages(messages) => {
                        let mut all = Vec::new();
                        let go_on = apply(&mut folding, &messages, &clock, &measure, |folded| {
                            all.push(folded);
                            true
                        });
                        let mut taken = true;
                        for folded in all {
                            taken = taken && outputs.send(folded).await.is_ok();
                        }
                        go_on && taken
                    }
                    Input::Inspect(reply) => inspect(&folding, reply),
                    Input::Snapshot { chunks, written } => {
                        let mut all = Vec::new();
                        let go_on = snapshot(
                            &folding,
                            |chunk| {
                                all.push(chunk);
                                Ok::<_, ()>(())
                            },
                            written,
                        );
                        for chunk in all {
                            // Whoever asked may have gone.
                            let _ = chunks.send(chunk).await;
                        }
                        go_on
                    }
                };
                if !go_on {
                    return;
                }
            }
        })),
    };
    Fold { input, output, ended }
}

/// Applies messages and gives what came of them, a fault at the end; false where the fold is over by it.
fn apply(
    folding: &mut Folding,
    messages: &[LogMessage],
    clock: &SharedClock,
    measure: impl Fn(&Applied),
    mut give: impl FnMut(Folded) -> bool,
) -> bool {
    let mut open = true;
    let ended = folding.step(messages, clock.wall_ns(), |applied| {
        measure(&applied);
        open = give(Ok(applied));
        open
    });
    match ended {
        Ok(()) => open,
        Err(fault) => {
            // The receiver may have gone with a fault of its own.
            give(Err(fault));
            false
        }
    }
}

fn inspect(folding: &Folding, reply: oneshot::Sender<Inspection>) -> bool {
    let inventory = folding.inventory();
    // Whoever asked may have gone.
    let _ = reply.send(Inspection {
        chain: inventory.chain(),
        digests: inventory.digests(),
        totals: inventory.totals(),
        books: inventory.check_books(),
    });
    true
}

fn snapshot<E>(
    folding: &Folding,
    write: impl FnMut(Bytes) -> Result<(), E>,
    written: oneshot::Sender<Written>,
) -> bool {
    let inventory = folding.inventory();
    let head = inventory.snapshot_head();
    if let Ok(digests) = inventory.write_snapshot(write) {
        let _ = written.send(Written { head, through: folding.through(), digests });
    }
    true
}
