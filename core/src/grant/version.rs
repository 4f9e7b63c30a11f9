//! GNTTABOP_set_version and GNTTABOP_get_version.

use super::active::Active;
use super::table::{Inner, RESERVED};
use crate::cpu::CpuId;
use crate::domain::{Domain, Hypervisor};
use crate::platform::Platform;
use xen_abi::Errno;
use xen_abi::grant_table::*;

/// GNTTABOP_set_version for the domain itself; gives the version in use afterwards. The first 8 entries (the toolstack's) are
/// kept, and may be in use; of them those that permit access, all others become invalid.
///
/// # Errors
/// `EINVAL`: no such version; `ENOSYS`: not allowed here; `EBUSY`: another entry is in use; `ENOMEM`.
pub(super) fn set<P: Platform>(hv: &Hypervisor<P>, cpu: CpuId, dom: &Domain<P>, version: u32) -> Result<u32, Errno> {
    if version != 1 && version != 2 {
        return Err(Errno::EINVAL);
    }
    let mut table = dom.grants.inner.lock();
    if version > table.limits.version {
        return Err(Errno::ENOSYS);
    }
    if table.version == version {
        return Ok(version);
    }
    let in_use = |active: &Active| active.pins.any();
    if table.active.iter().flatten().skip(RESERVED as usize).any(in_use) {
        return Err(Errno::EBUSY);
    }
    if version == 2 {
        let frames = table.shared.len();
        table.grow_status(hv, cpu, dom, frames)?;
    }
    let kept: [_; RESERVED as usize] = core::array::from_fn(|at| keep(hv, &mut table, at as u32));
    for &frame in table.shared.iter().chain(&table.status) {
        hv.platform.page(frame).zero();
    }
    table.version = version;
    for (at, words) in (0..).zip(kept) {
        write(hv, &mut table, at, words);
    }
    Ok(version)
}

/// An entry that is kept: flags without marks, domain, frame. `None`: it becomes invalid.
fn keep<P: Platform>(hv: &Hypervisor<P>, table: &mut Inner, at: u32) -> Option<(u16, u16, u64)> {
    let (flags, domid, frame, _) = table.entry(&hv.platform, at).ok()?.peek();
    // A part of a frame means nothing to version 1, and must not become all of it.
    let plain = flags & GTF_type_mask == GTF_permit_access && flags & GTF_sub_page == 0;
    let flags = flags & !(GTF_reading | GTF_writing | GTF_sub_page);
    (plain && (table.version == 1 || frame <= u64::from(u32::MAX))).then_some((flags, domid.0, frame))
}

fn write<P: Platform>(hv: &Hypervisor<P>, table: &mut Inner, at: u32, kept: Option<(u16, u16, u64)>) {
    let pins = table.active(at).map(|active| active.pins).unwrap_or_default();
    let Ok(entry) = table.entry(&hv.platform, at) else { return };
    let marks = if pins.any() { GTF_reading } else { 0 } | if pins.written() { GTF_writing } else { 0 };
    let (flags, domid, frame) = kept.unwrap_or_default();
    let header = u64::from(flags) | u64::from(domid) << 16;
    match entry.status {
        None => entry.set_words([header | u64::from(marks) | frame << 32, 0]),
        Some((page, status)) => {
            page.store_u16(status, marks);
            entry.set_words([header, frame]);
        }
    }
}
