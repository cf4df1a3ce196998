//! All arenas of a heap: found by address, and grown from the page source.
//!
//! *Role*: [`heap`](crate::heap) asks here for pages and large blocks; new regions come in here and nowhere else.
//!
//! *Invariant* N1: an arena that was published is on the list for good; the map holds arenas of the list, or nothing. The map
//! may miss an arena (two that fall on one entry), the list never does.
//!
//! *Concurrency*: no lock. Contexts that run dry together wait a short time for the first of them to come back with a region, then ask the
//! source themselves. If it refuses, they wait longer for those that are still asking: one of them may have all there is. One on the core of
//! another, because it interrupted it or was called by the source, does not wait for that; so nobody is ever stuck.

use core::ptr::{NonNull, null_mut};
use core::sync::atomic::fence;

use crate::arena::Arena;
use crate::events::event;
use crate::geometry::Geometry;
use crate::page_source::{PageSource, Region, RegionRequest};
use crate::size_class::SizeClass;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, WORD_BITS};

/// How long a context waits for another core that is asking the source before it asks too, in spins.
const SHORT_WAIT: usize = if cfg!(miri) { 10 } else { 20_000 };
/// How long when the source has refused. Tables are committed meanwhile, on slow machines in milliseconds.
const LONG_WAIT: usize = if cfg!(miri) { 100 } else { 5_000_000 };

/// After this many arenas the next ones are twice as big.
const ARENAS_PER_DOUBLING: usize = 4;
const MOST_DOUBLINGS: usize = 6;

/// The arenas of a heap.
pub struct Arenas<G: Geometry> {
    /// The newest arena; each leads to the one before.
    newest: AtomicPtr<Arena<G>>,
    count: AtomicUsize,
    /// How often memory came in.
    generation: AtomicUsize,
    /// Bit `n`: core `n`, or one by a multiple of the bits beyond, is asking the source.
    asking: AtomicUsize,
    /// A region that could not be made an arena, because its tables were not committed, and that the source cannot take back.
    spare: AtomicPtr<u8>,
    spare_size: AtomicUsize,
    map: G::ArenaMap,
}

impl<G: Geometry> Arenas<G> {
    /// No arenas.
    pub const fn new() -> Self {
        let (count, generation) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (spare, spare_size) = (AtomicPtr::new(null_mut()), AtomicUsize::new(0));
        let (newest, asking) = (AtomicPtr::new(null_mut()), AtomicUsize::new(0));
        Arenas { newest, count, generation, asking, spare, spare_size, map: G::EMPTY_MAP }
    }

    /// The arena that has this address among its slices.
    #[inline]
    pub fn of(&self, address: usize) -> Option<&Arena<G>> {
        // SAFETY: N1 and R1: arenas stay.
        let arena = unsafe { self.entry(address).load(Ordering::Acquire).cast::<Arena<G>>().as_ref() };
        match arena {
            Some(arena) if arena.slices().index_of(address).is_some() => Some(arena),
            _ => self.iter().find(|arena| arena.slices().index_of(address).is_some()),
        }
    }

    /// The class of the page that this address lies in; `None` for a large block, and for what is no arena's.
    #[inline]
    pub fn class_of(&self, address: usize) -> Option<SizeClass> {
        self.class_of_mapped(address).or_else(|| self.of(address)?.class_of(address))
    }

    /// [`class_of`](Self::class_of), as far as the map knows, for arenas that lie at a multiple of [`Geometry::ARENA_SIZE`].
    #[inline(always)]
    pub fn class_of_mapped(&self, address: usize) -> Option<SizeClass> {
        let arena = self.entry(address).load(Ordering::Acquire);
        let (base, offset) = (arena.addr(), address % G::ARENA_SIZE);
        if base == 0 || base % G::ARENA_SIZE != 0 || base / G::ARENA_SIZE != address / G::ARENA_SIZE {
            return None;
        }
        // That is `base`. Computed from the address it need not wait for the map, and not said as an equality it stays so.
        // SAFETY: N1 and R1: arenas stay.
        unsafe { Arena::<G>::class_in(arena.with_addr(address - offset), offset) }
    }

    /// All arenas, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arena<G>> {
        // SAFETY: N1 and R1: arenas stay.
        let follow = |link: &AtomicPtr<Arena<G>>| unsafe { link.load(Ordering::Acquire).as_ref() };
        core::iter::successors(follow(&self.newest), move |arena| follow(&arena.next))
    }

    /// Changes whenever memory comes in.
    pub fn generation(&self) -> usize {
        self.generation.load(Ordering::Acquire)
    }

    /// How often the source refused to commit free slices.
    pub fn refusals(&self) -> usize {
        self.iter().map(|arena| arena.slices().refusals()).sum()
    }

    /// Gets memory for `needed` slices ([`Arena::slices_for_run`]). True if there may be some now: also if others got some since the caller,
    /// which runs on `core` and is about to search, saw `generation`.
    pub fn grow<S: PageSource>(&self, source: &S, core: usize, generation: usize, needed: usize) -> bool {
        let Some(min_size) = Arena::<G>::min_region_size::<S>(needed) else { return false };
        let this = 1 << (core % WORD_BITS);
        self.wait_for_others(this, generation, SHORT_WAIT);
        let is_nested = self.asking.fetch_or(this, Ordering::Relaxed) & this != 0;
        // Whoever the source refuses because of this one sees the bit.
        fence(Ordering::SeqCst);
        let mut grown = self.generation() != generation;
        if !grown {
            grown = S::GROWS && self.iter().any(|arena| arena.grow(source, needed)) || self.add(source, min_size);
            if grown {
                self.generation.fetch_add(1, Ordering::Release);
            }
        }
        if !is_nested {
            self.asking.fetch_and(!this, Ordering::Release);
        }
        if !grown {
            fence(Ordering::SeqCst);
            let others = self.wait_for_others(this, generation, LONG_WAIT);
            // They ended while they asked, as a worker that is terminated does: nobody waits for them again.
            self.asking.fetch_and(!others, Ordering::Relaxed);
            grown = self.generation() != generation;
        }
        grown
    }

    /// Waits while other cores are asking the source, until memory comes in; returns those for which that was in vain.
    fn wait_for_others(&self, this: usize, generation: usize, spins: usize) -> usize {
        let others = || if self.generation() == generation { self.asking.load(Ordering::Acquire) & !this } else { 0 };
        let is_asking = |_| {
            core::hint::spin_loop();
            others() != 0
        };
        if others() != 0 && (0..spins).all(is_asking) { others() } else { 0 }
    }

    fn add<S: PageSource>(&self, source: &S, min_size: usize) -> bool {
        let doublings = (self.count.load(Ordering::Relaxed) / ARENAS_PER_DOUBLING).min(MOST_DOUBLINGS);
        let preferred_size = G::ARENA_SIZE.saturating_mul(1 << doublings).min(isize::MAX as usize).max(min_size);
        let request = RegionRequest { min_size, preferred_size, preferred_align: G::ARENA_SIZE.max(G::SLICE_SIZE) };
        let Some(region) = self.take_spare().or_else(|| source.reserve(request)) else { return false };
        let arena = Arena::<G>::create(source, region);
        match arena {
            Some(arena) => {
                event!("{=usize} bytes from the page source", region.size);
                self.publish(arena);
            }
            // SAFETY: just handed out, and used by nobody.
            None if S::RELEASES => unsafe { source.release(region) },
            None => self.keep_spare(region),
        }
        arena.is_some()
    }

    fn take_spare(&self) -> Option<Region> {
        let start = NonNull::new(self.spare.swap(null_mut(), Ordering::Acquire))?;
        Some(Region { start, size: self.spare_size.swap(0, Ordering::AcqRel) })
    }

    /// Keeps a region for the next try; there is room for one.
    fn keep_spare(&self, region: Region) {
        if self.spare_size.compare_exchange(0, region.size, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.spare.store(region.start.as_ptr(), Ordering::Release);
        }
    }

    fn publish(&self, arena: &Arena<G>) {
        let (pointer, base) = (core::ptr::from_ref(arena).cast_mut(), arena.base());
        let mut newest = self.newest.load(Ordering::Relaxed);
        loop {
            arena.next.store(newest, Ordering::Relaxed);
            match self.newest.compare_exchange_weak(newest, pointer, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => newest = now,
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let region = arena.region();
        let entries = self.map.as_ref().len().min(region.size.div_ceil(G::ARENA_SIZE) + 1);
        for index in 0..entries {
            let address = region.start.addr().get().saturating_add((index * G::ARENA_SIZE).min(region.size - 1));
            let _ = self.entry(address).compare_exchange(null_mut(), base, Ordering::Release, Ordering::Relaxed);
        }
    }

    #[inline(always)]
    fn entry(&self, address: usize) -> &AtomicPtr<u8> {
        let map = self.map.as_ref();
        &map[address / G::ARENA_SIZE % map.len()]
    }
}

#[cfg(test)]
mod tests;
