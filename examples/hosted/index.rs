//! The index: for each word, the documents it is in and its positions there.

use std::collections::HashMap;

/// One document's words and their positions, as a tokenizer hands them on.
pub struct Words {
    /// The document's number.
    pub document: u32,
    /// How many words it has.
    pub count: u32,
    /// The document's path.
    pub path: String,
    /// A few words that follow each other in the document, to ask for later.
    pub sample: String,
    pub positions: HashMap<String, Vec<u32>>,
}

/// A document as the index knows it.
#[derive(Default, Clone)]
pub struct Document {
    pub path: String,
    pub sample: String,
}

/// A word's positions in one document, in ascending order.
pub struct Posting {
    pub document: u32,
    pub positions: Vec<u32>,
}

/// Words -> documents and positions.
pub struct Index {
    pub documents: Vec<Document>,
    pub words_read: u64,
    postings: HashMap<String, Vec<Posting>>,
}

impl Index {
    /// An empty index for so many documents.
    pub fn new(documents: usize) -> Self {
        Index { documents: vec![Document::default(); documents], words_read: 0, postings: HashMap::new() }
    }

    /// Adds a document.
    pub fn add(&mut self, words: Words) {
        for (word, positions) in words.positions {
            // The key was allocated by the tokenizer's thread; where the word is known already it is freed here, by this one.
            self.postings.entry(word).or_default().push(Posting { document: words.document, positions });
        }
        self.words_read += u64::from(words.count);
        self.documents[words.document as usize] = Document { path: words.path, sample: words.sample };
    }

    /// Puts every word's documents in order: they came as the threads were done with them.
    pub fn finish(&mut self) {
        for postings in self.postings.values_mut() {
            postings.sort_unstable_by_key(|posting| posting.document);
        }
    }

    /// Where a word is; nothing for a word that is nowhere.
    pub fn postings(&self, word: &str) -> &[Posting] {
        self.postings.get(word).map_or(&[], Vec::as_slice)
    }

    /// How many different words there are.
    pub fn distinct_words(&self) -> usize {
        self.postings.len()
    }

    /// The words that are in most documents, in a fixed order.
    pub fn common_words(&self, most: usize) -> Vec<&str> {
        let mut words: Vec<(usize, &str)> = self.postings.iter().map(|(word, at)| (at.len(), word.as_str())).collect();
        words.sort_unstable_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(other.1)));
        words.truncate(most);
        words.into_iter().map(|(_, word)| word).collect()
    }
}
