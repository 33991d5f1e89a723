//! Reading a stream onwards through what interrupts a reader: whatever fails is tried again.

use std::future::Future;
use std::time::Duration;

use crate::edges::streams::{ReadError, Reader};

/// The pause before something that failed is tried again.
pub(in crate::motion) const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// How often in a row a stream may fail to be read.
const READ_TRIES: u32 = 8;
/// How long a reader may give nothing though there is more.
const SILENCE: Duration = Duration::from_secs(5);

/// A stream that is read onwards, and opened anew where it breaks.
pub struct Onward<R, O> {
    open: O,
    reader: Option<R>,
    next: u64,
    silence: Option<Duration>,
}

impl<R, O> Onward<R, O> {
    /// Reads what is there already, from `next` on: silence is a failure.
    pub const fn new(next: u64, open: O) -> Self {
        Self { open, reader: None, next, silence: Some(SILENCE) }
    }

    /// Reads what has yet to come, too, from `next` on, however long that takes.
    pub const fn waiting(next: u64, open: O) -> Self {
        Self { open, reader: None, next, silence: None }
    }

    /// What comes next, at least one. May be cancelled without losing any.
    pub async fn next<T, F>(&mut self, sequence_of: fn(&T) -> u64) -> Result<Vec<T>, ReadError>
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
        let next = self.reader.insert(reader).next();
        let Some(silence) = self.silence else { return next.await };
        let read = tokio::time::timeout(silence, next).await;
        read.unwrap_or_else(|_| Err(ReadError::Unavailable("a reader fell silent".to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Gives two numbers, then the one before once more with the next, then breaks.
    struct Frail(u64, u32);

    impl Reader<u64> for Frail {
        async fn next(&mut self) -> Result<Vec<u64>, ReadError> {
            self.1 += 1;
            if self.1 > 2 {
                return Err(ReadError::Unavailable("missed".to_owned()));
            }
            let last = self.0 + u64::from(self.1);
            Ok(vec![last - 2, last - 1])
        }
    }

    /// Never gives anything.
    struct Silent;

    impl Reader<u64> for Silent {
        async fn next(&mut self) -> Result<Vec<u64>, ReadError> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_reader_is_replaced_and_nothing_comes_twice() {
        let opened = RefCell::new(Vec::new());
        let mut onward = Onward::new(1, async |from: u64| {
            opened.borrow_mut().push(from);
            Ok(Frail(from.max(2), 0))
        });
        let mut seen = Vec::new();
        while seen.len() < 7 {
            seen.extend(onward.next(|number| *number).await.unwrap());
        }
        assert_eq!(seen, (1..=7).collect::<Vec<u64>>());
        assert_eq!(*opened.borrow(), [1, 4, 6]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_stays_away_or_silent_is_given_up() {
        let away = async |_| Err::<Frail, _>(ReadError::Unavailable("away".to_owned()));
        assert!(Onward::new(1, away).next(|number| *number).await.is_err());
        let silent = async |_| Ok(Silent);
        assert!(Onward::new(1, silent).next(|number| *number).await.is_err());
        let mut waiting = Onward::waiting(1, silent);
        let for_an_hour = tokio::time::timeout(Duration::from_hours(1), waiting.next(|number| *number));
        assert!(for_an_hour.await.is_err(), "it was given up");
    }
}
