//! Random stories of guests and their page tables: see `ferroxen_sim::paging`.

use ferroxen_sim::paging::{run, run_quietly};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_story_breaks_an_invariant(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        run(&bytes);
    }

    #[test]
    fn interruptions_change_neither_results_nor_the_end(
        bytes in prop::collection::vec(any::<u8>(), 0..1500),
        polls in 0..6u64,
    ) {
        let whole = run_quietly(&bytes, u64::MAX);
        let cut = run_quietly(&bytes, polls);
        prop_assert_eq!(whole, cut);
    }
}
