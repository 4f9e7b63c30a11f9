//! Copies from and to the memory of the guest whose tables this CPU has loaded.

use crate::layout;

unsafe extern "C" {
    fn copy_guest_bytes(to: *mut u8, from: *const u8, len: usize) -> usize;
    fn store_guest_word(to: u64, value: u64) -> u64;
    fn load_ds(selector: u32) -> u32;
    fn load_es(selector: u32) -> u32;
    fn load_fs(selector: u32) -> u32;
    fn load_gs(selector: u32) -> u32;
    fn wrmsr_safe(index: u32, value: u64) -> u64;
}

/// Copies from the guest; `Err(address)` is the first one that could not be read.
pub fn read(from: u64, to: &mut [u8]) -> Result<(), u64> {
    match to.len() {
        0 => return Ok(()),
        8 => {
            to.copy_from_slice(&read_word(from).ok_or(from)?.to_le_bytes());
            return Ok(());
        }
        // The aligned word around it is on the same page.
        4 if from.is_multiple_of(4) => {
            let word = read_word(from & !7).ok_or(from)?;
            to.copy_from_slice(&((word >> (from % 8 * 8)) as u32).to_le_bytes());
            return Ok(());
        }
        _ if layout::is_guest_range(from, to.len() as u64) => {}
        _ => return Err(from),
    }
    // SAFETY: reads only guest space, checked above; a fault is caught by the exception table.
    match unsafe { copy_guest_bytes(to.as_mut_ptr(), from as *const u8, to.len()) } {
        0 => Ok(()),
        left => Err(from + (to.len() - left) as u64),
    }
}

/// Reads 8 bytes from the guest; `None` when they cannot be read.
#[inline(always)]
fn read_word(from: u64) -> Option<u64> {
    if !layout::is_guest_few(from) {
        return None;
    }
    let (value, bad): (u64, u64);
    // SAFETY: reads only guest space, checked above; a fault is caught by the exception table.
    unsafe { core::arch::asm!("call load_guest_word", in("rdi") from, out("rax") value, out("rdx") bad) };
    (bad == 0).then_some(value)
}

/// Reads `N` words from the guest; `None` when one of them cannot be read.
#[inline(always)]
pub fn read_words<const N: usize>(from: u64) -> Option<[u64; N]> {
    let mut words = [0; N];
    match N {
        2 => words.copy_from_slice(&read_pair(from)?),
        3 => words.copy_from_slice(&read_triple(from)?),
        _ => {
            if !layout::is_guest_range(from, 8 * N as u64) {
                return None;
            }
            // SAFETY: reads only guest space, checked above; a fault is caught by the exception table.
            if unsafe { copy_guest_bytes(words.as_mut_ptr().cast(), from as *const u8, 8 * N) } != 0 {
                return None;
            }
        }
    }
    Some(words)
}

/// Reads 16 bytes from the guest, as two words; `None` when one of them cannot be read.
#[inline(always)]
pub fn read_pair(from: u64) -> Option<[u64; 2]> {
    if !layout::is_guest_few(from) {
        return None;
    }
    let (low, high, bad): (u64, u64, u32);
    // SAFETY: reads only guest space, checked above; a fault is caught by the exception table.
    unsafe {
        core::arch::asm!("call load_guest_pair", in("rdi") from, out("rax") low, out("rdx") high, out("ecx") bad);
    }
    (bad == 0).then_some([low, high])
}

/// Reads 24 bytes from the guest, as three words; `None` when one of them cannot be read.
#[inline(always)]
pub fn read_triple(from: u64) -> Option<[u64; 3]> {
    if !layout::is_guest_few(from) {
        return None;
    }
    let (first, second, third, bad): (u64, u64, u64, u32);
    // SAFETY: reads only guest space, checked above; a fault is caught by the exception table.
    unsafe {
        core::arch::asm!("call load_guest_triple", in("rdi") from, out("rax") first, out("rdx") second,
            out("rsi") third, out("ecx") bad);
    }
    (bad == 0).then_some([first, second, third])
}

/// Copies to the guest; `Err(address)` is the first one that could not be written.
pub fn write(to: u64, from: &[u8]) -> Result<(), u64> {
    if from.is_empty() {
        return Ok(());
    }
    if !layout::is_guest_range(to, from.len() as u64) {
        return Err(to);
    }
    if let Ok(word) = <[u8; 8]>::try_from(from) {
        // SAFETY: writes only guest space, checked above; a fault is caught by the exception table.
        return if unsafe { store_guest_word(to, u64::from_le_bytes(word)) } == 0 { Ok(()) } else { Err(to) };
    }
    // SAFETY: writes only guest space, checked above; a fault is caught by the exception table.
    match unsafe { copy_guest_bytes(to as *mut u8, from.as_ptr(), from.len()) } {
        0 => Ok(()),
        left => Err(to + (from.len() - left) as u64),
    }
}

/// Loads ds, es, fs, gs; gives whether all were good (a bad one becomes null).
pub fn load_selectors(selectors: [u16; 4]) -> bool {
    let [ds, es, fs, gs] = selectors.map(u32::from);
    // SAFETY: a bad selector is caught by the exception table; the hypervisor uses none of the four.
    unsafe { load_ds(ds) + load_es(es) + load_fs(fs) + load_gs(gs) == 0 }
}

/// Loads gs; gives whether it was good (a bad one becomes null).
pub fn load_gs_selector(selector: u16) -> bool {
    // SAFETY: as above.
    unsafe { load_gs(selector.into()) == 0 }
}

/// The data selectors now.
pub fn selectors() -> [u16; 4] {
    let (ds, es, fs, gs): (u16, u16, u16, u16);
    // SAFETY: reads registers.
    unsafe {
        core::arch::asm!("mov {:x}, ds", "mov {:x}, es", "mov {:x}, fs", "mov {:x}, gs",
            out(reg) ds, out(reg) es, out(reg) fs, out(reg) gs, options(nomem, nostack, preserves_flags));
    }
    [ds, es, fs, gs]
}

/// Reads an MSR that may not exist.
pub fn rdmsr(index: u32) -> Option<u64> {
    let (value, bad): (u64, u64);
    // SAFETY: a fault is caught by the exception table.
    unsafe {
        core::arch::asm!("call rdmsr_safe", inout("edi") index => _, out("rax") value, out("rdx") bad, out("rcx") _);
    }
    (bad == 0).then_some(value)
}

/// Writes an MSR that may not exist; `false` when it faulted.
///
/// # Safety
/// If the register exists, the value keeps the hypervisor's invariants.
pub unsafe fn wrmsr(index: u32, value: u64) -> bool {
    // SAFETY: the caller's; a fault is caught by the exception table.
    unsafe { wrmsr_safe(index, value) == 0 }
}

/// Reads a word of this CPU's descriptor area, which may not be mapped.
pub fn read_descriptor(at: u64) -> Option<u64> {
    let area = layout::CPU_AREA..layout::MMIO_START;
    if !area.contains(&at) || !at.is_multiple_of(8) {
        return None;
    }
    let (value, bad): (u64, u64);
    // SAFETY: reads the descriptor area; a fault is caught by the exception table.
    unsafe { core::arch::asm!("call load_guest_word", in("rdi") at, out("rax") value, out("rdx") bad) };
    (bad == 0).then_some(value)
}
