//! The work itself, done by each process that `compare` starts; its results go to standard output as lines of name, tab, value.

use std::io;
use std::path::Path;
use std::time::Instant;

use coreheap::Stats;
use coreheap_os::HostGeometry;

use crate::allocator::COREHEAP;
use crate::corpus;
use crate::index::Index;
use crate::memory::{peak_kib, resident_kib};
use crate::query::Query;
use crate::{ALLOCATOR, pipeline};

/// How many size classes are shown.
const CLASSES_SHOWN: usize = 8;
/// How many of each kind of query are asked.
const QUERIES: usize = 1_000;

/// Touches so many bytes, in huge pages where there are some.
pub fn touch(size: &Path) -> io::Result<()> {
    let size = size.to_str().and_then(|size| size.parse().ok()).ok_or(io::ErrorKind::InvalidInput)?;
    std::hint::black_box(vec![1_u8; size]);
    Ok(())
}

/// Builds the index of a folder, answers queries, drops it, and reports.
pub fn run(folder: &Path, shown: &[String]) -> io::Result<()> {
    let (files, _) = corpus::files(folder)?;
    let start = Instant::now();
    let index = pipeline::build(&files, if ALLOCATOR.is_coreheap() { "on coreheap" } else { "on the system's" });
    report("build", start.elapsed().as_secs_f64());
    report("words", index.words_read);
    report("distinct", index.distinct_words());

    let queries = queries(&index);
    let start = Instant::now();
    let mut digest = Digest::new();
    for query in queries.iter().flatten() {
        Query::parse(query).answer(&index).into_iter().for_each(|document| digest.add(document));
        digest.add(u32::MAX);
    }
    report("queries", queries.iter().map(Vec::len).sum::<usize>());
    report("answer", start.elapsed().as_secs_f64());
    report("digest", format_args!("{:016x}", digest.0));
    // Where none is to be shown, one of each kind.
    let some: Vec<String> = queries.iter().filter_map(|kind| kind.get(kind.len() / 4).cloned()).collect();
    for query in if shown.is_empty() { &some } else { shown } {
        let documents = Query::parse(query).answer(&index);
        let first = documents.first().map_or("", |document| index.documents[*document as usize].path.as_str());
        report("hits", format_args!("{query}\t{}\t{first}", documents.len()));
    }
    if ALLOCATOR.is_coreheap() {
        report_heap(&COREHEAP.stats());
    }
    drop((queries, some));

    let start = Instant::now();
    drop(index);
    report("drop", start.elapsed().as_secs_f64());
    report_kib("peak", peak_kib());
    report_kib("left", resident_kib());
    if ALLOCATOR.is_coreheap() {
        COREHEAP.purge();
        report_kib("purged", resident_kib());
    }
    Ok(())
}

/// The heap report: its first lines, and of the size classes those that hold most.
fn report_heap(stats: &Stats<HostGeometry>) {
    let mut classes: Vec<_> = stats.classes().collect();
    classes.sort_by_key(|class| std::cmp::Reverse(class.used * class.block_size));
    let biggest: Vec<usize> = classes.iter().take(CLASSES_SHOWN).map(|class| class.block_size).collect();
    for line in stats.to_string().lines() {
        let block_size = line.split_whitespace().next().and_then(|word| word.parse().ok());
        if block_size.is_none_or(|size| biggest.contains(&size)) {
            report("heap", line);
        }
    }
}

fn report(name: &str, value: impl std::fmt::Display) {
    println!("{name}\t{value}");
}

fn report_kib(name: &str, value: Option<u64>) {
    if let Some(kib) = value {
        report(name, kib);
    }
}

/// Queries made from the index, the same for the same files: single words, two words, phrases that are somewhere.
fn queries(index: &Index) -> [Vec<String>; 3] {
    let words = index.common_words(QUERIES);
    let pair = |(place, word)| format!("{word} AND {}", words[(place * 7 + 3) % words.len()]);
    let samples = index.documents.iter().filter(|document| !document.sample.is_empty());
    let phrases: Vec<String> = samples.map(|document| format!("\"{}\"", document.sample)).collect();
    let step = phrases.len().div_ceil(QUERIES).max(1);
    [
        words.iter().map(|word| word.to_string()).collect(),
        words.iter().enumerate().map(pair).collect(),
        phrases.into_iter().step_by(step).collect(),
    ]
}

/// FNV-1a over the numbers of all answers: the same answers give the same digest.
struct Digest(u64);

impl Digest {
    fn new() -> Self {
        Digest(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, number: u32) {
        for byte in number.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}
