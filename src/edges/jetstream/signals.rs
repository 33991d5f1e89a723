//! The signals of all shards, as whoever wants to be warned reads them.

use super::connection::Connections;
use super::header::Incoming;
use super::names::Names;
use super::reader::{JetReader, Wanted};
use super::request;
use crate::edges::streams::{ReadError, StreamState};
use crate::words::signal::StoredSignal;

/// The stream of the signals. Clones share the connections.
#[derive(Clone, Debug)]
pub struct JetSignals {
    connections: Connections,
    stream: String,
}

impl JetSignals {
    /// The signals of a deployment. They are not looked at yet.
    #[must_use]
    pub fn new(connections: &Connections, names: &Names) -> Self {
        Self { connections: connections.clone(), stream: names.signals_stream() }
    }

    /// The stream's state.
    pub async fn state(&self) -> Result<StreamState, ReadError> {
        Ok(request::info(&self.connections.publishing.context(), &self.stream).await?.state())
    }

    /// Opens it at `from` (a sequence, from 1).
    pub async fn read(&self, from: u64) -> Result<JetReader<StoredSignal>, ReadError> {
        let Connections { publishing, consuming } = &self.connections;
        let convert =
            |message: Incoming| Ok(StoredSignal { sequence: message.sequence, payload: message.payload });
        let wanted = Wanted { stream: &self.stream, subject: None, from, convert, headlines: false };
        JetReader::open(publishing, consuming, wanted).await
    }
}
