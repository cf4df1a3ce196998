//! From an address to its arena, in a bounded number of steps, however many arenas there are and wherever they lie.
//!
//! *Role*: [`arenas`](crate::pages::arenas) enters an arena here before anybody else sees it. A heap whose [`Geometry::PerHome`] has one entry keeps
//! a list instead.
//!
//! An arena is entered once for each granule that it touches. Granules have [`Geometry::ARENA_SIZE`], or for smaller arenas that do not start at a
//! multiple of it a power of two less, so that few arenas share one and no arena has many. A look-up tries the sizes of granules that there are,
//! one after the other. The entry of a granule lies in a window of a table, which begins where its number says. There is the heap's own table, and
//! when it is half full an arena brings a bigger one along.
//!
//! Most arenas are found by one look: in the heap's own table, at the entry that the address leads to, its home.
//!
//! *Invariants*
//! - N2: an entry stays for good, and is the first of its window that was empty. So a window is looked through up to an empty entry.
//! - N3: a table is on the list for good.
//! - N4: where a home says a number of slices, the arena in its entry lies at a multiple of [`Geometry::SLICE_SIZE`], and so many slices from there
//!   on are in its region: as many as there were when it was entered. Where it could grow to, another arena may lie.
//! - N5: an arena's size of granules is noted in `used_shifts` before it is entered, for good.

use core::marker::PhantomData;
use core::ptr::{NonNull, null_mut};

use crate::base::sync::{AtomicPtr, AtomicU32, AtomicUsize, Ordering, WORD_BITS};
use crate::pages::arena::Arena;
use crate::pages::geometry::Geometry;

/// Entries in a window: no arena that is smaller than [`Geometry::ARENA_SIZE`] has as many, so they fit in any table that is empty.
const WINDOW: usize = 16;
/// Granules of the next smaller size are smaller by so many bits.
const STEP: usize = 3;

/// The arenas of a heap, by address.
pub struct ArenaMap<G: Geometry> {
    first: G::PerHome<AtomicPtr<u8>>,
    /// For each entry of `first`, if it is its arena's home: how many slices from there on are that one's (N4).
    slices_at_home: G::PerHome<AtomicU32>,
    /// The sizes of granules that arenas have (N5): bit `n` stands for 2^n bytes.
    used_shifts: AtomicUsize,
    /// The tables that arenas brought along, the newest first.
    more: AtomicPtr<Table>,
    geometry: PhantomData<G>,
}

/// In front of the entries of a table that came with an arena.
struct Table {
    next: AtomicPtr<Table>,
    entries: NonNull<AtomicPtr<u8>>,
    len: usize,
}

impl Table {
    /// Makes a table in place.
    ///
    /// # Safety
    /// `memory` is zeroed, aligned for a pointer, has `bytes`, which are enough, and stays.
    unsafe fn init<'a>(memory: NonNull<u8>, bytes: usize) -> &'a Table {
        let len = (bytes - size_of::<Table>()) / size_of::<AtomicPtr<u8>>();
        // SAFETY: the caller's promise; nobody else has the address yet.
        unsafe {
            let table = memory.cast::<Table>();
            table.write(Table { next: AtomicPtr::new(null_mut()), entries: table.add(1).cast(), len });
            table.as_ref()
        }
    }

    fn entries(&self) -> &[AtomicPtr<u8>] {
        // SAFETY: `init` was given that many, zeroed.
        unsafe { core::slice::from_raw_parts(self.entries.as_ptr(), self.len) }
    }
}

impl<G: Geometry> ArenaMap<G> {
    /// How many entries the heap's own table has.
    const LEN: usize = size_of::<G::PerHome<AtomicPtr<u8>>>() / size_of::<AtomicPtr<u8>>();
    /// Whether there is a map at all.
    pub const IS_USED: bool = Self::LEN > 1;
    /// The size of granules of arenas that are not small, in bits.
    const SHIFT: usize = G::ARENA_SIZE.ilog2() as usize;

    /// No arenas.
    pub const fn new() -> Self {
        // SAFETY: a geometry's array of atomics, valid when zero.
        let first = unsafe { core::mem::zeroed() };
        // SAFETY: as above.
        let slices_at_home = unsafe { core::mem::zeroed() };
        ArenaMap {
            first,
            slices_at_home,
            used_shifts: AtomicUsize::new(0),
            more: AtomicPtr::new(null_mut()),
            geometry: PhantomData,
        }
    }

    /// The entry that an address leads to without a look at anything else.
    #[inline(always)]
    fn home(address: usize) -> usize {
        address / G::ARENA_SIZE % Self::LEN
    }

    /// The arena at home, and how many slices behind it this address lies, if these are the arena's (N4).
    #[inline(always)]
    pub fn find_entry_at_home(&self, address: usize) -> Option<(*const u8, usize)> {
        let home = Self::home(address);
        // Acquire pairs with the Release in `enter`.
        let slices = self.slices_at_home.as_ref()[home].load(Ordering::Acquire);
        let arena = self.first.as_ref()[home].load(Ordering::Relaxed);
        let index = address.wrapping_sub(arena.addr()) / G::SLICE_SIZE;
        (index < slices as usize).then_some((arena.cast_const(), index))
    }

    /// The arena at home, if it has this address among its slices: most have it.
    #[inline]
    pub fn find_at_home(&self, address: usize) -> Option<&Arena<G>> {
        let arena = self.first.as_ref()[Self::home(address)].load(Ordering::Acquire);
        // SAFETY: N2: entries are arenas, and R1: these stay.
        unsafe { arena.cast::<Arena<G>>().as_ref() }.filter(|arena| arena.slices().index_of(address).is_some())
    }

    /// The arena that has this address among its slices.
    pub fn find(&self, address: usize) -> Option<&Arena<G>> {
        // N5: who knows an address of an arena knows that its size was noted.
        let mut noted = self.used_shifts.load(Ordering::Relaxed);
        let mut from_big_to_small = core::iter::from_fn(|| {
            let shift = noted.checked_ilog2()?;
            noted ^= 1 << shift;
            Some(shift as usize)
        });
        from_big_to_small.find_map(|shift| {
            self.tables(shift).find_map(|table| {
                let entries = window(table, Self::place(shift, address >> shift)).map(|entry| entry.load(Ordering::Acquire));
                // SAFETY: N2: entries are arenas, and R1: these stay.
                let mut arenas = entries.map_while(|arena| unsafe { arena.cast::<Arena<G>>().as_ref() });
                arenas.find(|arena| arena.slices().index_of(address).is_some())
            })
        })
    }

    /// Bytes of a table that the next arena shall bring along, which will span so many bytes.
    pub fn table_bytes(&self, span: usize) -> usize {
        if Self::IS_USED { size_of::<Table>() + self.table_len(span) * size_of::<AtomicPtr<u8>>() } else { 0 }
    }

    fn table_len(&self, span: usize) -> usize {
        let (mut used, mut len) = (0, 0);
        for table in self.tables(Self::SHIFT) {
            used += table.iter().filter(|entry| !entry.load(Ordering::Relaxed).is_null()).count();
            len += table.len();
        }
        let wanted = if used > len / 2 { 4 * len } else { 0 };
        // Enough for the arena itself, and for the ends of its range.
        wanted.max(WINDOW).max((span >> Self::SHIFT) + 2)
    }

    /// Enters an arena that nobody has seen yet.
    ///
    /// # Safety
    /// `memory` is zeroed and aligned for a pointer, stays, and has `bytes`: as many as [`table_bytes`](Self::table_bytes) said for all that
    /// the arena will span.
    pub unsafe fn enter(&self, arena: &Arena<G>, memory: NonNull<u8>, bytes: usize) {
        if !Self::IS_USED {
            return;
        }
        // SAFETY: the caller's promise.
        let own = unsafe { Table::init(memory, bytes) };
        let (first, last) = arena.span();
        // At home also if it is small: the granule begins with it.
        let is_of = |shift: &usize| first.is_multiple_of(G::ARENA_SIZE) || (last - first) >> shift != 0;
        let Some(shift) = Self::shifts().find(is_of).or_else(|| Self::shifts().last()) else { return };
        self.used_shifts.fetch_or(1 << shift, Ordering::Relaxed);
        let mut is_needed = own.len > WINDOW;
        for granule in first >> shift..=last >> shift {
            let put = |table| {
                let base = arena.base();
                // Pairs with the load in `find`.
                window(table, Self::place(shift, granule))
                    .any(|entry| entry.compare_exchange(null_mut(), base, Ordering::Release, Ordering::Relaxed).is_ok())
            };
            if !self.tables(shift).any(put) {
                // Nobody else has it yet, and it has room for all of them.
                let is_put = put(own.entries());
                debug_assert!(is_put);
                is_needed = true;
            }
        }
        if is_needed {
            self.add(own);
        }
        if shift == Self::SHIFT && arena.base().addr().is_multiple_of(G::SLICE_SIZE) {
            let homes = (first >> shift..=last >> shift).map(|granule| granule % Self::LEN);
            let is_there = |home: &usize| self.first.as_ref()[*home].load(Ordering::Relaxed) == arena.base();
            let slices = arena.slices_from_base().try_into().unwrap_or(u32::MAX);
            // Release: who finds the number finds the arena.
            homes.filter(is_there).for_each(|home| self.slices_at_home.as_ref()[home].store(slices, Ordering::Release));
        }
    }

    fn add(&self, table: &Table) {
        let mut newest = self.more.load(Ordering::Relaxed);
        loop {
            table.next.store(newest, Ordering::Relaxed);
            let pointer = core::ptr::from_ref(table).cast_mut();
            match self.more.compare_exchange_weak(newest, pointer, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => newest = now,
            }
        }
    }

    /// All tables: those with the most room first, but for arenas that are not small the heap's own.
    fn tables(&self, shift: usize) -> impl Iterator<Item = &[AtomicPtr<u8>]> {
        // SAFETY: N3. The newest one shows all others: each was added by a swap of what the one before was added by.
        let follow = |link: &AtomicPtr<Table>, order| unsafe { link.load(order).as_ref() };
        let newest = follow(&self.more, Ordering::Acquire);
        let more = core::iter::successors(newest, move |table| follow(&table.next, Ordering::Relaxed)).map(Table::entries);
        let own = |is_its_turn: bool| is_its_turn.then(|| self.first.as_ref()).into_iter();
        own(shift == Self::SHIFT).chain(more).chain(own(shift != Self::SHIFT))
    }

    /// The sizes of granules, in bits, from big to small.
    fn shifts() -> impl Iterator<Item = usize> {
        let least = G::SLICE_SIZE.ilog2() as usize;
        core::iter::successors(Some(Self::SHIFT), move |shift| shift.checked_sub(STEP).filter(|shift| *shift >= least))
    }

    /// Where in a table the window of this granule begins, before it is cut to the table's length.
    fn place(shift: usize, granule: usize) -> usize {
        const GOLDEN: usize = 0x9e37_79b9_7f4a_7c15_u64 as usize;
        if shift == Self::SHIFT { granule } else { (granule ^ shift).wrapping_mul(GOLDEN) >> (WORD_BITS / 2) }
    }
}

fn window(table: &[AtomicPtr<u8>], place: usize) -> impl Iterator<Item = &AtomicPtr<u8>> {
    (0..WINDOW.min(table.len())).map(move |index| &table[place.wrapping_add(index) % table.len()])
}

#[cfg(test)]
mod tests;
