//! All arenas of a heap: found by address, and grown from the page source.
//!
//! *Role*: [`heap`](crate::heap) asks here for pages and large blocks; new regions come in here and nowhere else.
//!
//! *Invariant* N1: an arena that was published is on the list for good. If there is a map, the arena is in it for all of its addresses; only the
//! first one may still be on its way there, which `entering` says.
//!
//! *Concurrency*: no lock. Contexts that run dry together ask the source beside each other; see [`asking`](crate::source::asking).

use crate::base::events::event;
use crate::base::size_class::SizeClass;
use crate::base::sync::{AtomicBool, AtomicUsize, Ordering};
use crate::pages::arena::{Areas, Arena};
use crate::pages::arena_map::ArenaMap;
use crate::pages::geometry::Geometry;
use crate::source::asking::{Asking, LONG_WAIT};
use crate::source::newest::{Newest, Overtaken};
use crate::source::page_source::{PageSource, Region, RegionRequest};
use crate::source::spare::Spare;

/// The arenas of a heap.
pub struct Arenas<G: Geometry> {
    /// The newest arena; each leads to the one before.
    newest: Newest<Arena<G>>,
    /// How many arenas may be on the list already, and not yet in the map: attempts to make the first one.
    entering: AtomicUsize,
    asking: Asking,
    /// How often the source refused to commit what is no arena's slices.
    other_refusals: AtomicUsize,
    /// Whether the source gave less than it was asked for, or nothing, when it was asked last.
    scarce: AtomicBool,
    /// Whether the source has ever given less than it was asked for, or refused to give or to commit memory.
    short: AtomicBool,
    /// A region that could not be made an arena, because its tables were not committed, and that the source cannot take back.
    spare: Spare,
    map: ArenaMap<G>,
}

impl<G: Geometry> Arenas<G> {
    /// No arenas.
    pub const fn new() -> Self {
        let (newest, entering, asking) = (Newest::new(), AtomicUsize::new(0), Asking::new());
        let (other_refusals, scarce, short) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicBool::new(false));
        Arenas { newest, entering, asking, other_refusals, scarce, short, spare: Spare::new(), map: ArenaMap::new() }
    }

    /// The arena that has this address among its slices.
    #[inline]
    pub fn of(&self, address: usize) -> Option<&Arena<G>> {
        if !ArenaMap::<G>::IS_USED {
            return self.find_on_list(address);
        }
        self.map.find_at_home(address).or_else(|| self.find_elsewhere(address))
    }

    fn find_on_list(&self, address: usize) -> Option<&Arena<G>> {
        self.iter().find(|arena| arena.slices().index_of(address).is_some())
    }

    #[cold]
    fn find_elsewhere(&self, address: usize) -> Option<&Arena<G>> {
        // First: who is no longer entering an arena by now has entered it. Acquire pairs with the end in `add_first`. That it began comes before all
        // that is known of the arena.
        let are_entering = self.entering.load(Ordering::Acquire) != 0;
        self.map.find(address).or_else(|| if are_entering { self.find_on_list(address) } else { None })
    }

    /// The class of the page that this address lies in; `None` for a large block, and for what is no arena's.
    #[inline]
    pub fn class_of(&self, address: usize) -> Option<SizeClass> {
        self.class_at_home(address).unwrap_or_else(|| self.of(address)?.class_of(address))
    }

    /// [`class_of`](Self::class_of), if one look at the map leads to the arena; else `None`, which says nothing.
    #[inline(always)]
    pub fn class_at_home(&self, address: usize) -> Option<Option<SizeClass>> {
        if !ArenaMap::<G>::IS_USED {
            return None;
        }
        let (arena, index) = self.map.find_entry_at_home(address)?;
        // SAFETY: N4; N1 and R1: arenas stay.
        Some(unsafe { Arena::<G>::class_in(arena, index) })
    }

    /// The map, for tests of it.
    #[cfg(test)]
    pub fn map(&self) -> &ArenaMap<G> {
        &self.map
    }

    /// All arenas, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arena<G>> {
        // SAFETY: N1 and R1: arenas stay; `get` shows all that lead on from the newest.
        let follow = |arena: *mut Arena<G>| unsafe { arena.as_ref() };
        core::iter::successors(follow(self.newest.get()), move |arena| follow(arena.next.load(Ordering::Relaxed)))
    }

    /// Changes whenever memory comes in.
    pub fn generation(&self) -> usize {
        self.asking.generation()
    }

    /// Whether the source seems to have no more.
    fn is_scarce(&self) -> bool {
        self.scarce.load(Ordering::Relaxed)
    }

    /// Whether memory has been short: from then on contexts say what they have in hand.
    #[inline]
    pub fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// Notes that the source has refused to give or to commit memory.
    pub fn note_shortage(&self) {
        self.short.store(true, Ordering::Relaxed);
    }

    fn note_given(&self, is_less: bool) {
        self.scarce.store(is_less, Ordering::Relaxed);
        if is_less {
            self.note_shortage();
        }
    }

    /// How many slices there can be, as far as is known: no limit until the source seems to have no more.
    pub fn slices_at_most(&self) -> usize {
        if self.is_scarce() { self.iter().map(|arena| arena.slices().count()).sum() } else { usize::MAX }
    }

    /// How often the source refused to commit memory.
    pub fn refusals(&self) -> usize {
        self.other_refusals.load(Ordering::Relaxed) + self.iter().map(|arena| arena.slices().refusals()).sum::<usize>()
    }

    /// Notes that the source refused to commit what is no arena's slices.
    pub fn note_refusal(&self) {
        self.other_refusals.fetch_add(1, Ordering::Relaxed);
    }

    /// Gets memory for `needed` slices ([`Arena::slices_for_run`]), or for `least`, which may be enough where the source has no more.
    /// True if there may be some now: also if others got some since the caller,
    /// which runs on `core` and is about to search, saw `generation`.
    pub fn grow<S: PageSource>(&self, source: &S, core: usize, generation: usize, least: usize, needed: usize) -> bool {
        let Some(min_size) = Arena::<G>::min_region_size::<S>(needed) else { return false };
        let Some(least_size) = Arena::<G>::least_region_size(least) else { return false };
        self.asking.ask(core, generation, |is_nested| {
            S::GROWS && self.iter().any(|arena| arena.grow(source, needed)) || self.add(source, [min_size, least_size], is_nested)
        })
    }

    fn add<S: PageSource>(&self, source: &S, min_sizes: [usize; 2], is_nested: bool) -> bool {
        loop {
            if self.newest.get().is_null()
                && let Some(areas) = Areas::<G>::of_first(source, |span| self.map.table_bytes(span))
            {
                return self.add_first(source, &areas, is_nested);
            }
            let reserve = |min_size: usize| {
                // The table may span the region, and what it can grow to.
                let min_size = min_size.checked_add(2 * self.map.table_bytes(min_size))?;
                let preferred_size = self.preferred_size().max(min_size);
                let request = RegionRequest {
                    min_size,
                    preferred_size,
                    preferred_align: G::ARENA_SIZE.max(G::SLICE_SIZE),
                    is_for_one_block: false,
                };
                let region = source.reserve(request);
                self.note_given(region.is_none_or(|region| !S::GROWS && region.size < preferred_size));
                region
            };
            if self.spare.take().is_some_and(|spare| self.make_arena(source, spare)) {
                return true;
            }
            let Some(region) = min_sizes.into_iter().find_map(reserve) else { return false };
            // The source is only asked for its first region while the heap has none: what it answers with, it keeps for the heap.
            if self.newest.get().is_null()
                && let Some(areas) = Areas::<G>::of_first(source, |span| self.map.table_bytes(span))
            {
                // It came meanwhile.
                if areas.are_of(region) {
                    continue;
                }
                self.add_first(source, &areas, is_nested);
            }
            // It is the heap's already, unless the heap began before there was one.
            if self.iter().any(|arena| region.holds(arena.region().start.addr().get())) {
                continue;
            }
            return self.make_arena(source, region);
        }
    }

    /// Makes the first arena, beside other contexts that do: those that interrupt each other. Others wait for it, a bounded time.
    fn add_first<S: PageSource>(&self, source: &S, areas: &Areas<G>, is_nested: bool) -> bool {
        let begin = |most| self.newest.begin(most);
        let attempt = if is_nested { None } else { begin(1) }.or_else(|| {
            let is_missing = |_| {
                core::hint::spin_loop();
                self.newest.get().is_null()
            };
            // One that interrupted another attempt would wait in vain.
            if is_nested || (0..LONG_WAIT).all(is_missing) { begin(areas.most_attempts()) } else { None }
        });
        let Some(attempt) = attempt else { return !self.newest.get().is_null() };
        self.entering.fetch_add(1, Ordering::Relaxed);
        let is_made = self.attempt_first(source, areas, attempt);
        self.entering.fetch_sub(1, Ordering::Release);
        is_made
    }

    fn attempt_first<S: PageSource>(&self, source: &S, areas: &Areas<G>, attempt: usize) -> bool {
        let (part, area) = (areas.part(attempt), areas.area(attempt));
        let map_bytes = areas.map_bytes();
        let Some((arena, map_table)) = Arena::<G>::create(source, part, map_bytes) else {
            self.newest.give_up(attempt);
            return false;
        };
        let (mut attempts, mut aside) = (attempt + 1, attempt + 1);
        loop {
            match self.newest.publish(core::ptr::from_ref(arena).cast_mut(), attempts) {
                Ok(()) => {
                    // Of attempts that gave up.
                    (attempts..aside).for_each(|later| _ = arena.take_back(areas.area(later)));
                    event!("{=usize} bytes from the page source", part.size);
                    self.note_given(part.size < self.preferred_size());
                    // SAFETY: the arena's own memory, R1.
                    unsafe { self.map.enter(arena, map_table, map_bytes) };
                    return true;
                }
                // Later attempts write in areas that are slices of this arena.
                Err(Overtaken::By(now)) => {
                    (aside..now).for_each(|later| arena.set_aside(source, areas.area(later)));
                    (attempts, aside) = (now, aside.max(now));
                }
                Err(Overtaken::Lost) => break,
            }
        }
        // The area of this attempt comes home: into the arena, or as one of its own in front of it.
        let front = arena.front_bytes();
        // SAFETY: committed by `create`, and used by nobody.
        let is_home = !S::COMMITS || S::DECOMMITS && unsafe { source.decommit(area.start, front) };
        if let Some(first) = self.iter().last().filter(|_| is_home)
            && !first.take_back(area)
            && !S::COMMITS
        {
            // SAFETY: the area is this context's, which wrote its tables there.
            unsafe { area.start.write_bytes(0, area.size) };
            self.make_arena(source, area);
        }
        true
    }

    /// Makes an arena of a region that was asked for something else.
    pub fn adopt<S: PageSource>(&self, source: &S, region: Region) {
        if self.make_arena(source, region) {
            self.asking.note_memory();
        }
    }

    fn make_arena<S: PageSource>(&self, source: &S, region: Region) -> bool {
        let map_bytes = self.map.table_bytes(Arena::<G>::reach::<S>(region));
        let Some((arena, map_table)) = Arena::<G>::create(source, region, map_bytes) else {
            if S::COMMITS {
                self.note_refusal();
            }
            if S::RELEASES {
                // SAFETY: just handed out, and used by nobody.
                unsafe { source.release(region) };
            } else if S::COMMITS {
                self.spare.keep(region);
            }
            return false;
        };
        event!("{=usize} bytes from the page source", region.size);
        // SAFETY: the arena's own memory, R1.
        unsafe { self.map.enter(arena, map_table, map_bytes) };
        let link = |before| arena.next.store(before, Ordering::Relaxed);
        self.newest.push(core::ptr::from_ref(arena).cast_mut(), link);
        true
    }

    /// How much to ask the source for: in proportion to what there is, so that arenas are few.
    fn preferred_size(&self) -> usize {
        let reserved = self.iter().fold(0_usize, |sum, arena| sum.saturating_add(arena.region().size));
        let part = (reserved / 4).checked_ilog2().map_or(0, |bits| 1 << bits);
        G::ARENA_SIZE.max(part).min(isize::MAX as usize)
    }
}

#[cfg(test)]
mod tests;

#[cfg(all(test, miri))]
mod model;
