//! The emulator on random instructions and registers: no panic, and nothing that no instruction may do.
#![no_main]

use ferroxen_core::addr::Vaddr;
use ferroxen_core::emulate::{Mode, Outcome, PrivMachine, Segment, SegmentName, Store, View, privileged_op};
use ferroxen_core::platform::Fault;
use ferroxen_core::pv::Regs;
use libfuzzer_sys::fuzz_target;

/// Answers from the fuzzer's bytes, and fails when they end.
struct Machine<'a> {
    bytes: &'a [u8],
    accesses: u32,
}

impl Machine<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(first)
    }
    fn word(&mut self) -> Option<u64> {
        let mut word = [0; 8];
        for byte in &mut word {
            *byte = self.byte()?;
        }
        Some(u64::from_le_bytes(word))
    }
}

impl PrivMachine for Machine<'_> {
    fn segment(&mut self, _: SegmentName) -> Option<Segment> {
        Segment::parse(self.word()?)
    }
    fn io_bitmap(&mut self, _: u32) -> Result<u16, Fault> {
        self.byte().map(u16::from).ok_or(Fault { at: Vaddr(0) })
    }
    fn in_port(&mut self, _: u16, width: u8) -> u32 {
        assert!(matches!(width, 1 | 2 | 4));
        self.byte().map_or(u32::MAX, u32::from)
    }
    fn out_port(&mut self, _: u16, width: u8, value: u32) {
        assert!(matches!(width, 1 | 2 | 4));
        assert!(width == 4 || value >> (8 * width) == 0);
    }
    fn read_guest(&mut self, at: Vaddr, to: &mut [u8]) -> Result<(), Fault> {
        assert!(at.is_canonical() && to.len() <= 4);
        self.accesses += 1;
        for byte in to {
            *byte = self.byte().ok_or(Fault { at })?;
        }
        Ok(())
    }
    fn write_guest(&mut self, at: Vaddr, from: &[u8]) -> Result<(), Fault> {
        assert!(at.is_canonical() && from.len() <= 4);
        self.byte().map(|_| ()).ok_or(Fault { at })
    }
    fn rdmsr(&mut self, _: u32) -> Option<u64> {
        self.word()
    }
    fn wrmsr(&mut self, _: u32, _: u64) -> Option<()> {
        self.byte().map(|_| ())
    }
    fn cpuid(&mut self, leaf: u32, subleaf: u32) -> [u32; 4] {
        [leaf, subleaf, 0, 0]
    }
    fn read_cr(&mut self, n: u32) -> Option<u64> {
        assert!(matches!(n, 0 | 2 | 3 | 4 | 8));
        self.word()
    }
    fn write_cr(&mut self, n: u32, _: u64) -> Option<()> {
        assert!(matches!(n, 0 | 2 | 3 | 4 | 8));
        self.byte().map(|_| ())
    }
    fn read_dr(&mut self, n: u32) -> Option<u64> {
        assert!(n < 8);
        self.word()
    }
    fn write_dr(&mut self, n: u32, _: u64) -> Option<()> {
        assert!(n < 8);
        self.byte().map(|_| ())
    }
    fn xsetbv(&mut self, _: u32, _: u64) -> Option<()> {
        self.byte().map(|_| ())
    }
    fn rdtsc(&mut self) -> u64 {
        1
    }
    fn tsc_aux(&mut self) -> u32 {
        2
    }
    fn rdpmc(&mut self, _: u32) -> Option<u64> {
        None
    }
    fn write_back_caches(&mut self) {}
    fn invlpg(&mut self, at: Vaddr) {
        assert!(at.is_canonical());
    }
    fn preempt_pending(&mut self) -> bool {
        // A repeated instruction that never asked would run for as long as its count says.
        self.byte().is_none_or(|byte| byte & 15 == 0)
    }
}

fuzz_target!(|data: &[u8]| {
    let mut machine = Machine { bytes: data, accesses: 0 };
    let (Some(flags), Some(len)) = (machine.byte(), machine.byte()) else { return };
    let mut regs = Regs::default();
    let cells = [
        &mut regs.rax,
        &mut regs.rcx,
        &mut regs.rdx,
        &mut regs.rbx,
        &mut regs.rsi,
        &mut regs.rdi,
        &mut regs.rbp,
        &mut regs.rsp,
        &mut regs.r8,
        &mut regs.r15,
        &mut regs.rip,
        &mut regs.rflags,
    ];
    for cell in cells {
        let Some(word) = machine.word() else { return };
        *cell = word;
    }
    let code = machine.bytes.get(..usize::from(len % 16)).unwrap_or(machine.bytes);
    machine.bytes = &machine.bytes[code.len()..];

    let mode = [Mode::Bits64, Mode::Bits32, Mode::Bits16, Mode::Bits64][usize::from(flags & 3)];
    let view = View {
        mode,
        kernel: flags & 4 != 0,
        iopl: u32::from(flags >> 3 & 3),
        architectural_iopl: flags & 32 != 0,
        iobmp_limit: if flags & 64 != 0 { 65536 } else { 0 },
        tsd: flags & 128 != 0,
    };
    let before = regs;
    let outcome = privileged_op(&mut regs, &view, code, &mut machine);
    match outcome {
        Outcome::Done { .. } | Outcome::Halted => assert!(regs.rip != before.rip || regs.rflags >> 8 & 1 != 0),
        Outcome::Again => assert_eq!(regs.rip, before.rip),
        Outcome::Raise(exception) => {
            assert_eq!(regs.rip, before.rip);
            assert!(matches!(exception.vector, 6 | 12 | 13 | 14));
            assert_eq!(exception.vector == 14, exception.cr2.is_some());
        }
    }
    // No emulated instruction changes a segment or a flag of the system.
    assert_eq!((regs.ss, regs.cs), (before.ss, before.cs));
    assert_eq!(regs.rflags | 1 << 16, before.rflags | 1 << 16);

    // The same bytes as a store.
    let fault = machine.word().unwrap_or(before.rdi);
    let store = Store::decode(&before, code, Vaddr(fault), |_| 0)
        .or_else(|_| Store::decode(&before, code, Vaddr(before.rdi), |_| 0));
    let Ok(store) = store else { return };
    assert!(matches!(store.width, 1 | 2 | 4 | 8 | 16));
    assert_eq!(store.at.0 % u64::from(store.width), 0);
    for current in [0, u128::MAX, u128::from(before.rax), u128::from(before.rdx) << 64 | u128::from(before.rax)] {
        let step = store.step(current, before.rbx);
        assert!(step.new.is_none_or(|new| store.width == 16 || new >> (8 * store.width) == 0));
        assert_eq!((step.regs.ss, step.regs.cs), (before.ss, before.cs));
        let system = !0x8d5 & !(1 << 16);
        assert_eq!(step.regs.rflags & system, before.rflags & system);
        if let Some(entry) = store.on_entry(current as u64, before.rbx) {
            assert_eq!(entry.regs, store.step(current >> (8 * (store.at.0 & 7)), before.rbx).regs);
        }
    }
});
