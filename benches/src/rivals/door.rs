//! Weir through the door: one JSON order a request, over connections of plain NATS. The reply is the outcome, which is announced to
//! everybody else, too.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use tokio::task::JoinSet;

use super::measured::Measured;
use super::pace::{Bounds, Load, Taken};
use crate::asking::Asking;
use crate::door::{Kind, kind};
use crate::load::job::Pace;
use crate::load::pass::{Plan, Stage};
use crate::orders::Writer;
use crate::shop::Load as Shop;
use weir::edges::clock::SystemClock;
use weir::words::codes::Family;
use weir::words::timestamp::Timestamp;

/// Connections, as many as Redis's pipelined clients have.
pub(crate) const CONNECTIONS: u64 = 4;
/// How long a turn waits where there is nothing to do.
const TURN: Duration = Duration::from_millis(20);

/// One pass: a worker that is door and leader, with at most so many orders under way.
pub(crate) async fn pass(
    stage: &mut Stage<'_>,
    plan: &Plan<'_>,
    (shop, pace, bounds): (&Shop, Pace, Bounds),
    under_way: u64,
) -> Result<Measured> {
    let (streams, workers) = stage.open(plan).await?;
    let subject = streams.names.submit_subject(Family::Orders);
    let url = stage.servers.urls[0].clone();
    let mut connections = Vec::new();
    for name in 0..CONNECTIONS {
        connections.push(Asking::connect(&url, name).await?);
    }
    until_open(&mut connections[0], &subject).await?;
    // Its clock starts here.
    let load = Load::new(shop, 1, pace, bounds);
    let mut senders = JoinSet::new();
    let most = usize::try_from(under_way / CONNECTIONS)?;
    for connection in connections {
        senders.spawn(send(connection, subject.clone(), most, load.clone()));
    }
    let server = stage.servers.alone().context("a server of the bench's own")?;
    let mut measured = load.measure(senders, &mut JoinSet::new(), server, workers.first()).await?;
    measured.findings = stage.close(plan, (streams, workers), load.sent()).await?;
    Ok(measured)
}

/// Waits until somebody answers.
async fn until_open(asking: &mut Asking, subject: &str) -> Result<()> {
    // What is no command is answered, and not an order.
    for number in 0..600 {
        asking.request(subject, number, b"?");
        loop {
            asking.turn(TURN).await?;
            let Some((_, said)) = asking.take()? else { continue };
            if !said.is_empty() {
                return Ok(());
            }
            break;
        }
        tokio::time::sleep(TURN).await;
    }
    anyhow::bail!("the door does not answer")
}

/// Asks over one connection while the load lasts, `most` orders under way.
async fn send(mut asking: Asking, subject: String, most: usize, load: Load) -> Result<()> {
    let clock = SystemClock::shared();
    let mut writer = Writer::new(load.orders());
    let mut under_way = HashMap::<u64, Taken, FixedState>::default();
    let mut ended = false;
    while !ended || !under_way.is_empty() {
        if !ended && under_way.len() < most && asking.has_room() {
            let room = (most - under_way.len()) as u64;
            tokio::select! {
                taken = load.take_some(room) => {
                    ended = taken.is_none();
                    let now = Timestamp::from_millis(clock.wall_ns() / 1_000_000);
                    for one in taken.into_iter().flat_map(Taken::each) {
                        let number = one.numbers.start;
                        let batch = writer.batch(number, now).payload;
                        // The message is an array of one; what is asked is the one.
                        asking.request(&subject, number, &batch[1..batch.len() - 1]);
                        under_way.insert(number, one);
                    }
                }
                turned = asking.turn(TURN) => turned?,
            }
        } else {
            asking.turn(TURN).await?;
        }
        while let Some((number, said)) = asking.take()? {
            let said = asking.said(said);
            ensure!(kind(said) == Kind::Decided, "order {number}: {}", String::from_utf8_lossy(said));
            let taken = under_way.remove(&number).with_context(|| format!("order {number} twice"))?;
            load.decided(&taken);
        }
    }
    Ok(())
}
