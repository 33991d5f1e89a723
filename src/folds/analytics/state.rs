//! The state as bytes: saved beside snapshots, outside every digest, and restored by a new leader.
//!
//! A version, the length and the XXH3 of what follows, then bincode's format. What is read back is checked before it is used: bytes
//! that were tampered with, or a version that is not known, give an error, never a panic; whoever restores then begins anew.
//! Floats are kept to the bit: a restored state goes on exactly as the one that was saved.

use wincode::config::Configuration;

use super::Analytics;
use crate::words::hash::hash;

/// The version that this binary writes, and the only one that it reads.
pub const STATE_VERSION: u8 = 6;

const HEAD_BYTES: usize = 1 + 8 + 8;
/// No list of a damaged state may claim more memory than this before its bytes are seen.
const PREALLOCATION_BYTES_MAX: usize = 1 << 20;

/// Why bytes are no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Another version, or no state at all.
    #[error("not a state of version {STATE_VERSION}")]
    Version,
    /// Cut, or damaged.
    #[error("the state is cut or damaged")]
    Damaged,
    /// It can be read, but does not hold together.
    #[error("the state contradicts itself")]
    Unsound,
}

impl Analytics {
    /// Writes the state.
    ///
    /// # Panics
    /// Never: the types hold nothing that cannot be written.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let config = Configuration::default().with_varint_encoding().disable_preallocation_size_limit();
        let length = wincode::config::serialized_size(self, config).expect("every part has a size");
        let mut bytes = Vec::with_capacity(HEAD_BYTES + usize::try_from(length).unwrap_or(0));
        bytes.push(STATE_VERSION);
        bytes.extend_from_slice(&[0; 16]);
        wincode::config::serialize_into(&mut bytes, self, config).expect("memory takes whatever is written");
        let (head, body) = bytes.split_at_mut(HEAD_BYTES);
        head[1..9].copy_from_slice(&(body.len() as u64).to_le_bytes());
        head[9..].copy_from_slice(&hash(body).to_le_bytes());
        bytes
    }

    /// Reads a state.
    pub fn restore(bytes: &[u8]) -> Result<Self, StateError> {
        let (head, body) = bytes.split_at_checked(HEAD_BYTES).ok_or(StateError::Version)?;
        let (version, head) = head.split_first().ok_or(StateError::Version)?;
        if *version != STATE_VERSION {
            return Err(StateError::Version);
        }
        let (length, sum) = head.split_at(8);
        if length != (body.len() as u64).to_le_bytes() || sum != hash(body).to_le_bytes() {
            return Err(StateError::Damaged);
        }
        let config = Configuration::default()
            .with_varint_encoding()
            .with_preallocation_size_limit::<PREALLOCATION_BYTES_MAX>();
        let mut state: Self =
            wincode::config::deserialize_exact(body, config).map_err(|_| StateError::Damaged)?;
        if state.make_whole() { Ok(state) } else { Err(StateError::Unsound) }
    }
}
