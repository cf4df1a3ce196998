use std::sync::Mutex;
use std::vec::Vec;

use super::*;
use crate::source::page_source::tests::memory_that_stays;

const COMMITS: u32 = 1;
const DECOMMITS: u32 = 2;

#[derive(Debug, PartialEq, Eq)]
enum Call {
    /// Bytes, and alignment.
    Reserve(usize, usize),
    /// Offset from the start of the memory, and bytes.
    Commit(usize, usize),
    Decommit(usize, usize),
    Release(usize, usize),
}

/// Gives these parts of its memory (offset and bytes), one after the other, and notes what it is asked.
struct Parts<const ABILITIES: u32> {
    memory: NonNull<u8>,
    parts: Mutex<Vec<(usize, usize)>>,
    refuses: Mutex<bool>,
    calls: Mutex<Vec<Call>>,
}

// SAFETY: a part is handed out once.
unsafe impl<const ABILITIES: u32> Sync for Parts<ABILITIES> {}

const MEMORY: usize = 8192;

impl<const ABILITIES: u32> Parts<ABILITIES> {
    fn new(parts: &[(usize, usize)]) -> Self {
        let memory = memory_that_stays(MEMORY, 1024);
        let parts = parts.iter().copied().rev().collect::<Vec<_>>().into();
        Parts { memory, parts, refuses: false.into(), calls: Mutex::default() }
    }

    fn note(&self, call: fn(usize, usize) -> Call, start: NonNull<u8>, size: usize) -> bool {
        let offset = start.addr().get().wrapping_sub(self.memory.addr().get());
        self.calls.lock().unwrap().push(call(offset, size));
        !*self.refuses.lock().unwrap()
    }

    /// The calls since the last time.
    fn take(&self) -> Vec<Call> {
        core::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn refuse(&self, refuses: bool) {
        *self.refuses.lock().unwrap() = refuses;
    }

    fn address(&self, offset: usize) -> usize {
        self.memory.addr().get() + offset
    }
}

// SAFETY: parts that do not overlap; a size that is not there is for who does not touch it.
unsafe impl<const ABILITIES: u32> PageSource for Parts<ABILITIES> {
    const COMMITS: bool = ABILITIES & COMMITS != 0;
    const DECOMMITS: bool = ABILITIES & DECOMMITS != 0;
    const RELEASES: bool = true;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        assert_eq!(request.min_size, request.preferred_size);
        self.calls.lock().unwrap().push(Call::Reserve(request.min_size, request.preferred_align));
        let (offset, size) = self.parts.lock().unwrap().pop()?;
        let start = NonNull::new(self.memory.as_ptr().wrapping_add(offset)).expect("not null");
        Some(Region { start, size })
    }

    unsafe fn commit(&self, start: NonNull<u8>, size: usize) -> bool {
        self.note(Call::Commit, start, size)
    }

    unsafe fn decommit(&self, start: NonNull<u8>, size: usize) -> bool {
        self.note(Call::Decommit, start, size)
    }

    unsafe fn release(&self, region: Region) {
        self.note(Call::Release, region.start, region.size);
    }
}

/// So many groups of entries.
fn entries(groups: usize) -> RegionBlocks {
    let blocks = RegionBlocks::new();
    for _ in 0..groups {
        let group = memory_that_stays(size_of::<Group>(), align_of::<Group>());
        // SAFETY: zeroed memory that stays.
        unsafe { blocks.add(group.cast()) };
    }
    blocks
}

#[test]
fn a_region_is_asked_for_again_with_room_for_its_alignment() {
    use Call::{Release, Reserve};
    let asked = |parts: &[(usize, usize)], size: usize, align: usize| {
        let source = Parts::<0>::new(parts);
        let region = region_for(&source, size, align, 0);
        (region.map(|region| (region.start.addr().get() - source.address(0), region.size)), source.take())
    };
    // It lies right, or has room by chance.
    assert_eq!(asked(&[(0, 512)], 512, 1024), (Some((0, 512)), std::vec![Reserve(512, 1024)]));
    assert_eq!(asked(&[(512, 1024)], 512, 1024), (Some((512, 1024)), std::vec![Reserve(512, 1024)]));
    let again = || std::vec![Reserve(512, 1024), Release(512, 1023), Reserve(1536, 1024)];
    assert_eq!(asked(&[(512, 1023), (2048, 1536)], 512, 1024), (Some((2048, 1536)), again()));
    assert_eq!(asked(&[(512, 1023)], 512, 1024), (None, again()));
    assert_eq!(asked(&[], 512, 1024), (None, std::vec![Reserve(512, 1024)]));
    // What no source has is not asked for.
    let most = isize::MAX as usize;
    assert_eq!(asked(&[], most, 1024), (None, std::vec![Reserve(most, 1024)]));
    assert_eq!(asked(&[], most + 1, 1024), (None, std::vec![]));
    assert_eq!(asked(&[(512, most)], most, 1024), (None, std::vec![Reserve(most, 1024), Release(512, most)]));
}

/// The last byte of the address space is no block's: a pointer behind it would be null.
#[test]
fn a_region_at_the_end_of_the_address_space_lacks_a_byte() {
    let source = Parts::<0>::new(&[]);
    let last = |size: usize| (0_usize.wrapping_sub(size).wrapping_sub(source.address(0)), size);
    source.parts.lock().unwrap().extend([last(2048), last(1024)]);
    assert!(region_for(&source, 1024, 1024, 0).is_some_and(|region| region.size == 2048), "the first one is too short");
    let calls = [Call::Reserve(1024, 1024), Call::Release(last(1024).0, 1024), Call::Reserve(2048, 1024)];
    assert_eq!(source.take(), calls);
    source.parts.lock().unwrap().extend([last(1024), last(1024), last(1024)]);
    assert!(region_for(&source, 1023, 1, 0).is_some() && source.take().len() == 1);
    assert!(region_for(&source, 1024, 1, 0).is_none());
    assert_eq!(source.take().len(), 4, "and the second one goes back too, if it is no better");
}

#[test]
fn entries_are_used_again_and_found_by_the_start_of_their_block() {
    let (source, blocks) = (Parts::<0>::new(&[]), entries(2));
    let region =
        |index: usize| Region { start: NonNull::new(source.memory.as_ptr().wrapping_add(64 * index)).unwrap(), size: 64 };
    let claimed: Vec<_> = core::iter::from_fn(|| blocks.claim_unused()).collect();
    assert_eq!(claimed.len(), 30, "as many as two groups have");
    assert_eq!(blocks.blocks().count(), 0, "claimed, and no block yet");
    for (index, block) in claimed.iter().enumerate() {
        assert_eq!(block.open(&source, region(index), 32, 32), Some(source.address(64 * index)));
    }
    assert!((0..30).all(|index| core::ptr::eq(blocks.find(source.address(64 * index)).unwrap(), claimed[index])));
    let none = [0, 1, source.address(1), source.address(64 * 30), usize::MAX];
    assert!(none.iter().all(|address| blocks.find(*address).is_none()));
    blocks.blocks().for_each(RegionBlock::assert_valid);
    assert!(claimed[7].free(&source, source.address(7 * 64)));
    assert!(!claimed[7].free(&source, source.address(7 * 64)) && !claimed[8].free(&source, source.address(7 * 64)));
    assert!(blocks.find(source.address(7 * 64)).is_none() && blocks.blocks().count() == 29);
    assert_eq!(source.take(), [Call::Release(7 * 64, 64)]);
    assert!(blocks.claim_unused().is_some_and(|block| core::ptr::eq(block, claimed[7])));
    assert!(blocks.claim_unused().is_none());
    claimed[7].close();
    assert!(blocks.claim_unused().is_some());
    assert!(RegionBlocks::new().claim_unused().is_none());
}

#[test]
fn a_block_is_committed_where_it_lies_and_goes_back_with_its_region() {
    let (source, blocks) = (Parts::<{ COMMITS | DECOMMITS }>::new(&[]), entries(1));
    // SAFETY: inside the memory.
    let region = Region { start: unsafe { source.memory.add(512) }, size: 3000 };
    let block = blocks.claim_unused().unwrap();
    source.refuse(true);
    assert_eq!(block.open(&source, region, 1024, 1024), None);
    assert_eq!((source.take(), block.start()), (std::vec![Call::Commit(1024, 1024)], None));
    source.refuse(false);
    let start = block.open(&source, region, 1024, 1024).expect("committed");
    assert_eq!((start, block.start(), block.size()), (source.address(1024), Some(start), 1024));
    assert!(block.region().is_some_and(|region| (region.start.addr().get(), region.size) == (source.address(512), 3000)));
    block.assert_valid();
    source.take();
    assert!(!block.free(&source, start + 1) && source.take().is_empty());
    assert!(block.free(&source, start) && block.start().is_none());
    assert_eq!(source.take(), [Call::Decommit(1024, 1024), Call::Release(512, 3000)]);
}

#[test]
fn a_block_is_resized_inside_its_region() {
    fn resized<const ABILITIES: u32>(check: impl Fn(&Parts<ABILITIES>, &dyn Fn(usize) -> bool)) {
        let (source, blocks) = (Parts::<ABILITIES>::new(&[]), entries(1));
        // SAFETY: inside the memory.
        let region = Region { start: unsafe { source.memory.add(512) }, size: 3584 };
        let block = blocks.claim_unused().unwrap();
        let start = block.open(&source, region, 1024, 1024).expect("committed");
        source.take();
        let resize = |new: usize| {
            let (before, is_resized) = (block.size(), block.resize(&source, start, new, 1) == Some(start));
            assert_eq!((block.start(), block.size()), (Some(start), if is_resized { new } else { before }));
            assert!(block.resize(&source, start + 1024, new, 1).is_none(), "no block starts there");
            block.assert_valid();
            is_resized
        };
        check(&source, &resize);
    }
    resized::<{ COMMITS | DECOMMITS }>(|source, resize| {
        assert!(!resize(3073) && source.take().is_empty(), "the region ends at 3072");
        assert!(resize(3072) && source.take() == [Call::Commit(2048, 2048)]);
        assert!(resize(3072) && source.take().is_empty());
        assert!(resize(2048) && source.take() == [Call::Decommit(3072, 1024)]);
        source.refuse(true);
        assert!(!resize(3072) && source.take() == [Call::Commit(3072, 1024)]);
        assert!(!resize(1024) && source.take() == [Call::Decommit(2048, 1024)]);
    });
    resized::<COMMITS>(|source, resize| assert!(resize(512) && source.take().is_empty()));
    resized::<0>(|source, resize| assert!(resize(3072) && !resize(3073) && resize(1) && source.take().is_empty()));
}

/// What goes back with its region is decommitted before only if it was committed, and the source can.
#[test]
fn only_what_was_committed_is_decommitted() {
    fn freed<const ABILITIES: u32>() -> Vec<Call> {
        let (source, blocks) = (Parts::<ABILITIES>::new(&[]), entries(1));
        let region = Region { start: source.memory, size: 1024 };
        let block = blocks.claim_unused().unwrap();
        let start = block.open(&source, region, 1024, 1).expect("committed");
        source.take();
        assert!(block.free(&source, start));
        source.take()
    }
    assert_eq!(freed::<COMMITS>(), [Call::Release(0, 1024)]);
    assert_eq!(freed::<DECOMMITS>(), [Call::Release(0, 1024)]);
    assert_eq!(freed::<{ COMMITS | DECOMMITS }>(), [Call::Decommit(0, 1024), Call::Release(0, 1024)]);
}

/// Not into the last byte of the address space.
#[test]
fn a_block_is_not_resized_to_the_end_of_the_address_space() {
    let (source, blocks) = (Parts::<0>::new(&[]), entries(1));
    let start = NonNull::new(core::ptr::without_provenance_mut(4096_usize.wrapping_neg())).unwrap();
    let block = blocks.claim_unused().unwrap();
    let address = block.open(&source, Region { start, size: 4096 }, 1024, 1).expect("nothing to commit");
    assert!(block.resize(&source, address, 4095, 1).is_some() && block.resize(&source, address, 4096, 1).is_none());
    block.close();
}
