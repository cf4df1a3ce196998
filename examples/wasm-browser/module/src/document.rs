//! The document: a tree of sections, in memory and as text.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::words;

/// How deep sections lie in each other when a document is written.
const DEPTH: u32 = 3;

/// A section: a chapter, or a part of one.
#[derive(Clone, Serialize, Deserialize)]
pub struct Section {
    pub title: String,
    pub attributes: BTreeMap<String, String>,
    pub paragraphs: Vec<String>,
    pub sections: Vec<Section>,
}

impl Section {
    /// A chapter of some 60 KB.
    pub fn chapter(rng: &mut Rng) -> Self {
        Self::with_depth(DEPTH, rng)
    }

    /// A section by chance, with sections in it down to so many levels.
    pub fn with_depth(depth: u32, rng: &mut Rng) -> Self {
        let attributes = (0..rng.usize(..4)).map(|_| (words::name(rng), words::title(rng))).collect();
        let paragraphs = (0..rng.usize(1..6)).map(|_| words::paragraph(rng)).collect();
        let count = if depth > 0 { rng.usize(2..7) } else { 0 };
        let sections = (0..count).map(|_| Self::with_depth(depth - 1, rng)).collect();
        Section { title: words::title(rng), attributes, paragraphs, sections }
    }

    /// How many paragraphs there are in it, at all levels.
    pub fn paragraph_count(&self) -> usize {
        self.paragraphs.len() + self.sections.iter().map(Self::paragraph_count).sum::<usize>()
    }
}
