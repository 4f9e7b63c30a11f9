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

/// A list of calls is interrupted inside an `mmu_update` of four requests, so that its entry holds the arguments of the
/// continuation afterwards. Then a call of any number is a multicall from the first argument on, and makes what earlier
/// calls left as calls of its own, that `mmu_update` too: with other requests left than where nothing was interrupted.
/// That is the guest's own doing, and no story of tidy guests. Found by `fuzz/fuzz_targets/continuations.rs`.
#[test]
fn what_an_interrupted_list_leaves_in_its_entries_is_not_called_again() {
    let whole = run_quietly(&LEFT_IN_ENTRIES, u64::MAX, u64::MAX);
    for polls in 0..6 {
        assert_eq!(run_quietly(&LEFT_IN_ENTRIES, polls, u64::MAX), whole);
    }
}

#[rustfmt::skip]
const LEFT_IN_ENTRIES: [u8; 134] = [
    0, 0, 0, 255, 0, 255, 0, 0, 255, 0, 0, 225, 0, 0, 0, 109, 163, 0, 131, 147, 0, 0, 0, 0,
    6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 167, 0, 0, 0, 0, 126, 0, 0, 0, 184, 0,
    0, 0, 0, 0, 0, 0, 0, 39, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 188, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 226, 0, 0, 220, 0, 30, 0, 0, 235, 0, 0, 56, 0, 190, 0, 0, 0, 0,
    0, 0, 193, 0, 0, 255, 255, 255, 255, 255, 255, 254, 39, 205,
];

/// A grant let its own grant table be written, and a list of copies did so, and then copied by the grant that was written
/// there: let in as long as the copies share an end, not when the list is interrupted between them. Xen shares ends in the same
/// way; no story of tidy guests. Found by `fuzz/fuzz_targets/continuations.rs`.
#[test]
fn a_list_of_copies_does_not_change_the_grants_that_let_it_in() {
    let whole = run_quietly(&COPIES_INTO_GRANTS, u64::MAX, u64::MAX);
    for polls in 0..6 {
        assert_eq!(run_quietly(&COPIES_INTO_GRANTS, polls, u64::MAX), whole);
    }
}

#[rustfmt::skip]
const COPIES_INTO_GRANTS: [u8; 33] = [
    233, 83, 97, 204, 65, 225, 229, 0, 0, 0, 0, 0, 154, 124, 39, 147, 68, 76, 143, 198, 104, 154, 69, 82,
    116, 135, 146, 178, 241, 124, 118, 255, 138,
];
