//! Who is compared, in which row, and how each is run, for whoever disputes the figures.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::redis::{Calls, Keeping};
use super::{door, naive, postgres, redis};
use crate::arguments::Fsync;
use weir::words::codec::Format;

/// Orders in a message or call, where there are many.
pub(crate) const MANY: u32 = 256;

/// How orders are sent: rates are compared within a row only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Row {
    /// One order a request
    One,
    /// 256 orders a message or call
    Many,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One => f.write_str("one order a request"),
            Self::Many => write!(f, "{MANY} orders a message or call"),
        }
    }
}

/// Whom `--only` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Only {
    Weir,
    Naive,
    Redis,
    Postgres,
}

/// One contender in one form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contender {
    /// As the JSON has it.
    pub(crate) key: &'static str,
    /// As the table has it.
    pub(crate) name: &'static str,
    pub(crate) row: Row,
    pub(crate) way: Way,
    /// Beside which settings it is compared.
    fsync: &'static [Fsync],
    /// By which of Weir's forms it is measured; none for those forms.
    pub(crate) against: Option<&'static str>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// Through the log.
    Weir(Format),
    Door,
    Naive(Format),
    Redis(redis::Way, Keeping),
    Postgres(postgres::Way),
}

const BOTH: &[Fsync] = &[Fsync::Lazy, Fsync::Always];
const LAZY: &[Fsync] = &[Fsync::Lazy];
const ALWAYS: &[Fsync] = &[Fsync::Always];
const WEIR_MANY: Option<&str> = Some("weir_256_bincode");
const WEIR_MANY_JSON: Option<&str> = Some("weir_256_json");
const WEIR_ONE: Option<&str> = Some("weir_1_door");
const PIPELINED: redis::Way = redis::Way { connections: 4, calls: Calls::Single { pipeline: 64 } };
const UNPIPELINED: redis::Way = redis::Way { connections: 50, calls: Calls::Single { pipeline: 1 } };

const fn weir(key: &'static str, name: &'static str, row: Row, format: Format) -> Contender {
    let against = if matches!(row, Row::One) { WEIR_ONE } else { None };
    Contender { key, name, row, way: Way::Weir(format), fsync: BOTH, against }
}

const fn naive(key: &'static str, name: &'static str, row: Row, format: Format) -> Contender {
    let against = match (row, format) {
        (Row::One, _) => WEIR_ONE,
        (Row::Many, Format::Json) => WEIR_MANY_JSON,
        (Row::Many, Format::Bincode) => WEIR_MANY,
    };
    Contender { key, name, row, way: Way::Naive(format), fsync: BOTH, against }
}

const fn redis(
    key: &'static str,
    name: &'static str,
    row: Row,
    way: redis::Way,
    keeping: Keeping,
) -> Contender {
    let fsync = if matches!(keeping, Keeping::Always) { ALWAYS } else { LAZY };
    let against = if matches!(row, Row::One) { WEIR_ONE } else { WEIR_MANY };
    Contender { key, name, row, way: Way::Redis(way, keeping), fsync, against }
}

const fn postgres(key: &'static str, name: &'static str, row: Row, way: postgres::Way) -> Contender {
    let against = if matches!(row, Row::One) { WEIR_ONE } else { WEIR_MANY };
    Contender { key, name, row, way: Way::Postgres(way), fsync: BOTH, against }
}

const fn many(connections: u64) -> redis::Way {
    redis::Way { connections, calls: Calls::Many(MANY as u64) }
}

const DOOR: Contender = Contender {
    key: "weir_1_door",
    name: "Weir, through the door, JSON",
    row: Row::One,
    way: Way::Door,
    fsync: BOTH,
    against: None,
};

/// All of them, in the order of the tables.
pub(crate) const CONTENDERS: [Contender; 16] = [
    DOOR,
    weir("weir_1_json", "Weir, through the log, JSON", Row::One, Format::Json),
    naive("naive_1_json", "naive consumer, JSON", Row::One, Format::Json),
    redis("redis_1_pipelined", "Redis, pipelined, no AOF", Row::One, PIPELINED, Keeping::Nothing),
    redis("redis_1", "Redis, not pipelined, no AOF", Row::One, UNPIPELINED, Keeping::Nothing),
    redis("redis_1_pipelined_always", "Redis, pipelined, AOF always", Row::One, PIPELINED, Keeping::Always),
    redis("redis_1_always", "Redis, not pipelined, AOF always", Row::One, UNPIPELINED, Keeping::Always),
    postgres("postgres_1", "PostgreSQL", Row::One, postgres::Way { connections: 16, batch: 1 }),
    weir("weir_256_bincode", "Weir, bincode", Row::Many, Format::Bincode),
    weir("weir_256_json", "Weir, JSON", Row::Many, Format::Json),
    naive("naive_256_bincode", "naive consumer, bincode", Row::Many, Format::Bincode),
    naive("naive_256_json", "naive consumer, JSON", Row::Many, Format::Json),
    redis("redis_256", "Redis, no AOF", Row::Many, many(2), Keeping::Nothing),
    redis("redis_256_everysec", "Redis, AOF everysec", Row::Many, many(2), Keeping::EverySecond),
    redis("redis_256_always", "Redis, AOF always", Row::Many, many(4), Keeping::Always),
    postgres("postgres_256", "PostgreSQL", Row::Many, postgres::Way { connections: 2, batch: MANY as u64 }),
];

impl Contender {
    /// What `--only` calls it.
    pub(crate) const fn only(&self) -> Only {
        match self.way {
            Way::Weir(_) | Way::Door => Only::Weir,
            Way::Naive(_) => Only::Naive,
            Way::Redis(..) => Only::Redis,
            Way::Postgres(_) => Only::Postgres,
        }
    }

    /// Whether it is compared where the others have this setting.
    pub(crate) fn runs_beside(&self, fsync: Fsync) -> bool {
        self.fsync.contains(&fsync)
    }

    /// Orders in a message or call.
    pub(crate) const fn batch(&self) -> u32 {
        match self.row {
            Row::One => 1,
            Row::Many => MANY,
        }
    }

    /// Orders on their way at once at saturation, of those that have a stream between: each at its best.
    pub(crate) const fn in_flight(&self, fsync: Fsync) -> u64 {
        match (self.row, fsync, self.way) {
            // What is under way shares an append, and an fsync.
            (_, Fsync::Always, Way::Door) => 8_192,
            (_, Fsync::Lazy, Way::Door) => 4_096,
            // With more, the server stores thousands of orders before it gives out the first.
            (Row::One, Fsync::Always, _) => 256,
            (Row::One, Fsync::Lazy, _) => 8_192,
            (Row::Many, Fsync::Always, Way::Naive(_)) => 16_384,
            (Row::Many, ..) => 131_072,
        }
    }

    /// How it is run, and on whose advice.
    pub(crate) fn how(&self, fsync: Fsync) -> String {
        let nats = match fsync {
            Fsync::Lazy => "nats-server over TCP on the loopback, sync_interval as it comes (2 minutes)",
            Fsync::Always => "nats-server over TCP on the loopback, sync_interval: always",
        };
        let (batch, in_flight) = (self.batch(), self.in_flight(fsync));
        match self.way {
            Way::Weir(_) => format!(
                "{nats}; the real `weir run`, its generator (which also reads and checks the outcomes) and the server are \
                 processes of their own; at most {in_flight} orders on their way"
            ),
            Way::Door => format!(
                "{nats}; the real `weir run`, which is door and leader, and the server are processes of their own; {} plain \
                 connections, a request and a reply an order; at most {in_flight} orders on their way (rivals/door.rs)",
                door::CONNECTIONS,
            ),
            Way::Naive(_) => format!(
                "{nats}, file streams, one replica; the same generator and messages as Weir's; a durable pull consumer, explicit \
                 acks, {} messages a pull, asynchronous publishes; stock and known ids in maps; at most {in_flight} orders on \
                 their way (rivals/naive.rs; docs.nats.io: pull consumers, asynchronous publishing)",
                naive::PULL_MESSAGES,
            ),
            Way::Redis(redis::Way { connections, calls }, keeping) => format!(
                "redis-server over TCP on the loopback, no RDB, {}, io-threads as they come (1); {}; {connections} connections \
                 (rivals/redis.rs; redis.io: pipelining, EVALSHA over EVAL, append-only file)",
                match keeping {
                    Keeping::Nothing => "nothing kept on disk",
                    Keeping::EverySecond => "appendfsync everysec",
                    Keeping::Always => "appendfsync always",
                },
                match calls {
                    Calls::Single { pipeline: 1 } =>
                        "one EVALSHA an order, one under way on each connection".to_owned(),
                    Calls::Single { pipeline } =>
                        format!("one EVALSHA an order, {pipeline} in a pipeline at most"),
                    Calls::Many(orders) =>
                        format!("one EVALSHA for {orders} orders, one under way on each connection"),
                },
            ),
            Way::Postgres(postgres::Way { connections, .. }) => format!(
                "postgres over TCP on the loopback, settings as they come{}; one prepared call of a function for {batch} \
                 (rivals/schema.sql), {connections} connections with one call under way each (postgresql.org: performance tips, \
                 asynchronous commit)",
                if fsync == Fsync::Lazy { ", synchronous_commit off" } else { ", so each commit is fsynced" },
            ),
        }
    }
}
