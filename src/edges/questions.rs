//! Questions to whoever has a shard's state: the way out of a worker that has it not, and of the command line.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

use crate::words::query::{Query, QueryError};

/// An answer on its way.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Bytes, QueryError>> + Send + 'a>>;

/// Puts questions to the workers of a deployment.
pub trait Questions: Send + Sync + 'static {
    /// Asks whoever has the shard's state; any worker, which finds out itself who that is, where no shard is named. An answer is JSON.
    /// Nobody there is [`QueryCode::Unavailable`](crate::words::query::QueryCode::Unavailable), at once or after `within`.
    fn ask<'a>(
        &'a self,
        shard: Option<&'a str>,
        query: Query,
        question: Bytes,
        within: Duration,
    ) -> Asking<'a>;
}
