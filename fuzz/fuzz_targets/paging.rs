//! PV page tables: random stories of three domains on four CPUs with hostile TLBs, every invariant checked after every
//! step. See `ferroxen_sim::paging`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| ferroxen_sim::paging::run(data));
