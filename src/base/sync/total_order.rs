//! A change, and a look at something else after it, of two contexts: in one total order, in which at least one of them sees the other's change.
//!
//! Where both are sequentially consistent they are. loom treats such accesses as acquire and release, and Miri lets such a load pass such a write to
//! see an older one of another order, which C++20 forbids; the fences of both are exact. So models have a fence in between, which is there only while
//! both accesses are sequentially consistent: a weaker order fails a model.

use super::Ordering;

/// Makes a change.
#[inline(always)]
pub fn change<R>(order: Ordering, change: impl FnOnce(Ordering) -> R) -> R {
    let result = change(order);
    models::changed(order);
    result
}

/// Looks at something that others change.
#[inline(always)]
pub fn look<R>(order: Ordering, look: impl FnOnce(Ordering) -> R) -> R {
    models::about_to_look(order);
    look(order)
}

cfg_if::cfg_if! {
    if #[cfg(loom)] {
        mod models {
            use core::cell::Cell;

            use super::super::{Ordering, fence};

            loom::thread_local! {
                static HAS_CHANGED: Cell<bool> = Cell::new(false);
            }

            pub fn changed(order: Ordering) {
                HAS_CHANGED.with(|has_changed| has_changed.set(order == Ordering::SeqCst));
            }

            pub fn about_to_look(order: Ordering) {
                if order == Ordering::SeqCst && HAS_CHANGED.with(|has_changed| has_changed.replace(false)) {
                    fence(Ordering::SeqCst);
                }
            }
        }
    } else {
        mod models {
            use super::super::{Ordering, fence};

            #[inline(always)]
            pub fn changed(order: Ordering) {
                if cfg!(miri) && order == Ordering::SeqCst {
                    fence(Ordering::SeqCst);
                }
            }

            #[inline(always)]
            pub fn about_to_look(order: Ordering) {
                changed(order);
            }
        }
    }
}
