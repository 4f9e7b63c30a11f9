//! Random stories of a control domain's tools: see `ferroxen_sim::control`.

use ferroxen_sim::control::{Chance, STEP, run};
use ferroxen_sync::fail::FailingAlloc;
use proptest::prelude::*;

#[global_allocator]
static ALLOCATOR: FailingAlloc = FailingAlloc;

fn steps() -> impl Strategy<Value = Vec<[u8; STEP]>> {
    prop::collection::vec(prop::array::uniform32(any::<u8>()), 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, max_shrink_iters: 1024, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_left_of_destroyed_domains(steps in steps()) {
        run(&steps.concat(), Chance::NONE);
    }

    #[test]
    fn interruptions_do_not_change_what_tools_are_answered(
        steps in steps(),
        polls in 1..6u64,
    ) {
        prop_assert_eq!(run(&steps.concat(), Chance { polls, ..Chance::NONE }), run(&steps.concat(), Chance::NONE));
    }

    #[test]
    fn whichever_allocation_fails_nothing_is_left(
        steps in steps(),
        allocations in 0..8u64,
        polls in 0..3u64,
    ) {
        run(&steps.concat(), Chance { polls, allocations });
    }
}
