//! Builds the module, once with each allocator, and serves it with the page.

mod build;
mod serve;

pub use build::build;
pub use serve::Site;
