use super::*;

#[test]
fn hands_are_counted_and_moves_are_seen() {
    let word = InHand::new();
    let one = Hand::new(Some(&word));
    let mut other = Hand::new(Some(&word));
    other.moves();
    assert!(!word.is_empty());
    drop(one);
    assert_eq!((word.is_empty(), word.moves()), (false, 0), "nothing was given back yet");
    drop(other);
    assert_eq!((word.is_empty(), word.moves()), (true, 1));
    let mut without = Hand::new(None);
    without.moves();
    drop(without);
    assert_eq!((word.is_empty(), word.moves()), (true, 1));
}

#[test]
fn who_was_forgotten_and_comes_back_is_not_counted_twice() {
    let word = InHand::new();
    let [mut before, mut lost, also_lost] = [(); 3].map(|()| Hand::new(Some(&word)));
    before.moves();
    drop(before);
    lost.moves();
    word.forget();
    assert_eq!((word.is_empty(), word.moves()), (true, 1), "what was given back before is not forgotten");
    drop((lost, also_lost));
    assert_eq!((word.is_empty(), word.moves()), (true, 2));
    let next = Hand::new(Some(&word));
    assert!(!word.is_empty());
    drop(next);
    assert!(word.is_empty());
}
