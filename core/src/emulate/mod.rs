//! What a PV guest executes that needs us: privileged instructions of its ring-3 kernel, the forced-emulation prefix,
//! and stores to memory that is read-only for it (page tables, read-only MMIO).
//!
//! Everything here is a function of registers and of instruction bytes that the caller copied once; the machine is
//! behind [`PrivMachine`]. Decoding is iced-x86's, whose tables live on the heap: call [`warm_up`] at boot, so that no
//! guest's trap ever allocates.

mod arith;
mod forced;
mod operand;
mod portio;
mod privileged;
mod quick;
mod quick_privileged;
mod segment;
mod store;

pub use forced::{FORCED_CPUID, is_forced_cpuid};
pub use privileged::privileged_op;
pub use quick::QuickStore;
pub use quick_privileged::quick_privileged_op;
pub use segment::{Segment, SegmentName};
pub use store::{EntryStep, Refused, Step, Store};

use crate::addr::Vaddr;
use crate::platform::Fault;
use crate::pv::{PvState, Regs};

/// The most bytes of an instruction.
pub const MAX_INSTRUCTION: usize = 15;

/// RFLAGS.TF: trap after each instruction.
pub const RFLAGS_TF: u64 = 1 << 8;
/// RFLAGS.DF: string instructions go down.
pub const RFLAGS_DF: u64 = 1 << 10;
/// RFLAGS.RF: no instruction breakpoint on the next instruction.
pub const RFLAGS_RF: u64 = 1 << 16;
/// CR4.TSD: RDTSC only in the kernel.
pub const CR4_TSD: u64 = 1 << 2;

/// Builds the decoder's tables. Allocates; call it once at boot.
pub fn warm_up() {
    for (bits, code) in [(64, &[0x0f_u8, 0x30][..]), (32, &[0xec][..]), (16, &[0x90][..])] {
        let _ = iced_x86::Decoder::with_ip(bits, code, 0, iced_x86::DecoderOptions::NONE).decode();
    }
}

/// What kind of code a code segment holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// 64-bit code (descriptor bit L).
    Bits64,
    /// 32-bit code (bit D).
    Bits32,
    /// 16-bit code.
    Bits16,
}

impl Mode {
    fn bits(self) -> u32 {
        match self {
            Mode::Bits64 => 64,
            Mode::Bits32 => 32,
            Mode::Bits16 => 16,
        }
    }
    /// Keeps of an instruction pointer what the mode has.
    fn ip(self, ip: u64) -> u64 {
        match self {
            Mode::Bits64 => ip,
            Mode::Bits32 => ip & 0xffff_ffff,
            Mode::Bits16 => ip & 0xffff,
        }
    }
}

/// What of a vcpu's state decides whether it may do something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View {
    /// Its code segment's kind.
    pub mode: Mode,
    /// It runs its kernel (a PV kernel is in ring 3 like its user mode).
    pub kernel: bool,
    /// Virtual I/O privilege level.
    pub iopl: u32,
    /// VMASST_TYPE_architectural_iopl: the level counts from 0 for the kernel, else from 1.
    pub architectural_iopl: bool,
    /// Ports that the I/O permission bitmap covers.
    pub iobmp_limit: u32,
    /// RDTSC and RDTSCP belong to the kernel (the guest's CR4.TSD).
    pub tsd: bool,
}

impl View {
    /// The view of a running vcpu; `architectural_iopl` is its domain's assist bit.
    pub fn new(pv: &PvState, mode: Mode, architectural_iopl: bool) -> View {
        View {
            mode,
            kernel: pv.in_kernel(),
            iopl: pv.iopl,
            architectural_iopl,
            iobmp_limit: pv.iobmp_limit,
            tsd: pv.cr4 & CR4_TSD != 0,
        }
    }

    /// Whether CLI, STI and every port are allowed.
    pub fn iopl_allows(&self) -> bool {
        let cpl = match (self.kernel, self.architectural_iopl) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 3,
        };
        self.iopl >= cpl
    }
}

/// A fault or trap for the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exception {
    /// Its vector.
    pub vector: u8,
    /// Its error code, where it has one.
    pub error_code: Option<u32>,
    /// The address of a page fault.
    pub cr2: Option<Vaddr>,
}

impl Exception {
    /// #UD.
    pub const UD: Exception = Exception { vector: 6, error_code: None, cr2: None };

    /// #GP with this error code.
    pub const fn gp(error_code: u32) -> Exception {
        Exception { vector: 13, error_code: Some(error_code), cr2: None }
    }
    /// #SS with this error code.
    pub const fn ss(error_code: u32) -> Exception {
        Exception { vector: 12, error_code: Some(error_code), cr2: None }
    }
    /// #PF of a data access (or, with neither flag, of a read) from ring 3. Bit P stays clear: a copy that failed
    /// does not say why, and the guest's handler walks its tables anyway.
    pub const fn pf(at: Vaddr, write: bool) -> Exception {
        Exception { vector: 14, error_code: Some(4 | if write { 2 } else { 0 }), cr2: Some(at) }
    }
    /// #PF of an instruction fetch from ring 3.
    pub const fn pf_fetch(at: Vaddr) -> Exception {
        Exception { vector: 14, error_code: Some(4 | 16), cr2: Some(at) }
    }
}

/// What became of an instruction. Unless it says so, registers are as before.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was executed: registers and RIP are new, RF is clear. With `single_step` the guest gets #DB (DR6.BS).
    Done {
        /// TF was set when it began.
        single_step: bool,
    },
    /// Executed like `Done`; the vcpu waits for its next event (HLT).
    Halted,
    /// A repeated instruction stopped at a safe point: registers stand at the next iteration, RIP still on it.
    Again,
    /// The guest gets this fault; registers of a repeated instruction stand at the iteration that faulted.
    Raise(Exception),
}

/// The machine, as the instructions of a PV guest see it: the guest's own view, not the hardware's. `None` from a
/// register access is #GP for the guest.
pub trait PrivMachine {
    /// The segment in a segment register (asked for in 32- and 16-bit code; in 64-bit code only for the bases of FS
    /// and GS). `None`: null or not present.
    fn segment(&mut self, name: SegmentName) -> Option<Segment>;
    /// Two bytes of the I/O permission bitmap, read through the guest kernel's tables from `PvState::iobmp + offset`.
    fn io_bitmap(&mut self, offset: u32) -> Result<u16, Fault>;
    /// Reads a port; `width` is 1, 2 or 4 bytes. The domain's own rights to the port are judged here, and a port that
    /// it does not have reads as ones.
    fn in_port(&mut self, port: u16, width: u8) -> u32;
    /// Writes a port; dropped where the domain does not have it.
    fn out_port(&mut self, port: u16, width: u8, value: u32);
    /// Copies from the guest, with its rights.
    fn read_guest(&mut self, at: Vaddr, to: &mut [u8]) -> Result<(), Fault>;
    /// Copies to the guest, with its rights.
    fn write_guest(&mut self, at: Vaddr, from: &[u8]) -> Result<(), Fault>;
    /// Reads an MSR.
    fn rdmsr(&mut self, msr: u32) -> Option<u64>;
    /// Writes an MSR.
    fn wrmsr(&mut self, msr: u32, value: u64) -> Option<()>;
    /// CPUID by the domain's policy.
    fn cpuid(&mut self, leaf: u32, subleaf: u32) -> [u32; 4];
    /// Reads CR0, CR2, CR3, CR4 or CR8.
    fn read_cr(&mut self, n: u32) -> Option<u64>;
    /// Writes one.
    fn write_cr(&mut self, n: u32, value: u64) -> Option<()>;
    /// Reads DR0 to DR7.
    fn read_dr(&mut self, n: u32) -> Option<u64>;
    /// Writes one.
    fn write_dr(&mut self, n: u32, value: u64) -> Option<()>;
    /// Writes an extended control register.
    fn xsetbv(&mut self, index: u32, value: u64) -> Option<()>;
    /// The guest's TSC.
    fn rdtsc(&mut self) -> u64;
    /// The guest's TSC_AUX.
    fn tsc_aux(&mut self) -> u32;
    /// A performance counter.
    fn rdpmc(&mut self, index: u32) -> Option<u64>;
    /// WBINVD, and INVD, which a guest must never really execute. Up to the machine whether caches are flushed.
    fn write_back_caches(&mut self);
    /// Drops translations of an address.
    fn invlpg(&mut self, at: Vaddr);
    /// Whether a repeated instruction should stop at its next iteration.
    fn preempt_pending(&mut self) -> bool;
}

/// Moves on to the next instruction; gives whether the guest is to be single-stepped.
fn retire(regs: &mut Regs, mode: Mode, len: usize) -> bool {
    regs.rip = mode.ip(regs.rip.wrapping_add(len as u64));
    regs.rflags &= !RFLAGS_RF;
    regs.rflags & RFLAGS_TF != 0
}

#[cfg(test)]
mod tests;
