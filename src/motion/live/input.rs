//! What reaches a fold.

use tokio::sync::oneshot;

use crate::edges::streams::StoredMessage;
use crate::folds::inventory::{Frozen, Inventory};
use crate::words::identity::Identity;

/// A question to the state.
pub(super) type Question = Box<dyn FnOnce(&Inventory) + Send>;

/// What reaches the fold.
#[derive(Debug)]
pub(super) enum Input {
    Messages(Vec<StoredMessage>),
    /// There are questions.
    Look,
    /// Give the state as it is now, and the last outcome of its past.
    Freeze(oneshot::Sender<(Frozen, Identity)>),
}
