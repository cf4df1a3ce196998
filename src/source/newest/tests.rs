use core::cell::Cell;
use std::vec::Vec;

use super::*;

/// What regions lead to the list.
struct Region {
    before: Cell<*mut Region>,
}

fn regions<const N: usize>() -> [Region; N] {
    core::array::from_fn(|_| Region { before: Cell::new(null_mut()) })
}

fn push(newest: &Newest<Region>, region: &Region) {
    newest.push(core::ptr::from_ref(region).cast_mut(), |before| region.before.set(before));
}

/// All regions, the newest first.
fn all(newest: &Newest<Region>) -> Vec<*mut Region> {
    let some = |region: *mut Region| (!region.is_null()).then_some(region);
    // SAFETY: the tests' own, which are still there.
    core::iter::successors(some(newest.get()), |region| some(unsafe { &**region }.before.get())).collect()
}

fn publish(newest: &Newest<Region>, region: &Region, attempts: usize) -> Result<(), Option<usize>> {
    newest.publish(core::ptr::from_ref(region).cast_mut(), attempts).map_err(|overtaken| match overtaken {
        Overtaken::By(attempts) => Some(attempts),
        Overtaken::Lost => None,
    })
}

fn address(region: &Region) -> *mut Region {
    core::ptr::from_ref(region).cast_mut()
}

#[test]
fn each_region_leads_to_the_one_before() {
    let (newest, regions) = (Newest::<Region>::new(), regions::<3>());
    assert!(newest.get().is_null());
    for (index, region) in regions.iter().enumerate() {
        push(&newest, region);
        assert_eq!(all(&newest), regions[..=index].iter().rev().map(address).collect::<Vec<_>>());
    }
}

#[test]
fn attempts_are_numbered_and_no_more_than_there_may_be() {
    let newest = Newest::<Region>::new();
    assert_eq!([3; 5].map(|most| newest.begin(most)), [Some(0), Some(1), Some(2), None, None]);
    assert!(newest.get().is_null(), "W1: no region yet");
    newest.give_up(1);
    assert_eq!(newest.begin(3), None, "another began after it: its area stays unused");
    newest.give_up(2);
    assert_eq!([newest.begin(3), newest.begin(3)], [Some(2), None], "it was the last");
    let newest = Newest::<Region>::new();
    assert_eq!([newest.begin(0), newest.begin(1)], [None, Some(0)]);
    newest.give_up(0);
    assert_eq!(newest.begin(1), Some(0), "as if there had been none");
}

#[test]
fn one_attempt_makes_the_first_region() {
    let (newest, regions) = (Newest::<Region>::new(), regions::<3>());
    assert_eq!([newest.begin(9), newest.begin(9), newest.begin(9)], [Some(0), Some(1), Some(2)]);
    assert_eq!(publish(&newest, &regions[0], 1), Err(Some(3)), "others have begun since");
    assert_eq!(publish(&newest, &regions[0], 3), Ok(()));
    assert_eq!(publish(&newest, &regions[1], 3), Err(None), "another one was faster");
    newest.give_up(2);
    assert_eq!((all(&newest), newest.begin(9)), ([&regions[0]].map(address).to_vec(), None), "there is a region now");
    push(&newest, &regions[2]);
    assert_eq!(all(&newest), [&regions[2], &regions[0]].map(address));
}

#[test]
fn attempts_lose_against_a_region_that_is_added_meanwhile() {
    let (newest, regions) = (Newest::<Region>::new(), regions::<2>());
    assert_eq!(newest.begin(9), Some(0));
    push(&newest, &regions[0]);
    assert_eq!(all(&newest), [&regions[0]].map(address), "attempts are no region");
    assert_eq!(publish(&newest, &regions[1], 1), Err(None));
}
