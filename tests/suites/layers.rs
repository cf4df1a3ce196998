//! The order of the core's files: each imports only from those below it. The order is the table in `src/lib.rs`'s documentation.
//! And no file of the core knows a platform: that is what ports are for.
#![cfg(not(miri))]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a `cfg` in the core may not ask for.
const PLATFORM: [&str; 7] = ["unix", "windows", "target_os", "target_arch", "target_family", "target_env", "target_vendor"];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../src")
}

/// All Rust files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The module that a file belongs to: its own, or the one that its folder is named after.
fn module(path: &Path) -> String {
    let relative = path.strip_prefix(sources()).unwrap();
    relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_string()
}

fn is_test(path: &Path) -> bool {
    matches!(path.file_name().unwrap().to_str().unwrap(), "tests.rs" | "model.rs" | "stress.rs")
}

/// The text of a file without its comments.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The modules, bottom first, as `lib.rs` documents them.
fn order() -> Vec<String> {
    let text = fs::read_to_string(sources().join("lib.rs")).unwrap();
    let row = |line: &str| Some(line.strip_prefix("//! | `")?.split_once(".rs` |")?.0.to_string());
    text.lines().filter_map(row).collect()
}

/// What follows each `crate::` in code: the first name, or each first name of a list in braces.
fn imports(code: &str) -> BTreeSet<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with('$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = true;
            for (index, c) in list.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    c if start && !c.is_whitespace() => {
                        found.insert(name(&list[index..]));
                        start = false;
                    }
                    _ => {}
                }
            }
        } else {
            found.insert(name(rest));
        }
    }
    found
}

#[test]
fn the_documented_order_names_every_file() {
    let documented: BTreeSet<_> = order().into_iter().collect();
    let there: BTreeSet<_> = files(&sources()).iter().map(|path| module(path)).filter(|module| module != "lib").collect();
    assert!(documented.len() > 10, "the table in lib.rs was not found");
    assert_eq!(documented, there);
    assert_eq!(order().len(), documented.len(), "a file is named twice");
}

#[test]
fn no_file_imports_from_above() {
    let order = order();
    let layer = |module: &str| order.iter().position(|other| other == module);
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in files(&sources()) {
        let module = module(&path);
        if module == "lib" || is_test(&path) {
            continue;
        }
        for import in imports(&code(&fs::read_to_string(&path).unwrap())) {
            seen += 1;
            match (layer(&import), layer(&module)) {
                // A module in a folder imports from its parent.
                _ if import == module => {}
                (Some(used), Some(user)) if used < user => {}
                (Some(_), _) => wrong.push(format!("{} imports from {import}.rs above it", path.display())),
                (None, _) => wrong.push(format!("{} imports `crate::{import}`, not from the file it is in", path.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 20, "the imports were not found");
}

#[test]
fn no_file_knows_a_platform() {
    for path in files(&sources()) {
        let code = code(&fs::read_to_string(&path).unwrap());
        for start in ["cfg(", "cfg!(", "cfg_attr("] {
            for (at, _) in code.match_indices(start) {
                let rest = &code[at + start.len()..];
                let mut depth = 1;
                let end = rest.find(|c| {
                    depth += i32::from(c == '(') - i32::from(c == ')');
                    depth == 0
                });
                let condition = &rest[..end.unwrap()];
                let words: BTreeSet<_> = condition.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
                for word in PLATFORM {
                    assert!(!words.contains(word), "{}: cfg({condition})", path.display());
                }
            }
        }
    }
}

#[test]
fn imports_are_found_in_every_form() {
    let code = "use crate::a::B;\nuse crate::{b::{C, D}, e, f::{g}};\nlet x = crate::h::i();\n$crate::j::k";
    assert_eq!(imports(code).into_iter().collect::<Vec<_>>(), ["a", "b", "e", "f", "h"]);
}
