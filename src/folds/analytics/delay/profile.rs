//! What an order said when it was placed, as inputs of the model: what it did not say takes no room, in memory and in a saved state.

use wincode::{SchemaRead, SchemaWrite};

/// The most attributes (by name) that become inputs; what an order names beyond is left out.
pub const ATTRIBUTES_MAX: usize = 16;
/// Numbers of an order: its units, its value, and its attributes.
pub(super) const NUMBERS: usize = 2 + ATTRIBUTES_MAX;
/// Levels that an order has by itself: all orders, site, carrier, value, and its attributes.
pub(super) const OWN_LEVELS: usize = ATTRIBUTE_FIRST + ATTRIBUTES_MAX;
pub(super) const ALL: usize = 0;
pub(super) const SITE: usize = 1;
pub(super) const CARRIER: usize = 2;
pub(super) const VALUE: usize = 3;
pub(super) const ATTRIBUTE_FIRST: usize = 4;
/// No key: the order does not have this level.
pub(super) const NONE: u32 = u32::MAX;

/// Values by place, in the order of their places.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
struct Sparse<T>(Vec<(u8, T)>);

impl<T: Copy> Sparse<T> {
    fn get(&self, place: usize) -> Option<T> {
        self.0.iter().find(|(own, _)| usize::from(*own) == place).map(|(_, value)| *value)
    }

    fn set(&mut self, place: usize, value: T) {
        let own = u8::try_from(place).unwrap_or(u8::MAX);
        match self.0.binary_search_by_key(&own, |(place, _)| *place) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (own, value)),
        }
    }

    fn iter(&self) -> impl Iterator<Item = (usize, T)> + '_ {
        self.0.iter().map(|(place, value)| (usize::from(*place), *value))
    }

    /// Whether places go up, below `end`.
    fn is_sorted_below(&self, end: usize) -> bool {
        self.0.is_sorted_by(|left, right| left.0 < right.0)
            && self.0.last().is_none_or(|(place, _)| usize::from(*place) < end)
    }
}

/// An order's inputs: its numbers, and one key a level.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub(in crate::folds::analytics) struct Profile {
    numbers: Sparse<f32>,
    levels: Sparse<u32>,
    /// Whose backlog it is in: a key of the level `seller` or `site`.
    pub(super) party: u32,
}

impl Profile {
    /// With room for so many attributes beside what every order has.
    pub(super) fn with_room_for(attributes: usize) -> Self {
        let room = attributes + 4;
        Self { numbers: Sparse(Vec::new()), levels: Sparse(Vec::with_capacity(room)), party: NONE }
    }

    /// The numbers that it has, with their places.
    pub(super) fn numbers(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.numbers.iter().map(|(place, number)| (place, f64::from(number)))
    }

    pub(super) fn set_number(&mut self, place: usize, number: f32) {
        self.numbers.set(place, number);
    }

    /// The levels that it has, with its keys.
    pub(super) fn levels(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.levels.iter()
    }

    /// Its key of a level.
    pub(super) fn level(&self, level: usize) -> Option<u32> {
        self.levels.get(level)
    }

    pub(super) fn set_level(&mut self, level: usize, key: u32) {
        self.levels.set(level, key);
    }

    /// Whether what was read back names only places that there are, and keys below `keys`.
    pub(in crate::folds::analytics) fn is_sound(&self, keys: usize) -> bool {
        let known = |key: u32| (key as usize) < keys;
        self.numbers.is_sorted_below(NUMBERS)
            && self.numbers.iter().all(|(_, number)| !number.is_nan())
            && self.levels.is_sorted_below(OWN_LEVELS)
            && self.levels().all(|(_, key)| known(key))
            && (self.party == NONE || known(self.party))
    }
}
