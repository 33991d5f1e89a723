//! The order of the source itself: floors, openings, sizes, and names that stand for one thing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use weir::words::command::CommandKind;
use weir::words::fault::Fault;
use weir::words::outcome::{OutcomeKind, Reason};

/// The floors, from the lowest.
const FLOORS: [&str; 6] = ["words", "folds", "edges", "motion", "process", "commands"];

/// The most lines of a file, without its comments and blank lines.
const CODE_LINES_MAX: usize = 500;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file, by its path below `src`.
fn files() -> Vec<(PathBuf, String)> {
    let found = files_below(&source());
    assert!(found.len() > 50, "the source is somewhere else");
    found
}

/// Every source file, by its path below a folder.
fn files_below(root: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root).unwrap().to_owned(), text));
            }
        }
    }
    found
}

/// The lines that are neither comments nor blank.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"))
}

fn floor(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| *floor == name)
}

fn word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    &text[..end]
}

/// The modules at the top of the crate that a piece of code names.
fn named(code: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for root in ["crate::", "weir::"] {
        for (start, _) in code.match_indices(root) {
            if code[..start].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_') {
                continue;
            }
            let rest = &code[start + root.len()..];
            let Some(group) = rest.strip_prefix('{') else {
                names.push(word(rest));
                continue;
            };
            // What stands at the first level of the group.
            let (mut depth, mut item) = (0, 0);
            for (place, letter) in group.char_indices() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth > 0 => depth -= 1,
                    '}' => {
                        names.push(word(group[item..].trim_start()));
                        break;
                    }
                    ',' if depth == 0 => {
                        names.push(word(group[item..].trim_start()));
                        item = place + 1;
                    }
                    _ => {}
                }
            }
        }
    }
    names
}

#[test]
fn groups_are_taken_apart() {
    assert_eq!(
        named("use crate::words::{a, b};\nuse crate::{edges::{x, y}, folds};"),
        ["words", "edges", "folds"]
    );
    assert_eq!(named("pub(in crate::motion) x: mycrate::process::Y"), ["motion"]);
}

#[test]
fn a_file_imports_its_own_floor_and_lower_ones() {
    let mut wrong = Vec::new();
    for (path, text) in files() {
        let first = path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        let own = match (floor(first), first) {
            (Some(own), _) => own,
            (None, "lib" | "main") => FLOORS.len(),
            // Beside the floors: it stands on the words and the edges.
            (None, "client") => {
                let code = code(&text).collect::<Vec<_>>().join("\n");
                let others = named(&code).into_iter().filter(|name| floor(name).is_some());
                let others = others.filter(|name| !["words", "edges"].contains(name));
                wrong.extend(others.map(|name| format!("{} imports {name}", path.display())));
                FLOORS.len()
            }
            (None, _) => panic!("{} is on no floor", path.display()),
        };
        let code = code(&text).collect::<Vec<_>>().join("\n");
        for name in named(&code) {
            if floor(name).is_some_and(|used| used > own) {
                wrong.push(format!("{} imports {name}", path.display()));
            }
        }
        // Nobody goes round the back.
        for floor in FLOORS.iter().filter(|floor| **floor != first) {
            if code.contains(&format!("super::{floor}::")) {
                wrong.push(format!("{} reaches {floor} by `super`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The layers of motion, from the lowest.
const LAYERS: [&str; 6] = ["rules", "store", "past", "live", "door", "sharing"];

/// The paths that code names, from `crate`, `super` or `self` on, each item of a group by itself.
fn paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for root in ["crate::", "super::", "self::"] {
        for (start, _) in code.match_indices(root) {
            let before = code[..start].chars().next_back();
            if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == ':') {
                continue;
            }
            let rest = &code[start..];
            let end = rest.find(|letter: char| !(letter.is_alphanumeric() || "_:".contains(letter)));
            let (head, tail) = rest.split_at(end.unwrap_or(rest.len()));
            let group = tail.strip_prefix('{').and_then(|tail| tail.split_once('}'));
            match group {
                Some((group, _)) if head.ends_with("::") => {
                    let items = group.split([',', '{']).map(str::trim).filter(|item| !item.is_empty());
                    paths.extend(items.map(|item| format!("{head}{item}")));
                }
                _ => paths.push(head.to_owned()),
            }
        }
    }
    paths
}

/// The module of a file, as its names after `crate`.
fn module(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        path.with_extension("").iter().map(|name| name.to_str().unwrap().to_owned()).collect();
    if names.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        names.pop();
    }
    names
}

/// The module, of those there are, that a path in a module's file leads to.
fn target(module: &[String], path: &str, all: &BTreeSet<Vec<String>>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (place, name) in path.split("::").enumerate() {
        match name {
            "crate" => names.clear(),
            "self" if place == 0 => names = module.to_vec(),
            "super" if place == 0 => names = module[..module.len() - 1].to_vec(),
            "super" => drop(names.pop()),
            name => names.push(name.to_owned()),
        }
    }
    while !names.is_empty() && !all.contains(&names) {
        names.pop();
    }
    names
}

/// Which module names which others, but for those that it lies in or that lie in it.
fn named_modules() -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let files = files();
    let all: BTreeSet<_> = files.iter().map(|(path, _)| module(path)).collect();
    let found = files.iter().map(|(path, text)| {
        let own = module(path);
        let code = code(text).collect::<Vec<_>>().join("\n");
        let named = paths(&code).iter().map(|path| target(&own, path, &all)).collect::<BTreeSet<_>>();
        let beside = |other: &Vec<String>| !own.starts_with(other) && !other.starts_with(&own);
        (own.clone(), named.into_iter().filter(beside).collect())
    });
    found.collect()
}

#[test]
fn motion_is_in_layers() {
    let layer = |module: &[String]| match module {
        [floor, layer, ..] if floor == "motion" => LAYERS.iter().position(|name| name == layer),
        _ => None,
    };
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (own, named) in named_modules() {
        if own.len() < 2 || own[0] != "motion" {
            continue;
        }
        let Some(own_layer) = layer(&own) else { panic!("{own:?} is on no layer") };
        seen.insert(own_layer);
        wrong.extend(
            named.into_iter().filter(|used| layer(used) > Some(own_layer)).map(|used| (own.clone(), used)),
        );
    }
    assert_eq!(seen.len(), LAYERS.len(), "the layers are somewhere else");
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What the floor shows by shorter names is for other floors.
    for (path, text) in files() {
        if path.starts_with("motion") && path != Path::new("motion/mod.rs") {
            let code = code(&text).collect::<Vec<_>>().join("\n");
            for path_named in paths(&code) {
                let names: Vec<_> = path_named.split("::").collect();
                let whole = names.first() != Some(&"crate") || names.get(1) != Some(&"motion");
                let through = names.get(2).is_none_or(|name| LAYERS.contains(name));
                assert!(whole || through, "{} goes round by {path_named}", path.display());
            }
        }
    }
}

#[test]
fn motion_and_edges_have_no_circles() {
    let named = named_modules();
    let inside = |module: &[String]| ["motion", "edges"].contains(&module[0].as_str());
    // Whoever names only what is settled is settled: what is left at the end names itself in a circle.
    let mut left: BTreeMap<_, _> = named.iter().filter(|(own, _)| !own.is_empty() && inside(own)).collect();
    loop {
        let settled: Vec<_> = left
            .iter()
            .filter(|(_, used)| used.iter().all(|used| !left.contains_key(used)))
            .map(|(own, _)| (*own).clone())
            .collect();
        if settled.is_empty() {
            break;
        }
        left.retain(|own, _| !settled.contains(own));
    }
    let circle: Vec<_> = left
        .iter()
        .map(|(own, used)| (own, used.iter().filter(|used| left.contains_key(used)).collect::<Vec<_>>()))
        .collect();
    assert!(circle.is_empty(), "{circle:#?}");
}

#[test]
fn every_file_says_what_it_is_and_stays_small() {
    let mut wrong = Vec::new();
    let beside = ["benches", "examples", "tests/kit"].map(|folder| source().with_file_name(folder));
    let beside = beside.iter().flat_map(|folder| files_below(folder));
    for (path, text) in files().into_iter().chain(beside) {
        let path = path.display();
        if !text.starts_with("//! ") {
            wrong.push(format!("{path} does not begin with //!"));
        }
        let lines = code(&text).count();
        if lines > CODE_LINES_MAX {
            wrong.push(format!("{path} has {lines} lines of code"));
        }
        for unfinished in ["todo!(", "unimplemented!(", "dbg!("] {
            if code(&text).any(|line| line.contains(unfinished)) {
                wrong.push(format!("{path} has {unfinished})"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_name_stands_for_one_thing() {
    #[track_caller]
    fn distinct<'n>(names: impl IntoIterator<Item = &'n str>) {
        let mut seen = BTreeSet::new();
        for name in names {
            assert!(seen.insert(name), "{name} stands for two things");
            let plain = |letter: char| letter.is_ascii_lowercase() || letter == '_';
            assert!(!name.is_empty() && name.chars().all(plain), "{name:?}");
        }
    }
    distinct(Fault::NAMES);
    distinct(Reason::ALL.map(Reason::code));
    distinct(OutcomeKind::ALL.map(OutcomeKind::name));
    distinct(CommandKind::ALL.map(CommandKind::name));
}
