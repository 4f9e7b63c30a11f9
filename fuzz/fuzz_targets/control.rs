//! What a control domain's tools ask for, in any order and with any arguments: nothing may be left of domains that were
//! destroyed, whichever allocation fails and wherever a call is interrupted. See `ferroxen_sim::control`.
#![no_main]

use ferroxen_sim::control::{Chance, run};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: ferroxen_sync::fail::FailingAlloc = ferroxen_sync::fail::FailingAlloc;

fuzz_target!(|data: &[u8]| {
    let [polls, allocations, steps @ ..] = data else { return };
    // Most stories have what they want.
    let allocations = if *allocations < 128 { u64::MAX } else { u64::from(allocations % 16) };
    run(steps, Chance { polls: u64::from(polls % 8), allocations });
});
