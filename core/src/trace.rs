//! Trace points of the entry and exit paths: what each CPU did last, for a debug key.
//!
//! The paths write records themselves (`hv/x86/src/trace.S`), once the option `tbuf_size=` turned their trace points on.

use core::fmt;
use xen_abi::xen::__HYPERVISOR_iret;

/// What passed a trace point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Point {
    /// A system call of a guest's user mode.
    SystemCall = 1,
    /// A hypercall.
    Hypercall = 2,
    /// An exception or interrupt while a guest ran.
    Trap = 3,
    /// A page fault of a guest.
    PageFault = 4,
    /// Back to a guest.
    Exit = 5,
    /// The same by SYSRET, to what is in RCX.
    Sysret = 6,
}

/// One record, as the paths write it.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Record {
    /// Time-stamp counter, in ticks; 0: nothing was recorded here.
    pub tsc: u64,
    /// [`Point`].
    pub point: u64,
    /// The guest's RIP.
    pub rip: u64,
    /// Its RAX: the number of a hypercall or system call.
    pub rax: u64,
    /// Error code, and the vector in the upper half.
    pub vector: u64,
    /// Its RSP.
    pub rsp: u64,
    /// CR2.
    pub cr2: u64,
    /// RCX.
    pub rcx: u64,
}

const _: () = assert!(size_of::<Record>() == 64);

impl Record {
    /// The point; `None`: nothing was recorded.
    pub fn point(&self) -> Option<Point> {
        const POINTS: [Point; 6] =
            [Point::SystemCall, Point::Hypercall, Point::Trap, Point::PageFault, Point::Exit, Point::Sysret];
        POINTS.into_iter().find(|&point| point as u64 == self.point)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { tsc, rip, rax, vector, rsp, cr2, rcx, .. } = *self;
        let (vector, error) = (vector >> 32, vector & 0xffff_ffff);
        write!(f, "{tsc:016x} ")?;
        match self.point() {
            Some(Point::SystemCall) => write!(f, "system call {rax} at {rip:#x}"),
            // Its context is on the stack.
            Some(Point::Hypercall) if rax == u64::from(__HYPERVISOR_iret) => write!(f, "iret, stack {rsp:#x}"),
            Some(Point::Hypercall) => write!(f, "hypercall {rax} at {rip:#x}"),
            Some(Point::Trap) => write!(f, "vector {vector} error {error:#x} at {rip:#x}"),
            Some(Point::PageFault) => write!(f, "page fault {cr2:#x} error {error:#x} at {rip:#x}"),
            Some(Point::Exit) => write!(f, "to {rip:#x}"),
            Some(Point::Sysret) => write!(f, "to {rcx:#x}"),
            None => write!(f, "-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn each_point_says_what_it_saw() {
        let record = Record {
            tsc: 0x1234,
            rip: 0x40,
            rax: 1,
            vector: 14 << 32 | 7,
            rsp: 0x80,
            cr2: 0x5000,
            rcx: 0x60,
            ..Default::default()
        };
        let at = |point: Point, rax: u64| format!("{}", Record { point: point as u64, rax, ..record });
        assert_eq!(at(Point::SystemCall, 39), "0000000000001234 system call 39 at 0x40");
        assert_eq!(at(Point::Hypercall, 1), "0000000000001234 hypercall 1 at 0x40");
        assert_eq!(at(Point::Hypercall, 23), "0000000000001234 iret, stack 0x80");
        assert_eq!(at(Point::Trap, 0), "0000000000001234 vector 14 error 0x7 at 0x40");
        assert_eq!(at(Point::PageFault, 0), "0000000000001234 page fault 0x5000 error 0x7 at 0x40");
        assert_eq!(at(Point::Exit, 0), "0000000000001234 to 0x40");
        assert_eq!(at(Point::Sysret, 0), "0000000000001234 to 0x60");
        assert_eq!(Record { point: 99, ..record }.point(), None);
    }
}
