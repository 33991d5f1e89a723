//! Reads a stream onwards through what interrupts a reader, as Weir itself does: one that missed its heartbeats, because
//! the machine was busy, is opened anew behind what it gave.

use std::marker::PhantomData;
use std::time::Duration;

use weir::edges::streams::{ReadError, Reader};

/// The pause before a reader is opened anew.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How often that is tried without anything read in between.
const ATTEMPTS_MAX: u32 = 20;

/// A reader that is opened anew when it breaks.
pub(crate) struct Onward<T, R, O> {
    open: O,
    sequence: fn(&T) -> u64,
    reader: Option<R>,
    /// The next sequence.
    from: u64,
    attempts: u32,
    what: PhantomData<T>,
}

impl<T, R: Reader<T>, O: AsyncFn(u64) -> Result<R, ReadError>> Onward<T, R, O> {
    /// Reads from the stream's start, with readers that `open` opens. `sequence` tells where in the stream a message is.
    pub(crate) const fn new(open: O, sequence: fn(&T) -> u64) -> Self {
        Self { open, sequence, reader: None, from: 1, attempts: 0, what: PhantomData }
    }

    /// What has come since the last call. May be cancelled without losing any.
    pub(crate) async fn next(&mut self) -> Result<Vec<T>, ReadError> {
        loop {
            match self.attempt().await {
                Ok(mut taken) => {
                    taken.retain(|message| (self.sequence)(message) >= self.from);
                    let Some(last) = taken.last() else { continue };
                    self.from = (self.sequence)(last) + 1;
                    self.attempts = 0;
                    return Ok(taken);
                }
                Err(ReadError::Unavailable(_)) if self.attempts < ATTEMPTS_MAX => {
                    self.reader = None;
                    self.attempts += 1;
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn attempt(&mut self) -> Result<Vec<T>, ReadError> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert((self.open)(self.from).await?),
        };
        reader.next().await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Gives a number, then the next one, then breaks.
    struct Frail(u64, u32);

    impl Reader<u64> for Frail {
        async fn next(&mut self) -> Result<Vec<u64>, ReadError> {
            self.1 += 1;
            if self.1 > 2 {
                return Err(ReadError::Unavailable("missed".to_owned()));
            }
            // Readers that are opened anew may repeat.
            let last = self.0 + u64::from(self.1);
            Ok(vec![last - 2, last - 1])
        }
    }

    #[tokio::test]
    async fn a_broken_reader_is_replaced_and_nothing_comes_twice() {
        let opened = RefCell::new(Vec::new());
        let open = async |from: u64| {
            opened.borrow_mut().push(from);
            Ok(Frail(from.max(2), 0))
        };
        let mut onward = Onward::new(open, |number| *number);
        let mut seen = Vec::new();
        while seen.len() < 7 {
            seen.extend(onward.next().await.unwrap());
        }
        assert_eq!(seen, (1..=7).collect::<Vec<u64>>());
        assert_eq!(*opened.borrow(), [1, 4, 6]);
    }

    #[tokio::test]
    async fn what_stays_away_is_given_up() {
        let open = async |_| Err::<Frail, _>(ReadError::Unavailable("away".to_owned()));
        assert!(Onward::new(open, |number| *number).next().await.is_err());
    }
}
