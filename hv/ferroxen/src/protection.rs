//! What the hypervisor's own page tables allow, counted by walking them: debug key 'W'.

use crate::{error, info};
use ferroxen_core::Platform;
use ferroxen_x86::paging::{self, Mapping};
use ferroxen_x86::{descriptors, layout};

unsafe extern "C" {
    static image_start: u8;
    static text_end: u8;
    static rodata_end: u8;
    static boot_stack_guard: u8;
}

/// Bytes of each kind.
#[derive(Default)]
struct Found {
    writable: u64,
    executable: u64,
    both: u64,
    guests_read: u64,
    guests_write: u64,
    foreign_code: u64,
    image_writable: u64,
}

/// Prints what was found, and one line for each rule that does not hold.
pub fn report() {
    let start = &raw const image_start as u64;
    let text = start..&raw const text_end as u64;
    let fixed = start..&raw const rodata_end as u64;
    let alias = |at: u64| at - layout::IMAGE_BASE + layout::DIRECT_MAP;
    let mut found = Found::default();
    paging::walk(&mut |Mapping { va, len, writable, executable, user }| {
        let overlaps = |range: core::ops::Range<u64>| va < range.end && range.start < va + len;
        let count = |counter: &mut u64, is: bool| *counter += if is { len } else { 0 };
        count(&mut found.writable, writable);
        count(&mut found.executable, executable);
        count(&mut found.both, writable && executable);
        count(&mut found.guests_read, user);
        count(&mut found.guests_write, user && writable);
        count(&mut found.foreign_code, executable && !text.contains(&va));
        let of_image = overlaps(fixed.clone()) || overlaps(alias(fixed.start)..alias(fixed.end));
        count(&mut found.image_writable, writable && of_image);
    });
    info!(
        "own page tables: {} KiB writable, {} KiB executable, {} KiB readable by guests",
        found.writable >> 10,
        found.executable >> 10,
        found.guests_read >> 10
    );
    let mut good = true;
    for (bytes, what) in [
        (found.both, "writable and executable"),
        (found.guests_write, "writable by guests"),
        (found.foreign_code, "executable outside the hypervisor's text"),
        (found.image_writable, "text or constants that can be written"),
    ] {
        if bytes != 0 {
            good = false;
            error!("own page tables: {bytes} bytes are {what}");
        }
    }
    let mut guards = 0u32;
    let mut guard = |at: u64| {
        if paging::is_mapped(at) {
            good = false;
            error!("the page below a stack, {at:#x}, is mapped");
        } else {
            guards += 1;
        }
    };
    guard(&raw const boot_stack_guard as u64);
    for cpu in crate::machine::hv().platform.online().iter() {
        let stack = layout::cpu_area(cpu.0) + layout::AREA_STACK;
        descriptors::ist::GUARDS.iter().for_each(|offset| guard(stack + offset));
    }
    info!("stacks: {guards} guard pages");
    if good {
        info!("own page tables: nothing is both writable and executable");
    }
}
