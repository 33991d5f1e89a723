//! Scenes that once went wrong, with the right answers: from a folder of JSON lines, where there is one
//! (`WEIR_TEST_SCENES`). A line has `send` (a command, or an array of them) or `raw` (bytes, as Latin-1 text), and what its
//! answer must hold: `expect`, `expect_each`, `also` (with it, or with the ticks behind it), and `never`.

use serde_json::Value;
use weir::folds::inventory::Due;
use weir::words::codec::Format;

use crate::support::Shard;

/// Whether an outcome holds all that is expected of it: `null` is an absent field, lists of reasons and marks are sets.
fn holds(outcome: &Value, expected: &Value) -> bool {
    let Some(expected) = expected.as_object() else { return false };
    expected.iter().all(|(key, value)| match (key.as_str(), value, &outcome[key]) {
        (_, Value::Null, found) => found.is_null(),
        ("marks", Value::Array(set), Value::Array(found)) => {
            set.len() == found.len() && set.iter().all(|one| found.contains(one))
        }
        ("reason", Value::Array(set), found) => set.contains(found),
        (_, value, found) => value == found,
    })
}

fn outcomes(shard: &Shard) -> Vec<Value> {
    shard.outcomes().iter().map(|outcome| serde_json::to_value(outcome).unwrap()).collect()
}

fn play(scene: &str) -> Result<(), String> {
    let mut shard = Shard { clock_ms: 1_790_000_000_000, ..Shard::default() };
    let mut all = Vec::new();
    let mut never = Vec::new();
    for line in scene.lines().filter(|line| !line.trim().is_empty()) {
        let line: Value = serde_json::from_str(line).unwrap();
        let payload = match &line["raw"] {
            Value::String(raw) => raw.chars().map(|one| u8::try_from(one).unwrap()).collect(),
            _ => line["send"].to_string().into_bytes(),
        };
        shard.clock_ms += 1;
        shard.feed(Some(Format::Json), payload).unwrap();
        let mut came = outcomes(&shard);
        let others = ["released", "expired", "shortfall"];
        let is_answer = |outcome: &Value| {
            outcome["released"] != true && !others.contains(&outcome["outcome"].as_str().unwrap_or_default())
        };
        let answers: Vec<_> = came.iter().filter(|outcome| is_answer(outcome)).cloned().collect();
        let expected = match &line["expect_each"] {
            Value::Array(each) => each.clone(),
            _ => vec![line["expect"].clone()],
        };
        if answers.len() != expected.len() || !answers.iter().zip(&expected).all(|(one, it)| holds(one, it)) {
            return Err(format!("{line}\n  came {answers:?}"));
        }
        while shard.inventory.due() == Due::Now {
            shard.tick();
            came.extend(outcomes(&shard));
        }
        for also in line["also"].as_array().into_iter().flatten() {
            if !came.iter().any(|outcome| holds(outcome, also)) {
                return Err(format!("{line}\n  came {came:?}"));
            }
        }
        all.extend(came);
        never.extend(line.get("never").cloned());
        shard.inventory.check_books().map_err(|broken| broken.to_string())?;
    }
    match never.iter().find(|never| all.iter().any(|outcome| holds(outcome, never))) {
        Some(never) => Err(format!("{never} came")),
        None => Ok(()),
    }
}

#[test]
fn scenes_from_a_folder_end_as_they_should() {
    let Ok(folder) = std::env::var("WEIR_TEST_SCENES") else { return };
    let mut failed = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl")
            && let Err(why) = play(&std::fs::read_to_string(&path).unwrap())
        {
            failed.push(format!("{}: {why}", path.display()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Scenes of shops, told as clients send them: each ends as its line says, and its books hold.
const SCENES: [(&str, &str); 6] = [
    (
        "a checkout that retries after a timeout, while its customer pays twice",
        r#"
        {"send":{"receive":{"receipt_id":"R-1","lines":[{"sku":"mug","quantity":3}]}},"expect":{"outcome":"received"}}
        {"send":{"place":{"order_id":"W-1","lines":[{"sku":"mug","quantity":2,"unit_price":950}],"value":{"minor":1900,"currency":"GBP"},"pay_within_ms":60000}},"expect":{"outcome":"confirmed","shortages":null}}
        {"send":{"place":{"order_id":"W-1","lines":[{"sku":"mug","quantity":2,"unit_price":999}],"value":{"minor":1900,"currency":"GBP"},"pay_within_ms":60000,"carrier":null}},"expect":{"outcome":"confirmed","duplicate":true,"first_sequence":2}}
        {"send":[{"pay":{"order_id":"W-1","attempt_id":"P-1","amount":{"minor":1900,"currency":"GBP"}}},{"pay":{"order_id":"W-1","attempt_id":"P-1","amount":{"minor":1900,"currency":"GBP"}}},{"pay":{"order_id":"W-1","attempt_id":"P-2","amount":{"minor":1900,"currency":"GBP"}}}],"expect_each":[{"outcome":"paid","duplicate":null},{"outcome":"paid","duplicate":true},{"outcome":"refused","reason":"already_paid"}]}
        {"send":{"ship":{"order_id":"W-1","shipment_id":"S-1"}},"expect":{"outcome":"shipped","state":"shipped","marks":null}}
        "#,
    ),
    (
        "a picker who finds too little, and a buyer who gives up a line",
        r#"
        {"send":{"receive":{"receipt_id":"R-1","lines":[{"sku":"lamp","quantity":4},{"sku":"bulb","quantity":9}]}},"expect":{"outcome":"received"}}
        {"send":[{"place":{"order_id":"A","lines":[{"sku":"lamp","quantity":2}]}},{"place":{"order_id":"B","lines":[{"sku":"lamp","quantity":2},{"sku":"bulb","quantity":2}]}}],"expect_each":[{"outcome":"confirmed"},{"outcome":"confirmed"}]}
        {"send":{"adjust":{"adjustment_id":"J-1","reason":"broken","lines":[{"sku":"lamp","quantity":-1}]}},"expect":{"outcome":"adjusted"},"also":[{"outcome":"shortfall","order_id":"B","sku":"lamp","quantity":1}],"never":{"outcome":"shortfall","order_id":"A"}}
        {"send":{"cancel":{"order_id":"B","cancel_id":"N-1","by":"customer","lines":[{"sku":"lamp","quantity":1}]}},"expect":{"outcome":"cancelled","state":"confirmed"},"also":[{"outcome":"shortfall","order_id":"B","quantity":0}]}
        {"send":{"ship":{"order_id":"B"}},"expect":{"outcome":"shipped","lines":[{"sku":"lamp","quantity":1},{"sku":"bulb","quantity":2}],"marks":null}}
        {"send":{"ship":{"order_id":"A"}},"expect":{"outcome":"shipped","marks":null}}
        "#,
    ),
    (
        "two carriers who report late, in the wrong order",
        r#"
        {"send":{"receive":{"receipt_id":"R-1","lines":[{"sku":"desk","quantity":5}]}},"expect":{"outcome":"received"}}
        {"send":{"place":{"order_id":"D","lines":[{"sku":"desk","quantity":3}]}},"expect":{"outcome":"confirmed"}}
        {"send":{"deliver":{"order_id":"D","shipment_id":"S-2","lines":[{"sku":"desk","quantity":1}]}},"expect":{"outcome":"delivered","marks":["was_not_shipped"],"state":"confirmed"}}
        {"send":{"ship":{"order_id":"D","shipment_id":"S-2","lines":[{"sku":"desk","quantity":1}]}},"expect":{"outcome":"shipped","lines":[{"sku":"desk","quantity":1}],"state":"confirmed","marks":null}}
        {"send":{"ship":{"order_id":"D","shipment_id":"S-1","lines":[{"sku":"desk","quantity":2}]}},"expect":{"outcome":"shipped","marks":["out_of_order"],"state":"shipped"}}
        {"send":{"return":{"order_id":"D","return_id":"T-1","lines":[{"sku":"desk","quantity":3,"restock":true}]}},"expect":{"outcome":"returned","state":"returned","marks":null}}
        {"send":{"ship":{"order_id":"D"}},"expect":{"outcome":"refused","reason":"nothing_remains","order_state":"returned"}}
        "#,
    ),
    (
        "a preorder that grows while others wait behind it",
        r#"
        {"send":{"count":{"count_id":"C-1","lines":[{"sku":"game","quantity":0}]}},"expect":{"outcome":"counted"}}
        {"send":[{"place":{"order_id":"P-1","lines":[{"sku":"game","quantity":1}],"on_shortage":"backorder"}},{"place":{"order_id":"P-2","lines":[{"sku":"game","quantity":1}],"on_shortage":"backorder"}}],"expect_each":[{"outcome":"waiting","sku":"game"},{"outcome":"waiting","sku":"game"}]}
        {"send":{"amend":{"order_id":"P-1","amendment_id":"M-1","lines":[{"sku":"game","quantity":2}]}},"expect":{"outcome":"amended","state":"waiting"}}
        {"send":{"receive":{"receipt_id":"R-1","lines":[{"sku":"game","quantity":2}]}},"expect":{"outcome":"received"},"also":[{"outcome":"confirmed","order_id":"P-2","released":true}],"never":{"outcome":"confirmed","order_id":"P-1"}}
        {"send":{"place":{"order_id":"N-1","lines":[{"sku":"game","quantity":1}]}},"expect":{"outcome":"refused","reason":"insufficient_stock"}}
        "#,
    ),
    (
        "a shop with two sites that keeps a shelf for the other one",
        r#"
        {"send":{"policy":{"sites":["main","outlet"]}},"expect":{"outcome":"policy_applied"}}
        {"send":[{"receive":{"receipt_id":"R-1","site":"main","lines":[{"sku":"cup","quantity":5}]}},{"receive":{"receipt_id":"R-2","site":"outlet","lines":[{"sku":"cup","quantity":1},{"sku":"jar","quantity":2}]}}],"expect_each":[{"outcome":"received"},{"outcome":"received"}]}
        {"send":{"place":{"order_id":"S-1","sites":["outlet","main"],"lines":[{"sku":"jar","quantity":1},{"sku":"cup","quantity":3}]}},"expect":{"outcome":"confirmed","lines":[{"sku":"jar","quantity":1,"site":"outlet"},{"sku":"cup","quantity":3,"site":"main"}]}}
        {"send":{"transfer":{"transfer_id":"X-1","from":"main","to":"outlet","lines":[{"sku":"cup","quantity":3}]}},"expect":{"outcome":"refused","reason":"insufficient_stock","shortages":[{"sku":"cup","requested":3,"available":2}]}}
        {"send":{"transfer":{"transfer_id":"X-1","from":"main","to":"outlet","lines":[{"sku":"cup","quantity":2}]}},"expect":{"outcome":"transferred","duplicate":null}}
        {"send":{"place":{"order_id":"S-2","sites":["outlet","main"],"lines":[{"sku":"cup","quantity":3}]}},"expect":{"outcome":"confirmed","lines":null}}
        "#,
    ),
    (
        "bytes of a client in a hurry, between those of one that is not",
        r#"
        {"send":[{"receive":{"receipt_id":"R-1","lines":[{"sku":"pen","quantity":1}]}},{"recieve":{}},{"receive":["R-2"]},{"tick":null},7],"expect_each":[{"outcome":"received"},{"outcome":"dead_lettered","reason":"not_a_command"},{"outcome":"dead_lettered"},{"outcome":"dead_lettered"},{"outcome":"dead_lettered"}]}
        {"raw":"[{\"place\":{\"order_id\":\"\u00ff\",\"lines\":[]}},{\"place\":{\"order_id\":\"Q\",\"lines\":[{\"sku\":\"pen\",\"quantity\":1}]}}]","expect_each":[{"outcome":"dead_lettered"},{"outcome":"confirmed"}]}
        {"raw":"","expect":{"outcome":"dead_lettered","reason":"empty_payload"}}
        {"send":{"place":{"order_id":"Q","lines":[{"sku":"pen","quantity":1}],"submitted_at":"2026-09-21T15:06:00+01:00"}},"expect":{"outcome":"confirmed","duplicate":true}}
        {"send":{"place":{"order_id":"Q-2","lines":[{"sku":"pen","quantity":1}],"submitted_at":"9997-01-01T00:00:00Z"}},"expect":{"outcome":"refused","reason":"invalid_time"}}
        "#,
    ),
];

#[test]
fn scenes_of_shops_end_as_they_should() {
    for (name, scene) in SCENES {
        play(scene).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
}
