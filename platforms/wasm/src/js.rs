//! What JavaScript can see of a heap, in objects of its own: they take nothing from the heap that they describe, and can be posted from a
//! worker to its page.

use core::ops::Range;

use coreheap::{BlockState, Content, CoreLocal, DenseHeap, Exclusion, Geometry, Heap, PageSource, Run, SmallStats, Stats};
use js_sys::{Array, Float64Array, Object, Reflect};
use wasm_bindgen::JsValue;

/// Numbers for each run in what [`runs`] and [`blocks`] return.
pub const NUMBERS_PER_RUN: u32 = 6;

/// [`blocks`] says of so many bytes together what is in them.
const PIECE: usize = 2048;

/// So many blocks are copied out of a heap at a time, onto the stack.
const BATCH: usize = 256;

/// A heap report as an object: the fields of [`Stats`], named as JavaScript does (`largestFreeRun`), all in bytes; `largeBlocks` and `largeBytes`
/// in place of `large`; and `classes`, an array of objects with the fields of [`ClassStats`](coreheap::ClassStats).
pub fn report<G: Geometry>(stats: &Stats<G>) -> Object {
    let object = object(&[
        ("used", stats.used),
        ("peak", stats.peak),
        ("committed", stats.committed),
        ("reserved", stats.reserved),
        ("metadata", stats.metadata),
        ("largestFreeRun", stats.largest_free_run),
        ("misuses", stats.misuses),
        ("largeBlocks", stats.large.0),
        ("largeBytes", stats.large.1),
    ]);
    let classes = Array::new();
    for class in stats.classes() {
        classes.push(&self::object(&[
            ("blockSize", class.block_size),
            ("pages", class.pages),
            ("blocks", class.blocks),
            ("used", class.used),
            ("inMagazines", class.in_magazines),
        ]));
    }
    set(&object, "classes", &classes);
    object
}

/// The same of a heap without pages: `capacity`, `used`, `largestFreeRun`, `misuses`.
pub fn small_report(stats: &SmallStats) -> Object {
    object(&[
        ("capacity", stats.capacity),
        ("used", stats.used),
        ("largestFreeRun", stats.largest_free_run),
        ("misuses", stats.misuses),
    ])
}

/// What lies where, as [`Heap::runs`] says it: for each run six numbers. Start and size in bytes; what it is: the block size of a page, or 0 for
/// metadata, 1 for free memory, 2 for free memory that was never used, 3 for a large block; and of a page its blocks, how many of them are
/// taken, and 1 more than the core that it is current for, or 0.
pub fn runs<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Heap<S, C, G>) -> Float64Array {
    let count = heap.runs().count();
    let numbers = Float64Array::new_with_length(count as u32 * NUMBERS_PER_RUN);
    // Other threads may have made more of them meanwhile.
    for (index, run) in (0..).step_by(NUMBERS_PER_RUN as usize).zip(heap.runs().take(count)) {
        for (offset, number) in (0..).zip(numbers_of(run)) {
            numbers.set_index(index + offset, number as f64);
        }
    }
    numbers
}

fn numbers_of(run: Run) -> [usize; NUMBERS_PER_RUN as usize] {
    let Run { start, size, content } = run;
    match content {
        Content::Free { committed } => [start, size, if committed { 1 } else { 2 }, 0, 0, 0],
        Content::Large => [start, size, 3, 0, 0, 0],
        Content::Page { block_size, blocks, taken, core } => {
            [start, size, block_size, blocks, taken, core.map_or(0, |core| core + 1)]
        }
        _ => [start, size, 0, 0, 0, 0],
    }
}

/// What lies where in a heap without pages, piece by piece of 2 KiB, and in one piece where a block is longer. Six numbers as of [`runs`]. Start and
/// size in bytes; what it is: 1 for free memory, 4 where nothing but blocks lie that are ready, else up to what power of two bytes most of what is used
/// there is long; and in that case its size once more, and the bytes of it that are in use. The last is 0.
///
/// The heap is not in use while JavaScript is: blocks are copied out, [`BATCH`] at a time. If JavaScript's part changes the heap in between, a block may be
/// missing in the picture, or be there twice.
pub fn blocks<S: PageSource, X: Exclusion, const READY: usize>(heap: &DenseHeap<S, X, READY>) -> Float64Array {
    // Twice the same, as an array's length is told when it is made, and the heap must not be asked for memory to keep numbers in.
    let mut count = 0;
    each_piece(heap, |_| count += 1);
    let numbers = Float64Array::new_with_length(count * NUMBERS_PER_RUN);
    let mut at = 0;
    each_piece(heap, |piece| {
        for number in piece {
            // What is behind the end is ignored.
            if at < count * NUMBERS_PER_RUN {
                numbers.set_index(at, number as f64);
            }
            at += 1;
        }
    });
    numbers
}

/// Shows the six numbers of each piece to `see`, while the heap is not in use.
fn each_piece<S: PageSource, X: Exclusion, const READY: usize>(
    heap: &DenseHeap<S, X, READY>,
    mut see: impl FnMut([usize; NUMBERS_PER_RUN as usize]),
) {
    let mut piece = Piece::at(0);
    let mut batch = [const { (0..0, BlockState::Free) }; BATCH];
    for first in (0..).step_by(BATCH) {
        let copied = heap.copy_blocks(first, &mut batch);
        for (block, state) in &batch[..copied] {
            let mut start = block.start;
            while start < block.end {
                if start != piece.end || start.is_multiple_of(PIECE) {
                    piece.numbers().into_iter().for_each(&mut see);
                    piece = Piece::at(start);
                }
                let whole = block.end / PIECE * PIECE;
                piece.end = if start.is_multiple_of(PIECE) && start < whole {
                    whole
                } else {
                    start + (block.end - start).min(PIECE - start % PIECE)
                };
                piece.add(start..piece.end, *state, block.len());
                start = piece.end;
            }
        }
        if copied < BATCH {
            break;
        }
    }
    piece.numbers().into_iter().for_each(see);
}

/// Memory that is one strip of a picture, and how many of its bytes are what.
struct Piece {
    start: usize,
    end: usize,
    ready: usize,
    /// In use, by the logarithm of the block's size.
    used: [usize; usize::BITS as usize],
}

impl Piece {
    fn at(start: usize) -> Self {
        Piece { start, end: start, ready: 0, used: [0; usize::BITS as usize] }
    }

    fn add(&mut self, part: Range<usize>, state: BlockState, block_size: usize) {
        match state {
            BlockState::Used => self.used[block_size.next_power_of_two().ilog2() as usize] += part.len(),
            BlockState::Ready => self.ready += part.len(),
            BlockState::Free => (),
        }
    }

    /// What a picture says of it, if it has any bytes.
    fn numbers(&self) -> Option<[usize; NUMBERS_PER_RUN as usize]> {
        let size = self.end - self.start;
        let used: usize = self.used.iter().sum();
        let most = (0..self.used.len()).max_by_key(|&log| self.used[log]).unwrap_or(0);
        let [code, blocks] = match (used, self.ready) {
            (0, 0) => [1, 0],
            (0, _) => [4, 0],
            _ => [1 << most, size],
        };
        (size > 0).then_some([self.start, size, code, blocks, used, 0])
    }
}

fn object(fields: &[(&str, usize)]) -> Object {
    let object = Object::new();
    fields.iter().for_each(|(name, bytes)| set(&object, name, &JsValue::from_f64(*bytes as f64)));
    object
}

fn set(object: &Object, name: &str, value: &JsValue) {
    // An object that was just made lets everything be set.
    let _ = Reflect::set(object, &JsValue::from_str(name), value);
}
