//! NATS's request and reply over one connection, as fast as it goes and in as few system calls: any number of requests are under
//! way, and replies come in any order.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What is read at once at most, before it is looked at.
const READ_BYTES: usize = 1 << 20;
/// Requests are not added to more than this that is not written yet, so that replies are looked at in between.
const UNSENT_BYTES: usize = 1 << 20;
/// Where replies go.
const INBOX: &str = "_R.";

/// The connection. Requests are numbered by whoever asks.
pub(crate) struct Asking {
    stream: TcpStream,
    inbox: String,
    /// What was read and not looked at yet, from `at` on.
    read: Vec<u8>,
    at: usize,
    unsent: Vec<u8>,
}

impl Asking {
    /// Connects; `name` tells its replies from those of other connections.
    pub(crate) async fn connect(url: &str, name: u64) -> Result<Self> {
        let address = url.strip_prefix("nats://").context("a plain URL")?;
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let inbox = format!("{INBOX}{name}.");
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}}\r\nSUB {inbox}* 1\r\n"
        );
        stream.write_all(hello.as_bytes()).await?;
        Ok(Self { stream, inbox, read: Vec::with_capacity(READ_BYTES), at: 0, unsent: Vec::new() })
    }

    /// Whether a request that is added now is soon on its way.
    pub(crate) const fn has_room(&self) -> bool {
        self.unsent.len() < UNSENT_BYTES
    }

    /// Adds a request to what is to be sent.
    pub(crate) fn request(&mut self, subject: &str, number: u64, payload: &[u8]) {
        let line = format!("PUB {subject} {}{number} {}\r\n", self.inbox, payload.len());
        self.unsent.extend_from_slice(line.as_bytes());
        self.unsent.extend_from_slice(payload);
        self.unsent.extend_from_slice(b"\r\n");
    }

    /// The next reply of what was read: to which request, and where it is (see [`Self::said`]). A reply without a payload says that
    /// nobody is there.
    pub(crate) fn take(&mut self) -> Result<Option<(u64, Range<usize>)>> {
        loop {
            let rest = &self.read[self.at..];
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
            let line = std::str::from_utf8(&rest[..end])?.trim_end();
            let mut words = line.split(' ');
            match words.next() {
                Some(verb @ ("MSG" | "HMSG")) => {
                    let number = words.next().and_then(|subject| subject.strip_prefix(&*self.inbox));
                    let number = number.context("a reply")?.parse()?;
                    let bytes: usize = words.next_back().context("a length")?.parse()?;
                    let begin = self.at + end + 1;
                    if self.read.len() < begin + bytes + 2 {
                        return Ok(None);
                    }
                    self.at = begin + bytes + 2;
                    let payload = if verb == "HMSG" { begin..begin } else { begin..begin + bytes };
                    return Ok(Some((number, payload)));
                }
                Some("PING") => self.unsent.extend_from_slice(b"PONG\r\n"),
                Some("-ERR") => bail!("{line}"),
                _ => {}
            }
            self.at += end + 1;
        }
    }

    /// The payload of a reply, until the next [`Self::turn`].
    pub(crate) fn said(&self, payload: Range<usize>) -> &[u8] {
        &self.read[payload]
    }

    /// Writes what is to be sent as far as it goes, or reads what is there; waits for at most `within`. It may be dropped at any time.
    pub(crate) async fn turn(&mut self, within: Duration) -> Result<()> {
        if self.at > 0 {
            self.read.drain(..self.at);
            self.at = 0;
        }
        let Self { stream, read, unsent, .. } = self;
        let (mut reading, mut writing) = stream.split();
        tokio::select! {
            written = writing.write(unsent), if !unsent.is_empty() => {
                let written = written?;
                unsent.drain(..written);
            }
            got = reading.read_buf(read) => ensure!(got? > 0, "the server has closed the connection"),
            () = tokio::time::sleep(within) => {}
        }
        Ok(())
    }
}
