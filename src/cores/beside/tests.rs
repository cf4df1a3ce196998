use super::*;
use crate::cores::core_local::tests::{Cores, Four, NUMBER, pushes_and_pops_by_number};

struct Numbered;

impl ContextNumber for Numbered {
    fn number() -> usize {
        NUMBER.get()
    }

    fn raced() {
        panic!("nobody else is there");
    }
}

type Three = Beside<Numbered, 3>;

#[test]
fn a_context_pops_what_it_pushed() {
    pushes_and_pops_by_number::<Three>();
}

#[test]
fn each_number_has_a_core_heap_of_its_own_and_others_may_look_into_it_at_any_time() {
    let mut cores = Cores::new(Three::new());
    (0..3).for_each(|core| cores.make(core));
    NUMBER.set(1);
    assert!(cores.push(64));
    let work = |_: &CoreHeap<Four>| (cores.push(128), cores.inside(1));
    // SAFETY: the tests' geometry.
    let meanwhile = unsafe { cores.cores.alone_on::<Four, _>(1, work) };
    assert_eq!(meanwhile, Some((true, Some([64, 128].to_vec()))));
    assert_eq!((cores.inside(0), cores.inside(2)), (Some([].to_vec()), Some([].to_vec())));
}
