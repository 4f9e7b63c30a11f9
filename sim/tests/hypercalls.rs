//! Random stories of guests and their hypercalls: see `ferroxen_sim::hypercalls`.

use ferroxen_sim::hypercalls::{run, run_quietly};
use ferroxen_sync::fail::FailingAlloc;
use proptest::prelude::*;

#[global_allocator]
static ALLOCATOR: FailingAlloc = FailingAlloc;

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_story_breaks_an_invariant(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        run(&bytes);
    }

    #[test]
    fn interruptions_change_neither_results_nor_the_end(
        bytes in prop::collection::vec(any::<u8>(), 0..1500),
        polls in 0..6u64,
    ) {
        let whole = run_quietly(&bytes, u64::MAX, u64::MAX);
        let cut = run_quietly(&bytes, polls, u64::MAX);
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn whichever_allocation_fails_every_reference_is_counted(
        bytes in prop::collection::vec(any::<u8>(), 0..1500),
        allocations in 0..8u64,
    ) {
        run_quietly(&bytes, u64::MAX, allocations);
    }
}
