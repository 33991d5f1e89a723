//! Fields that are read with care: lists that are bounded, and what may be absent.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::ELEMENTS_MAX;

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A list of at most [`ELEMENTS_MAX`] elements: the bound stands before the memory is taken.
pub(in crate::words) fn capped<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Elements<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = seq.next_element()? {
                if elements.len() == ELEMENTS_MAX {
                    return Err(de::Error::custom(format_args!("more than {ELEMENTS_MAX} elements")));
                }
                elements.push(element);
            }
            Ok(elements)
        }
    }
    deserializer.deserialize_seq(Elements(std::marker::PhantomData))
}

/// As [`capped`], for a list that may be absent.
pub(in crate::words) fn capped_option<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    struct Capped<T>(Vec<T>);
    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Capped<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            capped(deserializer).map(Self)
        }
    }
    Ok(Option::<Capped<T>>::deserialize(deserializer)?.map(|Capped(list)| list))
}

/// A field that may be absent, of which `null` is one way.
pub(super) fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
