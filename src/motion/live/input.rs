//! What reaches a fold.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::edges::streams::StoredMessage;
use crate::folds::inventory::Inventory;
use crate::motion::rules::kept::Written;

/// A question to the state.
pub(super) type Question = Box<dyn FnOnce(&Inventory) + Send>;

/// What reaches the fold.
#[derive(Debug)]
pub(super) enum Input {
    Messages(Vec<StoredMessage>),
    /// There are questions.
    Look,
    /// Write the state as it is now; it stands still meanwhile. It goes on once the chunks' receiver has gone.
    Snapshot {
        chunks: mpsc::Sender<Bytes>,
        written: oneshot::Sender<Written>,
    },
}
