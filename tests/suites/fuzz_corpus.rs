//! What the fuzzer runs (`tests/fuzz`), on stable Rust: its corpus, and random bytes through the same entry. Not under Miri, where
//! `random_actions` drives as much as there is time for.
#![cfg(not(miri))]

use std::fs;
use std::path::Path;

use coreheap_tests::fuzz::actions;
use coreheap_tests::seed::each_seed;

#[test]
fn corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/actions");
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(names.len() >= 8, "the corpus is checked in");
    let mut allocated = 0;
    for name in names {
        println!("{}", name.display());
        allocated += actions(&fs::read(name).unwrap()).allocated;
    }
    assert!(allocated > 100);
}

#[test]
fn random_bytes() {
    let mut allocated = 0;
    each_seed("random_bytes", 800, |_, mut rng| {
        let length = rng.below(6000);
        let bytes: Vec<u8> = (0..length).map(|_| (rng.draw() >> 32) as u8).collect();
        allocated += actions(&bytes).allocated;
    });
    assert!(allocated > 100);
}

#[test]
fn no_bytes_at_all() {
    assert_eq!(actions(&[]).allocated, 0);
    assert_eq!(actions(&[1, 2, 3]).allocated, 0);
}
