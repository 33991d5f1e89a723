//! The Rust client against a real server: batches, acknowledgements and outcomes, retries and backpressure, and the example beside it.

use std::collections::BTreeSet;
use std::time::Duration;

use weir::client::{Client, ClientOptions, SendError};
use weir::edges::streams::Streams as _;
use weir::words::command::{Cancel, Command, Place, PlaceLine, Receive, Tick};
use weir::words::outcome::{Decision, OutcomeKind, State};
use weir::words::query::{Common, OrderQuestion, OrdersKind, OrdersQuestion, QueryCode, StockQuestion};
use weir_kit::process::{Ending, Input, Process};

use crate::clients::built;
use crate::nats::{PATIENCE, Server, soon, until};
use crate::weir::{Weir, audit, streams};

/// A command may take as long as a test may, and so may one attempt.
fn patient(server: &Server) -> ClientOptions {
    ClientOptions { attempt: PATIENCE, patience: PATIENCE, ..ClientOptions::new(&server.url()) }
}

async fn connect(options: ClientOptions) -> Client {
    Client::connect(options).await.unwrap()
}

fn order(id: &str) -> Command<'static> {
    let line = PlaceLine { sku: "A".into(), quantity: 1, unit_price: None };
    Command::Place(Place { order_id: id.to_owned().into(), lines: vec![line], ..Place::default() })
}

fn stock(units: i64) -> Command<'static> {
    let lines = vec![weir::words::command::Line { sku: "A".into(), quantity: units }];
    Command::Receive(Receive { receipt_id: "R-1".into(), lines, ..Receive::default() })
}

/// A server with streams, and a worker with a door.
async fn shop() -> (Server, Weir) {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &[]).await;
    (server, worker)
}

async fn last_of_log(server: &Server) -> u64 {
    streams(server).await.log_state().await.unwrap().last_sequence
}

#[tokio::test]
async fn it_places_cancels_and_asks() {
    let (server, worker) = shop().await;
    let client = connect(patient(&server)).await;
    client.decide(&stock(1)).await.unwrap();
    let placed = client.decide(&order("O-1")).await.unwrap();
    assert_eq!(placed.outcome().unwrap().decision.kind(), OutcomeKind::Confirmed);
    let short = client.decide(&order("O-2")).await.unwrap();
    assert_eq!(short.outcome().unwrap().decision.kind(), OutcomeKind::Refused);
    let cancel = Command::Cancel(Cancel {
        order_id: "O-1".into(),
        cancel_id: Some("C-1".into()),
        ..Cancel::default()
    });
    let cancelled = client.decide(&cancel).await.unwrap();
    let cancelled = cancelled.outcome().unwrap();
    assert_eq!(cancelled.decision.kind(), OutcomeKind::Cancelled);

    let common = Common { at_least: Some(cancelled.sequence), ..Common::default() };
    let question = OrderQuestion {
        order_id: "O-1".to_owned(),
        history: true,
        common: common.clone(),
        ..OrderQuestion::default()
    };
    let answer = client.order(question).await.unwrap();
    assert_eq!((answer.state, answer.first_sequence), (State::Cancelled, placed.outcome().unwrap().sequence));
    assert!(answer.history.unwrap().from_the_start);
    let question = OrdersQuestion { state: OrdersKind::Open, common: common.clone(), ..Default::default() };
    assert_eq!(client.orders(question).await.unwrap().orders, []);
    let question = StockQuestion { sku: "A".to_owned(), common, ..StockQuestion::default() };
    assert_eq!(client.stock(question).await.unwrap().stock.free, 1);
    let unknown = OrderQuestion { order_id: "none".to_owned(), ..OrderQuestion::default() };
    assert_eq!(client.order(unknown).await.unwrap_err().code, QueryCode::UnknownOrder);
    let worthless = OrderQuestion::default();
    assert_eq!(client.order(worthless).await.unwrap_err().code, QueryCode::InvalidQuestion);

    assert_eq!(client.decide(&Command::Tick(Tick {})).await, Err(SendError::Tick));
    worker.stop().await;
}

/// On one thread, all that is sent at once is queued before a sender has its turn: which go together is no matter of time.
#[tokio::test]
async fn what_is_sent_at_once_goes_together_by_size_and_by_linger() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let before = last_of_log(&server).await;
    // Nobody ever lingers so long: batches leave when they are full.
    let long = Duration::from_secs(1_000_000);
    let by_size = connect(ClientOptions { linger: long, batch_commands: 4, ..patient(&server) }).await;
    let ids: Vec<_> = (0..8).map(|number| order(&format!("S-{number}"))).collect();
    let stored = futures_util::future::join_all(ids.iter().map(|order| by_size.store(order)));
    let stored = soon("all to be stored", stored).await;
    let places: BTreeSet<_> =
        stored.into_iter().map(Result::unwrap).map(|it| (it.sequence, it.index)).collect();
    let expected = (before + 1..=before + 2).flat_map(|sequence| (0..4).map(move |index| (sequence, index)));
    assert_eq!(places, expected.collect());
    // A batch that never fills leaves when the linger is over, with all that came until then.
    let by_linger = connect(ClientOptions { linger: Duration::from_millis(20), ..patient(&server) }).await;
    let ids: Vec<_> = (0..3).map(|number| order(&format!("L-{number}"))).collect();
    let stored = futures_util::future::join_all(ids.iter().map(|order| by_linger.store(order)));
    let stored = soon("all to be stored", stored).await;
    let places: Vec<_> = stored.into_iter().map(Result::unwrap).map(|it| (it.sequence, it.index)).collect();
    assert_eq!(places, [(before + 3, 0), (before + 3, 1), (before + 3, 2)]);

    // The same through the door: two requests, and each answer finds its own command.
    let worker = Weir::ready(&server, &[]).await;
    until("the door", async || worker.log().contains("the door is open").then_some(())).await;
    let ids: Vec<_> = (0..8).map(|number| order(&format!("D-{number}"))).collect();
    let decided = futures_util::future::join_all(ids.iter().map(|order| by_size.decide(order)));
    for (number, decided) in soon("all to be decided", decided).await.into_iter().enumerate() {
        let decided = decided.unwrap();
        // The SKU is not known: nothing was ever received.
        let Decision::Refused { subject, .. } = decided.outcome().unwrap().decision else {
            panic!("{decided:?}")
        };
        assert_eq!(subject.map(|subject| subject.id().to_owned()), Some(format!("D-{number}")));
    }
    let requests = worker.metric("weir_door_requests_total");
    assert!((requests - 2.0).abs() < 0.5, "{requests}");
    worker.stop().await;
}

/// An acknowledgement needs no worker; the outcome under the same id agrees with it afterwards.
#[tokio::test]
async fn what_is_acknowledged_is_decided_once_somebody_is_there() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let client = connect(patient(&server)).await;
    client.store(&stock(1)).await.unwrap();
    let first = client.store(&order("O-1")).await.unwrap();
    // A patience that is over at once is told that nothing was stored: nobody is at the door.
    let hasty = connect(ClientOptions { patience: Duration::ZERO, ..patient(&server) }).await;
    let refused = hasty.decide(&order("O-2")).await.unwrap_err();
    assert!(matches!(refused, SendError::NotStored(_)), "{refused:?}");
    let worker = Weir::ready(&server, &[]).await;
    let decided = client.decide(&order("O-1")).await.unwrap();
    let outcome = decided.outcome().unwrap();
    let Decision::Confirmed { repeat: Some(repeat), .. } = &outcome.decision else { panic!("{outcome:?}") };
    assert_eq!(repeat.first_sequence, first.sequence);
    worker.stop().await;
}

/// The only worker, with the only door, dies under way: each order is decided once all the same, and told as it was decided.
#[tokio::test(flavor = "multi_thread")]
async fn orders_are_sent_again_over_the_death_of_a_worker_and_decided_once() {
    let (server, mut worker) = shop().await;
    let options = ClientOptions { attempt: Duration::from_secs(2), batch_commands: 8, ..patient(&server) };
    let client = connect(options).await;
    client.decide(&stock(250)).await.unwrap();
    let (told, mut tells) = tokio::sync::mpsc::channel(1_024);
    let placing: Vec<_> = (0..8)
        .map(|number| {
            let (client, told) = (client.clone(), told.clone());
            tokio::spawn(async move {
                for count in 0..50 {
                    let id = format!("O-{number}-{count}");
                    let decided = client.decide(&order(&id)).await.unwrap();
                    let outcome = decided.outcome().unwrap();
                    told.send((id, outcome.decision.kind())).await.unwrap();
                }
            })
        })
        .collect();
    drop(told);
    let mut heard: Vec<(String, OutcomeKind)> = Vec::new();
    let mut second = None;
    while let Some(one) = soon("the next outcome", tells.recv()).await {
        heard.push(one);
        if heard.len() == 60 {
            worker.kill();
            second = Some(Weir::ready(&server, &[]).await);
        }
    }
    for placing in placing {
        placing.await.unwrap();
    }
    let announced = audit(&server).await;
    let firsts: Vec<_> = announced
        .iter()
        .filter(|it| it["duplicate"] != true && it["order_id"].is_string())
        .map(|it| (it["order_id"].as_str().unwrap().to_owned(), it["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(firsts.len(), 400);
    let heard: BTreeSet<_> = heard.into_iter().map(|(id, kind)| (id, kind.name())).collect();
    assert_eq!(heard, firsts.into_iter().collect());
    assert_eq!(heard.iter().filter(|(_, kind)| *kind == "confirmed").count(), 250);
    second.unwrap().stop().await;
}

/// One command may be under way: the next one waits, though nothing else would keep it.
#[tokio::test(flavor = "multi_thread")]
async fn sending_waits_while_too_much_is_under_way() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let client = connect(ClientOptions { commands_max: 1, ..patient(&server) }).await;
    let (first, second) = (order("O-1"), order("O-2"));
    // Nobody is at the door: this one is tried until somebody is.
    let mut first = Box::pin(client.decide(&first));
    assert!(futures_util::poll!(first.as_mut()).is_pending());
    let mut second = Box::pin(client.store(&second));
    assert!(futures_util::poll!(second.as_mut()).is_pending());
    let worker = Weir::ready(&server, &[]).await;
    let (decided, stored) = soon("both", async { tokio::join!(first, second) }).await;
    let (decided, stored) = (decided.unwrap().outcome().unwrap().sequence, stored.unwrap().sequence);
    assert!(decided < stored, "{decided} {stored}");
    worker.stop().await;
}

#[tokio::test]
async fn the_example_counts_what_became_of_its_orders() {
    let (server, worker) = shop().await;
    let mut command = std::process::Command::new(built("place_orders"));
    command.args([&server.url(), "500"]);
    let process = Process::start("place_orders", command, Input::None, Ending::Killed).unwrap();
    let ended = process.finish(PATIENCE).await.unwrap();
    assert_eq!(ended.stdout, "confirmed: 250\nrefused: 250\n", "{ended:?}");
    // They went in few requests, not one by one.
    let (requests, commands) =
        (worker.metric("weir_door_requests_total"), worker.metric("weir_door_commands_total"));
    assert!(requests < commands / 2.0, "{requests} {commands}");
    worker.stop().await;
}
