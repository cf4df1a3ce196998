//! Tables, in Markdown for readers and as CSV.

use std::io;

use crate::command::target_dir;

/// A table, whose first column has the names of the rows.
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<String>)>,
}

impl Table {
    /// Without rows.
    pub fn new(title: String, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Table { title, columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, name: &str, cells: Vec<String>) {
        self.rows.push((name.into(), cells));
    }

    /// Prints it.
    pub fn print(&self) {
        println!("\n{}\n\n| | {} |\n|---|{}", self.title, self.columns.join(" | "), "---|".repeat(self.columns.len()));
        self.rows.iter().for_each(|(name, cells)| println!("| {name} | {} |", cells.join(" | ")));
    }
}

/// Writes lines of values to a file in `bench`, in cargo's target folder.
pub fn write_csv(name: &str, head: &str, lines: &[String]) -> io::Result<()> {
    let folder = target_dir()?.join("bench");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(name), format!("{head}\n{}\n", lines.join("\n")))
}

/// 12345 as 12,345.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or("")).collect();
    groups.join(",")
}
