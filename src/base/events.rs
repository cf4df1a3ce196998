//! What happens on the slow paths, for a log.
//!
//! *Role*: [`event!`] is one line wherever memory changes hands for good: from the page source, into pages and out of them, at the end of
//! memory, and where the program is wrong. With the feature `defmt` each is a `defmt` frame at trace level; without it nothing is left.
//!
//! The logger is called from inside an allocation or a free. So what a program logs must not allocate while it is being formatted, where these
//! events are switched on: a logger that is busy takes no second frame.

/// Logs a literal with `defmt`'s placeholders, and their values.
#[cfg(feature = "defmt")]
macro_rules! event {
    ($text:literal $(, $value:expr)* $(,)?) => {
        defmt::trace!($text $(, $value)*)
    };
}

/// Nothing: the values are not computed.
#[cfg(not(feature = "defmt"))]
macro_rules! event {
    ($text:literal $(, $value:expr)* $(,)?) => {{}};
}

pub(crate) use event;
