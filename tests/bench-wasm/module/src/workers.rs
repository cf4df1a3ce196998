//! What workers do, each in an instance of its own, on one shared memory.

#[path = "../../../bench-bare/src/exchange.rs"]
pub mod exchange;

use core::sync::atomic::{AtomicBool, Ordering};

use exchange::Exchange;

use crate::heap::HEAP;

const MOST: usize = 4;

/// The first is for all, if they exchange.
static PLACES: [Exchange; MOST] = [const { Exchange::new() }; MOST];

static GOES_ON: AtomicBool = AtomicBool::new(false);

/// Allocates blocks and frees those that lie in these places, until the host says that it is enough; how many.
#[unsafe(export_name = "exchange")]
pub extern "C" fn exchange_blocks(worker: usize, places: usize) -> usize {
    PLACES[places].run(&HEAP, worker, || GOES_ON.load(Ordering::Relaxed))
}

/// Whether workers are to go on.
#[unsafe(export_name = "set_goes_on")]
pub extern "C" fn set_goes_on(goes_on: bool) {
    GOES_ON.store(goes_on, Ordering::Relaxed);
}
