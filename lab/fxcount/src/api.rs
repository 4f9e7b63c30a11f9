//! The part of QEMU's plugin interface that is used, version 4 (QEMU 9.2 and later, 10.0 among them).
//!
//! Declared from the documentation of the interface; QEMU resolves the names when it loads the plugin.

use std::ffi::{c_char, c_int, c_uint, c_void};

/// The version of the interface, which QEMU compares with its own.
pub const VERSION: c_int = 4;

/// `qemu_plugin_id_t`.
pub type Id = u64;
/// `qemu_plugin_meminfo_t`.
pub type MemInfo = u32;

macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $($(#[$doc])* #[repr(C)] pub struct $name { _private: [u8; 0] })*
    };
}

opaque! {
    /// A block that is being translated.
    Tb;
    /// One of its instructions.
    Insn;
    /// Memory with an element for each vcpu.
    Scoreboard;
    /// A register that can be read.
    Register;
    /// A physical address.
    HwAddr;
}

/// `GByteArray` and `GArray` begin alike.
#[repr(C)]
pub struct GArray {
    /// The elements.
    pub data: *mut c_void,
    /// How many.
    pub len: c_uint,
}

/// `qemu_plugin_u64`: a counter inside every element of a scoreboard.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct U64 {
    /// The scoreboard.
    pub score: *mut Scoreboard,
    /// Bytes from the element's begin.
    pub offset: usize,
}

/// `qemu_plugin_reg_descriptor`.
#[repr(C)]
pub struct RegDescriptor {
    /// For `qemu_plugin_read_register`.
    pub handle: *mut Register,
    /// Name, lower case.
    pub name: *const c_char,
    /// GDB's feature.
    pub feature: *const c_char,
}

/// `qemu_plugin_mem_value`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MemValue {
    /// 0 for 8 bits, 3 for 64.
    pub kind: c_int,
    /// The value, its lower half first.
    pub data: [u64; 2],
}

/// `QEMU_PLUGIN_CB_NO_REGS`.
pub const NO_REGS: c_int = 0;
/// `QEMU_PLUGIN_CB_R_REGS`.
pub const R_REGS: c_int = 1;
/// `QEMU_PLUGIN_INLINE_ADD_U64`.
pub const INLINE_ADD: c_int = 0;
/// `QEMU_PLUGIN_MEM_R`.
pub const MEM_R: c_int = 1;
/// `QEMU_PLUGIN_MEM_W`.
pub const MEM_W: c_int = 2;

/// A callback of an instruction.
pub type UdataCb = unsafe extern "C" fn(vcpu: c_uint, udata: *mut c_void);
/// A callback of an access to memory.
pub type MemCb = unsafe extern "C" fn(vcpu: c_uint, info: MemInfo, vaddr: u64, udata: *mut c_void);

unsafe extern "C" {
    pub fn qemu_plugin_register_vcpu_init_cb(id: Id, cb: unsafe extern "C" fn(Id, c_uint));
    pub fn qemu_plugin_register_vcpu_tb_trans_cb(id: Id, cb: unsafe extern "C" fn(Id, *mut Tb));
    pub fn qemu_plugin_tb_n_insns(tb: *const Tb) -> usize;
    pub fn qemu_plugin_tb_get_insn(tb: *const Tb, index: usize) -> *mut Insn;
    pub fn qemu_plugin_insn_data(insn: *const Insn, dest: *mut c_void, len: usize) -> usize;
    pub fn qemu_plugin_insn_vaddr(insn: *const Insn) -> u64;
    pub fn qemu_plugin_register_vcpu_insn_exec_cb(insn: *mut Insn, cb: UdataCb, flags: c_int, udata: *mut c_void);
    pub fn qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn: *mut Insn, op: c_int, entry: U64, imm: u64);
    pub fn qemu_plugin_register_vcpu_mem_cb(insn: *mut Insn, cb: MemCb, flags: c_int, rw: c_int, udata: *mut c_void);
    pub fn qemu_plugin_mem_get_value(info: MemInfo) -> MemValue;
    pub fn qemu_plugin_get_hwaddr(info: MemInfo, vaddr: u64) -> *mut HwAddr;
    pub fn qemu_plugin_hwaddr_phys_addr(haddr: *const HwAddr) -> u64;
    pub fn qemu_plugin_get_registers() -> *mut GArray;
    pub fn qemu_plugin_read_register(handle: *mut Register, buf: *mut GArray) -> c_int;
    pub fn qemu_plugin_read_memory_vaddr(addr: u64, data: *mut GArray, len: usize) -> bool;
    pub fn qemu_plugin_scoreboard_new(element_size: usize) -> *mut Scoreboard;
    pub fn qemu_plugin_scoreboard_find(score: *mut Scoreboard, vcpu: c_uint) -> *mut c_void;
    pub fn qemu_plugin_num_vcpus() -> c_int;
    // GLib's, which QEMU is linked with.
    pub fn g_byte_array_new() -> *mut GArray;
    pub fn g_byte_array_set_size(array: *mut GArray, length: c_uint) -> *mut GArray;
}
