//! JSON, tried: what is cut where, what is refused, and that each short way gives what the long one gives.

use super::*;
use crate::words::codec::samples::{both_ways, changes, foreign, full, plain};
use crate::words::codec::{Element, Format, commands, encode_commands, encode_outcome, write_json_outcome};
use crate::words::command::{ATTRIBUTES_MAX, Attributes, COMMANDS_MAX, Place};
use crate::words::outcome::{Decision, Repeat, Shortage, SiteLine, True, Unreadable};
use crate::words::timestamp::Timestamp;

/// What becomes of each element: a command's name, or a code with the bytes that it is about.
fn read(payload: &[u8]) -> Vec<String> {
    commands(Some(Format::Json), payload, RULES_NEWEST)
        .map(|decoded| match decoded {
            Ok(command) => command.kind().name().to_owned(),
            Err(undecodable) => {
                format!("{} {}", undecodable.code.name(), String::from_utf8_lossy(undecodable.bytes))
            }
        })
        .collect()
}

fn code(payload: &[u8], code: Unreadable) {
    let mut all = commands(Some(Format::Json), payload, RULES_NEWEST);
    assert!(all.is_single());
    let undecodable = all.next().unwrap().unwrap_err();
    assert_eq!((undecodable.code, undecodable.bytes), (code, payload));
    assert!(all.next().is_none());
}

#[test]
fn an_array_is_cut_at_its_commas_and_what_is_broken_spoils_itself_only() {
    let cases: [(&[u8], &[&str]); 14] = [
        (br#"{"tick":{}}"#, &["tick"]),
        (b" \r\n\t{\"tick\":{}} ", &["tick"]),
        (br#"[{"tick":{}}]"#, &["tick"]),
        (br#" [ {"tick":{}} , {"tick" : {}} ] "#, &["tick", "tick"]),
        (
            br#"[{"tick":{}},,1 2, nonsense ,{"tick":{}}]"#,
            &["tick", "not_a_command ", "not_a_command 1 2", "not_a_command nonsense", "tick"],
        ),
        (br#"[{"tick":{}},]"#, &["tick", "not_a_command "]),
        (b"[,]", &["not_a_command ", "not_a_command "]),
        (br#"[[],{"tick":{}}]"#, &["not_a_command []", "tick"]),
        // Brackets and commas in strings are text, behind an escaped quote too.
        (
            br#"[{"tick":{"a":"],[\"}\\"}},{"tick":{}}]"#,
            &[r#"not_a_command {"tick":{"a":"],[\"}\\"}}"#, "tick"],
        ),
        // Brackets are counted; that one closes another kind is its element's own fault.
        (br#"[{"tick":[}},{"tick":{}}]"#, &[r#"not_a_command {"tick":[}}"#, "tick"]),
        (br#"[{"tick":[},{"tick":{}}]]"#, &[r#"not_a_command {"tick":[},{"tick":{}}]"#]),
        // What is no UTF-8 spoils its own element.
        (b"[{\"tick\":{}},\"\xff\",{\"tick\":{}}]", &["tick", "not_a_command \"\u{fffd}\"", "tick"]),
        (b"[{\"tick\":{}},\xc3,{\"tick\":{}}]", &["tick", "not_a_command \u{fffd}", "tick"]),
        (b"tick", &["not_a_command tick"]),
    ];
    for (payload, expected) in cases {
        assert_eq!(read(payload), expected, "{}", payload.escape_ascii());
    }
}

#[test]
fn what_cannot_be_cut_is_one_dead_letter() {
    for payload in [
        &br#"[{"tick":{}}"#[..],
        br#"[{"tick":{}},"#,
        br#"[{"tick":{}},{"tick":{}]"#,
        br#"[{"tick":{}}}"#,
        br#"[{"tick":]},{"tick":{}}]"#,
        br#"[{"tick":{}}]]"#,
        br#"[{"tick":{}}] x"#,
        br#"[{"tick":{}}],"#,
        br#"[{"tick":{}},"]"#,
        br#"[{"tick":{}},"\"]"#,
        br#"[{"tick":{}},"\"#,
        b"[",
        b"[ ",
        b"[] []",
    ] {
        code(payload, Unreadable::MalformedPayload);
    }
    for payload in [&b""[..], b" ", b"\t\r\n", b"[]", b" [ ] "] {
        code(payload, Unreadable::EmptyPayload);
    }
}

#[test]
fn a_payload_holds_at_most_so_many_commands() {
    for element in [r#"{"tick":{}}"#, r#"{"place":{"order_id":"O","lines":[{"sku":"A","quantity":1}]}}"#, ""]
    {
        let many = |count: usize| format!("[{}]", vec![element; count].join(",")).into_bytes();
        assert_eq!(read(&many(COMMANDS_MAX)).len(), COMMANDS_MAX);
        let more = many(COMMANDS_MAX + 1);
        code(&more, Unreadable::TooManyCommands);
        code(&more[..more.len() - 1], Unreadable::MalformedPayload);
    }
}

/// Nothing recurs, however deep it goes.
#[test]
fn depth_costs_nothing() {
    let deep = "[".repeat(1_000_000);
    code(deep.as_bytes(), Unreadable::MalformedPayload);
    let closed = format!("[{deep}{},{{\"tick\":{{}}}}]", "]".repeat(1_000_000));
    let read: Vec<_> = commands(Some(Format::Json), closed.as_bytes(), RULES_NEWEST).collect();
    assert!(read.len() == 2 && read[0].is_err() && read[1].is_ok());
    let attributes = format!(r#"{{"place":{{"attributes":{}}}}}"#, r#"{"a":"#.repeat(500_000));
    code(attributes.as_bytes(), Unreadable::NotACommand);
}

#[test]
fn objects_are_objects_codes_are_strings_and_every_key_stands_once() {
    let place = |fields: &str| {
        format!(r#"{{"place":{{"order_id":"O","lines":[{{"sku":"A","quantity":1}}]{fields}}}}}"#)
    };
    for good in [
        r#"{"tick":{}}"#.to_owned(),
        place(""),
        place(r#","on_shortage":"refuse""#),
        place(
            r#","on_shortage":null,"site":null,"sites":null,"submitted_at":null,"ship_by":null,"promised_by":null"#,
        ),
        place(
            r#","carrier":null,"value":null,"customer":null,"attributes":null,"pay_within_ms":null,"wait_until":null"#,
        ),
        place(r#","value":{"currency":"GBP","minor":1},"attributes":{},"sites":[]"#),
        place(r#","attributes":{"a":"b","b":"b"}"#),
        r#"{"return":{"order_id":"O","return_id":"T","restock":null,"lines":null}}"#.to_owned(),
        r#"{"policy":{"rules":null,"safety_stock_of":[{"sku":"A","site":null,"quantity":null}]}}"#.to_owned(),
        r#"{"count":{"count_id":"C","lines":[{"sku":"A","quantity":1,"expected":null}]}}"#.to_owned(),
    ] {
        assert!(read(good.as_bytes())[0].find(' ').is_none(), "{good}: {:?}", read(good.as_bytes()));
    }
    for bad in [
        r#""tick""#.to_owned(),
        r#"{"tick":[]}"#.to_owned(),
        r#"{"tick":null}"#.to_owned(),
        r#"{"tick":{},"tick":{}}"#.to_owned(),
        r#"{"tick":{},"place":{}}"#.to_owned(),
        r#"{"tick":{"a":1}}"#.to_owned(),
        r#"{"place":["O",null,[]]}"#.to_owned(),
        r#"{"place":{"order_id":"O","lines":[["A",1]]}}"#.to_owned(),
        r#"{"place":{"order_id":"O","lines":[["A",1,null]]}}"#.to_owned(),
        r#"{"place":{"order_id":"O","lines":{"sku":"A","quantity":1}}}"#.to_owned(),
        r#"{"place":{"order_id":"O","lines":null}}"#.to_owned(),
        r#"{"place":{"order_id":null,"lines":[]}}"#.to_owned(),
        place(r#","value":[1,"GBP"]"#),
        place(r#","attributes":[]"#),
        place(r#","attributes":[["a","b"]]"#),
        place(r#","attributes":{"a":"b","a":"b"}"#),
        place(r#","attributes":{"a":"b","c":"","\u0061":"c"}"#),
        place(r#","on_shortage":{"refuse":null}"#),
        place(r#","on_shortage":"other""#),
        place(r#","on_shortage":0"#),
        place(r#","order_id":"O""#),
        place(r#","site":null,"site":null"#),
        place(r#","value":{"minor":1,"minor":1,"currency":"GBP"}"#),
        place(r#","unknown":null"#),
        place(r#","submitted_at":"2026-11-22T03Z""#),
        place(r#","submitted_at":"2026-11-22T03:00:00+0100""#),
        place(r#","submitted_at":1"#),
        place(r#","pay_within_ms":1.0"#),
        r#"{"place":{"order_id":"O","lines":[{"sku":"A","quantity":1.0}]}}"#.to_owned(),
        r#"{"place":{"order_id":"O","lines":[{"sku":"A","quantity":"1"}]}}"#.to_owned(),
        r#"{"policy":[1]}"#.to_owned(),
        r#"{"policy":{"safety_stock_of":[["main","A",1]]}}"#.to_owned(),
        r#"{"cancel":{"order_id":"O","value":[1,"GBP"]}}"#.to_owned(),
        r#"{"cancel":{"order_id":"O","lines":[["A",1]]}}"#.to_owned(),
    ] {
        code(bad.as_bytes(), Unreadable::NotACommand);
    }
}

#[test]
fn a_policy_of_newer_rules_is_told_from_nonsense_wherever_it_stands() {
    let beyond = |element: &[u8]| {
        let rules = |payload: &[u8]| -> Vec<_> {
            commands(Some(Format::Json), payload, RULES_NEWEST)
                .map(|decoded| match decoded {
                    Ok(Command::Policy(policy)) => policy.rules,
                    _ => None,
                })
                .collect()
        };
        let alone = rules(element);
        let among = rules(&[b"[{\"tick\":{}},", element, b"]"].concat());
        assert_eq!(among, [&[None], &alone[..]].concat());
        alone[0]
    };
    let next = RULES_NEWEST + 1;
    for good in [
        format!(r#"{{"policy":{{"rules":{next}}}}}"#),
        format!(r#"{{"policy":{{"rules":{next},"new":[{{"a":[1]}}]}}}}"#),
        format!(r#"{{"policy":{{"new":"\"","rules":{next}}}}}"#),
        format!(r#"{{"policy":{{"lines_max":"many","rules":{next}}}}}"#),
    ] {
        assert_eq!(beyond(good.as_bytes()), Some(next), "{good}");
    }
    for bad in [
        format!(r#"{{"policy":{{"rules":{RULES_NEWEST},"new":1}}}}"#),
        format!(r#"{{"policy":[{next}]}}"#),
        format!(r#"[{{"rules":{next}}}]"#),
        format!(r#"{{"policy":{{"rules":{next},"rules":{next}}}}}"#),
        format!(r#"{{"policy":{{"rules":"{next}"}}}}"#),
        format!(r#"{{"polizy":{{"rules":{next}}}}}"#),
    ] {
        assert_eq!(beyond(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn commands_of_newer_rules_are_none() {
    for format in [Format::Json, Format::Bincode] {
        let payload = encode_commands(format, &[Command::Place(plain()), Command::Place(full())]);
        for decoded in commands(Some(format), &payload, 0) {
            assert_eq!(decoded.unwrap_err().code, Unreadable::NotACommand);
        }
        let mut elements = commands(Some(format), &payload, 0);
        for _ in 0..2 {
            let Some(Element::Other(other)) = elements.next_element() else { panic!() };
            let Err(undecodable) = *other else { panic!() };
            assert_eq!(undecodable.code, Unreadable::NotACommand);
        }
        assert!(elements.next_element().is_none());
    }
}

fn json(place: Place<'_>) -> Vec<u8> {
    encode_commands(Format::Json, &[Command::Place(place)])
}

/// As a person writes it: all of it in another order, with white wherever it may be.
const SPACED: &[u8] = b" { \"place\" : {\t\"customer\" : null , \"attributes\" : { \"a\" : \"b\" , \"c\":\"\" } , \"value\" : \
    { \"currency\" : \"EUR\" , \"minor\" : 9007199254740991 },\r\n \"submitted_at\" : \"2026-11-22T03:00:00+01:00\" ,\
    \"on_shortage\" : \"refuse\" , \"lines\" : [ { \"unit_price\" : null , \"quantity\" : 1000000000 , \"sku\" : \"A\" } ] ,\
    \"ship_by\" : \"2026-11-22T03:00:00.5Z\", \"site\":null, \"sites\":null,\"pay_within_ms\":null, \"wait_until\" : null,\
    \"order_id\" : \"0123456789abcdef\" } } ";

/// Without white, but in another order.
const REORDERED: &[u8] = b"{\"place\":{\"attributes\":{\"a\":\"b\",\"0123456789abcdefg\":\"c\",\"0123\":\"\"},\"value\":{\"currency\":\"EUR\",\
    \"minor\":0},\"lines\":[{\"quantity\":20,\"sku\":\"A\",\"unit_price\":1},{\"sku\":\"0123456789abcdef\",\"quantity\":3}],\"order_id\":\"O-1\",\
    \"carrier\":\"dhl\",\"promised_by\":null,\"submitted_at\":\"2026-11-22T03:00:00Z\"}}";

#[test]
fn plain_places_take_the_short_way() {
    for (place, count) in [(plain(), 1), (full(), 1), (foreign(), 1)] {
        assert_eq!(both_ways(Format::Json, &json(place)), (count, 1));
    }
    assert_eq!(both_ways(Format::Json, SPACED), (1, 1));
    assert_eq!(both_ways(Format::Json, REORDERED), (1, 1));
    let many = vec![Command::Place(plain()), Command::Place(full()), Command::Place(foreign())];
    assert_eq!(both_ways(Format::Json, &encode_commands(Format::Json, &many)), (3, 3));
    // Escapes, of which the long way knows.
    let escaped = br#"{"place":{"order_id":"O-\u0031","lines":[{"sku":"A\"B","quantity":1}]}}"#;
    assert_eq!(both_ways(Format::Json, escaped), (0, 1));
    // Ids of every length, at the payload's end too.
    for length in 1..=66 {
        for letter in ["x", "é", "日"] {
            let id = letter.repeat(length);
            let short = usize::from(id.len() <= 64);
            for payload in [
                format!(r#"{{"place":{{"order_id":"{id}","lines":[{{"sku":"{id}","quantity":1}}]}}}}"#),
                format!(r#"{{"place":{{"lines":[{{"sku":"A","quantity":1}}],"order_id":"{id}"}}}}"#),
                format!(
                    r#"{{"place":{{"lines":[{{"sku":"A","quantity":1}}],"order_id":"{id}"  }} }}        "#
                ),
            ] {
                assert_eq!(both_ways(Format::Json, payload.as_bytes()), (short, short), "{payload}");
                let before_others = array_before_others(payload.as_bytes());
                assert_eq!(both_ways(Format::Json, &before_others), (short + 2, short + 2), "{payload}");
            }
        }
    }
}

/// The quickest ways look at more bytes than the shortest payloads have.
fn array_before_others(place: &[u8]) -> Vec<u8> {
    let other = json(plain());
    [b"[", place, b",", &other, b",", &other, b"]"].concat()
}

/// An order as checkouts send it, of which nothing but its id is longer than 16 bytes.
fn usual() -> Place<'static> {
    let mut place = full();
    for (line, sku) in place.lines.iter_mut().zip(["85123A", "84406B-XL"]) {
        (line.sku, line.unit_price) = (sku.into(), None);
    }
    place
}

#[test]
fn a_usual_place_is_read_alike_both_ways_whatever_of_it_is_changed() {
    let long = |place: Place<'_>| [json(place), b" ".repeat(600)].concat();
    let mut short = 0;
    let base = long(usual());
    let length = base.len() - 600;
    changes(&base[..length], b"", |changed| {
        let padded = [changed, &b" ".repeat(600)].concat();
        short += both_ways(Format::Json, &padded).0;
    });
    assert!(short > 15_000, "{short}");
    // Ids, attributes and lengths, each at its edge.
    for length in 1..=66 {
        let mut place = usual();
        place.order_id = "x".repeat(length).into();
        let read = usize::from(length <= 64);
        assert_eq!(both_ways(Format::Json, &long(place)), (read, read), "{length}");
    }
    let attribute = |number: usize| (format!("k{number}").into(), "v".repeat(number).into());
    for count in 0..=ATTRIBUTES_MAX + 1 {
        let mut place = usual();
        place.attributes = Attributes((0..count).map(attribute).collect());
        let (short, could) = both_ways(Format::Json, &long(place));
        assert_eq!(short, could, "{count}");
    }
    // To and beyond the last place that the quickest way looks at.
    let mut lengths = Vec::new();
    for fill in 0..64 {
        let mut place = usual();
        place.order_id = "x".repeat(fill + 1).into();
        let texts = (0..7).map(|number| (format!("key{number:02}").into(), "v".repeat(16).into()));
        place.attributes = Attributes(texts.collect());
        lengths.push(json(place.clone()).len());
        assert_eq!(both_ways(Format::Json, &long(place)), (1, 1), "{lengths:?}");
    }
    assert!(lengths[0] < 512 && lengths[63] > 512, "{lengths:?}");
}

#[test]
fn a_changed_place_before_others_is_read_alike_both_ways() {
    let mut one = plain();
    one.lines.truncate(1);
    one.submitted_at = None;
    let mut wide = plain();
    wide.order_id = "0123456789abcdef".into();
    wide.lines[0].quantity = 123_456;
    wide.lines[1].quantity = 1_234_567;
    for place in [plain(), one, wide] {
        let mut short = 0;
        changes(&json(place), b"", |changed| {
            short += both_ways(Format::Json, &array_before_others(changed)).0;
        });
        assert!(short > 50_000, "{short}");
    }
}

#[test]
fn what_the_short_way_reads_it_reads_as_the_long_way_does() {
    let also = b"\"0";
    let (mut short, mut could, mut all) = (0, 0, 0);
    for payload in [json(plain()), json(full()), json(foreign()), SPACED.to_vec(), REORDERED.to_vec()] {
        changes(&payload, if payload.len() < 200 { also } else { b"" }, |changed| {
            let (plain, could_be) = both_ways(Format::Json, changed);
            (short, could, all) = (short + plain, could + could_be, all + 1);
        });
    }
    println!("{all} payloads, {could} plain places, {short} by the short way");
    assert!(short > 30_000 && short * 100 > could * 95, "{short} of {could} of {all}");
}

#[test]
fn changed_arrays_are_read_alike_both_ways() {
    let both = encode_commands(Format::Json, &[Command::Place(plain()), Command::Place(plain())]);
    let mut short = 0;
    changes(&both, b"", |changed| short += both_ways(Format::Json, changed).0);
    assert!(short > 100_000, "{short}");
}

fn confirmed(order_id: &str) -> Decision<'_> {
    let (lines, shortages) = (vec![], vec![]);
    Decision::Confirmed {
        order_id: order_id.into(),
        pay_by: None,
        lines,
        shortages,
        released: false,
        repeat: None,
    }
}

#[test]
fn outcomes_are_written_as_serde_writes_them() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut writer = JsonOutcomes::new();
    let (mut written, mut expected, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut sequence, mut at) = (0, Timestamp::ZERO);
    for round in 0..50_000 {
        let length = random.usize(0..70);
        let any = random.u8(..) < 30;
        let order_id: String = (0..length)
            .map(|_| if any { random.char(..) } else { char::from(random.u8(0x20..0x7f)) })
            .collect();
        let mut decision = confirmed(&order_id);
        let time =
            |random: &mut fastrand::Rng| Timestamp::from_millis(random.i64(-1000..260_000_000_000_000));
        if let Decision::Confirmed { pay_by, lines, shortages, released, repeat, .. } = &mut decision {
            *pay_by =
                random.bool().then(|| if random.bool() { at.plus_millis(1000) } else { time(&mut random) });
            *released = random.u8(..) < 60;
            if random.u8(..) < 10 {
                lines.push(SiteLine { sku: "A".into(), quantity: 1, site: "main".into() });
            }
            if random.u8(..) < 10 {
                shortages.push(Shortage { sku: "A".into(), requested: 2, available: 1 });
            }
            if random.u8(..) < 10 {
                *repeat = Some(Repeat { duplicate: True, first_sequence: 3, state: None });
            }
        }
        if random.u8(..) < 10 {
            decision = Decision::PolicyApplied { rules: 1 };
        }
        if random.u8(..) < 60 {
            sequence = random.u64(..) >> random.u8(0..64);
            at = time(&mut random);
        }
        let index = random.u32(..) >> random.u8(0..32);
        let place = if random.bool() { 0 } else { random.u32(..) >> random.u8(0..32) };
        let outcome = Outcome { decision, sequence, index, place, at };
        bytes.clear();
        let start = encode_outcome(&mut bytes, &outcome.decision, outcome.identity(), at);
        let before = written.len();
        writer.write(&mut written, &bytes[start..]).unwrap();
        expected.clear();
        write_json_outcome(&mut expected, &outcome);
        assert_eq!(expected, serde_json::to_vec(&outcome).unwrap());
        assert_eq!(&written[before..], expected, "{round} {outcome:?}");
    }
    assert!(writer.write(&mut written, &bytes).is_err());
}
