//! Programs that know nothing of the library do with it what they do without.

use std::process::Command;

use crate::support::{KINDS, folder, is_installed, preloaded, run, source};

/// Runs a program without the library and with it, and compares what they print.
#[track_caller]
fn compare(program: &str, arguments: &[&str]) -> String {
    let expected = run(with_settings(&mut Command::new(program)).args(arguments)).well();
    for kind in KINDS {
        assert_eq!(run(with_settings(&mut preloaded(program, kind)).args(arguments)).well(), expected, "{program}, {kind} cores");
    }
    expected
}

/// What programs print must not depend on chance; and Python is to use `malloc` for everything.
fn with_settings(command: &mut Command) -> &mut Command {
    command
        .current_dir(source(""))
        .env("LC_ALL", "C")
        .env("PYTHONHASHSEED", "0")
        .env("PYTHONMALLOC", "malloc")
        .env("PERL_HASH_SEED", "0")
}

fn script(name: &str) -> String {
    source(name).to_str().expect("a path in UTF-8").to_string()
}

#[test]
fn bash() {
    if is_installed("bash") {
        let output = compare("bash", &[&script("programs/pipes.sh")]);
        assert_eq!(output.lines().last(), Some("end"));
    }
}

#[test]
fn python() {
    if is_installed("python3") {
        let output = compare("python3", &[&script("programs/work.py")]);
        assert_eq!(output.lines().last(), Some("end"));
    }
}

#[test]
fn perl() {
    if is_installed("perl") {
        let output = compare("perl", &[&script("programs/work.pl")]);
        assert_eq!(output.lines().last(), Some("end"));
    }
}

#[test]
fn gawk() {
    if is_installed("gawk") {
        let program = "{ for (i = 1; i <= length($0); i++) count[substr($0, i, 3)]++ }
            END { n = asorti(count, keys); for (i = 1; i <= n; i++) { text = text keys[i] count[keys[i]]; total += length(text) } print n, total }";
        compare("gawk", &[program, &script("functions.c"), &script("operators.cpp"), &script("processes.c")]);
    }
}

#[test]
fn sqlite() {
    if is_installed("sqlite3") {
        let statements = "CREATE TABLE numbers(id INTEGER PRIMARY KEY, text TEXT, square INTEGER);
            WITH RECURSIVE counter(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < 20000)
            INSERT INTO numbers SELECT n, printf('%064d', n * 7919 % 10007), n * n FROM counter;
            CREATE INDEX texts ON numbers(text);
            DELETE FROM numbers WHERE id % 3 = 0;
            SELECT count(*), sum(square), min(text), max(text) FROM numbers;
            SELECT group_concat(id) FROM (SELECT id FROM numbers ORDER BY text, id DESC LIMIT 300);";
        compare("sqlite3", &[":memory:", statements]);
    }
}

#[test]
fn git() {
    if !is_installed("git") {
        return;
    }
    // The same history has the same names of commits, whoever makes it.
    let make = |folder_name: &str, kind: Option<&str>| {
        let folder = folder().join(folder_name);
        let _ = std::fs::remove_dir_all(&folder);
        let git = |arguments: &[&str]| {
            let mut command = kind.map_or_else(|| Command::new("git"), |kind| preloaded("git", kind));
            let command = with_settings(&mut command).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
            let date = "2020-02-20T20:20:20Z";
            let command = command.env("GIT_AUTHOR_DATE", date).env("GIT_COMMITTER_DATE", date);
            run(command.arg("-C").arg(&folder).args("-c user.name=me -c user.email=me@here".split(' ')).args(arguments)).well()
        };
        std::fs::create_dir_all(&folder).expect("a folder");
        git(&["init", "--quiet", "--initial-branch=main"]);
        for round in 0..5 {
            for name in ["functions.c", "operators.cpp", "processes.c"] {
                let text = std::fs::read_to_string(source(name)).expect("a file");
                let lines: Vec<_> = text.lines().enumerate().filter(|(at, _)| at % 7 != round).map(|(_, line)| line).collect();
                std::fs::write(folder.join(name), lines.join("\n")).expect("a file");
            }
            git(&["add", "."]);
            git(&["commit", "--quiet", "--message", "one more"]);
        }
        git(&["gc", "--quiet"]);
        git(&["fsck", "--full", "--strict"]);
        git(&["log", "--patch", "--stat", "--format=%H %s"])
    };
    let expected = make("history", None);
    for kind in KINDS {
        assert_eq!(make(&format!("history-{kind}"), Some(kind)), expected, "{kind} cores");
    }
}

#[test]
fn compiler() {
    if !is_installed("g++") {
        return;
    }
    // The driver starts compiler, assembler and linker, all with the library.
    let compile = |name: &str, mut command: Command| {
        let program = folder().join(name);
        let command =
            with_settings(&mut command).args("-std=c++17 -O1 -pthread -o".split(' ')).arg(&program).arg(source("operators.cpp"));
        run(command).well();
        std::fs::read(program).expect("a program")
    };
    let expected = compile("compiled", Command::new("g++"));
    for kind in KINDS {
        assert!(compile(&format!("compiled-{kind}"), preloaded("g++", kind)) == expected, "another program with {kind} cores");
    }
}
