use super::*;
use crate::cores::core_local::tests::{Cores, Four, NUMBER, pushes_and_pops_by_number};

struct Numbered;

impl CoreNumber for Numbered {
    fn core_number() -> usize {
        NUMBER.get()
    }
}

type Three = TryFlag<Numbered, 3>;

#[test]
fn a_core_pops_what_it_pushed() {
    pushes_and_pops_by_number::<Three>();
}

#[test]
fn where_a_core_heap_is_out_the_next_one_serves() {
    let mut cores = Cores::new(Three::new());
    (0..3).for_each(|core| cores.make(core));
    for (number, next) in [(0, 1), (2, 0)] {
        NUMBER.set(number);
        // SAFETY: the tests' geometry.
        let out = unsafe { cores.cores.take::<Four>(number) }.expect("nobody has it");
        assert!(cores.push(64));
        assert_eq!((cores.inside(next), cores.inside(number)), (Some([64].to_vec()), None), "a busy core is not had");
        assert_eq!((cores.pop(), cores.pop()), (Some(64), None));
        // SAFETY: as above.
        let next_out = unsafe { cores.cores.take::<Four>(next) }.expect("nobody has it");
        assert!(!cores.push(64), "two are tried, not all");
        assert_eq!(cores.push_many(&[64, 128]), [64, 128]);
        drop((out, next_out));
        assert_eq!((cores.inside(number), cores.inside(next)), (Some([].to_vec()), Some([].to_vec())), "they are back");
    }
}

#[test]
fn one_core_is_tried_once() {
    NUMBER.set(1);
    let mut cores = Cores::new(TryFlag::<Numbered, 1>::new());
    cores.make(0);
    assert!(cores.push(64));
    assert_eq!((cores.cores.core(), cores.pop()), (0, Some(64)));
}
