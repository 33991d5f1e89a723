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
