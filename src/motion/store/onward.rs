//! Reading a stream that has been written already: whatever fails is tried again, and silence is a failure.

use std::future::Future;
use std::time::Duration;

use crate::edges::streams::{ReadError, Reader};

/// The pause before something that failed is tried again.
pub(in crate::motion) const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// How often in a row a stream may fail to be read.
const READ_TRIES: u32 = 8;
/// How long a reader may give nothing though there is more.
const SILENCE: Duration = Duration::from_secs(5);

/// A stream that is read onwards, and opened anew where it breaks or falls silent.
pub(in crate::motion) struct Onward<R, O> {
    open: O,
    reader: Option<R>,
    next: u64,
}

impl<R, O> Onward<R, O> {
    pub(in crate::motion) const fn new(next: u64, open: O) -> Self {
        Self { open, reader: None, next }
    }

    /// What comes next, at least one: there must be more.
    pub(in crate::motion) async fn next<T, F>(
        &mut self,
        sequence_of: fn(&T) -> u64,
    ) -> Result<Vec<T>, ReadError>
    where
        R: Reader<T>,
        O: Fn(u64) -> F,
        F: Future<Output = Result<R, ReadError>>,
    {
        let mut tries = 0;
        loop {
            match self.read().await {
                Ok(mut read) => {
                    read.retain(|message| sequence_of(message) >= self.next);
                    if let Some(last) = read.last() {
                        self.next = sequence_of(last) + 1;
                        return Ok(read);
                    }
                }
                Err(ReadError::Unavailable(_)) if tries < READ_TRIES => {
                    tries += 1;
                    self.reader = None;
                    tokio::time::sleep(RETRY_PAUSE * tries).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn read<T, F>(&mut self) -> Result<Vec<T>, ReadError>
    where
        R: Reader<T>,
        O: Fn(u64) -> F,
        F: Future<Output = Result<R, ReadError>>,
    {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => (self.open)(self.next).await?,
        };
        let read = tokio::time::timeout(SILENCE, self.reader.insert(reader).next()).await;
        read.unwrap_or_else(|_| Err(ReadError::Unavailable("a reader fell silent".to_owned())))
    }
}
