//! Which files are read, and the words in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// No more than so many bytes of text are read: a few seconds of work.
const MOST_BYTES: u64 = 64 << 20;
/// Kinds of file that hold text.
const TEXT: [&str; 11] = ["html", "md", "txt", "rs", "toml", "c", "h", "cpp", "hpp", "py", "js"];

/// A file to read.
pub struct File {
    pub path: PathBuf,
    pub size: u64,
}

/// The folder that is read if none is named: the Rust toolchain's documentation, or its sources, or this repository.
pub fn default_folder() -> PathBuf {
    let rustc = Command::new("rustc").args(["--print", "sysroot"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let sysroot = rustc.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())).unwrap_or_default();
    let places = [sysroot.join("share/doc/rust/html"), sysroot.join("lib/rustlib/src")];
    places.into_iter().find(|place| place.is_dir()).unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into())
}

/// The text files of a folder in a fixed order; of a big folder an even choice of [`MOST_BYTES`], and the size of them all.
pub fn files(folder: &Path) -> io::Result<(Vec<File>, u64)> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let total: u64 = files.iter().map(|file| file.size).sum();
    if total <= MOST_BYTES {
        return Ok((files, total));
    }
    // A file is taken when the bytes that are due at its place are ahead of the bytes taken so far.
    let (mut passed, mut taken) = (0_u64, 0_u64);
    files.retain(|file| {
        passed += file.size;
        let is_due = (taken + file.size) as u128 * total as u128 <= passed as u128 * MOST_BYTES as u128;
        taken += if is_due { file.size } else { 0 };
        is_due
    });
    Ok((files, total))
}

fn collect(folder: &Path, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if kind.is_dir() && !is_hidden && entry.file_name() != "target" {
            // A folder that may not be read is left out.
            let _ = collect(&path, files);
        } else if kind.is_file() && path.extension().is_some_and(|end| TEXT.iter().any(|text| end == *text)) {
            files.push(File { size: entry.metadata()?.len(), path });
        }
    }
    Ok(())
}

/// Calls `take` with each word of a text, in lower case. Markup (`<…>`) is passed over in HTML.
pub fn for_each_word(text: &str, is_html: bool, mut take: impl FnMut(&str)) {
    let mut word = String::new();
    let mut in_markup = false;
    for character in text.chars() {
        match character {
            '<' if is_html => in_markup = true,
            '>' if in_markup => in_markup = false,
            _ if in_markup => {}
            _ if character.is_alphanumeric() || character == '_' => {
                word.extend(character.to_lowercase());
                continue;
            }
            _ => {}
        }
        if !word.is_empty() {
            take(&word);
            word.clear();
        }
    }
    if !word.is_empty() {
        take(&word);
    }
}
