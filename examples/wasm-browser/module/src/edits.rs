//! What somebody does to a document: at random places, so that blocks of all ages are freed.

use fastrand::Rng;

use crate::document::Section;
use crate::words;

/// A paragraph that is longer is cut in two.
const LONG: usize = 800;
/// The document becomes smaller and bigger again once in so many edits for each of its paragraphs.
const WAVE: usize = 16;

/// A document that is being edited.
pub struct Edited {
    chapters: Vec<Section>,
    paragraphs: usize,
    /// How many paragraphs there were at first.
    first: usize,
    edits: usize,
}

impl Edited {
    /// A document without a chapter.
    pub fn new() -> Self {
        Edited { chapters: Vec::new(), paragraphs: 0, first: 0, edits: 0 }
    }

    pub fn chapters(&self) -> &[Section] {
        &self.chapters
    }

    /// Adds a chapter at the end.
    pub fn push(&mut self, chapter: Section) {
        self.paragraphs += chapter.paragraph_count();
        self.first = self.paragraphs;
        self.chapters.push(chapter);
    }

    /// Drops the last chapter.
    pub fn pop(&mut self) {
        self.chapters.pop();
    }

    /// One edit.
    pub fn edit(&mut self, rng: &mut Rng) {
        self.edits += 1;
        let grows = self.paragraphs < self.goal();
        match rng.u32(..16) {
            0..6 => self.extend_paragraph(rng),
            6..8 => self.somewhere(rng).title = words::title(rng),
            8..10 => self.change_attributes(rng),
            10..13 if grows => self.insert_paragraph(rng),
            10..13 => self.remove_paragraph(rng),
            13..14 => self.move_section(rng),
            _ if grows => self.insert_section(rng),
            _ => self.remove_section(rng),
        }
    }

    /// How many paragraphs there should be: all that there were, then fewer, down to a third, and so on.
    fn goal(&self) -> usize {
        let wave = WAVE * self.first.max(1);
        let at = self.edits % wave;
        let part = at.min(wave - at) as u64;
        self.first - (self.first as u64 * 4 * part / (3 * wave as u64)) as usize
    }

    fn extend_paragraph(&mut self, rng: &mut Rng) {
        let paragraphs = &mut self.somewhere(rng).paragraphs;
        let Some(index) = below(paragraphs.len(), rng) else { return };
        let paragraph = &mut paragraphs[index];
        words::add_sentence(paragraph, rng);
        if paragraph.len() > LONG {
            let rest = paragraph.split_off(LONG / 2);
            paragraphs.insert(index + 1, rest);
            self.paragraphs += 1;
        }
    }

    fn change_attributes(&mut self, rng: &mut Rng) {
        let (name, value) = (words::name(rng), words::title(rng));
        let attributes = &mut self.somewhere(rng).attributes;
        if attributes.len() < 8 {
            attributes.insert(name, value);
        } else {
            attributes.pop_first();
        }
    }

    fn insert_paragraph(&mut self, rng: &mut Rng) {
        let paragraphs = &mut self.somewhere(rng).paragraphs;
        paragraphs.insert(rng.usize(..=paragraphs.len()), words::paragraph(rng));
        self.paragraphs += 1;
    }

    fn remove_paragraph(&mut self, rng: &mut Rng) {
        let paragraphs = &mut self.somewhere(rng).paragraphs;
        let Some(index) = below(paragraphs.len(), rng) else { return };
        paragraphs.remove(index);
        self.paragraphs -= 1;
    }

    fn insert_section(&mut self, rng: &mut Rng) {
        let section = Section::with_depth(rng.u32(..2), rng);
        self.paragraphs += section.paragraph_count();
        self.put_section(section, rng);
    }

    fn remove_section(&mut self, rng: &mut Rng) {
        if let Some(section) = self.take_section(rng) {
            self.paragraphs -= section.paragraph_count();
        }
    }

    fn move_section(&mut self, rng: &mut Rng) {
        if let Some(section) = self.take_section(rng) {
            self.put_section(section, rng);
        }
    }

    fn put_section(&mut self, section: Section, rng: &mut Rng) {
        let sections = &mut self.somewhere(rng).sections;
        sections.insert(rng.usize(..=sections.len()), section);
    }

    fn take_section(&mut self, rng: &mut Rng) -> Option<Section> {
        let sections = &mut self.somewhere(rng).sections;
        below(sections.len(), rng).map(|index| sections.remove(index))
    }

    /// A section, by a walk down from a chapter.
    fn somewhere(&mut self, rng: &mut Rng) -> &mut Section {
        let chapter = rng.usize(..self.chapters.len());
        let mut section = &mut self.chapters[chapter];
        while rng.u32(..4) > 0
            && let Some(index) = below(section.sections.len(), rng)
        {
            section = &mut section.sections[index];
        }
        section
    }
}

/// A number below `end`, if there is one.
fn below(end: usize, rng: &mut Rng) -> Option<usize> {
    (end > 0).then(|| rng.usize(..end))
}
