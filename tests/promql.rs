//! As much of `PromQL` as the tests of dashboards and rules need: which series an expression names, by which labels, within which
//! range and function. Prometheus itself parses each expression too; this only looks.

use std::collections::BTreeSet;

/// A series that is named in an expression.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) name: String,
    /// Matchers as they stand, such as `stage="apply"`.
    pub(crate) matchers: Vec<String>,
    /// What stands in square brackets behind it.
    pub(crate) range: Option<String>,
    /// The function right before it.
    pub(crate) function: Option<String>,
}

impl Selector {
    /// The labels that it is chosen by.
    pub(crate) fn labels(&self) -> Vec<&str> {
        self.matchers.iter().map(|matcher| matcher.split(['=', '!']).next().unwrap_or_default()).collect()
    }
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'
}

/// Whether a word is the name of a series.
fn is_series(word: &str) -> bool {
    word == "up"
        || word == "ALERTS"
        || word.contains(':')
        || word.starts_with("weir_")
        || word.starts_with("process_")
}

/// The pieces between commas that are outside of quotes.
fn cut(text: &str) -> Vec<String> {
    let (mut pieces, mut quoted) = (vec![String::new()], false);
    for letter in text.chars() {
        quoted ^= letter == '"';
        if letter == ',' && !quoted {
            pieces.push(String::new());
        } else if let Some(piece) = pieces.last_mut() {
            piece.push(letter);
        }
    }
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces.iter().map(|piece| piece.trim().to_owned()).collect()
}

/// What stands up to the bracket that closes, and what stands behind it.
fn enclosed(text: &str, close: char) -> (&str, &str) {
    let mut quoted = false;
    for (place, letter) in text.char_indices() {
        quoted ^= letter == '"';
        if letter == close && !quoted {
            return (&text[..place], &text[place + 1..]);
        }
    }
    (text, "")
}

/// All words outside of quotes, each with what stands before and behind it.
fn words(expr: &str) -> Vec<(&str, &str, &str)> {
    let (mut found, mut start, mut quoted) = (Vec::new(), None, false);
    for (place, letter) in expr.char_indices().chain([(expr.len(), ' ')]) {
        quoted ^= letter == '"';
        if is_word(letter) && !quoted {
            start.get_or_insert(place);
        } else if let Some(from) = start.take() {
            found.push((&expr[..from], &expr[from..place], &expr[place..]));
        }
    }
    found
}

/// The series that an expression names.
pub(crate) fn selectors(expr: &str) -> Vec<Selector> {
    let named = words(expr).into_iter().filter(|(_, word, _)| is_series(word));
    let found = named.map(|(before, name, behind)| {
        let (matchers, behind) = match behind.strip_prefix('{') {
            Some(inner) => {
                let (inner, behind) = enclosed(inner, '}');
                (cut(inner), behind)
            }
            None => (Vec::new(), behind),
        };
        let range = behind.strip_prefix('[').map(|inner| enclosed(inner, ']').0.to_owned());
        let function = before.strip_suffix('(').map(|before| {
            let start = before.rfind(|letter: char| !is_word(letter)).map_or(0, |place| place + 1);
            before[start..].to_owned()
        });
        Selector {
            name: name.to_owned(),
            matchers,
            range,
            function: function.filter(|name| !name.is_empty()),
        }
    });
    found.collect()
}

/// The labels that an expression groups or joins by.
pub(crate) fn grouped(expr: &str) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for (_, word, behind) in words(expr) {
        if ["by", "on", "without", "ignoring"].contains(&word)
            && let Some(inner) = behind.trim_start().strip_prefix('(')
        {
            labels.extend(cut(enclosed(inner, ')').0));
        }
    }
    labels
}

#[test]
fn series_are_found_with_all_that_belongs_to_them() {
    let expr = "sum by (le, shard) (rate(weir_a_bucket{le=\"0.25\",x=~\"a,}b\"}[5m] offset 1w)) / on (job) job:b:c > up";
    let found = selectors(expr);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[0].name, "weir_a_bucket");
    assert_eq!(found[0].labels(), ["le", "x"]);
    assert_eq!(found[0].range.as_deref(), Some("5m"));
    assert_eq!(found[0].function.as_deref(), Some("rate"));
    assert_eq!((found[1].name.as_str(), found[1].range.as_deref()), ("job:b:c", None));
    assert_eq!(found[2].name, "up");
    assert_eq!(grouped(expr).into_iter().collect::<Vec<_>>(), ["job", "le", "shard"]);
}
