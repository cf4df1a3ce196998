use super::*;

#[test]
fn a_state_keeps_its_parts_apart() {
    let mut state = State::FIRST;
    assert_eq!((state.phase(), state.class()), (Phase::Unused, None));
    for _ in 0..3 {
        let claimed = state.next_claim();
        assert_eq!((claimed.phase(), claimed.class(), claimed.is_same_claim(state)), (Phase::Claimed, None, false));
        for index in 0..100 {
            let held = claimed.with_class(SizeClass::from_index(index));
            assert_eq!((held.phase(), held.class()), (Phase::Held, Some(SizeClass::from_index(index))));
            for phase in [Phase::Listed, Phase::Full, Phase::Held] {
                let page = held.with(phase);
                assert_eq!((page.phase(), page.class(), page.is_same_claim(held)), (phase, held.class(), true));
            }
            state = held.without_class(Phase::Claimed);
            assert_eq!(state, claimed);
        }
        let large = state.without_class(Phase::Large);
        assert_eq!((large.phase(), large.class(), large.is_same_claim(state)), (Phase::Large, None, true));
    }
}
