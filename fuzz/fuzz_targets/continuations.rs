//! Hypercalls that are interrupted at every safe point (the first byte says how many pass in between) end like those that
//! are not. See `ferroxen_sim::hypercalls`.
#![no_main]

use ferroxen_sim::hypercalls::run_quietly;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((polls, story)) = data.split_first() else { return };
    let whole = run_quietly(story, u64::MAX, u64::MAX);
    assert_eq!(whole, run_quietly(story, u64::from(polls % 6), u64::MAX));
});
