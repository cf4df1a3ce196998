//! A document in an editor, for JavaScript: some MB of text are written, parsed into a tree of strings, vectors and maps, edited at random
//! places, and written as text again. What comes out depends on the seed only, so two allocators have to agree on it.
//!
//! Built twice, with the feature `coreheap` and without.

mod document;
mod edits;
#[cfg(feature = "coreheap")]
mod heap;
mod words;

use fastrand::Rng;
use wasm_bindgen::prelude::wasm_bindgen;

use document::Section;
use edits::Edited;

/// An editor and its document. Everything is done in steps, so that the page can look at the heap in between.
#[wasm_bindgen]
pub struct Editor {
    rng: Rng,
    /// The document as it was written: a line of JSON for each chapter.
    text: String,
    /// How much of it is parsed.
    opened: usize,
    document: Edited,
    /// The document as it is saved.
    saved: String,
}

#[wasm_bindgen]
impl Editor {
    /// An editor without a document.
    #[wasm_bindgen(constructor)]
    pub fn new(seed: u32) -> Editor {
        let (text, saved) = (String::new(), String::new());
        Editor { rng: Rng::with_seed(seed.into()), text, opened: 0, document: Edited::new(), saved }
    }

    /// Writes so many chapters as text.
    pub fn write(&mut self, chapters: usize) {
        for _ in 0..chapters {
            let chapter = Section::chapter(&mut self.rng);
            add_line(&mut self.text, &chapter);
        }
    }

    /// Parses so many chapters. The text is dropped behind the last.
    pub fn open(&mut self, chapters: usize) {
        for _ in 0..chapters {
            let rest = &self.text[self.opened..];
            let line = rest.split_inclusive('\n').next().expect("a chapter that was written");
            self.document.push(serde_json::from_str(line).expect("JSON, as it was written"));
            self.opened += line.len();
        }
        if self.opened == self.text.len() {
            self.text = String::new();
            self.opened = 0;
        }
    }

    /// Makes so many edits.
    pub fn edit(&mut self, edits: usize) {
        (0..edits).for_each(|_| self.document.edit(&mut self.rng));
    }

    /// Writes so many of the chapters as text again, from chapter `first` on.
    pub fn save(&mut self, chapters: usize, first: usize) {
        self.document.chapters()[first..first + chapters].iter().for_each(|chapter| add_line(&mut self.saved, chapter));
    }

    /// Drops so many chapters.
    pub fn close(&mut self, chapters: usize) {
        (0..chapters).for_each(|_| self.document.pop());
    }

    /// Bytes of what is saved.
    #[wasm_bindgen(getter, js_name = savedBytes)]
    pub fn saved_bytes(&self) -> usize {
        self.saved.len()
    }

    /// A checksum of what is saved.
    pub fn checksum(&self) -> u32 {
        crc32fast::hash(self.saved.as_bytes())
    }
}

fn add_line(text: &mut String, chapter: &Section) {
    let line = serde_json::to_string(chapter).expect("strings are JSON");
    text.push_str(&line);
    text.push('\n');
}
