//! Who is compared, in which form, how each is run, and the aim that Weir has against it.

use anyhow::Result;

use super::audit::Audit;
use super::load::{Load, Window};
use super::{Fsync, Only, Settings, naive, postgres, redis, weir};

/// One contender in one form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contender {
    /// As the JSON has it.
    pub(crate) key: &'static str,
    /// As the table has it.
    pub(crate) name: &'static str,
    /// How many times its rate Weir's must be, where that is an aim.
    pub(crate) aim: Option<f64>,
    way: Way,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Naive,
    Redis(redis::Way),
    Postgres(postgres::Way),
    Weir(weir::Way),
}

/// Weir as it is meant to be used; the others are measured by it.
pub(crate) const REFERENCE: &str = "weir_256_bincode";

/// All of them, in the order of the table.
pub(crate) const CONTENDERS: [Contender; 7] = [
    Contender {
        key: REFERENCE,
        name: "Weir, 256 orders a message, bincode",
        aim: None,
        way: Way::Weir(weir::Way { batch: 256, format: "bincode" }),
    },
    Contender {
        key: "weir_1_json",
        name: "Weir, 1 order a message, JSON",
        aim: None,
        way: Way::Weir(weir::Way { batch: 1, format: "json" }),
    },
    Contender { key: "naive", name: "naive consumer", aim: Some(40.0), way: Way::Naive },
    Contender {
        key: "redis_pipelined",
        name: "Redis Lua, pipelined",
        aim: Some(10.0),
        way: Way::Redis(redis::Way { connections: 8, pipeline: 64 }),
    },
    Contender {
        key: "redis_unpipelined",
        name: "Redis Lua, not pipelined",
        aim: None,
        way: Way::Redis(redis::Way { connections: 50, pipeline: 1 }),
    },
    Contender {
        key: "postgres_one_by_one",
        name: "PostgreSQL, one by one",
        aim: Some(150.0),
        way: Way::Postgres(postgres::Way { connections: 16, batch: 1 }),
    },
    Contender {
        key: "postgres_batched",
        name: "PostgreSQL, 256 a call",
        aim: None,
        way: Way::Postgres(postgres::Way { connections: 2, batch: 256 }),
    },
];

impl Contender {
    /// What `--only` calls it.
    pub(crate) fn only(&self) -> Only {
        match self.way {
            Way::Naive => Only::Naive,
            Way::Redis(_) => Only::Redis,
            Way::Postgres(_) => Only::Postgres,
            Way::Weir(_) => Only::Weir,
        }
    }

    /// Whether it is compared where the others have this setting. PostgreSQL's commits are durable, as it comes.
    pub(crate) fn runs_beside(&self, fsync: Fsync) -> bool {
        fsync == Fsync::Always || self.only() != Only::Postgres
    }

    /// Fails where its programs are not installed.
    pub(crate) fn is_installed(&self, settings: &Settings) -> Result<()> {
        match self.way {
            Way::Naive | Way::Weir(_) => settings.programs.nats().map(drop),
            Way::Redis(_) => settings.programs.redis().map(drop),
            Way::Postgres(_) => settings.programs.postgres().map(drop),
        }
    }

    /// How it is run, for whoever disputes the figures.
    pub(crate) fn how(&self, fsync: Fsync) -> String {
        let nats = match fsync {
            Fsync::Lazy => "sync_interval as it comes (2 minutes)",
            Fsync::Always => "sync_interval: always",
        };
        match self.way {
            Way::Naive => format!(
                "nats-server over TCP on the loopback, {nats}, file streams, one replica; one JSON order a message; publishes \
                 without waiting, at most {} orders sent and undecided; a durable pull consumer with explicit acks, {} \
                 messages a pull; stock in a DashMap; one JSON outcome a message, the order acknowledged once its outcome \
                 is stored; 3 connections (source: naive.rs)",
                naive::in_flight(fsync),
                naive::PULL_MESSAGES,
            ),
            Way::Redis(redis::Way { connections, pipeline }) => format!(
                "redis-server over TCP on the loopback, {}, no RDB, io-threads as they come (1); one EVALSHA an order \
                 (place.lua), {connections} connections, pipelines of {pipeline}, whose answers are awaited before the \
                 next (source: redis.rs)",
                match fsync {
                    Fsync::Lazy => "appendonly no (nothing is persisted)",
                    Fsync::Always => "appendonly yes, appendfsync always",
                },
            ),
            Way::Postgres(postgres::Way { connections, batch }) => format!(
                "postgres over TCP on the loopback, settings as they come (fsync on, synchronous_commit on, shared_buffers \
                 128MB); one call of {} for {batch} order{} (schema.sql), prepared, {connections} connections with one call \
                 under way each (source: postgres.rs)",
                if batch == 1 { "place_order" } else { "place_orders" },
                if batch == 1 { "" } else { "s" },
            ),
            Way::Weir(way) => format!("nats-server over TCP on the loopback, {nats}; {}", way.how(fsync)),
        }
    }

    /// Runs it once.
    pub(crate) async fn pass(&self, settings: &Settings, fsync: Fsync) -> Result<(Window, Audit)> {
        let load = Load::new(settings.shop, settings.bounds);
        match self.way {
            Way::Naive => naive::pass(settings, fsync, &load).await,
            Way::Redis(way) => redis::pass(settings, way, fsync, &load).await,
            Way::Postgres(way) => postgres::pass(settings, way, &load).await,
            Way::Weir(way) => weir::pass(settings, way, fsync).await,
        }
    }
}
