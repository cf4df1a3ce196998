//! Text by chance: words, sentences, titles.

use std::fmt::Write;

use fastrand::Rng;

const WORDS: [&str; 48] = [
    "a",
    "after",
    "an",
    "and",
    "answer",
    "arena",
    "as",
    "at",
    "before",
    "between",
    "bit",
    "block",
    "by",
    "class",
    "core",
    "document",
    "edge",
    "every",
    "first",
    "for",
    "free",
    "from",
    "heap",
    "in",
    "it",
    "large",
    "magazine",
    "many",
    "memory",
    "moves",
    "never",
    "of",
    "on",
    "page",
    "paragraph",
    "place",
    "run",
    "slice",
    "small",
    "stays",
    "takes",
    "that",
    "the",
    "to",
    "tree",
    "where",
    "with",
    "word",
];

fn word(rng: &mut Rng) -> &'static str {
    WORDS[rng.usize(..WORDS.len())]
}

/// Appends so many words and a full stop.
pub fn add_sentence(text: &mut String, rng: &mut Rng) {
    for index in 0..rng.usize(4..16) {
        text.push_str(if index > 0 || !text.is_empty() { " " } else { "" });
        text.push_str(word(rng));
    }
    text.push('.');
}

/// A paragraph of one to six sentences.
pub fn paragraph(rng: &mut Rng) -> String {
    let mut text = String::new();
    (0..rng.usize(1..=6)).for_each(|_| add_sentence(&mut text, rng));
    text
}

/// A title of a few words and a number.
pub fn title(rng: &mut Rng) -> String {
    let mut text = word(rng).to_string();
    (0..rng.usize(1..4)).for_each(|_| {
        let _ = write!(text, " {}", word(rng));
    });
    text
}

/// The name of an attribute, of which there are few.
pub fn name(rng: &mut Rng) -> String {
    word(rng).to_string()
}
