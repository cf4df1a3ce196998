//! Bitmaps whose set bits are claimed and released by many contexts at once.
//!
//! *Role*: the one mechanism under pages (blocks), page tables (page headers) and slices. A set bit is free; claiming
//! clears it, releasing sets it. Whoever cleared a bit owns what it stands for.
//!
//! *Invariants*
//! - B1: a bit is cleared by an atomic operation that saw it set, so a claim has exactly one winner.
//! - B2: a claim of several words that fails half-way gives back what it took.
//!
//! *Concurrency*: claims acquire, releases release: what the last owner wrote happens before what the next one reads.
//! No operation waits; each is bounded by the number of words, plus one step for each claim lost to another context.

use core::ops::Range;

use crate::base::sync::{AtomicUsize, Ordering, WORD_BITS};

/// A run that is longer than needed by so many bits is as good as any.
const AMPLE: usize = 256;

/// How many words hold `bits` bits.
pub const fn words_for(bits: usize) -> usize {
    bits.div_ceil(WORD_BITS)
}

/// A mask of `len` bits from bit `start` on; `start + len` is at most [`WORD_BITS`].
#[inline]
pub const fn mask(start: usize, len: usize) -> usize {
    if len == 0 { 0 } else { (usize::MAX >> (WORD_BITS - len)) << start }
}

/// Claims up to `want` (at least 1) of the lowest free bits of `word`; returns them, 0 if there are none.
#[inline]
pub fn claim_lowest(word: &AtomicUsize, want: usize) -> usize {
    if want >= WORD_BITS {
        return word.swap(0, Ordering::Acquire);
    }
    let mut current = word.load(Ordering::Relaxed);
    while current != 0 {
        let chosen = lowest(current, want);
        match word.compare_exchange_weak(current, current & !chosen, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return chosen,
            Err(now) => current = now,
        }
    }
    0
}

/// Up to `want` of the lowest set bits.
#[inline]
fn lowest(bits: usize, want: usize) -> usize {
    const HALF: usize = WORD_BITS / 2;
    if want >= HALF {
        // Half a word at a time is near enough, and needs no counting.
        let low = bits & mask(0, HALF);
        return if low == 0 { bits } else { low };
    }
    let mut rest = bits;
    for _ in 0..want {
        rest &= rest.wrapping_sub(1);
    }
    bits & !rest
}

/// Claims all of `bits` in `word`, or nothing.
#[inline]
pub fn claim_exactly(word: &AtomicUsize, bits: usize) -> bool {
    let mut current = word.load(Ordering::Relaxed);
    while current & bits == bits {
        match word.compare_exchange_weak(current, current & !bits, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(now) => current = now,
        }
    }
    false
}

/// How often bits were claimed for nothing, and released again.
pub struct Undone(AtomicUsize);

impl Undone {
    /// Never.
    pub fn new() -> Self {
        Undone(AtomicUsize::new(0))
    }

    /// Notes that bits which were claimed for nothing are set again.
    pub fn note(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    /// How often that was. Who sees another number finds the bits set.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

/// A view of `len` bits over borrowed words.
#[derive(Clone, Copy)]
pub struct Bitmap<'a> {
    words: &'a [AtomicUsize],
    len: usize,
    undone: Option<&'a Undone>,
}

impl<'a> Bitmap<'a> {
    /// A view of the first `len` bits of `words`, which are enough for them.
    pub fn new(words: &'a [AtomicUsize], len: usize) -> Self {
        assert!(len <= words.len() * WORD_BITS);
        Bitmap { words, len, undone: None }
    }

    /// Counts there how often a claim gives back what it has claimed already, because the rest of it is not free.
    pub fn counting(self, undone: &'a Undone) -> Self {
        Bitmap { undone: Some(undone), ..self }
    }

    /// The first `len` bits.
    pub fn first(self, len: usize) -> Self {
        Bitmap { len: len.min(self.len), ..self }
    }

    /// Claims `len` free bits, from a start at or after `from` that is, plus `offset`, a multiple of `align` (a power of two): those of a
    /// run that is hardly longer, so that long runs stay long. See [`fitting_start`].
    pub fn claim_run(&self, from: usize, len: usize, align: usize, offset: usize, candidates: usize) -> Option<Range<usize>> {
        // A run that another context claims first is shorter when it is looked at again.
        loop {
            let start =
                fitting_start(self.len, from, len, candidates, |at| align_up(at, align, offset), |index| self.word(index))?;
            if self.claim(start..start + len) {
                return Some(start..start + len);
            }
        }
    }

    /// Claims exactly the bits of `run`, or nothing.
    pub fn claim(&self, run: Range<usize>) -> bool {
        if run.end > self.len {
            return false;
        }
        for (index, bits) in word_masks(run.clone()) {
            if !claim_exactly(&self.words[index], bits) {
                // B2: what was claimed of the words before goes back.
                let claimed = run.start..index * WORD_BITS;
                if !claimed.is_empty() {
                    self.release(claimed);
                    self.undone.inspect(|undone| undone.note());
                }
                return false;
            }
        }
        true
    }

    /// Sets the bits of `run`; true if every one of them was clear.
    pub fn release(&self, run: Range<usize>) -> bool {
        self.update(run, |word, bits| word.fetch_or(bits, Ordering::Release) & bits == 0)
    }

    /// Clears the bits of `run`; true if every one of them was set.
    pub fn clear(&self, run: Range<usize>) -> bool {
        self.update(run, |word, bits| word.fetch_and(!bits, Ordering::AcqRel) & bits == bits)
    }

    /// Whether no bit of `run` is set.
    pub fn is_clear(&self, run: Range<usize>) -> bool {
        self.update(run, |word, bits| word.load(Ordering::Acquire) & bits == 0)
    }

    /// The next run of set bits at or after `from`.
    pub fn next_run(&self, from: usize) -> Option<Range<usize>> {
        next_run(self.len, from, |index| self.word(index))
    }

    /// The last run of set bits below `to`, up to `most` of them.
    pub fn previous_run(&self, to: usize, most: usize) -> Option<Range<usize>> {
        let word = |index| self.word(index);
        let end = last_set(to, &word)? + 1;
        Some(end - run_before(end, most, &word)..end)
    }

    /// Where the first of `len` set bits in a row is, all at or after `from`.
    pub fn next_run_of(&self, from: usize, len: usize) -> Option<usize> {
        next_run_of(self.len, from, len, &|index| self.word(index))
    }

    /// How many bits from `start` on are set, counted up to `most`.
    pub fn run_at(&self, start: usize, most: usize) -> usize {
        run_at(start, most.min(self.len.saturating_sub(start)), &|index| self.word(index))
    }

    /// A word, and which of its bits begin a run of set bits. A snapshot that may be old.
    #[inline]
    pub fn starts_in(&self, index: usize) -> (usize, usize) {
        let word = self.word(index);
        let before = if index == 0 { 0 } else { self.word(index - 1) };
        (word, word & !(word << 1 | before >> (WORD_BITS - 1)))
    }

    /// `run`, whose bits are set, with up to `most` set bits before it and after it.
    pub fn around(&self, run: Range<usize>, most: usize) -> Range<usize> {
        let word = |index| self.word(index);
        let after = run_at(run.end, most.min(self.len - run.end), &word);
        run.start - run_before(run.start, most, &word)..run.end + after
    }

    /// The word at this index: a snapshot that happens after what was released into it.
    pub fn snapshot(&self, index: usize) -> usize {
        self.words[index].load(Ordering::Acquire)
    }

    /// How many bits are set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.load(Ordering::Relaxed).count_ones() as usize).sum()
    }

    /// How many bits of `run` are set.
    pub fn count_in(&self, run: Range<usize>) -> usize {
        word_masks(run).map(|(index, bits)| (self.word(index) & bits).count_ones() as usize).sum()
    }

    fn update(&self, run: Range<usize>, each: impl Fn(&AtomicUsize, usize) -> bool) -> bool {
        debug_assert!(run.end <= self.len);
        let mut all = true;
        for (index, bits) in word_masks(run) {
            all &= each(&self.words[index], bits);
        }
        all
    }

    /// The word at this index: a snapshot, in no order with other memory.
    pub fn word(&self, index: usize) -> usize {
        self.words[index].load(Ordering::Relaxed)
    }
}

/// The next run of set bits at or after `from`, below `len`, of a bitmap whose words are computed by `word`.
pub fn next_run(len: usize, from: usize, word: impl Fn(usize) -> usize) -> Option<Range<usize>> {
    let start = next_set(len, from, &word)?;
    Some(start..start + run_at(start, len - start, &word).max(1))
}

/// Where in a bitmap of `bits` bits to take `len` set bits at or after `from`, with the start moved up by `align`: of the first
/// `candidates` runs that are long enough the shortest. The search ends at a run that fits exactly, and at one so long that taking a part
/// of it does no harm.
fn fitting_start(
    bits: usize,
    from: usize,
    len: usize,
    candidates: usize,
    align: impl Fn(usize) -> Option<usize>,
    word: impl Fn(usize) -> usize,
) -> Option<usize> {
    let ample = len.checked_add(AMPLE)?;
    let (mut at, mut best, mut shortest, mut compared) = (from, None, usize::MAX, 0);
    while let Some(first) = next_run_of(bits, at, len, &word) {
        let end = first + run_at(first, ample.min(bits - first), &word);
        let Some(start) = align(first) else { break };
        // Of a run that is longer than was measured only the front is done with.
        at = if end - first == ample { start } else { end };
        if start.checked_add(len).is_none_or(|needed| needed > end) {
            continue;
        }
        let run = end - start;
        if run < shortest {
            (best, shortest) = (Some(start), run);
        }
        compared += 1;
        if run == len || end - first == ample || compared >= candidates {
            break;
        }
    }
    best
}

/// The first multiple of `align` (a power of two), minus `offset`, at or after `at`.
fn align_up(at: usize, align: usize, offset: usize) -> Option<usize> {
    Some(at.checked_add(offset)?.checked_next_multiple_of(align)? - offset)
}

fn next_set(len: usize, from: usize, word: &impl Fn(usize) -> usize) -> Option<usize> {
    let mut keep = usize::MAX << (from % WORD_BITS);
    for index in from / WORD_BITS..words_for(len) {
        let bits = word(index) & keep;
        if bits != 0 {
            let found = index * WORD_BITS + bits.trailing_zeros() as usize;
            return (found < len).then_some(found);
        }
        keep = usize::MAX;
    }
    None
}

/// The last set bit below `to`.
fn last_set(to: usize, word: &impl Fn(usize) -> usize) -> Option<usize> {
    (0..words_for(to)).rev().find_map(|index| {
        let bits = word(index) & mask(0, (to - index * WORD_BITS).min(WORD_BITS));
        Some(index * WORD_BITS + bits.checked_ilog2()? as usize)
    })
}

/// The first of `len` set bits in a row, all at or after `from` and below `bits`.
fn next_run_of(bits: usize, from: usize, len: usize, word: &impl Fn(usize) -> usize) -> Option<usize> {
    let mut keep = usize::MAX << (from % WORD_BITS);
    // Set bits at the end of the words before.
    let mut run = 0;
    for index in from / WORD_BITS..words_for(bits) {
        let current = word(index) & keep;
        keep = usize::MAX;
        if current == 0 {
            run = 0;
            continue;
        }
        let at = index * WORD_BITS;
        let inside = if run + current.trailing_ones() as usize >= len { Some(0) } else { run_inside(current, len) };
        if let Some(inside) = inside {
            let start = if inside == 0 { at - run } else { at + inside };
            return (start + len <= bits).then_some(start);
        }
        run = if current == usize::MAX { run + WORD_BITS } else { current.leading_ones() as usize };
    }
    None
}

/// Where in a word `len` set bits in a row begin.
fn run_inside(word: usize, len: usize) -> Option<usize> {
    if len >= WORD_BITS {
        return None;
    }
    // Bits that are followed by so many more.
    let (mut starts, mut known) = (word, 1);
    while known < len {
        let step = known.min(len - known);
        starts &= starts >> step;
        known += step;
    }
    (starts != 0).then(|| starts.trailing_zeros() as usize)
}

/// How many bits from `start` on are set, counted up to `most`.
fn run_at(start: usize, most: usize, word: &impl Fn(usize) -> usize) -> usize {
    let mut run = 0;
    while run < most {
        let (index, shift) = ((start + run) / WORD_BITS, (start + run) % WORD_BITS);
        let ones = (word(index) >> shift).trailing_ones() as usize;
        run += ones;
        if ones < WORD_BITS - shift {
            break;
        }
    }
    run.min(most)
}

/// How many bits before `end` are set, counted up to `most`.
fn run_before(end: usize, most: usize, word: &impl Fn(usize) -> usize) -> usize {
    let most = most.min(end);
    let mut run = 0;
    while run < most {
        let last = end - run - 1;
        let (index, shift) = (last / WORD_BITS, WORD_BITS - 1 - last % WORD_BITS);
        let ones = (word(index) << shift).leading_ones() as usize;
        run += ones;
        if ones < WORD_BITS - shift {
            break;
        }
    }
    run.min(most)
}

/// The words that `run` touches, each with the mask of its part.
fn word_masks(run: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
    let mut at = run.start;
    core::iter::from_fn(move || {
        if at >= run.end {
            return None;
        }
        let (index, start) = (at / WORD_BITS, at % WORD_BITS);
        let len = (run.end - at).min(WORD_BITS - start);
        at += len;
        Some((index, mask(start, len)))
    })
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, any(loom, miri)))]
mod model;
