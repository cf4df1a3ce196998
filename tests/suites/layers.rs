//! The order of the core's folders: each imports only from those before it in the table of `src/lib.rs`'s documentation, and the files of a
//! folder import each other in no circle. And no file of the core knows a platform: that is what ports are for.
#![cfg(not(miri))]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What a `cfg` in the core may not ask for.
const PLATFORM: [&str; 7] = ["unix", "windows", "target_os", "target_arch", "target_family", "target_env", "target_vendor"];

/// A folder and a file in it.
type File = (String, String);

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

/// The folder and the file that a path below `src/` belongs to: `("pages", "arena")` for `pages/arena/plan.rs`, `("heap", "mod")` for
/// `heap/mod.rs` and for its tests, `("global", "mod")` for `global.rs`.
fn place(path: &Path) -> File {
    let relative = path.strip_prefix(sources()).unwrap();
    let mut names = relative.iter().map(|name| name.to_str().unwrap().trim_end_matches(".rs").to_string());
    let folder = names.next().unwrap();
    let file = names.next().filter(|file| file != "tests").unwrap_or("mod".into());
    (folder, file)
}

fn is_test(path: &Path) -> bool {
    let mut names = path.strip_prefix(sources()).unwrap().iter().map(|name| name.to_str().unwrap().trim_end_matches(".rs"));
    names.any(|name| matches!(name, "tests" | "model" | "stress"))
}

/// The text of a file without its comments.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The folders, bottom first, as `lib.rs` documents them.
fn order() -> Vec<String> {
    let text = fs::read_to_string(sources().join("lib.rs")).unwrap();
    let row = |line: &str| Some(line.strip_prefix("//! | `")?.split_once("` |")?.0.to_string());
    text.lines().filter_map(row).collect()
}

/// The name at the start of a text.
fn name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first name of each path in a list: of `{a::B, c::{D, E}}` these are `a` and `c`; of `a::B` it is `a`.
fn first_names(text: &str) -> Vec<String> {
    let Some(list) = text.strip_prefix('{') else { return vec![name(text)] };
    let (mut names, mut depth, mut is_start) = (Vec::new(), 0, true);
    for (index, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_start = true,
            c if is_start && !c.is_whitespace() => {
                names.push(name(&list[index..]));
                is_start = false;
            }
            _ => {}
        }
    }
    names
}

/// What code imports: behind each `crate::`, and behind each `super::` that leads out of the file, which lies so many modules deep. A folder, and a
/// file in it or another name.
fn imports(code: &str, folder: &str, depth: usize) -> BTreeSet<File> {
    let mut found = BTreeSet::new();
    let mut add_from_root = |rest: &str| {
        for first in first_names(rest) {
            // In a list of folders each has to be written out: what is behind its name is not looked at.
            let behind = rest.strip_prefix(&format!("{first}::")).unwrap_or_default();
            found.extend(first_names(behind).into_iter().map(|item| (first.clone(), item)));
        }
    };
    for (at, crate_) in code.match_indices("crate::").filter(|(at, _)| !code[..*at].ends_with('$')) {
        add_from_root(&code[at + crate_.len()..]);
    }
    let mut in_folder = Vec::new();
    for (at, _) in code.match_indices("super::").filter(|(at, _)| !code[..*at].ends_with("super::")) {
        let rest = code[at..].trim_start_matches("super::");
        let steps = (code[at..].len() - rest.len()) / "super::".len();
        if steps >= depth {
            add_from_root(rest);
        } else if steps + 1 == depth {
            in_folder.extend(first_names(rest).into_iter().map(|item| (folder.to_string(), item)));
        }
    }
    found.extend(in_folder);
    found
}

/// The macros that any file may use: they lie at the root.
fn exported_macros() -> BTreeSet<String> {
    let texts = files(&sources()).into_iter().map(|path| fs::read_to_string(path).unwrap());
    let names = |text: String| text.split("#[macro_export]\nmacro_rules! ").skip(1).map(name).collect::<Vec<_>>();
    texts.flat_map(names).collect()
}

/// All files but tests, each with what it imports from its own folder and others.
fn imports_of_files() -> Vec<(File, BTreeSet<File>)> {
    let macros = exported_macros();
    assert!(macros.contains("geometry"), "the macros were not found");
    let found = files(&sources()).into_iter().filter(|path| !is_test(path) && !path.ends_with("lib.rs"));
    let read = |path: PathBuf| {
        let text = code(&fs::read_to_string(&path).unwrap());
        // Tests at the end of a file.
        let text = text.split("\nmod tests {").next().unwrap();
        let file = place(&path);
        let is_folders = path.ends_with("mod.rs");
        let depth = path.strip_prefix(sources()).unwrap().iter().count() - usize::from(is_folders);
        let mut found = imports(text, &file.0, depth);
        found.retain(|(first, _)| !macros.contains(first));
        (file, found)
    };
    found.map(read).collect()
}

/// The file that a path names: one of the folder's, or its `mod.rs`, for `crate::heap::Heap`.
fn file_of((folder, item): &File) -> File {
    let file = if sources().join(folder).join(item).with_extension("rs").is_file() { item } else { "mod" };
    (folder.clone(), file.to_string())
}

#[test]
fn the_documented_order_names_every_folder() {
    let documented: BTreeSet<_> = order().into_iter().collect();
    let there: BTreeSet<_> = files(&sources()).iter().map(|path| place(path).0).filter(|folder| folder != "lib").collect();
    assert!(documented.len() > 5, "the table in lib.rs was not found");
    assert_eq!(documented, there);
    assert_eq!(order().len(), documented.len(), "a folder is named twice");
}

#[test]
fn every_folder_names_its_files() {
    for folder in fs::read_dir(sources()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let text = fs::read_to_string(folder.join("mod.rs")).unwrap();
        let row = |line: &str| Some(line.strip_prefix("//! | `")?.split_once(".rs` |")?.0.to_string());
        let there: BTreeSet<_> = files(&folder).iter().map(|path| place(path).1).filter(|file| file != "mod").collect();
        let mut documented: Vec<_> = text.lines().filter_map(row).filter(|file| file != "mod").collect();
        documented.sort();
        assert_eq!(documented, there.into_iter().collect::<Vec<_>>(), "{}", folder.display());
    }
}

#[test]
fn no_folder_imports_from_above() {
    let order = order();
    let layer = |folder: &str| order.iter().position(|other| other == folder);
    let mut wrong = Vec::new();
    let mut seen = 0;
    for ((folder, file), imports) in imports_of_files() {
        for (import, item) in imports {
            seen += 1;
            match (layer(&import), layer(&folder)) {
                (Some(used), Some(user)) if used <= user => {}
                (Some(_), _) => wrong.push(format!("{folder}/{file} imports {import}::{item} from above it")),
                (None, _) => wrong.push(format!("{folder}/{file} imports `crate::{import}`, not from the folder that it is in")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 100, "the imports were not found");
}

#[test]
fn every_folder_says_what_it_uses() {
    let order = order();
    for folder in order.iter().filter(|folder| sources().join(folder).is_dir()) {
        let text = fs::read_to_string(sources().join(folder).join("mod.rs")).unwrap();
        let (_, said) = text.split_once("//! May use: ").unwrap_or_else(|| panic!("{folder} does not say what it may use"));
        let said = said.split('.').next().unwrap();
        let said: BTreeSet<_> =
            said.split('`').skip(1).step_by(2).filter(|word| order.iter().any(|other| other == word)).collect();
        let files = imports_of_files().into_iter().filter(|((user, _), _)| user == folder);
        let used: BTreeSet<_> = files.flat_map(|(_, used)| used).map(|(used, _)| used).filter(|used| used != folder).collect();
        assert_eq!(said, used.iter().map(String::as_str).collect(), "what {folder} may use, and what it uses");
    }
}

#[test]
fn the_files_of_a_folder_import_each_other_in_no_circle() {
    let mut left: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (user, imports) in imports_of_files() {
        let same_folder = imports.iter().map(file_of).filter(|used| used.0 == user.0 && *used != user);
        let known: BTreeSet<_> = same_folder.collect();
        left.entry(user).or_default().extend(known);
    }
    assert!(left.values().any(|used| !used.is_empty()), "the imports were not found");
    // Take away, again and again, what imports nothing that is left.
    loop {
        let before = left.len();
        let done: BTreeSet<_> = left
            .iter()
            .filter(|(_, used)| used.iter().all(|file| !left.contains_key(file)))
            .map(|(file, _)| file.clone())
            .collect();
        left.retain(|file, _| !done.contains(file));
        if left.len() == before {
            break;
        }
    }
    assert!(left.is_empty(), "each of these imports another: {:?}", left.keys());
}

#[test]
fn no_two_invariants_have_the_same_number() {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in files(&sources()) {
        let text = fs::read_to_string(&path).unwrap();
        let definitions = text.lines().filter_map(|line| {
            let words = line.strip_prefix("//! - ").or_else(|| line.strip_prefix("//! *Invariant* "))?;
            let number = words.split(':').next()?;
            let is_number =
                number.len() == 2 && number.starts_with(char::is_uppercase) && number.ends_with(|c: char| c.is_ascii_digit());
            is_number.then(|| number.to_string())
        });
        for number in definitions {
            let before = found.insert(number.clone(), path.clone());
            assert!(before.is_none(), "{number} is an invariant of {} and of {}", path.display(), before.unwrap().display());
        }
    }
    assert!(found.len() > 40, "the invariants were not found");
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
fn imports_are_found() {
    let code = "use crate::a::b::C;\nuse crate::d::{E, f::{G, H}};\nlet x = crate::g::h();\n$crate::j::k\nuse super::l::M;\nuse super::super::n::{O, p::Q};";
    let found =
        |depth| imports(code, "own", depth).into_iter().map(|(folder, item)| format!("{folder}::{item}")).collect::<Vec<_>>();
    assert_eq!(found(1), ["a::b", "d::E", "d::f", "g::h", "l::M", "n::O", "n::p"]);
    assert_eq!(found(2), ["a::b", "d::E", "d::f", "g::h", "n::O", "n::p", "own::l"]);
    assert_eq!(found(3), ["a::b", "d::E", "d::f", "g::h", "own::n"]);
}
