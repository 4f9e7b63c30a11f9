//! Any hypercall through the real dispatch: random stories of three domains on four CPUs with hostile TLBs, every
//! invariant checked after every step, any copy and any allocation failing. See `ferroxen_sim::hypercalls`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: ferroxen_sync::fail::FailingAlloc = ferroxen_sync::fail::FailingAlloc;

fuzz_target!(|data: &[u8]| ferroxen_sim::hypercalls::run(data));
