//! What JavaScript can see of a heap, in objects of its own: they take nothing from the heap that they describe, and can be posted from a
//! worker to its page.

use coreheap::{Content, CoreLocal, Geometry, Heap, PageSource, Run, SmallStats, Stats};
use js_sys::{Array, Float64Array, Object, Reflect};
use wasm_bindgen::JsValue;

/// Numbers for each run in what [`runs`] returns.
pub const NUMBERS_PER_RUN: u32 = 6;

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

fn object(fields: &[(&str, usize)]) -> Object {
    let object = Object::new();
    fields.iter().for_each(|(name, bytes)| set(&object, name, &JsValue::from_f64(*bytes as f64)));
    object
}

fn set(object: &Object, name: &str, value: &JsValue) {
    // An object that was just made lets everything be set.
    let _ = Reflect::set(object, &JsValue::from_str(name), value);
}
