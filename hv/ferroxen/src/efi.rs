//! UEFI's runtime services: called with page tables of their own, where the firmware's memory is mapped as it was.

use crate::boot::Early;
use crate::{info, warning};
use core::sync::atomic::{AtomicU64, Ordering};
use ferroxen_core::platform_op::{EfiCall, EfiFacts, EfiRegion};
use ferroxen_core::pv::FpuBlock;
use ferroxen_x86::efi::{EfiTables, MEMORY_MAPPED_IO, RUNTIME, RUNTIME_CODE, WRITE_BACK, service};
use ferroxen_x86::paging::{self, direct};
use ferroxen_x86::{fpu, instructions};
use spin::{Mutex, Once};

static TABLES: Once<EfiTables> = Once::new();
/// Root table with the firmware's memory in its lower half; 0: services cannot be called.
static ROOT: AtomicU64 = AtomicU64::new(0);

/// The FPU state of whoever runs, while the firmware does.
#[repr(align(64))]
struct Saved([FpuBlock; fpu::MAX_STATE / 64]);
/// One call at a time.
static CALLS: Mutex<Saved> = Mutex::new(Saved([FpuBlock([0; 64]); fpu::MAX_STATE / 64]));

/// Keeps the tables and maps what runtime services need. Once, while booting.
pub fn init(tables: EfiTables, early: &mut Early) {
    let name: [u8; 64] = core::array::from_fn(|n| u8::try_from(tables.vendor[n]).unwrap_or(b'?'));
    let name = core::str::from_utf8(&name[..tables.vendor_len]).unwrap_or("?");
    info!("UEFI {}.{} by {name}", tables.revision >> 16, (tables.revision & 0xffff) / 10);
    if tables.runtime_revision == 0 {
        warning!("UEFI: the loader gave no memory map, so dom0 cannot call runtime services");
    } else {
        let root = early.page();
        for region in tables.regions().iter().filter(|region| region.attributes & RUNTIME != 0) {
            // Code and its data are in one range with older firmware.
            let execute = if region.kind == RUNTIME_CODE { 0 } else { paging::NX };
            let uncached = region.kind == MEMORY_MAPPED_IO || region.attributes & WRITE_BACK == 0;
            let cache = if uncached { paging::UNCACHED } else { 0 };
            let flags = paging::P | paging::W | cache | execute;
            if region.end > 1 << 47 {
                continue;
            }
            paging::map_in(root, region.start, region.start, region.end - region.start, flags, 4096, &mut || {
                early.page()
            });
        }
        ROOT.store(root, Ordering::Release);
    }
    TABLES.call_once(|| tables);
}

/// What dom0 may know.
pub fn facts() -> Option<EfiFacts<'static>> {
    let tables = TABLES.get()?;
    Some(EfiFacts {
        revision: tables.revision,
        config_table: tables.config_table,
        config_count: tables.config_count,
        vendor: &tables.vendor[..tables.vendor_len],
        vendor_revision: tables.vendor_revision,
        runtime_revision: tables.runtime_revision,
    })
}

/// The range of the memory map that holds this address.
pub fn region(address: u64) -> Option<EfiRegion> {
    TABLES.get()?.regions().iter().find(|region| (region.start..region.end).contains(&address)).copied()
}

/// Calls a service; gives its status.
pub fn call(call: EfiCall<'_>) -> u64 {
    // Pointers to the hypervisor's memory are good in the firmware's tables, too: slots 256 to 271 are the same.
    match call {
        EfiCall::GetTime { time, resolution, accuracy, clears } => {
            // struct EFI_TIME_CAPABILITIES
            let mut capabilities = [0u32; 3];
            let status = run(service::GET_TIME, [address(time), capabilities.as_mut_ptr() as u64, 0, 0, 0]);
            (*resolution, *accuracy, *clears) = (capabilities[0], capabilities[1], capabilities[2] & 0xff != 0);
            status
        }
        EfiCall::SetTime(time) => run(service::SET_TIME, [core::ptr::from_ref(time) as u64, 0, 0, 0, 0]),
        EfiCall::GetWakeupTime { enabled, pending, time } => {
            let mut flags = [0u8; 2];
            let at = flags.as_mut_ptr() as u64;
            let status = run(service::GET_WAKEUP_TIME, [at, at + 1, address(time), 0, 0]);
            (*enabled, *pending) = (flags[0] != 0, flags[1] != 0);
            status
        }
        EfiCall::SetWakeupTime { enable, time } => {
            let time = time.map_or(0, |time| core::ptr::from_ref(time) as u64);
            run(service::SET_WAKEUP_TIME, [enable.into(), time, 0, 0, 0])
        }
        EfiCall::GetNextHighMonotonicCount(count) => {
            run(service::GET_NEXT_HIGH_MONOTONIC_COUNT, [address(count), 0, 0, 0, 0])
        }
        EfiCall::GetVariable { name, guid, attributes, size, data } => {
            *size = (*size).min(data.len() as u64);
            let data = if data.is_empty() { 0 } else { data.as_mut_ptr() as u64 };
            let guid = core::ptr::from_ref(guid) as u64;
            run(service::GET_VARIABLE, [name.as_ptr() as u64, guid, address(attributes), address(size), data])
        }
        EfiCall::SetVariable { name, guid, attributes, data } => {
            let guid = core::ptr::from_ref(guid) as u64;
            let bytes = data.len() as u64;
            run(service::SET_VARIABLE, [name.as_ptr() as u64, guid, attributes.into(), bytes, data.as_ptr() as u64])
        }
        EfiCall::GetNextVariableName { size, name, guid } => {
            *size = (*size).min(size_of_val(name) as u64);
            run(service::GET_NEXT_VARIABLE_NAME, [address(size), name.as_mut_ptr() as u64, address(guid), 0, 0])
        }
        EfiCall::QueryVariableInfo { attributes, storage, remaining, largest } => run(
            service::QUERY_VARIABLE_INFO,
            [attributes.into(), address(storage), address(remaining), address(largest), 0],
        ),
    }
}

fn address<T>(place: &mut T) -> u64 {
    core::ptr::from_mut(place) as u64
}

/// Calls a service with its arguments, on this CPU, without interrupts: a flush request waits until it is done.
fn run(offset: usize, arguments: [u64; 5]) -> u64 {
    const UNSUPPORTED: u64 = 1 << 63 | 3;
    let root = ROOT.load(Ordering::Acquire);
    let entry = TABLES.get().map_or(0, |tables| tables.service(offset));
    if root == 0 || entry == 0 {
        return UNSUPPORTED;
    }
    let mut saved = CALLS.lock();
    for slot in 256..272usize {
        // SAFETY: an entry of the firmware's root, under the lock.
        unsafe { direct::<u64>(root).add(slot).write_volatile(paging::root_entry(slot)) };
    }
    instructions::without_interrupts(|| {
        let (cr0, cr3) = (instructions::read_cr0(), instructions::read_cr3());
        fpu::set_task_switched(false);
        fpu::save(&mut saved.0);
        fpu::set_clean();
        // SAFETY: has the hypervisor's slots, with this stack and code.
        unsafe { instructions::write_cr3(root) };
        // SAFETY: the firmware's table says that a service is there, which has this calling convention.
        let service: extern "efiapi" fn(u64, u64, u64, u64, u64) -> u64 = unsafe { core::mem::transmute(entry) };
        let [a, b, c, d, e] = arguments;
        let status = service(a, b, c, d, e);
        // SAFETY: what was loaded before.
        unsafe { instructions::write_cr3(cr3) };
        fpu::restore(&saved.0);
        fpu::set_task_switched(cr0 & 8 != 0);
        status
    })
}
