//! The hypervisor's heap: talc on an arena taken at boot, grown from the frame allocator.

use spin::mutex::SpinMutex;
use talc::{OomHandler, Span, Talc, Talck};

/// Asks the frame allocator for another MiB when the arena is full.
pub struct Grow;

impl OomHandler for Grow {
    fn handle_oom(talc: &mut Talc<Self>, layout: core::alloc::Layout) -> Result<(), ()> {
        let order = (layout.size().saturating_add(4096).next_power_of_two().max(1 << 20).trailing_zeros() - 12) as u8;
        let start = crate::machine::take_frames(order).ok_or(())?;
        let span = Span::from_base_size(ferroxen_x86::paging::direct::<u8>(start), 4096 << order);
        // SAFETY: fresh frames of the frame allocator, in the direct map for ever.
        unsafe { talc.claim(span) }.map(|_| ())
    }
}

#[global_allocator]
static HEAP: Talck<SpinMutex<()>, Grow> = Talc::new(Grow).lock();

/// Gives the heap its first memory.
///
/// # Safety
/// The range is free RAM, mapped at `start`.
pub unsafe fn init(start: *mut u8, len: usize) {
    // SAFETY: the caller's.
    if unsafe { HEAP.lock().claim(Span::from_base_size(start, len)) }.is_err() {
        panic!("the first heap arena is too small");
    }
}
