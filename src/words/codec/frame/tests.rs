//! Frames, tried: that each short way gives what the long one gives, and that bincode reads what is written.

use super::*;
use crate::words::codec::samples::{both_ways, changes, foreign, full, plain};
use crate::words::codec::{Format, Plain, commands, encode_commands};
use crate::words::command::{Attributes, Money, Place};
use crate::words::outcome::{Repeat, Shortage, SiteLine, True};

#[test]
fn plain_places_take_the_short_way() {
    for place in [plain(), full(), foreign()] {
        assert_eq!(
            both_ways(Format::Bincode, &encode_commands(Format::Bincode, &[Command::Place(place)])),
            (1, 1)
        );
    }
    let many = [plain(), full(), foreign(), plain()].map(Command::Place);
    assert_eq!(both_ways(Format::Bincode, &encode_commands(Format::Bincode, &many)), (4, 4));
}

#[test]
fn what_the_short_way_reads_it_reads_as_the_long_way_does() {
    let also = [0, 1, 64, 0x80, 251, 253];
    let (mut short, mut could, mut all) = (0, 0, 0);
    for place in [plain(), full(), foreign()] {
        let payload = encode_commands(Format::Bincode, &[Command::Place(place)]);
        changes(&payload, &also, |changed| {
            let (plain, could_be) = both_ways(Format::Bincode, changed);
            (short, could, all) = (short + plain, could + could_be, all + 1);
        });
    }
    println!("{all} payloads, {could} plain places, {short} by the short way");
    assert!(short > 50_000 && short * 100 > could * 90, "{short} of {could} of {all}");
}

#[test]
fn bare_places_are_taken_as_such() {
    let frame =
        encode_commands(Format::Bincode, &[plain(), full(), plain(), plain(), foreign()].map(Command::Place));
    let mut elements = commands(Some(Format::Bincode), &frame, RULES_NEWEST);
    let mut taken = Plain::ANY;
    let bare = [(); 5].map(|()| {
        let bare = elements.next_bare(&mut taken);
        if bare {
            assert_eq!(taken.command(), Command::Place(plain()));
        } else {
            elements.next().unwrap().unwrap();
        }
        bare
    });
    // The last ones are too near the end of the frame: the window would reach beyond it.
    assert_eq!(bare, [true, false, false, false, false]);
}

/// The quickest way looks at more bytes than the shortest payloads have.
#[test]
fn a_changed_place_before_others_is_read_alike_both_ways() {
    let few = |place: &Place<'static>| place.attributes.0.len() < 4;
    let mut long = plain();
    long.order_id = "3f2b8c1e-9a4d-4e77-b0c5-2d1f6a8e9b03".into();
    long.promised_by = Some("2026-11-25T00:00:00Z".parse().unwrap());
    long.carrier = Some("dhl".into());
    long.value = Some(Money { minor: 1_999, currency: "GBP".into() });
    long.attributes = full().attributes;
    let mut wide = long.clone();
    wide.attributes = Attributes((0..16).map(|key| (format!("key-{key:010}").into(), "".into())).collect());
    let (mut short, mut could) = (0, 0);
    for place in [plain(), long, wide] {
        let also: &[u8] = if few(&place) { &[0, 1, 2, 16, 17, 251, 253] } else { &[0, 253] };
        let behind = [(); 6].map(|()| Command::Place(plain()));
        let all = [&[Command::Place(place.clone())][..], &behind].concat();
        let payload = encode_commands(Format::Bincode, &all);
        let others = 6 * (1 + encode_command(&behind[0]).len());
        let (first, rest) = payload.split_at(payload.len() - others);
        changes(first, also, |changed| {
            let (plain, could_be) = both_ways(Format::Bincode, &[changed, rest].concat());
            (short, could) = (short + plain, could + could_be);
        });
    }
    assert!(short > 100_000 && short * 100 > could * 90, "{short} of {could}");
}

/// One beside another: what a decoder looks at beyond an element is not taken for a part of it.
#[test]
fn changed_frames_of_two_are_read_alike_both_ways() {
    let both = encode_commands(Format::Bincode, &[Command::Place(plain()), Command::Place(plain())]);
    let mut short = 0;
    changes(&both, &[0, 1, 251], |changed| short += both_ways(Format::Bincode, changed).0);
    assert!(short > 100_000, "{short}");
}

#[test]
fn a_policy_of_newer_rules_is_told_from_nonsense_wherever_it_stands() {
    let next = u8::try_from(RULES_NEWEST + 1).unwrap();
    let tick = encode_command(&Command::Tick(crate::words::command::Tick {}));
    let rules = |element: &[u8]| {
        let mut frame = FrameWriter::new();
        frame.push(&tick);
        frame.push(element);
        let frame = frame.finish();
        let last = commands(Some(Format::Bincode), &frame, RULES_NEWEST).last();
        match last.unwrap() {
            Ok(Command::Policy(policy)) => policy.rules,
            _ => None,
        }
    };
    assert_eq!(rules(&[10, 1, next]), Some(next.into()));
    assert_eq!(rules(&[10, 1, next, 7, 7, 7]), Some(next.into()));
    assert_eq!(rules(&[10, 1, next - 1, 7, 7, 7]), None);
    assert_eq!(rules(&[10, 0, next]), None);
    assert_eq!(rules(&[11, 1, next]), None);
    // One that could be read, but for a list that is too long.
    let sites = vec!["s".into(); ELEMENTS_MAX + 1];
    let policy =
        |rules| PolicyChange { rules: Some(rules), sites: Some(sites.clone()), ..PolicyChange::default() };
    assert_eq!(rules(&encode_command(&Command::Policy(policy(next.into())))), Some(next.into()));
    assert_eq!(rules(&encode_command(&Command::Policy(policy(RULES_NEWEST)))), None);
}

#[test]
fn outcomes_by_hand_are_as_derived_and_as_bincode_has_them() {
    use bincode::Options as _;
    let options = bincode::DefaultOptions::new();
    assert_eq!(options.serialize(&(1_u64, 300_u64, -300_i64)).unwrap(), {
        let mut bytes = vec![];
        write_varint(&mut bytes, 1);
        write_varint(&mut bytes, 300);
        write_varint(&mut bytes, zigzag(-300));
        bytes
    });
    let mut random = fastrand::Rng::with_seed(3);
    let (mut by_hand, mut derived) = (Vec::new(), Vec::new());
    for _ in 0..100_000 {
        let length = random.usize(0..70);
        let any = random.bool();
        let order_id: String = (0..length)
            .map(|_| if any { random.char(..) } else { char::from(random.u8(0x20..0x7f)) })
            .collect();
        let time = |random: &mut fastrand::Rng| Timestamp::from_millis(random.i64(..) >> random.u8(0..64));
        let some = |random: &mut fastrand::Rng| usize::from(random.u8(..) < 10);
        let decision = Decision::Confirmed {
            order_id: order_id.into(),
            pay_by: random.bool().then(|| time(&mut random)),
            lines: vec![SiteLine { sku: "A".into(), quantity: 1, site: "main".into() }; some(&mut random)],
            shortages: vec![Shortage { sku: "A".into(), requested: 2, available: 1 }; some(&mut random)],
            released: random.bool(),
            repeat: (random.u8(..) < 10).then_some(Repeat {
                duplicate: True,
                first_sequence: 3,
                state: None,
            }),
        };
        let identity = Identity {
            sequence: random.u64(..) >> random.u8(0..64),
            index: random.u32(..) >> random.u8(0..32),
            place: random.u32(..) >> random.u8(0..32),
        };
        let at = time(&mut random);
        by_hand.truncate(random.usize(0..=by_hand.len().min(40)));
        derived.clone_from(&by_hand);
        let starts = (
            encode_outcome(&mut by_hand, &decision, identity, at),
            encode_derived(&mut derived, &decision, identity, at),
        );
        assert_eq!((starts.0, &by_hand), (starts.1, &derived), "{decision:?}");
        let Identity { sequence, index, place } = identity;
        let outcome = Outcome { decision, sequence, index, place, at };
        assert_eq!(decode_outcome(&by_hand[starts.0..]).unwrap(), outcome);
    }
}
