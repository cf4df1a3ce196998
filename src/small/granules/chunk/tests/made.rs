//! Chunks in regions of all kinds.

use std::vec;
use std::vec::Vec;

use super::*;

/// Wherever its region starts and ends, nothing beyond is written; all but the tables is granules, and they are free and their own.
#[test]
fn a_chunk_is_made_of_all_of_its_region_and_of_nothing_else() {
    let mut sizes: Vec<_> = (0..if cfg!(miri) { 8 } else { 200 }).map(|more| Chunk::least_region_for(1) - 4 + more).collect();
    sizes.extend([1, 1000, 5003]);
    for (skew, size) in
        (0..16).step_by(if cfg!(miri) { 7 } else { 1 }).flat_map(|skew| sizes.iter().map(move |size| (skew, *size)))
    {
        let mut memory = vec![DIRT; size / 8 + 4];
        let base: *mut u8 = memory.as_mut_ptr().cast();
        // SAFETY: inside the memory.
        let start = NonNull::new(unsafe { base.add(skew) }).expect("an array");
        let end = start.addr().get() + size;
        match Chunk::create(Region { start, size }) {
            Some(chunk) => {
                let lost = chunk.addr().get() - start.addr().get();
                // SAFETY: made just now, in memory that is there.
                let chunk = unsafe { chunk.as_ref() };
                let (count, tables_end) = (chunk.count(), chunk.hints(CLASSES - 1).as_ptr_range().end.addr());
                assert!(
                    lost < align_of::<Chunk>() && chunk.at(count) <= end && end < chunk.at(count + 1) + GRANULE,
                    "{skew}, {size}"
                );
                assert!(chunk.start.is_multiple_of(GRANULE) && (tables_end..tables_end + 2 * GRANULE).contains(&chunk.start));
                assert_eq!((chunk.free().count(), chunk.free().next_run(0)), (count, Some(0..count)), "{skew}, {size}");
                assert_eq!(chunk.claim(count + 1, 8), None, "no hint leads beyond the end");
                chunk.assert_has_hints();
                assert_eq!(chunk.claim_granules(count, 8), Some(0), "{skew}, {size}");
                // The granules are their owner's.
                // SAFETY: claimed; inside the memory.
                unsafe { base.add(chunk.start - base.addr()).write_bytes(0xff, count * GRANULE) };
                assert_eq!((chunk.count(), chunk.free().count()), (count, 0));
            }
            None => assert!(
                size < Chunk::least_region_for(1) + align_of::<Chunk>() + GRANULE - size_of::<usize>(),
                "{skew}, {size}: there is room"
            ),
        }
        // SAFETY: all of the memory, which is initialized.
        let bytes = unsafe { core::slice::from_raw_parts(base, 8 * memory.len()) };
        assert!(
            bytes[..skew].iter().chain(&bytes[skew + size..]).all(|byte| *byte == DIRT as u8),
            "{skew}, {size}: beyond the region"
        );
    }
}

#[test]
fn a_region_that_is_asked_for_has_room() {
    for size in [0, 1, 8, 9, 100, 511, 512, 513, 4000] {
        let enough = Chunk::region_for(size, 64);
        let mut memory = vec![DIRT; enough / 8 + 2];
        for skew in (0..8).step_by(if cfg!(miri) { 3 } else { 1 }) {
            // SAFETY: inside the memory.
            let start = NonNull::new(unsafe { memory.as_mut_ptr().cast::<u8>().add(skew) }).expect("an array");
            let chunk = Chunk::create(Region { start, size: enough }).expect("room");
            // SAFETY: made just now, in memory that is there.
            assert!(unsafe { chunk.as_ref() }.claim(size.max(1).div_ceil(GRANULE), 64).is_some(), "{size}, {skew}");
        }
        let least =
            Region { start: NonNull::new(memory.as_mut_ptr().cast()).expect("an array"), size: Chunk::least_region_for(size) };
        let chunk = Chunk::create(least).expect("room");
        // SAFETY: made just now, in memory that is there.
        let (count, needed) = (unsafe { chunk.as_ref() }.count(), size.max(1).div_ceil(GRANULE));
        // Tables are sized as if they were granules, too: that can cost one.
        assert!(count == needed || count + 1 == needed, "{size}: {count} granules");
    }
}

#[test]
fn the_last_byte_of_the_address_space_is_not_used() {
    let at_the_end = |size: usize| {
        let start = NonNull::new(core::ptr::without_provenance_mut(usize::MAX - (size - 1))).expect("not null");
        Chunk::create(Region { start, size })
    };
    // Nothing is touched: for lack of that byte there is no room for a granule.
    for size in 1..=Chunk::least_region_for(1) {
        assert_eq!(at_the_end(size), None, "{size}");
    }
}
