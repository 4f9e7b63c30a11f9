//! The plugin: which callback each instruction gets, and what they do.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::api::{self, GArray, Id, Insn, MemInfo, Register, Scoreboard, Tb, U64};
use crate::decode::{Decoded, Event, MARK_BEGIN, MARK_END, Who, decode};
use crate::report::Counted;

/// The version of the interface that we were written for; QEMU reads it.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static qemu_plugin_version: c_int = api::VERSION;

/// Counters of a vcpu: those with a fixed number, then one for each address that executed.
const SLOTS: usize = 2 << 20;
/// Instructions in the lower half.
const USER: usize = 0;
/// Instructions of addresses for which no slot was left.
const OVERFLOW: usize = 1;
const EVENTS: usize = 2;
const FIXED: usize = EVENTS + Event::ALL.len() * Who::ALL.len();

const HYPERCALL_MMU_UPDATE: u64 = 1;
const HYPERCALL_MULTICALL: u64 = 13;
const HYPERCALL_MMUEXT_OP: u64 = 26;
const MULTICALL_ENTRY: u64 = 64;
const MSR_X2APIC_ICR: u64 = 0x830;
const XAPIC_ICR: u64 = 0xfee0_0300;

struct State {
    out: Option<File>,
    addresses_wanted: bool,
    score: *mut Scoreboard,
    /// Scratch of GLib's kind, for registers and memory.
    buffer: *mut GArray,
    registers: HashMap<&'static str, *mut Register>,
    slots: HashMap<u64, usize>,
    /// The address of each slot from FIXED on.
    addresses: Vec<u64>,
    idt: u64,
    running: Option<Counted>,
}

// SAFETY: the pointers are QEMU's and GLib's handles, usable from every thread, and used under the lock only.
unsafe impl Send for State {}

static STATE: Mutex<Option<State>> = Mutex::new(None);

fn lock() -> MutexGuard<'static, Option<State>> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn with(work: impl FnOnce(&mut State)) {
    if let Some(state) = lock().as_mut() {
        work(state);
    }
}

/// QEMU calls this once it has loaded the plugin. 0 if all is well.
///
/// # Safety
///
/// `argv` holds `argc` C strings, as QEMU promises.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: Id,
    _info: *const c_void,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    let mut out = None;
    let mut addresses_wanted = false;
    for number in 0..usize::try_from(argc).unwrap_or(0) {
        // SAFETY: the caller's promise.
        let arg = unsafe { CStr::from_ptr(*argv.add(number)) }.to_string_lossy();
        match arg.split_once('=') {
            Some(("out", path)) => match File::create(path) {
                Ok(file) => out = Some(file),
                Err(err) => {
                    eprintln!("fxcount: cannot write {path}: {err}");
                    return 1;
                }
            },
            Some(("addresses", value)) => addresses_wanted = matches!(value, "on" | "true"),
            _ => {
                eprintln!("fxcount: knows out=FILE and addresses=on, not {arg}");
                return 1;
            }
        }
    }
    // SAFETY: QEMU's functions, called where QEMU allows it: while it installs us.
    let (score, buffer) = unsafe { (api::qemu_plugin_scoreboard_new(SLOTS * 8), api::g_byte_array_new()) };
    *lock() = Some(State {
        out,
        addresses_wanted,
        score,
        buffer,
        registers: HashMap::new(),
        slots: HashMap::new(),
        addresses: Vec::new(),
        idt: 0,
        running: None,
    });
    // SAFETY: as above; the callbacks live as long as the plugin.
    unsafe {
        api::qemu_plugin_register_vcpu_init_cb(id, vcpu_init);
        api::qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    }
    0
}

/// Finds the registers, which QEMU gives only to a vcpu's own thread.
unsafe extern "C" fn vcpu_init(_id: Id, _vcpu: c_uint) {
    // SAFETY: QEMU calls us on the vcpu's thread, as this function wants.
    let list = unsafe { api::qemu_plugin_get_registers() };
    // SAFETY: the array that QEMU made for us holds descriptors.
    let descriptors =
        unsafe { std::slice::from_raw_parts((*list).data.cast::<api::RegDescriptor>(), (*list).len as usize) };
    with(|state| {
        for descriptor in descriptors {
            // SAFETY: names are C strings that QEMU keeps for ever.
            let name = unsafe { CStr::from_ptr(descriptor.name) };
            if let Ok(name) = name.to_str() {
                state.registers.entry(name).or_insert(descriptor.handle);
            }
        }
    });
}

/// Gives each instruction of a block its counters.
unsafe extern "C" fn translated(_id: Id, tb: *mut Tb) {
    let mut guard = lock();
    let Some(state) = guard.as_mut() else { return };
    // SAFETY: the block is valid during this call.
    let count = unsafe { api::qemu_plugin_tb_n_insns(tb) };
    for number in 0..count {
        // SAFETY: `number` is below the block's count.
        let insn = unsafe { api::qemu_plugin_tb_get_insn(tb, number) };
        let mut bytes = [0u8; 16];
        // SAFETY: `bytes` has room for what is asked for.
        let length = unsafe { api::qemu_plugin_insn_data(insn, bytes.as_mut_ptr().cast(), bytes.len()) };
        // SAFETY: the instruction is valid during this call.
        let address = unsafe { api::qemu_plugin_insn_vaddr(insn) };
        let bytes = bytes.get(..length).unwrap_or(&bytes);
        if bytes.starts_with(&MARK_END) {
            callback(insn, end, api::R_REGS);
        }
        let slot = state.slot(address);
        add(insn, state.counter(slot));
        let who = Who::of(address);
        let Decoded { event, lidt, store32 } = decode(bytes);
        if let Some(event) = event {
            add(insn, state.counter(EVENTS + event as usize * Who::ALL.len() + who as usize));
            match event {
                Event::Syscall if who == Who::Kernel => callback(insn, hypercall, api::R_REGS),
                Event::Wrmsr => callback(insn, wrmsr, api::R_REGS),
                _ => {}
            }
        }
        if lidt {
            memory(insn, table_loaded, api::MEM_R);
        }
        if store32 && who != Who::User {
            memory(insn, stored, api::MEM_W);
        }
        if bytes.starts_with(&MARK_BEGIN) {
            callback(insn, begin, api::R_REGS);
        }
    }
}

fn add(insn: *mut Insn, counter: U64) {
    // SAFETY: the instruction is valid while it is translated, the counter is inside our scoreboard.
    unsafe { api::qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, api::INLINE_ADD, counter, 1) };
}

fn callback(insn: *mut Insn, cb: api::UdataCb, flags: c_int) {
    // SAFETY: the instruction is valid while it is translated, callbacks live as long as the plugin.
    unsafe { api::qemu_plugin_register_vcpu_insn_exec_cb(insn, cb, flags, std::ptr::null_mut()) };
}

fn memory(insn: *mut Insn, cb: api::MemCb, rw: c_int) {
    // SAFETY: the instruction is valid while it is translated, callbacks live as long as the plugin.
    unsafe { api::qemu_plugin_register_vcpu_mem_cb(insn, cb, api::NO_REGS, rw, std::ptr::null_mut()) };
}

/// A pair of marks begins: everything to zero.
unsafe extern "C" fn begin(_vcpu: c_uint, _udata: *mut c_void) {
    with(|state| {
        let (name, rounds) = (state.register("rdi"), state.register("rsi"));
        let bytes = state.memory(name, 64);
        let name: Vec<u8> = bytes.iter().take_while(|byte| **byte != 0).copied().collect();
        let name = String::from_utf8_lossy(&name).into_owned();
        state.each_vcpu(|counters, used| {
            // SAFETY: `used` counters of this vcpu are inside its element of the scoreboard.
            unsafe { std::ptr::write_bytes(counters, 0, used) };
        });
        state.running = Some(Counted { name, rounds, ..Counted::default() });
    });
}

/// It ends: one line.
unsafe extern "C" fn end(_vcpu: c_uint, _udata: *mut c_void) {
    with(|state| {
        let Some(mut counted) = state.running.take() else { return };
        state.gather(&mut counted);
        let line = counted.json() + "\n";
        let written = match &mut state.out {
            Some(file) => file.write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
        if let Err(err) = written {
            eprintln!("fxcount: cannot write: {err}");
        }
    });
}

/// SYSCALL in the kernel: a hypercall, its number in RAX.
unsafe extern "C" fn hypercall(_vcpu: c_uint, _udata: *mut c_void) {
    with(|state| {
        if state.running.is_none() {
            return;
        }
        let (number, first, second) = (state.register("rax"), state.register("rdi"), state.register("rsi"));
        let inside = if number == HYPERCALL_MULTICALL {
            let size = second.min(256) * MULTICALL_ENTRY;
            state.memory(first, usize::try_from(size).unwrap_or(0))
        } else {
            Vec::new()
        };
        let Some(counted) = &mut state.running else { return };
        let entry = counted.hypercalls.entry(number).or_default();
        entry.0 += 1;
        if matches!(number, HYPERCALL_MMU_UPDATE | HYPERCALL_MULTICALL | HYPERCALL_MMUEXT_OP) {
            // The upper bit says that the call was preempted and goes on.
            entry.1 += second & 0x7fff_ffff;
        }
        for call in inside.chunks_exact(MULTICALL_ENTRY as usize) {
            if let Some(number) = call.first_chunk::<8>() {
                *counted.multicalls.entry(u64::from_le_bytes(*number)).or_default() += 1;
            }
        }
    });
}

unsafe extern "C" fn wrmsr(_vcpu: c_uint, _udata: *mut c_void) {
    with(|state| {
        let msr = state.register("rcx") & 0xffff_ffff;
        if let Some(counted) = &mut state.running {
            *counted.msrs.entry(msr).or_default() += 1;
            counted.ipis += u64::from(msr == MSR_X2APIC_ICR);
        }
    });
}

/// LIDT read its operand: 16 bits of limit, 64 of address.
unsafe extern "C" fn table_loaded(_vcpu: c_uint, info: MemInfo, _vaddr: u64, _udata: *mut c_void) {
    // SAFETY: `info` is that of the access for which QEMU calls us.
    let value = unsafe { api::qemu_plugin_mem_get_value(info) };
    if value.kind == 3 {
        with(|state| state.idt = value.data[0]);
    }
}

/// A 32-bit store of kernel or hypervisor: to the local APIC's command register?
unsafe extern "C" fn stored(_vcpu: c_uint, info: MemInfo, vaddr: u64, _udata: *mut c_void) {
    if vaddr & 0xfff != XAPIC_ICR & 0xfff {
        return;
    }
    // SAFETY: `info` and `vaddr` are those of the access for which QEMU calls us.
    let place = unsafe { api::qemu_plugin_get_hwaddr(info, vaddr) };
    // SAFETY: a handle that is not null is valid during this call.
    if !place.is_null() && unsafe { api::qemu_plugin_hwaddr_phys_addr(place) } == XAPIC_ICR {
        with(|state| {
            if let Some(counted) = &mut state.running {
                counted.ipis += 1;
            }
        });
    }
}

impl State {
    /// The counter's number for an address of code.
    fn slot(&mut self, address: u64) -> usize {
        if Who::of(address) == Who::User {
            return USER;
        }
        if let Some(slot) = self.slots.get(&address) {
            return *slot;
        }
        let slot = FIXED + self.addresses.len();
        if slot >= SLOTS {
            return OVERFLOW;
        }
        self.addresses.push(address);
        self.slots.insert(address, slot);
        slot
    }

    fn counter(&self, slot: usize) -> U64 {
        U64 { score: self.score, offset: slot * 8 }
    }

    fn each_vcpu(&self, mut work: impl FnMut(*mut u64, usize)) {
        // SAFETY: no precondition.
        let vcpus = unsafe { api::qemu_plugin_num_vcpus() };
        for vcpu in 0..c_uint::try_from(vcpus).unwrap_or(0) {
            // SAFETY: the vcpu exists, so it has an element of SLOTS counters.
            let element = unsafe { api::qemu_plugin_scoreboard_find(self.score, vcpu) };
            work(element.cast(), FIXED + self.addresses.len());
        }
    }

    /// A general register; 0 if QEMU does not give it.
    fn register(&self, name: &str) -> u64 {
        let Some(handle) = self.registers.get(name) else { return 0 };
        // SAFETY: the buffer is ours; callers are callbacks that asked for registers.
        unsafe {
            api::g_byte_array_set_size(self.buffer, 0);
            if api::qemu_plugin_read_register(*handle, self.buffer) < 8 {
                return 0;
            }
        }
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.buffered(8));
        u64::from_le_bytes(bytes)
    }

    /// Memory of the vcpu that executes; empty if nothing is mapped there.
    fn memory(&self, address: u64, length: usize) -> Vec<u8> {
        // SAFETY: the buffer is ours, and QEMU makes it large enough.
        if length == 0 || !unsafe { api::qemu_plugin_read_memory_vaddr(address, self.buffer, length) } {
            return Vec::new();
        }
        self.buffered(length).to_vec()
    }

    fn buffered(&self, length: usize) -> &[u8] {
        // SAFETY: GLib's array holds `len` bytes, and nothing changes it while `self` is borrowed.
        unsafe {
            let held = (*self.buffer).len as usize;
            std::slice::from_raw_parts((*self.buffer).data.cast::<u8>(), length.min(held))
        }
    }

    /// The handlers in the interrupt descriptor table, by vector.
    fn handlers(&self) -> BTreeMap<u64, u64> {
        let table = self.memory(self.idt, 256 * 16);
        let mut handlers = BTreeMap::new();
        for (vector, gate) in (0..).zip(table.chunks_exact(16)) {
            let part = |at: usize, length: usize| {
                gate.iter().skip(at).take(length).rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte))
            };
            let present = part(5, 1) & 0x80 != 0;
            if present {
                handlers.insert(vector, part(0, 2) | part(6, 2) << 16 | part(8, 4) << 32);
            }
        }
        handlers
    }

    fn gather(&self, counted: &mut Counted) {
        let mut totals = vec![0u64; FIXED + self.addresses.len()];
        self.each_vcpu(|counters, used| {
            // SAFETY: `used` counters of this vcpu are inside its element of the scoreboard.
            let counters = unsafe { std::slice::from_raw_parts(counters, used) };
            for (total, counter) in totals.iter_mut().zip(counters) {
                *total += counter;
            }
        });
        let get = |slot: usize| totals.get(slot).copied().unwrap_or(0);
        counted.instructions[Who::User as usize] = get(USER);
        counted.instructions[Who::Kernel as usize] = get(OVERFLOW);
        for (address, count) in self.addresses.iter().zip(totals.iter().skip(FIXED)) {
            counted.instructions[Who::of(*address) as usize] += count;
        }
        counted.events = (0..Event::ALL.len())
            .map(|event| std::array::from_fn(|who| get(EVENTS + event * Who::ALL.len() + who)))
            .collect();
        for (vector, handler) in self.handlers() {
            let entries = self.slots.get(&handler).map_or(0, |slot| get(*slot));
            if entries > 0 {
                counted.traps.insert(vector, entries);
            }
        }
        if self.addresses_wanted {
            let executed = self.addresses.iter().zip(totals.iter().skip(FIXED)).filter(|(_, count)| **count > 0);
            counted.addresses = executed.map(|(address, count)| (*address, *count)).collect();
        }
    }
}
