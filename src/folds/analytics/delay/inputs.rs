//! What an order tells about itself, turned into the model's inputs: *numbers*, which become covariates, and *levels*, which are
//! known by their keys.
//!
//! Nothing is configured. An attribute is a number while at least 95% of its values parse as one, decided from its fiftieth value
//! on; and it is a level by its values, unless it is a number with more than 1,024 of them: then by bins of its logarithm. Some
//! names have a meaning from the start ([`VOCABULARY`]); any others work too.
//!
//! Keys are interned exactly, not hashed into shared slots: a key is admitted when it is seen a second time, and at most
//! [`KEYS_MAX`] a level; all others share their level's `other`. What was seen once is remembered in a table of 4,096
//! fingerprints a level, in which a later key displaces an earlier one: who comes once in ten thousand orders may stay in `other`.

use wincode::{SchemaRead, SchemaWrite};

use super::profile::{ALL, ATTRIBUTE_FIRST, ATTRIBUTES_MAX, CARRIER, NONE, OWN_LEVELS, Profile, SITE, VALUE};
use crate::folds::analytics::sketches::index::Index;
use crate::words::hash::{fold, hash};

/// The most keys of one level, `other` among them.
pub const KEYS_MAX: usize = 4_096;
/// Pairs among the first four levels that have 2 to [`PAIRED_KEYS_MAX`] keys.
pub(super) const PAIRS: usize = 6;
/// Which of the four are paired.
const PAIRED: [(usize, usize); PAIRS] = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)];
/// All levels.
pub(super) const LEVELS: usize = OWN_LEVELS + PAIRS;

const PAIRED_KEYS_MAX: u32 = 64;
const SEEN_ONCE: usize = 4_096;
const DECIDED_AFTER: u32 = 50;
const BINNED_ABOVE: u32 = 1_024;
/// How many characters of an attribute's name are kept.
const TEXT_MAX: usize = 64;

/// What an attribute is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Kind {
    /// Told by its values.
    Auto,
    /// A level, whatever its values look like.
    Level,
    /// A number, and a level by bins of its logarithm.
    Number,
    /// A number alone.
    Count,
}

/// Attributes whose meaning is known from the start. The first levels among site, carrier and these, in this order, are also
/// taken in pairs. `seller` is who hands over, where one site stands for many; backlogs are counted by it.
pub const VOCABULARY: [(&str, Kind); 16] = [
    ("destination_region", Kind::Level),
    ("origin_region", Kind::Level),
    ("payment", Kind::Level),
    ("service", Kind::Level),
    ("channel", Kind::Level),
    ("category", Kind::Level),
    ("seller", Kind::Level),
    ("destination", Kind::Level),
    ("origin", Kind::Level),
    ("distance", Kind::Number),
    ("freight", Kind::Number),
    ("weight", Kind::Number),
    ("volume", Kind::Number),
    ("items", Kind::Count),
    ("sellers", Kind::Count),
    ("installments", Kind::Count),
];

/// What an order says when it is placed.
#[derive(Clone, Debug, Default)]
pub struct Said<'a> {
    /// Where its stock is.
    pub site: &'a str,
    /// Who is to carry it; empty where that is open.
    pub carrier: &'a str,
    /// How many units.
    pub units: f64,
    /// What it is worth, in the minor unit.
    pub value: Option<f64>,
    /// Its attributes.
    pub attributes: &'a [(std::borrow::Cow<'a, str>, std::borrow::Cow<'a, str>)],
}

/// The keys of one row, by which the model's parameters are found.
#[derive(Clone, Copy, Debug, SchemaRead, SchemaWrite)]
pub(super) struct Keys {
    keys: [u32; LEVELS],
    len: u8,
}

impl Keys {
    /// Zeros take the least room in a saved state.
    const NONE: Self = Self { keys: [0; LEVELS], len: 0 };

    pub(super) fn as_slice(&self) -> &[u32] {
        &self.keys[..usize::from(self.len).min(LEVELS)]
    }

    fn push(&mut self, key: u32) {
        self.keys[usize::from(self.len)] = key;
        self.len += 1;
    }
}

#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
struct Attribute {
    name: u64,
    text: String,
    kind: Kind,
    seller: bool,
    /// Its place in the order in which levels are paired.
    rank: u32,
    values: u32,
    numeric: u32,
    binned: bool,
}

#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
struct Level {
    other: u32,
    /// Keys admitted, `other` not among them; by bins alone, once there are bins.
    distinct: u32,
    keys: u32,
    seen_once: Vec<u32>,
}

/// What all orders' inputs were so far: attributes, their kinds, and every key.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub(super) struct Inputs {
    attributes: Vec<Attribute>,
    levels: Vec<Level>,
    /// By key: its level.
    level_of: Vec<u8>,
    /// By key: its hash; 0 for the levels' `other`.
    hashes: Vec<u64>,
    #[wincode(skip)]
    index: Index,
    /// Which levels are paired now.
    paired: [u8; 4],
    /// The place of the attribute that probably comes next.
    #[wincode(skip)]
    next_attribute: usize,
    /// Attributes left out since there were [`ATTRIBUTES_MAX`] already.
    pub(super) left_out: u64,
}

impl Inputs {
    pub(super) fn new() -> Self {
        let mut level_of = Vec::new();
        let levels = (0..LEVELS)
            .map(|level| {
                level_of.push(u8::try_from(level).unwrap_or(u8::MAX));
                Level {
                    other: u32::try_from(level).unwrap_or(NONE),
                    distinct: 0,
                    keys: 1,
                    seen_once: Vec::new(),
                }
            })
            .collect();
        Self {
            attributes: Vec::new(),
            levels,
            hashes: vec![0; level_of.len()],
            level_of,
            index: Index::default(),
            paired: [u8::MAX; 4],
            next_attribute: 0,
            left_out: 0,
        }
    }

    /// How many keys there are over all levels.
    pub(super) fn keys(&self) -> usize {
        self.level_of.len()
    }

    pub(super) fn level_of(&self, key: u32) -> usize {
        usize::from(self.level_of[key as usize])
    }

    /// What a level is called.
    pub(super) fn level_name(&self, level: usize) -> String {
        let own = |level: usize| match level {
            ALL => "all orders".to_owned(),
            SITE => "site".to_owned(),
            CARRIER => "carrier".to_owned(),
            VALUE => "value".to_owned(),
            _ => self.attributes.get(level - ATTRIBUTE_FIRST).map(|it| it.text.clone()).unwrap_or_default(),
        };
        if level < OWN_LEVELS {
            return own(level);
        }
        let (left, right) = PAIRED[level - OWN_LEVELS];
        let name = |place: usize| match usize::from(self.paired[place]) {
            level if level < OWN_LEVELS => own(level),
            _ => "former".to_owned(),
        };
        format!("{} and {}", name(left), name(right))
    }

    /// By key: its level.
    pub(super) fn levels_of(&self) -> &[u8] {
        &self.level_of
    }

    /// How many keys each level has.
    pub(super) fn distinct(&self, level: usize) -> u32 {
        self.levels[level].distinct
    }

    /// The number of levels that tell orders apart.
    pub(super) fn active_levels(&self) -> usize {
        self.levels.iter().filter(|level| level.distinct > 1).count()
    }

    /// The order's carrier, if it was seen twice.
    pub(super) fn carrier(&self, profile: &Profile) -> Option<u32> {
        profile.level(CARRIER).filter(|key| *key != self.levels[CARRIER].other)
    }

    /// Takes in what a placed order says.
    pub(super) fn profile(&mut self, said: &Said<'_>) -> Profile {
        let mut profile = Profile::with_room_for(said.attributes.len().min(ATTRIBUTES_MAX));
        profile.set_level(ALL, self.levels[ALL].other);
        profile.party = self.key(SITE, hash(said.site.as_bytes()));
        profile.set_level(SITE, profile.party);
        if !said.carrier.is_empty() {
            self.set_carrier(&mut profile, said.carrier);
        }
        #[expect(clippy::cast_possible_truncation, reason = "inputs are rounded to f32")]
        {
            profile.set_number(0, said.units as f32);
            if let Some(value) = said.value {
                profile.set_number(1, value as f32);
                profile.set_level(VALUE, self.key(VALUE, bin_hash(value)));
            }
        }
        self.next_attribute = 0;
        for (name, value) in said.attributes.iter().take(ATTRIBUTES_MAX) {
            self.attribute(&mut profile, name, value);
        }
        profile
    }

    /// The carrier that an order left with.
    pub(super) fn set_carrier(&mut self, profile: &mut Profile, carrier: &str) {
        profile.set_level(CARRIER, self.key(CARRIER, hash(carrier.as_bytes())));
    }

    fn attribute(&mut self, profile: &mut Profile, name: &str, value: &str) {
        let Some(place) = self.attribute_place(name) else {
            self.left_out += 1;
            return;
        };
        let number = value.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        let level = ATTRIBUTE_FIRST + place;
        let distinct = self.levels[level].distinct;
        let attribute = &mut self.attributes[place];
        if !value.is_empty() {
            attribute.values = attribute.values.saturating_add(1);
            attribute.numeric = attribute.numeric.saturating_add(u32::from(number.is_some()));
        }
        let numeric = match attribute.kind {
            Kind::Number | Kind::Count => true,
            Kind::Level => false,
            Kind::Auto => {
                attribute.values >= DECIDED_AFTER
                    && u64::from(attribute.numeric) * 100 >= u64::from(attribute.values) * 95
            }
        };
        let binned = attribute.kind == Kind::Number
            || (attribute.kind == Kind::Auto && numeric && (attribute.binned || distinct > BINNED_ABOVE));
        if binned && !attribute.binned {
            attribute.binned = true;
            self.levels[level].distinct = 0;
        }
        let (seller, kind) = (self.attributes[place].seller, self.attributes[place].kind);
        if let Some(number) = number.filter(|_| numeric) {
            #[expect(clippy::cast_possible_truncation, reason = "inputs are rounded to f32")]
            profile.set_number(2 + place, number as f32);
        }
        if kind == Kind::Count || (value.is_empty() && !binned) {
            return;
        }
        let key = if binned { bin_hash(number.unwrap_or(f64::NAN)) } else { hash(value.as_bytes()) };
        let key = self.key(level, key);
        profile.set_level(level, key);
        if seller {
            profile.party = key;
        }
    }

    fn attribute_place(&mut self, name: &str) -> Option<usize> {
        // Orders name the same ones in the same order: the one after the last is tried first.
        let next = self.next_attribute;
        if self.attributes.get(next).is_some_and(|it| it.text == name && name.len() < TEXT_MAX) {
            self.next_attribute = next + 1;
            return Some(next);
        }
        let named = hash(name.as_bytes());
        if let Some(place) = self.attributes.iter().position(|attribute| attribute.name == named) {
            self.next_attribute = place + 1;
            return Some(place);
        }
        if self.attributes.len() == ATTRIBUTES_MAX {
            return None;
        }
        let known = VOCABULARY.iter().position(|(known, _)| *known == name);
        self.attributes.push(Attribute {
            name: named,
            text: name.chars().take(TEXT_MAX).collect(),
            kind: known.map_or(Kind::Auto, |known| VOCABULARY[known].1),
            seller: name == "seller",
            rank: u32::try_from(known.unwrap_or(VOCABULARY.len() + self.attributes.len())).unwrap_or(NONE),
            values: 0,
            numeric: 0,
            binned: false,
        });
        Some(self.attributes.len() - 1)
    }

    /// The key of `value` at `level`: its own, or the level's `other`.
    fn key(&mut self, level: usize, value: u64) -> u32 {
        let named = fold(level as u64, value);
        if let Some(key) = self.index.get(&named) {
            return *key;
        }
        let it = &mut self.levels[level];
        if it.keys as usize >= KEYS_MAX {
            return it.other;
        }
        if it.seen_once.is_empty() {
            it.seen_once = vec![0; SEEN_ONCE];
        }
        #[expect(clippy::cast_possible_truncation, reason = "a fingerprint")]
        let (place, fingerprint) = (named as usize % SEEN_ONCE, (named >> 32) as u32 | 1);
        if it.seen_once[place] != fingerprint {
            it.seen_once[place] = fingerprint;
            return it.other;
        }
        let key = u32::try_from(self.level_of.len()).unwrap_or(NONE);
        self.level_of.push(u8::try_from(level).unwrap_or(u8::MAX));
        self.hashes.push(named);
        self.index.insert(named, key);
        it.keys += 1;
        it.distinct += 1;
        key
    }

    /// Chooses the levels that are paired: the first four, by site, carrier and the order of [`VOCABULARY`] and of first sight,
    /// that have 2 to 64 keys.
    pub(super) fn choose_pairs(&mut self) {
        let pairable = |level: usize| (2..=PAIRED_KEYS_MAX).contains(&self.levels[level].distinct);
        let mut ranked: Vec<(u32, usize)> = self
            .attributes
            .iter()
            .enumerate()
            .filter(|(_, it)| matches!(it.kind, Kind::Level | Kind::Auto) && !it.binned)
            .map(|(place, it)| (it.rank, ATTRIBUTE_FIRST + place))
            .collect();
        ranked.sort_unstable();
        let chosen = [SITE, CARRIER].into_iter().chain(ranked.into_iter().map(|(_, level)| level));
        let mut paired = [u8::MAX; 4];
        for (place, level) in paired.iter_mut().zip(chosen.filter(|level| pairable(*level))) {
            *place = u8::try_from(level).unwrap_or(u8::MAX);
        }
        self.paired = paired;
    }

    /// The keys of a row: those of its levels that tell orders apart, of all orders, and of its pairs.
    pub(super) fn keys_of(&mut self, profile: &Profile) -> Keys {
        let mut keys = Keys::NONE;
        for (level, key) in profile.levels() {
            if level == ALL || self.levels[level].distinct > 1 {
                keys.push(key);
            }
        }
        for (pair, (left, right)) in PAIRED.into_iter().enumerate() {
            let of = |place: usize| {
                let level = usize::from(self.paired[place]);
                profile.level(level).filter(|key| *key != self.levels[level].other)
            };
            if let (Some(left), Some(right)) = (of(left), of(right)) {
                let key = self.key(OWN_LEVELS + pair, u64::from(left) << 32 | u64::from(right));
                keys.push(key);
            }
        }
        keys
    }

    /// As [`Inputs::keys_of`], of which only the first `keys` are known.
    pub(super) fn known_keys_of(&mut self, profile: &Profile, keys: usize) -> Keys {
        let mut known = Keys::NONE;
        for key in self.keys_of(profile).as_slice() {
            if (*key as usize) < keys {
                known.push(*key);
            }
        }
        known
    }

    /// Whether what was read back holds together.
    pub(super) fn is_sound(&self) -> bool {
        let keys = self.level_of.len();
        self.attributes.len() <= ATTRIBUTES_MAX
            && self.levels.len() == LEVELS
            && (LEVELS..=LEVELS * KEYS_MAX).contains(&keys)
            && self.level_of.iter().all(|level| usize::from(*level) < LEVELS)
            && self
                .levels
                .iter()
                .all(|level| (level.other as usize) < keys && [0, SEEN_ONCE].contains(&level.seen_once.len()))
            && self.hashes.len() == keys
    }

    /// Makes the index again after reading.
    pub(super) fn reindex(&mut self) {
        let named = self.hashes.iter().enumerate().filter(|(_, hash)| **hash != 0);
        self.index = named.map(|(key, hash)| (*hash, u32::try_from(key).unwrap_or(NONE))).collect();
    }
}

/// The bin of a number: a step of its logarithm to the base 2 by two thirds; zero, and no number, are bins of their own.
fn bin_hash(value: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "a logarithm is small")]
    let bin = if value.is_nan() {
        i64::MIN
    } else if value == 0.0 {
        i64::MAX
    } else {
        (1.5 * value.abs().log2()).floor() as i64
    };
    fold(u64::MAX, bin.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<'a>(attributes: &'a [(std::borrow::Cow<'a, str>, std::borrow::Cow<'a, str>)]) -> Said<'a> {
        Said { site: "main", carrier: "", units: 1.0, value: None, attributes }
    }

    #[test]
    fn a_key_is_admitted_at_its_second_sight_and_a_level_is_bounded() {
        let mut inputs = Inputs::new();
        let colour = |name: &str| vec![("colour".into(), name.to_owned().into())];
        let first = inputs.profile(&said(&colour("red"))).level(ATTRIBUTE_FIRST).unwrap();
        let second = inputs.profile(&said(&colour("red"))).level(ATTRIBUTE_FIRST).unwrap();
        assert_eq!(first, inputs.levels[ATTRIBUTE_FIRST].other);
        assert_ne!(first, second);
        assert_eq!(inputs.profile(&said(&colour("red"))).level(ATTRIBUTE_FIRST), Some(second));
        for number in 0..20_000 {
            for _ in 0..2 {
                let _ = inputs.profile(&said(&colour(&format!("c{number}"))));
            }
        }
        assert!(inputs.keys() <= LEVELS + KEYS_MAX, "{}", inputs.keys());
        assert!(inputs.is_sound());
    }

    #[test]
    fn kinds_are_told_by_the_values() {
        let mut inputs = Inputs::new();
        for number in 0..3_000 {
            for _ in 0..2 {
                let attributes = vec![
                    ("size".into(), format!("{}", number * 7).into()),
                    ("text".into(), format!("t{}", number % 10).into()),
                    ("grade".into(), format!("{}", number % 5).into()),
                ];
                let profile = inputs.profile(&said(&attributes));
                if number > 100 {
                    let numbers: Vec<usize> = profile.numbers().map(|(place, _)| place).collect();
                    assert_eq!(numbers, [0, 2, 4]);
                }
            }
        }
        assert!(inputs.attributes[0].binned && !inputs.attributes[2].binned);
        assert!(inputs.distinct(ATTRIBUTE_FIRST) < 30, "bins are few: {}", inputs.distinct(ATTRIBUTE_FIRST));
        inputs.choose_pairs();
        let pairs = [ATTRIBUTE_FIRST + 1, ATTRIBUTE_FIRST + 2].map(|level| u8::try_from(level).unwrap());
        assert_eq!(inputs.paired[..2], pairs);
    }

    #[test]
    fn attributes_beyond_sixteen_names_are_left_out_and_counted() {
        let mut inputs = Inputs::new();
        for number in 0..40 {
            let attributes = vec![(format!("a{number}").into(), "x".into())];
            let _ = inputs.profile(&said(&attributes));
        }
        assert_eq!((inputs.attributes.len(), inputs.left_out), (16, 24));
    }
}
