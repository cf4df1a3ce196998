use super::*;
use crate::geometry::Tiny;
use crate::sources::NoPages;

#[test]
fn who_ended_while_it_asked_is_waited_for_once() {
    let arenas = Arenas::<Tiny>::new();
    // Core 4 asks, and never comes back.
    arenas.asking.store(5, Ordering::Relaxed);
    assert!(!arenas.grow(&NoPages, 0, 0, 1));
    assert_eq!(arenas.asking.load(Ordering::Relaxed), NOBODY);
}
