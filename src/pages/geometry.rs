//! How big everything is: a compile-time parameter of a heap.
//!
//! *Role*: constants and array types for all that comes later. [`geometry!`](crate::geometry!) makes one; [`Server`], [`AlignedServer`],
//! [`Compact`] and [`Tiny`] are ready.

use crate::base::size_class::SizeClass;
use crate::base::sync::{AtomicUsize, WORD_BITS};
use crate::pages::page_entry::PageEntry;

/// Sizes of slices, pages, classes and magazines. Made by [`geometry!`](crate::geometry!).
///
/// # Safety
/// The types are arrays of plain memory, valid where all bytes are zero, as long as the constants and their descriptions say.
pub unsafe trait Geometry: Sized + Send + Sync + 'static {
    /// Bytes in a slice, the unit in which regions are handed out: a power of two.
    const SLICE_SIZE: usize;
    /// Bytes in the biggest block that has a size class; bigger requests are large blocks of whole slices.
    const MAX_BLOCK: usize;
    /// Bytes that a page should have, if its bitmap can describe so many blocks.
    const PAGE_SIZE: usize;
    /// Most bytes that one magazine may hold back; one block always may.
    const MAGAZINE_BYTES: usize;
    /// Large blocks of up to so many bytes wait in magazines when they are freed, and are as long as a size class would be. [`MAX_BLOCK`](Self::MAX_BLOCK)
    /// if none do.
    const WAITS_UP_TO: usize;
    /// Best fit among so many free runs of slices. 1 is fast, and for memory that is mapped where it is
    /// used; some dozens fill a region of fixed size best.
    const FIT_CANDIDATES: usize;
    /// Bytes to ask the page source for when an arena is needed, a power of two; doubled with every few arenas.
    const ARENA_SIZE: usize;
    /// Bytes that a growing arena should grow by at a time.
    const GROW_SIZE: usize;

    /// Blocks that with their alignment take more bytes have a region each, where the page source takes regions back and gives one.
    const OWN_REGION_ABOVE: usize;
    /// What blocks of at least so many bytes are aligned to, even if less is asked for: a power of two, for programs that expect it.
    const MIN_ALIGN: usize;

    /// One `T` for each size class.
    type PerClass<T: Send + Sync>: AsRef<[T]> + AsMut<[T]> + Send + Sync;
    /// One `T` for each magazine: of the size classes, and of those [beyond](Self::WAITS_UP_TO); none at all for a heap without magazines.
    type PerMagazine<T: Send + Sync>: AsRef<[T]> + Send + Sync;
    /// The words of a page's bitmap.
    type PageWords: AsRef<[AtomicUsize]> + Send + Sync;
    /// The words of all magazines, one magazine after the other: of each a 0, and its slots.
    type MagazineWords: AsRef<[AtomicUsize]> + Send + Sync;
    /// Where in these the words of each magazine begin, by the index of its class; and where the last one's end.
    const FIRST_WORDS: &'static [u32];
    /// Most slots of a magazine; 0 for a heap without magazines.
    const MAGAZINE_SLOTS: usize;
    /// The words of a page group that say which pages are listed: one for each class, or fewer that classes share, which saves
    /// memory where a group has few pages.
    type ListedWords: AsRef<[AtomicUsize]> + Send + Sync;
    /// The page headers that are made at a time; at most as many as a word has bits.
    type PageGroup<T: Send + Sync>: AsRef<[T]> + Send + Sync;
    /// What the page table has for each slice. 16 bits save memory where slices are small, serve at most some 60,000 pages and large blocks
    /// in an arena, and are for heaps without magazines; all others take 32.
    type PageEntry: PageEntry;
    /// A `T` for each entry of the arena map, a power of two many. With one entry there is a list instead, for heaps of few regions.
    type PerHome<T: Send + Sync>: AsRef<[T]> + Send + Sync;
    /// A `T` for each size class, by index.
    fn per_class<T: Send + Sync>(make: impl FnMut(usize) -> T) -> Self::PerClass<T>;

    /// How many size classes there are.
    const CLASS_COUNT: usize = SizeClass::count(Self::MAX_BLOCK);
    /// Whether large blocks wait in magazines.
    const HAS_WAITING: bool = size_of::<Self::PerMagazine<u8>>() > Self::CLASS_COUNT;
    /// Whether there are magazines.
    const HAS_MAGAZINES: bool = Self::MAGAZINE_SLOTS > 0;
    /// Most blocks in a page.
    const PAGE_BLOCKS: usize = size_of::<Self::PageWords>() / size_of::<AtomicUsize>() * WORD_BITS;

    /// Fails to compile where the numbers do not fit together.
    const VALID: () = {
        assert!(Self::SLICE_SIZE.is_power_of_two() && Self::SLICE_SIZE >= 64, "a slice is a power of two, at least 64 bytes");
        assert!(Self::MAX_BLOCK >= 128 && Self::CLASS_COUNT < 255, "the biggest class is out of range");
        assert!(
            SizeClass::from_index(Self::CLASS_COUNT - 1).block_size() == Self::MAX_BLOCK,
            "the biggest block must be a size class"
        );
        assert!(
            SizeClass::from_index(SizeClass::count(Self::WAITS_UP_TO) - 1).block_size() == Self::WAITS_UP_TO
                && Self::WAITS_UP_TO >= Self::MAX_BLOCK,
            "the longest large block that waits must be as long as a size class would be"
        );
        assert!(
            Self::MIN_ALIGN.is_power_of_two() && Self::MIN_ALIGN <= 16,
            "classes from 16 bytes on can be aligned to 16 by size"
        );
        assert!(Self::ARENA_SIZE.is_power_of_two(), "arenas lie at multiples of their size, a power of two");
        assert!(Self::MAX_BLOCK <= 1 << 20, "blocks of a class have at most 1 MiB: the reciprocal is exact to there");
        assert!(
            !Self::HAS_MAGAZINES || Self::PageEntry::HAS_CLASS,
            "a free by address into a magazine needs 32-bit page entries"
        );
        let magazines = size_of::<Self::PerMagazine<u8>>();
        assert!(
            Self::FIRST_WORDS.len() == magazines + 1
                && Self::FIRST_WORDS[magazines] as usize == size_of::<Self::MagazineWords>() / size_of::<AtomicUsize>(),
            "the words of magazines are as many as is said"
        );
        let group = size_of::<Self::PageGroup<u8>>();
        assert!(group >= 1 && group <= WORD_BITS, "a group has as many pages as a word has bits, at most");
        assert!(
            Self::PAGE_BLOCKS >= WORD_BITS && Self::PAGE_BLOCKS <= MOST_PAGE_BLOCKS,
            "a page has 1 word of blocks or more, and 4,096 blocks at most"
        );
    };

    /// The class for `size` bytes at `align`, or `None` for a large block.
    #[inline(always)]
    fn class_of(size: usize, align: usize) -> Option<SizeClass> {
        let least = if size >= Self::MIN_ALIGN { Self::MIN_ALIGN } else { 1 };
        SizeClass::of(size, if align < least { least } else { align }, Self::MAX_BLOCK)
    }

    /// Most blocks of this class that a magazine holds.
    fn magazine_limit(class: SizeClass) -> usize {
        match Self::FIRST_WORDS.get(class.index()..) {
            Some([first, end, ..]) => (end - first) as usize - 1,
            _ => 0,
        }
    }

    /// How many slices a page of this class has: near `page_size` bytes but room for `least_blocks` blocks, no more blocks than its bitmap has bits,
    /// and the least waste at its end.
    fn page_slices(class: SizeClass, page_size: usize, least_blocks: usize) -> usize {
        let size = class.block_size();
        let most = (size * Self::PAGE_BLOCKS).div_ceil(Self::SLICE_SIZE);
        let wished = page_size.max(least_blocks * size).div_ceil(Self::SLICE_SIZE);
        let (first, last) = (wished.min(most), (wished + wished / 4).min(most));
        let waste = |slices: usize| {
            let bytes = slices * Self::SLICE_SIZE;
            // In 1/1024 of the page; a page that has more room than bits wastes the rest as well.
            (bytes - (bytes / size).min(Self::PAGE_BLOCKS) * size) * 1024 / bytes
        };
        // Of pages that waste the same that which is nearest to the wish.
        let badness = |slices: &usize| (waste(*slices), slices.abs_diff(first));
        (first.saturating_sub(1).max(1)..=last).min_by_key(badness).unwrap_or(1)
    }
}

/// So many bytes are not kept for the next request: to write to all of them takes about as long as to have them given anew.
pub(crate) const LONG: usize = 32 << 20;
/// Most large blocks that wait in one magazine.
pub const LARGE_SLOTS: usize = 3;
/// No page has more blocks, in any geometry.
pub(crate) const MOST_PAGE_BLOCKS: usize = 1 << 12;

/// Makes a [`Geometry`]. Five numbers say how a heap is meant; the others follow from them, unless they are named as well. All sizes are in bytes.
///
/// ```
/// coreheap::geometry! {
///     /// For 1 to 64 MiB, and a few cores.
///     pub struct Middle {
///         slice_size: 1024, max_block: 8 * 1024, page_size: 16 * 1024, arena_size: 4 << 20, magazine_slots: 31,
///         grow_size: 64 * 1024,
///     }
/// }
/// # let _ = Middle;
/// ```
///
/// | number | what it is | if it is not named |
/// |---|---|---|
/// | `slice_size` | a slice, the unit in which regions are handed out: a power of two | |
/// | `max_block` | the biggest block that has a size class; bigger ones are runs of slices | |
/// | `page_size` | a page, as far as its bitmap has bits for its blocks | |
/// | `arena_size` | what the page source is asked for when an arena is needed: a power of two | |
/// | `magazine_slots` | most blocks in a magazine; 0 for a heap without magazines | |
/// | `magazine_bytes` | most bytes in a magazine, but for one block | 4 of the biggest blocks |
/// | `waits_up_to` | large blocks of up to so many bytes, a size of a size class, wait in magazines as well | `max_block`: none do |
/// | `page_words` | words of bits in a page's header | `page_size` / 64 bits |
/// | `pages_per_group` | page headers that are made at a time | 2 fewer than a word has bits |
/// | `listed_words` | words for each of these groups that say which pages are listed | one for each class; 8 without magazines |
/// | `page_entry_bits` | what the page table has for each slice: 32, or 16 without magazines | 32; 16 without magazines |
/// | `arena_map` | arenas that are found by their address: a power of two; 1 for a list | for arenas of 64 MiB or more as many as lie in 1 TiB (4 GiB on 32-bit targets), at most 1,024; else 1 |
/// | `grow_size` | what a growing arena grows by at a time | 8 pages |
/// | `fit_candidates` | free runs of slices that are compared, to take the shortest | 1; 32 without magazines |
/// | `own_region_above` | blocks that with their alignment are bigger have a region each, if the page source takes regions back; a 32th of it where addresses are few | 32 MiB |
/// | `min_align` | what blocks of so many bytes or more are aligned to: at most 16 | 1 |
#[macro_export]
macro_rules! geometry {
    ($(#[$doc:meta])* $vis:vis struct $name:ident {
        slice_size: $slice:expr, max_block: $max:expr, page_size: $page:expr, arena_size: $arena:expr, magazine_slots: $slots:expr
        $(, $more:ident: $value:expr)* $(,)?
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        $vis struct $name;
        const _: () = {
            const __PARAMETERS: $crate::port::Parameters =
                $crate::port::Parameters { $($more: $value,)* ..$crate::port::Parameters::new($slice, $max, $page, $arena, $slots) };
            // SAFETY: arrays of atomics, of the lengths that the constants say.
            unsafe impl $crate::Geometry for $name {
                const SLICE_SIZE: usize = __PARAMETERS.slice_size;
                const FIT_CANDIDATES: usize = __PARAMETERS.fit_candidates;
                const MAX_BLOCK: usize = __PARAMETERS.max_block;
                const PAGE_SIZE: usize = __PARAMETERS.page_size;
                const MAGAZINE_BYTES: usize = __PARAMETERS.magazine_bytes;
                const WAITS_UP_TO: usize = __PARAMETERS.waits_up_to;
                const ARENA_SIZE: usize = __PARAMETERS.arena_size;
                const GROW_SIZE: usize = __PARAMETERS.grow_size;
                const MIN_ALIGN: usize = __PARAMETERS.min_align;
                const OWN_REGION_ABOVE: usize = __PARAMETERS.own_region_above;
                type PerClass<T: Send + Sync> = [T; __PARAMETERS.classes()];
                type PerMagazine<T: Send + Sync> = [T; __PARAMETERS.magazines()];
                type PageWords = [$crate::port::sync::AtomicUsize; __PARAMETERS.page_words];
                type MagazineWords = [$crate::port::sync::AtomicUsize; __PARAMETERS.first_word(__PARAMETERS.magazines())];
                const FIRST_WORDS: &'static [u32] = &__PARAMETERS.first_words::<{ __PARAMETERS.magazines() + 1 }>();
                const MAGAZINE_SLOTS: usize = __PARAMETERS.magazine_slots;
                type ListedWords = [$crate::port::sync::AtomicUsize; __PARAMETERS.listed_words];
                type PageGroup<T: Send + Sync> = [T; __PARAMETERS.pages_per_group];
                type PageEntry = <$crate::port::EntryBits<{ __PARAMETERS.page_entry_bits }> as $crate::port::HasEntry>::Entry;
                type PerHome<T: Send + Sync> = [T; __PARAMETERS.arena_map];
                fn per_class<T: Send + Sync>(make: impl FnMut(usize) -> T) -> Self::PerClass<T> {
                    ::core::array::from_fn(make)
                }
            }
        };
    };
}

/// The numbers of [`geometry!`](crate::geometry!).
#[allow(missing_docs)] // There.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    pub slice_size: usize,
    pub max_block: usize,
    pub page_size: usize,
    pub arena_size: usize,
    pub magazine_slots: usize,
    pub magazine_bytes: usize,
    pub waits_up_to: usize,
    pub page_words: usize,
    pub pages_per_group: usize,
    pub listed_words: usize,
    pub page_entry_bits: usize,
    pub arena_map: usize,
    pub grow_size: usize,
    pub fit_candidates: usize,
    pub own_region_above: usize,
    pub min_align: usize,
}

impl Parameters {
    /// With all that follows from these.
    pub const fn new(slice_size: usize, max_block: usize, page_size: usize, arena_size: usize, magazine_slots: usize) -> Self {
        let has_magazines = magazine_slots > 0;
        let blocks = page_size / 64;
        let space = if usize::BITS == 64 { 1_u64 << 40 } else { 1 << 32 };
        let arenas = (space / arena_size as u64) as usize;
        Parameters {
            slice_size,
            max_block,
            page_size,
            arena_size,
            magazine_slots,
            magazine_bytes: if has_magazines { 4 * max_block } else { 0 },
            waits_up_to: max_block,
            page_words: if blocks < MOST_PAGE_BLOCKS { blocks.div_ceil(WORD_BITS) } else { MOST_PAGE_BLOCKS / WORD_BITS },
            pages_per_group: WORD_BITS - 2,
            listed_words: if has_magazines { SizeClass::count(max_block) } else { 8 },
            page_entry_bits: if has_magazines { 32 } else { 16 },
            arena_map: if arena_size < 64 << 20 {
                1
            } else if arenas < 1024 {
                arenas
            } else {
                1024
            },
            grow_size: 8 * page_size,
            fit_candidates: if has_magazines { 1 } else { 32 },
            own_region_above: LONG,
            min_align: 1,
        }
    }

    /// How many size classes there are.
    pub const fn classes(&self) -> usize {
        SizeClass::count(self.max_block)
    }

    /// How many magazines there are: of the size classes, and of large blocks that wait.
    pub const fn magazines(&self) -> usize {
        assert!(self.waits_up_to >= self.max_block, "large blocks are longer than the biggest block of a size class");
        if self.magazine_slots == 0 { 0 } else { SizeClass::count(self.waits_up_to) }
    }

    /// Where the words of this magazine begin, among those of all: each has a 0, and as many slots as it may hold blocks.
    pub const fn first_word(&self, magazine: usize) -> usize {
        let (mut index, mut first) = (0, 0);
        while index < magazine {
            let most = if index < self.classes() { self.magazine_slots } else { LARGE_SLOTS };
            let blocks = self.magazine_bytes / SizeClass::from_index(index).block_size();
            first += 1 + if blocks == 0 {
                1
            } else if blocks < most {
                blocks
            } else {
                most
            };
            index += 1;
        }
        first
    }

    /// The same of all magazines, and where the last one's end.
    pub const fn first_words<const COUNT: usize>(&self) -> [u32; COUNT] {
        let (mut words, mut index) = ([0; COUNT], 0);
        while index < COUNT {
            words[index] = self.first_word(index) as u32;
            index += 1;
        }
        words
    }
}

macro_rules! server {
    ($(#[$doc:meta])* $name:ident, $min_align:expr) => {
        geometry! {
            $(#[$doc])*
            pub struct $name {
                slice_size: 4096, max_block: 32 * 1024, page_size: 64 * 1024,
                arena_size: if usize::BITS == 64 { 1 << 30 } else { 64 << 20 },
                // With these a core heap has 31 slices.
                magazine_slots: 415,
                page_words: 12, pages_per_group: if usize::BITS == 64 { 58 } else { 30 }, grow_size: 1 << 20, min_align: $min_align,
                waits_up_to: 1 << 20,
            }
        }
    };
}

server! {
    /// Hosted programs and kernels with virtual memory: 4 KiB slices, pages of about 64 KiB, magazines of up to 415 blocks.
    Server, 1
}

server! {
    /// [`Server`] for programs that expect every block of 16 bytes or more at a multiple of 16, whatever they ask for.
    AlignedServer, 16
}

geometry! {
    /// Some 100 KiB to 64 MiB without magazines: every operation works on bitmaps, and blocks of more than 1 KiB are runs of slices, so that
    /// little memory waits in pages for its own class. In a bigger region pages and large blocks must be 2 KiB on average.
    pub struct Compact {
        slice_size: 512, max_block: 1024, page_size: 8 * 1024, arena_size: 1 << 20, magazine_slots: 0,
    }
}

geometry! {
    /// A few KiB: a page is one word of bits and a few blocks. For who frees without a `Layout` or looks blocks up; more fits into so little
    /// memory in a [`SmallHeap`](crate::SmallHeap).
    pub struct Tiny {
        slice_size: 128, max_block: 512, page_size: 512, arena_size: 16 * 1024, magazine_slots: 0,
        pages_per_group: 8, listed_words: 1,
    }
}
