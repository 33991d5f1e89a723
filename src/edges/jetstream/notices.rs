//! Notices over NATS: `<prefix>.notify.<shard>.<outcome>`, as plain messages that no stream keeps.

use bytes::Bytes;

use super::connection::Link;
use super::names::Names;
use crate::edges::notices::Notices;
use crate::words::outcome::OutcomeKind;

/// Tells over a connection; one of its own, so that nothing that decides waits behind notices.
#[derive(Clone, Debug)]
pub struct JetNotices {
    link: Link,
    names: Names,
}

impl JetNotices {
    /// Tells over this connection.
    #[must_use]
    pub const fn new(link: Link, names: Names) -> Self {
        Self { link, names }
    }
}

impl Notices for JetNotices {
    async fn tell(&self, shard: &str, outcome: OutcomeKind, json: Bytes) -> bool {
        let subject = self.names.notify_subject(shard, outcome);
        let client = self.link.client();
        let sent = json.len() <= client.max_payload() && client.publish(subject, json).await.is_ok();
        if !sent {
            self.link.renew_if_dead().await;
        }
        sent
    }
}
