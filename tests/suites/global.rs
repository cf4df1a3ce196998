//! A heap as the global allocator of a program: std collections and threads live in it.

use std::alloc::{Layout, handle_alloc_error};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::fmt::Write;
use std::sync::{Arc, Mutex, mpsc};

use coreheap::{Heap, TryFlag, sources::FixedRegion};
use coreheap_tests::cores::ThreadNumber;
use coreheap_tests::geometries::Hosted;

const SIZE: usize = if cfg!(miri) { 256 << 10 } else { 128 << 20 };
const COUNT: usize = if cfg!(miri) { 12 } else { 20_000 };

#[repr(align(4096))]
struct Memory(#[allow(dead_code, reason = "used through a pointer")] [u8; SIZE]);

static mut MEMORY: Memory = Memory([0; SIZE]);

#[global_allocator]
static HEAP: Heap<FixedRegion, TryFlag<ThreadNumber, 4>, Hosted> =
    // SAFETY: nobody else uses the memory.
    Heap::new(unsafe { FixedRegion::over((&raw mut MEMORY).cast(), SIZE) }, TryFlag::new());

#[test]
fn everything_is_allocated_here() {
    let boxed = std::hint::black_box(Box::new([1u8; 100]));
    assert_eq!(HEAP.usable_size(boxed.as_ptr()), Some(104));
    let text = "text".to_string();
    assert!(HEAP.usable_size(text.as_ptr()).is_some());
    assert!(HEAP.stats().used > 0);
    println!("{}", HEAP.stats());
}

#[test]
fn collections() {
    let mut map = HashMap::new();
    let mut tree = BTreeMap::new();
    let mut queue = VecDeque::new();
    for index in 0..COUNT {
        let mut text = String::new();
        write!(text, "{index}").unwrap();
        map.insert(text.clone(), index);
        tree.insert(index * 7919 % COUNT, text.clone());
        queue.push_back(text);
        if index % 3 == 0 {
            queue.pop_front();
        }
    }
    assert_eq!(map.len(), COUNT);
    assert!((0..COUNT).all(|index| map[&index.to_string()] == index));
    let numbers: BTreeSet<usize> = tree.values().map(|text| text.parse().unwrap()).collect();
    assert_eq!(numbers.into_iter().collect::<Vec<_>>(), (0..COUNT).collect::<Vec<_>>());
    assert_eq!(queue.len(), COUNT - COUNT.div_ceil(3));
    let mut sorted: BinaryHeap<_> = queue.into_iter().map(|text| text.parse::<usize>().unwrap()).collect();
    let mut last = usize::MAX;
    while let Some(number) = sorted.pop() {
        assert!(number < last);
        last = number;
    }
    map.retain(|_, index| *index % 2 == 0);
    map.shrink_to_fit();
    assert_eq!(map.len(), COUNT.div_ceil(2));
}

#[test]
fn growing_and_shrinking() {
    let mut bytes: Vec<u8> = Vec::new();
    for index in 0..COUNT * 20 {
        bytes.push(index as u8);
    }
    bytes.truncate(COUNT);
    bytes.shrink_to_fit();
    assert!(bytes.iter().enumerate().all(|(index, byte)| *byte == index as u8));
    bytes.reserve_exact(COUNT * 100);
    bytes.resize(COUNT * 100, 7);
    assert!(bytes[..COUNT].iter().enumerate().all(|(index, byte)| *byte == index as u8));
    assert!(vec![0u64; COUNT * 10].iter().all(|number| *number == 0));
}

#[test]
fn threads_hand_boxes_around() {
    let (sender, receiver) = mpsc::channel::<Box<[usize; 20]>>();
    let sum = Arc::new(Mutex::new(0));
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for index in 0..COUNT / 4 {
                    sender.send(Box::new([thread * COUNT + index; 20])).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    let adder = {
        let sum = sum.clone();
        std::thread::spawn(move || {
            for numbers in receiver {
                assert!(numbers.iter().all(|number| *number == numbers[0]));
                *sum.lock().unwrap() += numbers[0] % COUNT;
            }
        })
    };
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    adder.join().unwrap();
    assert_eq!(*sum.lock().unwrap(), (0..COUNT / 4).sum::<usize>() * 4);
}

#[test]
fn exhaustion_is_an_error_not_an_end() {
    let mut bytes: Vec<u8> = Vec::new();
    assert!(bytes.try_reserve_exact(SIZE).is_err());
    assert!(bytes.try_reserve_exact(isize::MAX as usize).is_err());
    bytes.try_reserve_exact(1000).unwrap();
}

#[repr(align(256))]
struct Aligned(u8);

#[test]
fn over_aligned_values() {
    let values: Vec<_> = (0..if cfg!(miri) { 5 } else { 50 }).map(|index| Box::new(Aligned(index))).collect();
    assert!(values.iter().zip(0..).all(|(value, index)| (&raw const **value).addr() % 256 == 0 && value.0 == index));
}

#[cfg(feature = "allocator-api2")]
mod collections_in_a_heap {
    use super::*;
    use allocator_api2::{alloc::Allocator, boxed, vec};
    use coreheap::{Compact, SingleCore, Tiny};
    use coreheap_tests::{fuzz::single_core, sources::TestSource};

    type OneCore<G> = Heap<TestSource<0>, SingleCore, G>;

    #[test]
    fn a_vector_in_a_heap_of_its_own() {
        const NUMBERS: u32 = if cfg!(miri) { 100 } else { 5000 };
        let heap = OneCore::<Compact>::new(TestSource::new(&[if cfg!(miri) { 80_000 } else { 300_000 }]), single_core());
        let mut numbers = vec::Vec::new_in(&heap);
        for number in 0..NUMBERS {
            numbers.push(number);
        }
        assert!(heap.usable_size(numbers.as_ptr().cast()).unwrap() >= NUMBERS as usize * 4);
        assert!(numbers.iter().zip(0..).all(|(number, index)| *number == index));
        numbers.truncate(10);
        numbers.shrink_to_fit();
        assert!(heap.usable_size(numbers.as_ptr().cast()).unwrap() < 100);
        let boxed = boxed::Box::new_in([3u8; 77], &heap);
        assert_eq!((numbers.len(), boxed[76]), (10, 3));
        drop((numbers, boxed));
        assert_eq!(heap.stats().used, 0);
        assert!(vec::Vec::<u8, _>::new_in(&heap).try_reserve(1 << 20).is_err());
        heap.assert_valid();
    }

    #[test]
    fn zeroes_and_other_alignments() {
        let heap = OneCore::<Tiny>::new(TestSource::new(&[30_000]), single_core());
        let layout = |size, align| Layout::from_size_align(size, align).unwrap();
        let allocator = &heap;
        let block = Allocator::allocate_zeroed(&allocator, layout(100, 4)).unwrap_or_else(|_| handle_alloc_error(layout(100, 4)));
        assert!(block.len() >= 100);
        // SAFETY: a live block with each of these layouts in turn.
        unsafe {
            block.cast::<u8>().write_bytes(1, 100);
            let block = allocator.grow_zeroed(block.cast(), layout(100, 4), layout(3000, 4)).unwrap();
            let bytes = block.as_ref();
            assert!(bytes[..100].iter().all(|byte| *byte == 1) && bytes[100..3000].iter().all(|byte| *byte == 0));
            // Alignments may change on the way: to more and to less.
            let block = allocator.grow(block.cast(), layout(3000, 4), layout(3001, 512)).unwrap();
            assert_eq!(block.addr().get() % 512, 0);
            let block = allocator.shrink(block.cast(), layout(3001, 512), layout(90, 1024)).unwrap();
            assert_eq!((block.addr().get() % 1024, block.as_ref()[89]), (0, 1));
            let block = allocator.shrink(block.cast(), layout(90, 1024), layout(0, 1)).unwrap();
            allocator.deallocate(block.cast(), layout(0, 1));
        }
        assert_eq!(heap.stats().used, 0);
        heap.assert_valid();
    }
}
