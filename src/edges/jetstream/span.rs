//! Reads what a subject holds, to its end, over as many readers as that takes.
//!
//! A consumer can be lost on the way, and in a cluster it may not yet be known where it is asked right after it was made.
//! Whoever follows a stream opens another reader from where the last one got to; so does this, a few times.

use std::time::Duration;

use super::connection::{ACK_TIMEOUT, Connections};
use super::header::Incoming;
use super::reader::{JetReader, Wanted};
use super::request::{self, Which};
use crate::edges::streams::{ReadError, Reader as _};

/// How often it is tried to get on.
const ATTEMPTS: u32 = 4;
/// The pause before it is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// A message as the caller wants it, with its sequence.
type Numbered<T> = (u64, T);

/// Reads what a subject holds.
pub(super) struct Span<T> {
    connections: Connections,
    stream: String,
    subject: String,
    convert: fn(Incoming) -> Result<Numbered<T>, ReadError>,
    /// None until something is needed, and again after it has failed.
    reader: Option<JetReader<Numbered<T>>>,
    /// The sequence of the last message that came, and of the last that there was when the reader was opened.
    through: u64,
    last: u64,
}

impl<T: Send + 'static> Span<T> {
    /// Of a subject of `stream`, from sequence `from` on. Nothing is read yet.
    pub(super) fn new(
        connections: &Connections,
        stream: &str,
        subject: &str,
        from: u64,
        convert: fn(Incoming) -> Result<Numbered<T>, ReadError>,
    ) -> Self {
        Self {
            connections: connections.clone(),
            stream: stream.to_owned(),
            subject: subject.to_owned(),
            convert,
            reader: None,
            through: from.saturating_sub(1),
            last: 0,
        }
    }

    /// The next messages, as [`JetReader`] gives them; none at the end.
    pub(super) async fn next(&mut self) -> Result<Vec<Numbered<T>>, ReadError> {
        for _ in 1..ATTEMPTS {
            match self.attempt().await {
                Err(ReadError::Unavailable(_)) => self.reader = None,
                read => return read,
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        self.attempt().await
    }

    async fn attempt(&mut self) -> Result<Vec<Numbered<T>>, ReadError> {
        let Connections { publishing, consuming } = &self.connections;
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => {
                let (context, subject) = (publishing.context(), self.subject.as_str());
                let last = request::message(&context, &self.stream, Which::Last(subject)).await?;
                self.last = last.map_or(0, |last| last.sequence);
                if self.through >= self.last {
                    return Ok(Vec::new());
                }
                let wanted = Wanted {
                    stream: &self.stream,
                    subject: Some(subject),
                    from: self.through + 1,
                    convert: self.convert,
                    headlines: false,
                };
                none.insert(Box::pin(JetReader::open(publishing, consuming, wanted)).await?)
            }
        };
        if self.through >= self.last {
            return Ok(Vec::new());
        }
        // What is dropped under a reader does not come.
        let silent = |_| ReadError::Unavailable(format!("nothing comes of {}", self.subject));
        let came = tokio::time::timeout(ACK_TIMEOUT, reader.next()).await.map_err(silent)??;
        self.through = came.last().map_or(self.through, |(sequence, _)| *sequence);
        Ok(came)
    }
}
