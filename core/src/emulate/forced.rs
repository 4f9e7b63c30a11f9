//! The forced-emulation prefix: `ud2a; .ascii "xen"; cpuid`, by which a PV guest asks for the hypervisor's CPUID where
//! the processor's own would answer.

use super::{PrivMachine, View, retire};
use crate::pv::Regs;

/// The bytes at RIP of a #UD that asks for an emulated CPUID.
pub const FORCED_CPUID: [u8; 7] = [0x0f, 0x0b, b'x', b'e', b'n', 0x0f, 0xa2];

/// Whether a #UD is a forced CPUID: `code` are the bytes at RIP, as many as could be read.
pub fn is_forced_cpuid(code: &[u8]) -> bool {
    code.starts_with(&FORCED_CPUID)
}

/// Executes a forced CPUID; gives whether the guest is to be single-stepped.
pub(super) fn cpuid<M: PrivMachine>(regs: &mut Regs, view: &View, len: usize, machine: &mut M) -> bool {
    let [a, b, c, d] = machine.cpuid(regs.rax as u32, regs.rcx as u32);
    (regs.rax, regs.rbx, regs.rcx, regs.rdx) = (a.into(), b.into(), c.into(), d.into());
    retire(regs, view.mode, len)
}
