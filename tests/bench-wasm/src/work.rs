//! The names of the works, which are numbered as in `module/src/work.rs`.

/// What the modules can do.
pub const WORKS: [&str; 4] = ["talc's, 1 B to 10 KB", "the same, with realloc", "8 to 512 B, 64 live", "8 to 512 B, 1,000 live"];

/// Their numbers.
pub const NUMBERS: [usize; WORKS.len()] = [0, 1, 2, 3];
