//! Queries: words and phrases, all of which a document must have: `heap AND "page source"`.

use crate::index::{Index, Posting};

/// A query: words that follow each other, several times. A single word is a phrase of one.
pub struct Query {
    phrases: Vec<Vec<String>>,
}

impl Query {
    /// Reads a query: words, `AND` between them or not, phrases in double quotes.
    pub fn parse(text: &str) -> Self {
        let mut phrases = Vec::new();
        for (index, part) in text.split('"').enumerate() {
            let words = part.split_whitespace();
            if index % 2 == 1 {
                phrases.push(words.map(str::to_lowercase).collect());
            } else {
                phrases.extend(words.filter(|word| *word != "AND").map(|word| vec![word.to_lowercase()]));
            }
        }
        Query { phrases }
    }

    /// The documents that have all of it, in ascending order.
    pub fn answer(&self, index: &Index) -> Vec<u32> {
        self.phrases.iter().map(|phrase| with_phrase(index, phrase)).reduce(|one, other| common(&one, &other)).unwrap_or_default()
    }
}

/// What is in both of two ascending lists.
fn common(one: &[u32], other: &[u32]) -> Vec<u32> {
    one.iter().copied().filter(|number| other.binary_search(number).is_ok()).collect()
}

/// The documents in which these words follow each other.
fn with_phrase(index: &Index, phrase: &[String]) -> Vec<u32> {
    let Some((first, rest)) = phrase.split_first() else { return Vec::new() };
    let rest: Vec<&[Posting]> = rest.iter().map(|word| index.postings(word)).collect();
    let has_phrase = |posting: &&Posting| {
        let mut positions_of_rest = Vec::with_capacity(rest.len());
        for postings in &rest {
            match postings.binary_search_by_key(&posting.document, |other| other.document) {
                Ok(place) => positions_of_rest.push(&postings[place].positions),
                Err(_) => return false,
            }
        }
        posting.positions.iter().any(|start| {
            let mut following = (start + 1..).zip(&positions_of_rest);
            following.all(|(position, positions)| positions.binary_search(&position).is_ok())
        })
    };
    index.postings(first).iter().filter(has_phrase).map(|posting| posting.document).collect()
}
