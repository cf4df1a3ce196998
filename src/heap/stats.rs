//! The heap report: what is in use, committed and free, in total and by size class.
//!
//! *Role*: walks all page headers on demand, so that the fast path counts nothing.

#![deny(unsafe_code)]

use core::fmt;

use crate::base::size_class::SizeClass;
use crate::cores::core_local::CoreLocal;
use crate::heap::Heap;
use crate::pages::arena::Arena;
use crate::pages::geometry::Geometry;
use crate::source::page_source::PageSource;

/// A snapshot of a heap, in bytes. Exact while no other context uses the heap.
#[non_exhaustive]
pub struct Stats<G: Geometry> {
    /// In blocks that the program holds, by block size.
    pub used: usize,
    /// The most that pages, large blocks and core heaps ever took; not page headers and tables.
    pub peak: usize,
    /// What may be resident: committed and not given back.
    pub committed: usize,
    /// In all regions that the page source gave.
    pub reserved: usize,
    /// Headers, tables and core heaps.
    pub metadata: usize,
    /// The longest run of free slices: the biggest block that fits without asking the source, unless one waits in a magazine.
    pub largest_free_run: usize,
    /// Mistakes of the program that were seen and ignored (release builds only; a debug build panics).
    pub misuses: usize,
    /// Large blocks: how many, and their bytes.
    pub large: (usize, usize),
    classes: G::PerClass<ClassStats>,
}

/// One size class in a heap report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassStats {
    /// Bytes in a block.
    pub block_size: usize,
    /// Pages of this class.
    pub pages: usize,
    /// Blocks in these pages.
    pub blocks: usize,
    /// Blocks that the program holds.
    pub used: usize,
    /// Free blocks in the cores' magazines.
    pub in_magazines: usize,
}

impl<G: Geometry> Stats<G> {
    /// The size classes that have pages.
    pub fn classes(&self) -> impl Iterator<Item = &ClassStats> {
        self.classes.as_ref().iter().filter(|class| class.pages > 0)
    }
}

impl<G: Geometry> Stats<G> {
    /// Counts what lies in this arena, the blocks in magazines as used ones.
    fn add(&mut self, arena: &Arena<G>) {
        let slices = arena.slices();
        self.reserved += arena.region().size;
        self.metadata += arena.metadata_bytes();
        self.committed += slices.committed().count() * G::SLICE_SIZE + arena.front_bytes();
        let mut from = 0;
        while let Some(run) = slices.free().next_run(from) {
            self.largest_free_run = self.largest_free_run.max(run.len() * G::SLICE_SIZE);
            from = run.end;
        }
        for page in arena.table().groups().flat_map(|(_, group)| group.pages()) {
            if let Some(class) = page.class() {
                let entry = &mut self.classes.as_mut()[class.index()];
                entry.pages += 1;
                entry.blocks += page.block_count();
                entry.used += page.block_count() - page.free_count().min(page.block_count());
            } else if page.is_large() {
                self.large.0 += 1;
                self.large.1 += page.slice_count() * G::SLICE_SIZE;
            }
        }
    }
}

impl<S: PageSource, C: CoreLocal, G: Geometry> Heap<S, C, G> {
    /// A heap report. Takes time in proportion to the memory in use.
    pub fn stats(&self) -> Stats<G> {
        let mut stats: Stats<G> = Stats {
            used: 0,
            peak: self.peak_bytes(),
            committed: 0,
            reserved: 0,
            metadata: 0,
            largest_free_run: 0,
            misuses: self.misuses.count(),
            large: (0, 0),
            classes: G::per_class(|index| {
                let block_size = SizeClass::from_index(index).block_size();
                ClassStats { block_size, ..ClassStats::default() }
            }),
        };
        self.arenas.iter().for_each(|arena| stats.add(arena));
        for block in self.region_blocks.blocks() {
            stats.reserved += block.region().map_or(0, |region| region.size);
            stats.committed += block.size();
            stats.large.0 += 1;
            stats.large.1 += block.size();
        }
        let classes = stats.classes.as_mut();
        self.classes_in_magazines().for_each(|class| classes[class.index()].in_magazines += 1);
        for entry in classes {
            entry.used = entry.used.saturating_sub(entry.in_magazines);
            stats.used += entry.used * entry.block_size;
        }
        stats.used += stats.large.1;
        stats
    }
}

impl<G: Geometry> fmt::Display for Stats<G> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = |bytes: usize| bytes.div_ceil(1024);
        writeln!(out, "used {} KiB, peak {} KiB, committed {} KiB", kib(self.used), kib(self.peak), kib(self.committed))?;
        let (metadata, run) = (kib(self.metadata), kib(self.largest_free_run));
        writeln!(out, "reserved {} KiB, metadata {metadata} KiB, largest free run {run} KiB", kib(self.reserved))?;
        writeln!(out, "{:>10} {:>7} {:>10} {:>10} {:>10}", "block size", "pages", "blocks", "used", "magazines")?;
        for class in self.classes() {
            let ClassStats { block_size, pages, blocks, used, in_magazines } = class;
            writeln!(out, "{block_size:>10} {pages:>7} {blocks:>10} {used:>10} {in_magazines:>10}")?;
        }
        write!(out, "{:>10} {:>7} {:>10} {:>10} {:>10}", "large", self.large.0, "", kib(self.large.1), "KiB")
    }
}

/// A line for the heap, and one for each size class that has pages. In bytes: heaps that log with `defmt` are small.
#[cfg(feature = "defmt")]
impl<G: Geometry> defmt::Format for Stats<G> {
    fn format(&self, out: defmt::Formatter<'_>) {
        let Stats { used, peak, committed, reserved, metadata, largest_free_run, large: (large, large_bytes), .. } = *self;
        defmt::write!(out, "used {=usize} B, peak {=usize} B, committed {=usize} of {=usize} B", used, peak, committed, reserved);
        defmt::write!(out, ", metadata {=usize} B, largest free run {=usize} B", metadata, largest_free_run);
        self.classes().for_each(|class| defmt::write!(out, "\n  {}", class));
        defmt::write!(out, "\n  large: {=usize} blocks, {=usize} B", large, large_bytes);
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for ClassStats {
    fn format(&self, out: defmt::Formatter<'_>) {
        let ClassStats { block_size, pages, blocks, used, in_magazines } = *self;
        defmt::write!(out, "{=usize} B: {=usize} of {=usize} blocks used, {=usize} pages", block_size, used, blocks, pages);
        if in_magazines > 0 {
            defmt::write!(out, ", {=usize} in magazines", in_magazines);
        }
    }
}
