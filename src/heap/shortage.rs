//! What happens when memory is short: the last search before null.
//!
//! *Role*: the part of [`Heap`] that comes when the page source has refused. All that no program holds is in a page, in a magazine, in free
//! slices, or in some context's [hand](crate::cores::in_hand). The first three are searched, whoever holds a page; for the last one the search waits,
//! a bounded time.

use crate::base::events::event;
use crate::cores::core_local::CoreLocal;
use crate::cores::in_hand::Hand;
use crate::heap::Heap;
use crate::pages::geometry::Geometry;
use crate::source::page_source::PageSource;

/// Most searches. Each but the last was overtaken by others who moved memory meanwhile.
const ROUNDS: usize = 64;
/// So many of them may be because others claimed free slices meanwhile and gave them back: a search may do that itself, each time.
const UNDONE_ROUNDS: usize = 4;
/// How often a search waits for contexts that did not yet know that memory is short.
const GRACE: usize = if cfg!(miri) { 10 } else { 1_000 };

/// What was known of the source before a search.
pub(crate) struct Known {
    is_short: bool,
    refusals: usize,
}

impl<S: PageSource, C: CoreLocal, G: Geometry> Heap<S, C, G> {
    /// Says that this context is about to take free memory in hand. That is of interest only while memory is short.
    #[inline]
    pub(crate) fn hand(&self) -> Hand<'_> {
        let is_told = !C::ONE_CONTEXT && self.arenas.is_short();
        Hand::new(is_told.then(|| self.cores.slot(self.cores.core()).in_hand()))
    }

    /// What is known of the source now.
    pub(crate) fn knows(&self) -> Known {
        Known { is_short: self.arenas.is_short(), refusals: self.arenas.refusals() }
    }

    /// Reclaims what nobody uses and runs `search`, until that succeeds, or nothing was in anybody's hand meanwhile (I1). Not where it is of no use to
    /// a request that needs at least so many slices of an arena. The source refused it; `before` is what was known of it then.
    pub(crate) fn search_everywhere<T>(&self, least: usize, before: Known, search: impl Fn() -> Option<T>) -> Option<T> {
        // A source that committed no more may do so for what it gets back. One that had no more addresses has none then.
        let commits_no_more = || self.arenas.refusals() != before.refusals;
        if !commits_no_more() && !self.arenas.iter().any(|arena| arena.could_free(least)) {
            return None;
        }
        event!("out of memory: reclaiming what nobody uses");
        self.arenas.note_shortage();
        let (mut tries, mut are_told, mut undone_rounds) = (0, before.is_short, 0);
        for _ in 0..ROUNDS {
            let (moves, undone) = (self.moves(), self.undone());
            let busy = self.reclaim();
            let is_purged = commits_no_more();
            if is_purged {
                self.purge_slices(false, usize::MAX);
            }
            if let Some(found) = search() {
                return Some(found);
            }
            if !is_purged && commits_no_more() {
                // It was this search that the source refused first.
                continue;
            }
            if C::ONE_CONTEXT {
                break;
            }
            if !are_told {
                are_told = true;
                let this = self.cores.core();
                (0..GRACE).all(|tries| self.cores.wait_for(this, tries));
            } else if !self.wait_for_hands(&mut tries) {
                break;
            } else if let Some(core) = busy.filter(|core| !self.cores.slot(*core).is_lost()) {
                if !self.wait_for(core, &mut tries) {
                    self.cores.slot(core).lose();
                    break;
                }
            } else if self.moves() == moves {
                if self.undone() == undone || undone_rounds == UNDONE_ROUNDS {
                    break;
                }
                undone_rounds += 1;
            }
        }
        None
    }

    /// How often contexts have given back what they had in hand.
    fn moves(&self) -> usize {
        let moves = (0..self.cores.core_count()).map(|core| self.cores.slot(core).in_hand().moves());
        moves.fold(0, usize::wrapping_add)
    }

    /// How often contexts have claimed free slices for nothing.
    fn undone(&self) -> usize {
        self.arenas.iter().map(|arena| arena.slices().undone().count()).fold(0, usize::wrapping_add)
    }

    /// Waits until each core was seen with nothing in hand; false if that takes too long.
    fn wait_for_hands(&self, tries: &mut usize) -> bool {
        (0..self.cores.core_count()).all(|core| {
            let in_hand = self.cores.slot(core).in_hand();
            while !in_hand.is_empty() {
                if !self.wait_for(core, tries) {
                    in_hand.forget();
                    return false;
                }
            }
            true
        })
    }

    fn wait_for(&self, core: usize, tries: &mut usize) -> bool {
        *tries += 1;
        self.cores.wait_for(core, *tries)
    }
}

#[cfg(test)]
pub(crate) mod tests;
