//! The one action driver: interprets a stream of actions on a [`Subject`] and checks every step against the shadow model.
//!
//! Streams come from anything that gives bytes ([`Choices`]: a seeded generator, a fuzzer's input) or from a trace: text, one
//! action a line, as [`Action`]'s `Display` writes it.
//!
//! | line | action |
//! |---|---|
//! | `a SIZE ALIGN` | allocate |
//! | `z SIZE ALIGN` | allocate zeroed |
//! | `f N` | free live block N (modulo their number) with its layout |
//! | `w N` | the same with the layout of all its usable bytes |
//! | `u N` | the same without a layout |
//! | `r N SIZE` | reallocate live block N |
//! | `e` | free all |
//! | `p`, `g` | purge; purge what is aged |
//! | `v` | check all invariants |
//! | `# …` | comment |

use alloc::vec::Vec;
use core::alloc::Layout;
use core::fmt;

use coreheap::port::SizeClass;

use crate::rng::Rng;
use crate::shadow::{Live, Shadow};
use crate::subject::Subject;

/// Bytes to choose from.
pub trait Choices {
    /// The next byte, or `None` at the end.
    fn byte(&mut self) -> Option<u8>;

    /// The next number below 2^24.
    fn number(&mut self) -> Option<usize> {
        Some(self.byte()? as usize | (self.byte()? as usize) << 8 | (self.byte()? as usize) << 16)
    }
}

impl Choices for Rng {
    fn byte(&mut self) -> Option<u8> {
        Some((self.draw() >> 32) as u8)
    }
}

impl Choices for &[u8] {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.split_first()?;
        *self = rest;
        Some(*first)
    }
}

/// What sizes to choose.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Biggest size, in bytes.
    pub size: usize,
    /// Biggest of the rare alignments, in bytes; the usual ones go to 4096.
    pub align: usize,
    /// Most blocks that are live at a time.
    pub live: usize,
}

/// One step of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Allocate a block.
    Allocate {
        /// In bytes.
        size: usize,
        /// A power of two.
        align: usize,
        /// Whether the block must be zero.
        zeroed: bool,
    },
    /// Free live block `which`.
    Free {
        /// Taken modulo the number of live blocks.
        which: usize,
        /// What the subject is told about the block.
        how: Free,
    },
    /// Reallocate live block `which` to `size` bytes.
    Reallocate {
        /// Taken modulo the number of live blocks.
        which: usize,
        /// In bytes.
        size: usize,
    },
    /// Free every live block.
    FreeAll,
    /// Give all idle memory back.
    Purge,
    /// Give aged idle memory back.
    PurgeAged,
    /// Check all invariants.
    Validate,
}

/// What the subject is told about a block that is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Free {
    /// The layout that it was allocated with.
    Sized,
    /// A layout of all its usable bytes.
    Usable,
    /// Nothing.
    Unsized,
}

impl Action {
    /// The next action that `choices` make, or `None` at their end.
    pub fn choose(choices: &mut impl Choices, limits: &Limits) -> Option<Action> {
        Some(match choices.byte()? {
            byte @ 0..128 => {
                Action::Allocate { size: size(choices, limits)?, align: align(choices, limits)?, zeroed: byte % 8 == 0 }
            }
            128..192 => Action::Free { which: choices.number()?, how: Free::Sized },
            192..204 => Action::Free { which: choices.number()?, how: Free::Usable },
            204..216 => Action::Free { which: choices.number()?, how: Free::Unsized },
            216..248 => Action::Reallocate { which: choices.number()?, size: size(choices, limits)? },
            248 => Action::FreeAll,
            249..251 => Action::Purge,
            251..254 => Action::PurgeAged,
            254.. => Action::Validate,
        })
    }

    /// The action that this line of a trace says; `None` for a comment or an empty line.
    ///
    /// # Panics
    /// If the line says nothing that is understood.
    pub fn parse(line: &str) -> Option<Action> {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let name = words.next()?;
        let mut number =
            || -> usize { words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("trace: {line}")) };
        Some(match name {
            "a" | "z" => Action::Allocate { size: number(), align: number(), zeroed: name == "z" },
            "f" => Action::Free { which: number(), how: Free::Sized },
            "w" => Action::Free { which: number(), how: Free::Usable },
            "u" => Action::Free { which: number(), how: Free::Unsized },
            "r" => Action::Reallocate { which: number(), size: number() },
            "e" => Action::FreeAll,
            "p" => Action::Purge,
            "g" => Action::PurgeAged,
            "v" => Action::Validate,
            _ => panic!("trace: {line}"),
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Action::Allocate { size, align, zeroed: false } => write!(f, "a {size} {align}"),
            Action::Allocate { size, align, zeroed: true } => write!(f, "z {size} {align}"),
            Action::Free { which, how: Free::Sized } => write!(f, "f {which}"),
            Action::Free { which, how: Free::Usable } => write!(f, "w {which}"),
            Action::Free { which, how: Free::Unsized } => write!(f, "u {which}"),
            Action::Reallocate { which, size } => write!(f, "r {which} {size}"),
            Action::FreeAll => f.write_str("e"),
            Action::Purge => f.write_str("p"),
            Action::PurgeAged => f.write_str("g"),
            Action::Validate => f.write_str("v"),
        }
    }
}

/// Log-shaped: as many sizes of 8 to 15 bytes as of 4 to 8 KiB; every fourth beside a class boundary, some 0.
fn size(choices: &mut impl Choices, limits: &Limits) -> Option<usize> {
    let kind = choices.byte()?;
    let size = match kind {
        0..4 => 0,
        4..64 => {
            let class = SizeClass::from_index(choices.byte()? as usize % SizeClass::count(limits.size.clamp(128, 1 << 20)));
            class.block_size() + kind as usize % 3 - 1
        }
        _ => {
            let doubling = 1 << (kind as u32 % (limits.size.ilog2() + 1));
            doubling + choices.number()? % doubling
        }
    };
    Some(size.min(limits.size))
}

fn align(choices: &mut impl Choices, limits: &Limits) -> Option<usize> {
    let kind = choices.byte()? as usize;
    Some(match kind {
        0..224 => 1 << (kind % 5),
        224..252 => 1 << (kind % 13),
        _ => 1 << (choices.byte()? as u32 % (limits.align.ilog2() + 1)),
    })
}

/// What happened so far, so that a test can say that enough did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Blocks that were handed out.
    pub allocated: usize,
    /// Requests that were refused.
    pub refused: usize,
    /// Blocks that were freed.
    pub freed: usize,
    /// Reallocations that left the block where it was.
    pub resized_in_place: usize,
    /// Reallocations that moved the block.
    pub moved: usize,
    /// Bytes that purges gave back.
    pub purged: usize,
}

/// Performs actions on a subject and checks them.
pub struct Driver<'a, H: Subject> {
    subject: &'a H,
    /// Whether these bytes (address and length) are memory that the source gave.
    inside: &'a dyn Fn(usize, usize) -> bool,
    shadow: Shadow,
    alone: bool,
    /// What happened so far.
    pub counts: Counts,
}

impl<'a, H: Subject> Driver<'a, H> {
    /// A driver for a subject that nobody else uses. `inside` says whether bytes (address and length) are the source's.
    pub fn new(subject: &'a H, inside: &'a dyn Fn(usize, usize) -> bool) -> Self {
        Driver { subject, inside, shadow: Shadow::default(), alone: true, counts: Counts::default() }
    }

    /// The same for a subject that others use as well: what can only be checked alone is not.
    pub fn new_shared(subject: &'a H, inside: &'a dyn Fn(usize, usize) -> bool) -> Self {
        Driver { alone: false, ..Self::new(subject, inside) }
    }

    /// How many blocks are live.
    pub fn live(&self) -> usize {
        self.shadow.len()
    }

    /// Performs and checks one action.
    pub fn perform(&mut self, action: Action) {
        match action {
            Action::Allocate { size, align, zeroed } => self.allocate(size, align, zeroed),
            Action::Free { which, how } => self.free(which, how),
            Action::Reallocate { which, size } => self.reallocate(which, size),
            Action::FreeAll => self.free_all(),
            Action::Purge => self.counts.purged += self.subject.purge(),
            Action::PurgeAged => self.counts.purged += self.subject.purge_aged(),
            Action::Validate if self.alone => self.subject.assert_valid(),
            Action::Validate => {}
        }
    }

    /// Performs up to `steps` actions chosen by `choices`.
    pub fn run(&mut self, choices: &mut impl Choices, limits: &Limits, steps: usize) {
        for _ in 0..steps {
            match Action::choose(choices, limits) {
                Some(Action::Allocate { size, .. }) if self.shadow.len() >= limits.live => self.free(size, Free::Sized),
                Some(action) => self.perform(action),
                None => break,
            }
        }
    }

    /// Performs a trace.
    pub fn replay(&mut self, trace: &str) {
        trace.lines().filter_map(Action::parse).for_each(|action| self.perform(action));
    }

    /// Frees every block, checks that the subject knows it, and returns what happened.
    pub fn finish(mut self) -> Counts {
        self.free_all();
        if self.alone {
            self.subject.assert_valid();
        }
        self.counts
    }

    fn allocate(&mut self, size: usize, align: usize, zeroed: bool) {
        let Ok(layout) = Layout::from_size_align(size, align) else { return };
        let block = if zeroed { self.subject.allocate_zeroed(layout) } else { self.subject.allocate(layout) };
        let Some(block) = block else {
            self.counts.refused += 1;
            return;
        };
        self.counts.allocated += 1;
        let usable = self.usable(block);
        self.shadow.allocated(block, layout, usable, zeroed);
    }

    fn free(&mut self, which: usize, how: Free) {
        let Some(Live { block, layout, usable, .. }) = self.shadow.take(which) else { return };
        self.counts.freed += 1;
        // SAFETY: the block was live until `take`; each of the layouts fits it.
        unsafe {
            match how {
                Free::Sized => self.subject.deallocate(block, layout),
                Free::Usable => self.subject.deallocate(block, Layout::from_size_align_unchecked(usable, layout.align())),
                Free::Unsized => self.subject.deallocate_unsized(block.as_ptr()),
            }
        }
    }

    fn reallocate(&mut self, which: usize, size: usize) {
        let Some(old) = self.shadow.get(which).filter(|old| Layout::from_size_align(size, old.layout.align()).is_ok()) else {
            return;
        };
        self.shadow.take(which);
        // SAFETY: the block is live and of this layout; the new size makes a layout.
        let Some(block) = (unsafe { self.subject.reallocate(old.block, old.layout, size) }) else {
            self.counts.refused += 1;
            self.shadow.put_back(old);
            return;
        };
        *(if block == old.block { &mut self.counts.resized_in_place } else { &mut self.counts.moved }) += 1;
        let usable = self.usable(block);
        self.shadow.reallocated(old, block, size, usable);
    }

    fn free_all(&mut self) {
        // From both ends and the middle, with each way of freeing.
        let mut step = 0;
        while !self.shadow.is_empty() {
            step += 1;
            self.free(step * 7919, [Free::Sized, Free::Usable, Free::Unsized][step % 3]);
        }
        if self.alone {
            assert_eq!(self.subject.used(), 0, "every block was freed");
        }
    }

    fn usable(&self, block: core::ptr::NonNull<u8>) -> usize {
        let usable = self.subject.usable_size(block.as_ptr()).unwrap_or_else(|| panic!("{block:?} is foreign to its own heap"));
        assert!((self.inside)(block.addr().get(), usable), "{block:?} with {usable} bytes lies outside of the source's memory");
        usable
    }
}

/// Writes down the actions that `choices` make, as a trace.
pub fn record(choices: &mut impl Choices, limits: &Limits, steps: usize) -> Vec<Action> {
    (0..steps).map_while(|_| Action::choose(choices, limits)).collect()
}
