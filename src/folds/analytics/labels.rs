//! Bounded sets of labels: the first so many names are themselves, all others are `other`.
//!
//! Names come from outside. They are kept as they are, cut to 64 bytes; whoever shows them escapes them as its format demands.

use wincode::{SchemaRead, SchemaWrite};

use super::sketches::index::Index;
use crate::words::hash::hash;
use crate::words::text::ID_BYTES_MAX;

/// The label of whatever is beyond the bound.
pub(super) const OTHER: u16 = 0;
/// The label of what has no name.
pub(super) const NONE: u16 = 1;

/// A bounded set of labels.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub struct Labels {
    max: usize,
    names: Vec<String>,
    #[wincode(skip)]
    index: Index,
}

impl Labels {
    /// At most `max` names, beside `other` and `none`.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let names = vec!["other".to_owned(), "none".to_owned()];
        Self { max: max.min(60_000) + names.len(), names, index: Index::default() }
    }

    /// The label of a name.
    pub fn label(&mut self, name: &str) -> u16 {
        if name.is_empty() {
            return NONE;
        }
        let mut end = name.len().min(ID_BYTES_MAX);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        let name = &name[..end];
        let named = hash(name.as_bytes());
        if let Some(label) = self.index.get(&named) {
            return u16::try_from(*label).unwrap_or(OTHER);
        }
        if self.names.len() >= self.max {
            return OTHER;
        }
        let label = u32::try_from(self.names.len()).unwrap_or(0);
        self.names.push(name.to_owned());
        self.index.insert(named, label);
        u16::try_from(label).unwrap_or(OTHER)
    }

    /// The name of a label.
    #[must_use]
    pub fn name(&self, label: u16) -> &str {
        self.names.get(usize::from(label)).map_or("other", |name| name)
    }

    /// How many labels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Never: `other` and `none` are always there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Makes the index again after reading; false where it does not hold together.
    pub(super) fn restore(&mut self) -> bool {
        let named = self.names.iter().enumerate().skip(2);
        self.index =
            named.map(|(label, name)| (hash(name.as_bytes()), u32::try_from(label).unwrap_or(0))).collect();
        self.names.len() >= 2 && self.names.len() <= self.max && self.max <= 60_002
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_everything_is_other() {
        let mut labels = Labels::new(2);
        assert_eq!((labels.label("a"), labels.label("b\n\"\\"), labels.label("c")), (2, 3, OTHER));
        assert_eq!((labels.label("a"), labels.label(""), labels.label("other")), (2, NONE, OTHER));
        assert_eq!(labels.name(3), "b\n\"\\");
        assert!(labels.restore());
        assert_eq!(labels.label("a"), 2);
        let long = "é".repeat(100);
        let mut labels = Labels::new(2);
        let label = labels.label(&long);
        assert_eq!(labels.name(label).len(), 64);
    }
}
