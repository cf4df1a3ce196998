//! What all of the crate is built on: atomics and bits, sizes and blocks, and the answer to a mistake of the program.
//!
//! May use: the language and `core`. Used by every other folder. Nothing here knows a heap, a page or a region of memory.
//!
//! | file | what it is |
//! |---|---|
//! | `sync.rs` | atomics: `core`'s, or loom's |
//! | `events.rs` | the slow paths, for a log |
//! | `misuse.rs` | what a program can do wrong, and the answer |
//! | `inside.rs` | whether a context is inside, where one at a time may be |
//! | `size_class.rs` | which block size serves a request |
//! | `block.rs` | a block that a context owns |
//! | `batch.rs` | between the bits of a word and its blocks |
//! | `bitmap.rs` | claiming and releasing bits |

pub mod batch;
pub mod bitmap;
pub mod block;
pub mod events;
pub mod inside;
pub mod misuse;
pub mod size_class;
pub mod sync;
