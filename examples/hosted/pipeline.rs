//! The threads that build the index: one reads files, several cut them into words, this one merges.
//!
//! Blocks change hands at each arrow, so that most are freed by another thread than the one that allocated them:
//! `reader -> file contents -> tokenizers -> words and positions -> merger`.

use std::collections::HashMap;
use std::fs;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use indicatif::{ProgressBar, ProgressStyle};

use crate::corpus::{File, for_each_word};
use crate::index::{Index, Words};

/// How many documents wait between two stages at most.
const WAITING: usize = 64;
/// How many words a document's sample phrase has.
const SAMPLE_WORDS: usize = 3;

struct Contents {
    document: u32,
    path: String,
    size: u64,
    text: String,
}

/// How many threads cut files into words.
pub fn tokenizer_count() -> usize {
    thread::available_parallelism().map_or(2, |count| count.get().max(2))
}

/// Builds the index of these files. A progress bar shows how far it is, if standard error is a terminal.
pub fn build(files: &[File], label: &'static str) -> Index {
    let progress = progress_bar(files.iter().map(|file| file.size).sum(), label);
    let (read, to_cut) = sync_channel::<Contents>(WAITING);
    let (cut, to_merge) = sync_channel::<(u64, Words)>(WAITING);
    let to_cut = Mutex::new(to_cut);
    let mut index = Index::new(files.len());
    thread::scope(|scope| {
        scope.spawn(move || read_all(files, &read));
        for _ in 0..tokenizer_count() {
            let (to_cut, cut) = (&to_cut, cut.clone());
            scope.spawn(move || cut_all(to_cut, &cut));
        }
        // The tokenizers have the other ends: when the last one is done, the loop below ends.
        drop(cut);
        for (size, words) in to_merge {
            index.add(words);
            progress.inc(size);
        }
    });
    index.finish();
    progress.finish_and_clear();
    index
}

fn read_all(files: &[File], read: &SyncSender<Contents>) {
    for (document, file) in (0_u32..).zip(files) {
        // A file that cannot be read is an empty document.
        let text = String::from_utf8_lossy(&fs::read(&file.path).unwrap_or_default()).into_owned();
        let contents = Contents { document, path: file.path.display().to_string(), size: file.size, text };
        if read.send(contents).is_err() {
            return;
        }
    }
}

fn cut_all(to_cut: &Mutex<Receiver<Contents>>, cut: &SyncSender<(u64, Words)>) {
    loop {
        // A statement of its own, so that the lock is given back before the work.
        let next = to_cut.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(contents) = next else { return };
        if cut.send((contents.size, words_of(contents))).is_err() {
            return;
        }
    }
}

fn words_of(contents: Contents) -> Words {
    let mut positions: HashMap<String, Vec<u32>> = HashMap::new();
    let mut position = 0;
    // The sample starts at a place that differs from document to document.
    let sample_start = 40 + contents.document % 50;
    let mut sample = String::new();
    for_each_word(&contents.text, contents.path.ends_with(".html"), |word| {
        match positions.get_mut(word) {
            Some(places) => places.push(position),
            None => drop(positions.insert(word.to_string(), vec![position])),
        }
        if (sample_start..sample_start + SAMPLE_WORDS as u32).contains(&position) {
            sample.push_str(if sample.is_empty() { "" } else { " " });
            sample.push_str(word);
        }
        position += 1;
    });
    Words { document: contents.document, count: position, path: contents.path, sample, positions }
}

fn progress_bar(bytes: u64, label: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>18} [{bar:40}] {bytes} of {total_bytes}").expect("the template is right");
    ProgressBar::new(bytes).with_style(style.progress_chars("=> ")).with_prefix(label)
}
