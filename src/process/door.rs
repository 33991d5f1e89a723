//! The door of a process on NATS: wired, opened and closed.

use std::sync::Arc;
use std::time::Duration;

use crate::edges::clock::SharedClock;
use crate::edges::jetstream::{
    ConnectError, Connection, Connections, JetKeys, JetReplies, JetRequests, JetStreams, Names, Security,
};
use crate::edges::requests::{Replies as _, Requests as _};
use crate::edges::telemetry::Telemetry;
use crate::motion::door::{Door, DoorOptions, Doorkeeper, Routes};
use crate::motion::status::Status;
use crate::words::config::Config;

/// A door that is open.
pub struct OpenDoor {
    keeper: Doorkeeper,
    replies: JetReplies,
}

impl OpenDoor {
    /// Opens the door that a configuration asks for. Its connections are its own: one for requests, which anybody sends, and those over
    /// which it appends and reads. Of the shards that this process holds, `held`, it hears from their folds, too.
    pub async fn open(
        config: &Config,
        names: &Names,
        name: &str,
        clock: &SharedClock,
        telemetry: &Telemetry,
        held: &[Arc<Status>],
    ) -> Result<Self, ConnectError> {
        let connection = |purpose: &str| Connection {
            urls: config.nats.urls.clone(),
            name: format!("weir door{purpose}"),
            wait_for_server: true,
            security: Security::of(&config.nats),
        };
        let connections = Connections::open(&connection("")).await?;
        let keys = JetKeys::new(&connections, &names.pointers_bucket());
        let of_shards = names.clone();
        let streams =
            move |shard: &str| Some(JetStreams::new(connections.clone(), of_shards.shard(shard).ok()?));
        // The process's number may come again, the moment of its start does not.
        let options = DoorOptions {
            name: format!("{name}-{:x}", clock.wall_ns()),
            within: Duration::from_millis(config.door.within_ms),
            pending_max: config.door.pending_max,
            memory_bytes_max: config.door.memory_bytes_max,
        };
        let routes = (keys, Routes::new(&config.shards));
        let mut keeper = Doorkeeper::open(options, clock.clone(), telemetry.door(), routes, streams, held);
        let requests = JetRequests::new(connection(" requests"), names)?;
        let replies = requests.replies();
        keeper.serve(requests);
        Ok(Self { keeper, replies })
    }

    /// The door, for whoever submits in this process.
    #[must_use]
    pub fn door(&self) -> Door {
        self.keeper.door()
    }

    /// The way back to requesters: it tells whether requests can come.
    #[must_use]
    pub fn replies(&self) -> JetReplies {
        self.replies.clone()
    }

    /// Whether requests can come now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.replies.is_open()
    }

    /// Takes no more requests, and answers those that it has.
    pub async fn close(self, within: Duration) {
        self.keeper.close(Some(&self.replies), within).await;
    }
}
