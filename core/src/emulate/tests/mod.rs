mod stores;

use super::*;
use std::collections::BTreeMap;

/// A machine that remembers what was done to it. Guest memory is what `memory` holds; ports count their reads.
#[derive(Default)]
struct Machine {
    memory: BTreeMap<u64, u8>,
    segments: Vec<(SegmentName, Segment)>,
    bitmap: BTreeMap<u32, u16>,
    out: Vec<(u16, u8, u32)>,
    reads: u32,
    msrs: BTreeMap<u32, u64>,
    crs: BTreeMap<u32, u64>,
    drs: BTreeMap<u32, u64>,
    xcr0: Option<u64>,
    cache_flushes: u32,
    invalidated: Vec<u64>,
    preempt_after: Option<u32>,
}

impl PrivMachine for Machine {
    fn segment(&mut self, name: SegmentName) -> Option<Segment> {
        self.segments.iter().find(|(n, _)| *n == name).map(|(_, s)| *s)
    }
    fn io_bitmap(&mut self, offset: u32) -> Result<u16, Fault> {
        self.bitmap.get(&offset).copied().ok_or(Fault { at: Vaddr(0) })
    }
    fn in_port(&mut self, port: u16, _width: u8) -> u32 {
        self.reads += 1;
        u32::from(port) << 16 | 0xab00 | self.reads
    }
    fn out_port(&mut self, port: u16, width: u8, value: u32) {
        self.out.push((port, width, value));
    }
    fn read_guest(&mut self, at: Vaddr, to: &mut [u8]) -> Result<(), Fault> {
        for (n, byte) in (0..).zip(to) {
            let at = Vaddr(at.0 + n);
            *byte = *self.memory.get(&at.0).ok_or(Fault { at })?;
        }
        Ok(())
    }
    fn write_guest(&mut self, at: Vaddr, from: &[u8]) -> Result<(), Fault> {
        for (n, byte) in (0..).zip(from) {
            let at = Vaddr(at.0 + n);
            *self.memory.get_mut(&at.0).ok_or(Fault { at })? = *byte;
        }
        Ok(())
    }
    fn rdmsr(&mut self, msr: u32) -> Option<u64> {
        self.msrs.get(&msr).copied()
    }
    fn wrmsr(&mut self, msr: u32, value: u64) -> Option<()> {
        *self.msrs.get_mut(&msr)? = value;
        Some(())
    }
    fn cpuid(&mut self, leaf: u32, subleaf: u32) -> [u32; 4] {
        [leaf, subleaf, 0x1111, 0x2222]
    }
    fn read_cr(&mut self, n: u32) -> Option<u64> {
        self.crs.get(&n).copied()
    }
    fn write_cr(&mut self, n: u32, value: u64) -> Option<()> {
        *self.crs.get_mut(&n)? = value;
        Some(())
    }
    fn read_dr(&mut self, n: u32) -> Option<u64> {
        self.drs.get(&n).copied()
    }
    fn write_dr(&mut self, n: u32, value: u64) -> Option<()> {
        *self.drs.get_mut(&n)? = value;
        Some(())
    }
    fn xsetbv(&mut self, index: u32, value: u64) -> Option<()> {
        (index == 0).then(|| self.xcr0 = Some(value))
    }
    fn rdtsc(&mut self) -> u64 {
        0x1122_3344_5566_7788
    }
    fn tsc_aux(&mut self) -> u32 {
        7
    }
    fn rdpmc(&mut self, index: u32) -> Option<u64> {
        (index == 1).then_some(0x99)
    }
    fn write_back_caches(&mut self) {
        self.cache_flushes += 1;
    }
    fn invlpg(&mut self, at: Vaddr) {
        self.invalidated.push(at.0);
    }
    fn preempt_pending(&mut self) -> bool {
        self.preempt_after.as_mut().is_some_and(|left| {
            *left = left.saturating_sub(1);
            *left == 0
        })
    }
}

const KERNEL: View =
    View { mode: Mode::Bits64, kernel: true, iopl: 1, architectural_iopl: false, iobmp_limit: 0, tsd: false };
const USER: View = View { kernel: false, ..KERNEL };
const RIP: u64 = 0xffff_ffff_8100_0000;

fn regs() -> Regs {
    Regs { rip: RIP, rflags: 0x10202, rax: 0xaaaa_bbbb_cccc_dddd, rdx: 0x1234_5678_0000_0cf8, ..Regs::default() }
}

const DONE: Outcome = Outcome::Done { single_step: false };

fn gp() -> Outcome {
    Outcome::Raise(Exception::gp(0))
}

#[test]
fn in_writes_only_the_width_that_it_names_and_moves_on() {
    for (code, rax) in [
        (&[0xec_u8][..], 0xaaaa_bbbb_cccc_dd01_u64),
        (&[0x66, 0xed], 0xaaaa_bbbb_cccc_ab01),
        (&[0xed], 0x0cf8_ab01),
        (&[0xe5, 0x70], 0x0070_ab01),
        (&[0x48, 0xed], 0x0cf8_ab01),
    ] {
        let (mut regs, mut machine) = (regs(), Machine::default());
        assert_eq!(privileged_op(&mut regs, &KERNEL, code, &mut machine), DONE, "{code:x?}");
        assert_eq!(regs.rax, rax, "{code:x?}");
        assert_eq!(regs.rip, RIP + code.len() as u64);
        assert_eq!(regs.rflags, 0x202, "RF is clear after an instruction");
    }
}

#[test]
fn out_gives_the_port_exactly_the_bytes_of_its_width() {
    for (code, what) in [
        (&[0xee_u8][..], (0xcf8, 1, 0xdd)),
        (&[0x66, 0xef], (0xcf8, 2, 0xdddd)),
        (&[0xef], (0xcf8, 4, 0xcccc_dddd)),
        (&[0xe6, 0x80], (0x80, 1, 0xdd)),
        (&[0x66, 0xe7, 0x80], (0x80, 2, 0xdddd)),
    ] {
        let (mut regs, mut machine) = (regs(), Machine::default());
        assert_eq!(privileged_op(&mut regs, &KERNEL, code, &mut machine), DONE);
        assert_eq!(machine.out, [what], "{code:x?}");
    }
}

#[test]
fn the_io_privilege_level_counts_from_one_unless_the_domain_asked_for_the_architectural_one() {
    let allows = |kernel, iopl, architectural_iopl| View { kernel, iopl, architectural_iopl, ..KERNEL }.iopl_allows();
    assert!(!allows(true, 0, false));
    assert!(allows(true, 1, false));
    assert!(allows(true, 0, true));
    assert!(!allows(false, 2, false));
    assert!(allows(false, 3, false));
    assert!(allows(false, 3, true));
}

#[test]
fn without_privilege_the_bitmap_decides_for_every_byte_of_the_access() {
    let view = View { iopl: 0, iobmp_limit: 0x400, ..USER };
    let run = |code: &[u8], port: u64, bitmap: &[(u32, u16)]| {
        let mut machine = Machine { bitmap: bitmap.iter().copied().collect(), ..Machine::default() };
        privileged_op(&mut Regs { rdx: port, ..regs() }, &view, code, &mut machine)
    };
    assert_eq!(run(&[0xec], 0x3f8, &[(0x7f, 0xfffe)]), DONE);
    assert_eq!(run(&[0xec], 0x3f9, &[(0x7f, 0xfffe)]), gp());
    assert_eq!(run(&[0xed], 0x3f8, &[(0x7f, 0xfff0)]), DONE);
    assert_eq!(run(&[0xed], 0x3f8, &[(0x7f, 0xfff8)]), gp());
    assert_eq!(run(&[0xed], 0x3fe, &[(0x7f, 0)]), gp(), "beyond the limit");
    assert_eq!(run(&[0xed], 0xfffe, &[]), gp(), "the last port wraps nowhere");
    assert_eq!(run(&[0xec], 0x10, &[]), gp(), "a bitmap that cannot be read allows nothing");
    assert_eq!(run(&[0xed], 7, &[(0, 0xf87f)]), DONE, "an access may reach into the next byte of the bitmap");
}

#[test]
fn cli_and_sti_change_nothing_where_the_level_allows_and_fault_elsewhere() {
    for code in [[0xfa], [0xfb]] {
        let mut r = regs();
        assert_eq!(privileged_op(&mut r, &KERNEL, &code, &mut Machine::default()), DONE);
        assert_eq!(r, Regs { rip: RIP + 1, rflags: 0x202, ..regs() });
        let mut r = regs();
        assert_eq!(privileged_op(&mut r, &View { iopl: 0, ..KERNEL }, &code, &mut Machine::default()), gp());
        assert_eq!(r, regs(), "a fault leaves the registers");
        assert_eq!(privileged_op(&mut r, &USER, &code, &mut Machine::default()), gp());
    }
}

#[test]
fn rep_insb_fills_memory_from_the_port() {
    let mut machine = Machine { memory: (0x1000..0x1010).map(|at| (at, 0)).collect(), ..Machine::default() };
    let mut r = Regs { rcx: 3, rdi: 0x1004, ..regs() };
    assert_eq!(privileged_op(&mut r, &KERNEL, &[0xf3, 0x6c], &mut machine), DONE);
    assert_eq!((r.rcx, r.rdi, r.rip), (0, 0x1007, RIP + 2));
    assert_eq!([0x1003, 0x1004, 0x1005, 0x1006, 0x1007].map(|at| machine.memory[&at]), [0, 1, 2, 3, 0]);
}

#[test]
fn a_repeated_string_stops_where_it_is_preempted_and_goes_on() {
    let bytes = || (0x1000..0x1010).map(|at| (at, at as u8)).collect();
    let mut machine = Machine { memory: bytes(), preempt_after: Some(2), ..Machine::default() };
    let mut r = Regs { rcx: 4, rsi: 0x1000, ..regs() };
    assert_eq!(privileged_op(&mut r, &KERNEL, &[0xf3, 0x66, 0x6f], &mut machine), Outcome::Again);
    assert_eq!((r.rcx, r.rsi, r.rip), (2, 0x1004, RIP));
    machine.preempt_after = None;
    assert_eq!(privileged_op(&mut r, &KERNEL, &[0xf3, 0x66, 0x6f], &mut machine), DONE);
    assert_eq!((r.rcx, r.rsi, r.rip), (0, 0x1008, RIP + 3));
    assert_eq!(machine.out.iter().map(|o| o.2).collect::<Vec<_>>(), [0x100, 0x302, 0x504, 0x706]);
}

#[test]
fn a_string_that_faults_keeps_the_iterations_before_and_reads_no_port_for_the_one_that_faults() {
    let mut machine = Machine { memory: (0x1ffc..0x2000).map(|at| (at, 0)).collect(), ..Machine::default() };
    let mut r = Regs { rcx: 8, rdi: 0x1ffe, ..regs() };
    let outcome = privileged_op(&mut r, &KERNEL, &[0xf3, 0x6c], &mut machine);
    assert_eq!(outcome, Outcome::Raise(Exception::pf(Vaddr(0x2000), true)));
    assert_eq!((r.rcx, r.rdi, r.rip, machine.reads), (6, 0x2000, RIP, 2));
}

#[test]
fn string_directions_address_sizes_and_empty_counts() {
    let bytes = || (0x1000..0x1010).map(|at| (at, 0x40)).collect();
    // DF: downwards.
    let mut machine = Machine { memory: bytes(), ..Machine::default() };
    let mut r = Regs { rsi: 0x1008, rflags: 0x402, ..regs() };
    assert_eq!(privileged_op(&mut r, &KERNEL, &[0x6f], &mut machine), DONE);
    assert_eq!((r.rsi, machine.out[0]), (0x1004, (0xcf8, 4, 0x4040_4040)));
    // 32-bit addresses: only ESI and ECX count, and the upper halves are cleared.
    let mut machine = Machine { memory: bytes(), ..Machine::default() };
    let mut r = Regs { rsi: 0xdead_0000_0000_1000, rcx: 0xbeef_0000_0000_0002, ..regs() };
    assert_eq!(privileged_op(&mut r, &KERNEL, &[0x67, 0xf3, 0x6e], &mut machine), DONE);
    assert_eq!((r.rsi, r.rcx, machine.out.len()), (0x1002, 0, 2));
    // No iteration: no port, no memory.
    let mut machine = Machine::default();
    let mut r = Regs { rcx: 0, ..regs() };
    assert_eq!(privileged_op(&mut r, &KERNEL, &[0xf3, 0x6e], &mut machine), DONE);
    assert_eq!((r.rip, machine.out.len()), (RIP + 2, 0));
    // Non-canonical.
    let mut r = Regs { rsi: 0x0000_7fff_ffff_ffff, ..regs() };
    assert_eq!(privileged_op(&mut r, &KERNEL, &[0x6f], &mut machine), gp());
}

#[test]
fn outs_through_gs_adds_its_base_and_32_bit_code_its_segment() {
    let memory = (0x9000..0x9010).map(|at| (at, 1)).collect();
    let mut machine =
        Machine { memory, segments: vec![(SegmentName::Gs, Segment::flat(0x8000))], ..Machine::default() };
    let mut r = Regs { rsi: 0x1000, ..regs() };
    assert_eq!(privileged_op(&mut r, &KERNEL, &[0x65, 0x6e], &mut machine), DONE);

    let view = View { mode: Mode::Bits32, iopl: 3, ..USER };
    machine.segments = vec![(SegmentName::Ds, Segment { limit: 0xf, ..Segment::flat(0x9000) })];
    let mut r = Regs { rsi: 0xffff_ffff_0000_000f, rip: 0xffff_ffff, ..regs() };
    assert_eq!(privileged_op(&mut r, &view, &[0x6e], &mut machine), DONE);
    assert_eq!((r.rsi, r.rip), (0x10, 0), "both wrap at 32 bits");
    assert_eq!(privileged_op(&mut r, &view, &[0x6e], &mut machine), gp(), "beyond the limit");
    assert_eq!(privileged_op(&mut r, &view, &[0x36, 0x6e], &mut machine), Outcome::Raise(Exception::ss(0)));
}

#[test]
fn control_registers_are_the_kernels() {
    let crs = || [(0, 0x8005_003b), (2, 0x77), (3, 0x1000), (4, 0x660)].into_iter().collect();
    for (code, rax) in [([0x0f, 0x20, 0xc0], 0x8005_003b_u64), ([0x0f, 0x20, 0xd0], 0x77), ([0x0f, 0x20, 0xe0], 0x660)]
    {
        let mut machine = Machine { crs: crs(), ..Machine::default() };
        let mut r = regs();
        assert_eq!(privileged_op(&mut r, &KERNEL, &code, &mut machine), DONE);
        assert_eq!((r.rax, r.rip), (rax, RIP + 3));
        assert_eq!(privileged_op(&mut regs(), &USER, &code, &mut machine), gp());
    }
    let mut machine = Machine { crs: crs(), ..Machine::default() };
    assert_eq!(privileged_op(&mut regs(), &KERNEL, &[0x0f, 0x22, 0xd8], &mut machine), DONE);
    assert_eq!(machine.crs[&3], regs().rax);
    assert_eq!(privileged_op(&mut regs(), &KERNEL, &[0x44, 0x0f, 0x20, 0xc0], &mut machine), gp(), "no CR8 here");
    // CLTS, LMSW.
    assert_eq!(privileged_op(&mut regs(), &KERNEL, &[0x0f, 0x06], &mut machine), DONE);
    assert_eq!(machine.crs[&0], 0x8005_0033);
    let mut r = Regs { rax: 0xffff_fff8, ..regs() };
    assert_eq!(privileged_op(&mut r, &KERNEL, &[0x0f, 0x01, 0xf0], &mut machine), DONE);
    assert_eq!(machine.crs[&0], 0x8005_0039, "LMSW cannot clear PE");
    let mut r = regs();
    assert_eq!(privileged_op(&mut r, &USER, &[0x66, 0x0f, 0x01, 0xe0], &mut machine), DONE);
    assert_eq!(r.rax, 0xaaaa_bbbb_cccc_0039, "SMSW, which UMIP makes fault");
}

#[test]
fn debug_registers_go_through_the_machine() {
    let mut machine = Machine { drs: [(6, 0xffff_0ff0), (7, 0x400)].into_iter().collect(), ..Machine::default() };
    let mut r = regs();
    assert_eq!(privileged_op(&mut r, &KERNEL, &[0x0f, 0x21, 0xf3], &mut machine), DONE);
    assert_eq!(r.rbx, 0xffff_0ff0);
    assert_eq!(privileged_op(&mut Regs { rbx: 0x455, ..regs() }, &KERNEL, &[0x0f, 0x23, 0xfb], &mut machine), DONE);
    assert_eq!(machine.drs[&7], 0x455);
    assert_eq!(privileged_op(&mut regs(), &KERNEL, &[0x0f, 0x23, 0xe3], &mut machine), gp());
}

#[test]
fn msrs_use_the_lower_halves_and_clear_the_upper() {
    let mut machine = Machine { msrs: [(0xc000_0080, 0xd01)].into_iter().collect(), ..Machine::default() };
    let mut r = Regs { rcx: 0xffff_ffff_c000_0080, ..regs() };
    assert_eq!(privileged_op(&mut r, &KERNEL, &[0x0f, 0x32], &mut machine), DONE);
    assert_eq!((r.rax, r.rdx), (0xd01, 0));
    let mut r = Regs { rcx: 0xc000_0080, ..regs() };
    assert_eq!(privileged_op(&mut r, &KERNEL, &[0x0f, 0x30], &mut machine), DONE);
    assert_eq!(machine.msrs[&0xc000_0080], 0x0000_0cf8_cccc_dddd);
    let mut r = Regs { rcx: 0x1b, ..regs() };
    let before = r;
    assert_eq!(privileged_op(&mut r, &KERNEL, &[0x0f, 0x32], &mut machine), gp());
    assert_eq!(r, before);
    assert_eq!(privileged_op(&mut r, &USER, &[0x0f, 0x30], &mut machine), gp());
}

#[test]
fn the_rest_of_what_a_kernel_executes() {
    let mut machine = Machine::default();
    let mut run = |r: &mut Regs, view: &View, code: &[u8]| privileged_op(r, view, code, &mut machine);
    assert_eq!(run(&mut regs(), &KERNEL, &[0xf4]), Outcome::Halted);
    assert_eq!(run(&mut regs(), &USER, &[0xf4]), gp());
    assert_eq!(run(&mut regs(), &KERNEL, &[0x0f, 0x09]), DONE);
    assert_eq!(run(&mut regs(), &KERNEL, &[0x0f, 0x08]), DONE);
    assert_eq!(run(&mut Regs { rax: 0x1234, ..regs() }, &KERNEL, &[0x0f, 0x01, 0x38]), DONE);
    assert_eq!(run(&mut Regs { rax: 1 << 63, ..regs() }, &KERNEL, &[0x0f, 0x01, 0x38]), DONE);
    assert_eq!(run(&mut Regs { rcx: 0, ..regs() }, &KERNEL, &[0x0f, 0x01, 0xd1]), DONE);
    assert_eq!(run(&mut Regs { rcx: 1, ..regs() }, &KERNEL, &[0x0f, 0x01, 0xd1]), gp());
    let mut r = Regs { rcx: 1, ..regs() };
    assert_eq!(run(&mut r, &KERNEL, &[0x0f, 0x33]), DONE);
    assert_eq!((r.rax, r.rdx), (0x99, 0));
    let mut r = regs();
    assert_eq!(run(&mut r, &USER, &[0x0f, 0x01, 0xf9]), DONE);
    assert_eq!((r.rax, r.rdx, r.rcx), (0x5566_7788, 0x1122_3344, 7));
    let tsd = View { tsd: true, ..USER };
    assert_eq!(run(&mut regs(), &tsd, &[0x0f, 0x31]), gp());
    assert_eq!(run(&mut regs(), &View { kernel: true, ..tsd }, &[0x0f, 0x31]), DONE);
    for code in [&[0x0f, 0x01, 0xf8][..], &[0x48, 0xcf], &[0x0f, 0x01, 0x10], &[0x0f, 0x00, 0xd8], &[0x48, 0x0f, 0x07]]
    {
        let r = &mut Regs { error_code: 0x18, ..regs() };
        assert_eq!(run(r, &KERNEL, code), Outcome::Raise(Exception::gp(0x18)), "{code:x?} is the guest's to handle");
    }
    assert_eq!(machine.cache_flushes, 2);
    assert_eq!(machine.invalidated, [0x1234]);
    assert_eq!(machine.xcr0, Some(0x0000_0cf8_cccc_dddd));
}

#[test]
fn cpuid_is_answered_for_fault_and_forced_prefix_alike() {
    for code in [&[0x0f, 0xa2][..], &FORCED_CPUID] {
        let mut r = Regs { rax: 0xf_4000_0001, rcx: 5, ..regs() };
        assert_eq!(privileged_op(&mut r, &USER, code, &mut Machine::default()), DONE);
        assert_eq!((r.rax, r.rbx, r.rcx, r.rdx), (0x4000_0001, 5, 0x1111, 0x2222));
        assert_eq!(r.rip, RIP + code.len() as u64);
    }
    assert!(is_forced_cpuid(&FORCED_CPUID) && !is_forced_cpuid(&FORCED_CPUID[..6]));
}

#[test]
fn single_stepping_and_the_end_of_the_address_space() {
    let mut r = Regs { rflags: 0x302, ..regs() };
    let outcome = privileged_op(&mut r, &KERNEL, &[0xfa], &mut Machine::default());
    assert_eq!(outcome, Outcome::Done { single_step: true });
    let mut r = Regs { rip: u64::MAX, ..regs() };
    assert_eq!(privileged_op(&mut r, &KERNEL, &[0xfa], &mut Machine::default()), DONE);
    assert_eq!(r.rip, 0);
}

#[test]
fn an_instruction_cut_off_is_a_page_fault_and_one_too_long_is_gp() {
    let outcome = privileged_op(&mut regs(), &KERNEL, &[0x0f], &mut Machine::default());
    assert_eq!(outcome, Outcome::Raise(Exception::pf_fetch(Vaddr(RIP + 1))));
    let outcome = privileged_op(&mut regs(), &KERNEL, &[], &mut Machine::default());
    assert_eq!(outcome, Outcome::Raise(Exception::pf_fetch(Vaddr(RIP))));
    let nowhere = privileged_op(&mut Regs { rip: 1 << 47, ..regs() }, &KERNEL, &[], &mut Machine::default());
    assert_eq!(nowhere, gp(), "a fetch from an address that is not canonical");
    assert_eq!(privileged_op(&mut regs(), &KERNEL, &[0x66; 15], &mut Machine::default()), gp());
    assert_eq!(privileged_op(&mut regs(), &KERNEL, &[0xf0, 0xfa], &mut Machine::default()), gp(), "LOCK CLI");
}

/// Every short encoding that the quick path could take, in every right to it: what it does is what the full one does.
#[test]
fn a_quick_privileged_instruction_does_what_the_full_decoder_says() {
    let mut quick_ones = 0;
    for kernel in [true, false] {
        for (iopl, iobmp_limit, mode) in
            [(0, 0, Mode::Bits64), (3, 0, Mode::Bits64), (0, 0x1000, Mode::Bits64), (3, 0, Mode::Bits32)]
        {
            let view = View { mode, kernel, iopl, architectural_iopl: true, iobmp_limit, tsd: false };
            for first in 0..=255u8 {
                for second in (0x30..0x34).chain(0x70..0x72).chain(0xe3..0xf0).chain([0xf8, 0xfa]) {
                    for rflags in [0x10202, 0x10302] {
                        let mut code = [0x90; 16];
                        (code[0], code[1], code[2]) = (first, second, 0x71);
                        let words = u128::from_le_bytes(code);
                        let words = [words as u64, (words >> 64) as u64];
                        let machine = || Machine {
                            bitmap: BTreeMap::from([(0x70 >> 3, 0), (0xcf8 >> 3, 0xffff)]),
                            msrs: BTreeMap::from([(0x10, 0x1_0000_0002)]),
                            ..Machine::default()
                        };
                        let before = Regs { rflags, rcx: 0x10, ..regs() };
                        let (mut mine, mut machine_of_mine) = (before, machine());
                        let outcome = quick_privileged_op(&mut mine, &view, words, &mut machine_of_mine);
                        let Some(outcome) = outcome else {
                            assert_eq!(mine, before, "what is refused changes no register: {first:02x} {second:02x}");
                            assert!(machine_of_mine.out.is_empty() && machine_of_mine.reads == 0);
                            continue;
                        };
                        let (mut full, mut machine_of_full) = (before, machine());
                        let expected = privileged_op(&mut full, &view, &code[..15], &mut machine_of_full);
                        assert_eq!((outcome, mine), (expected, full), "{first:02x} {second:02x} {view:?}");
                        assert_eq!(machine_of_mine.out, machine_of_full.out);
                        assert_eq!(machine_of_mine.msrs, machine_of_full.msrs);
                        assert_eq!(machine_of_mine.reads, machine_of_full.reads);
                        quick_ones += 1;
                    }
                }
            }
        }
    }
    assert!(quick_ones > 1000, "{quick_ones}");
}

#[test]
fn strings_move_each_width_by_each_address_size_of_each_mode() {
    use Mode::{Bits16, Bits32, Bits64};
    for (mode, prefixes, wide, width, address_bytes) in [
        (Bits64, &[][..], false, 1, 8),
        (Bits64, &[0x66], true, 2, 8),
        (Bits64, &[], true, 4, 8),
        (Bits64, &[0x67], false, 1, 4),
        (Bits64, &[0x67, 0x66], true, 2, 4),
        (Bits64, &[0x67], true, 4, 4),
        (Bits32, &[], false, 1, 4),
        (Bits32, &[0x66], true, 2, 4),
        (Bits32, &[0x67], true, 4, 2),
        (Bits16, &[], false, 1, 2),
        (Bits16, &[], true, 2, 2),
        (Bits16, &[0x66], true, 4, 2),
        (Bits16, &[0x67], true, 2, 4),
    ] {
        let view = View { mode, ..KERNEL };
        // What the address size does not reach: 16-bit registers keep it, 32-bit ones lose it.
        let high = if address_bytes == 8 { 0 } else { 0xdead_beef_5a5a_0000 & (u64::MAX << (8 * address_bytes)) };
        let kept = if address_bytes == 2 { high } else { 0 };
        for input in [true, false] {
            let opcode = if input { 0x6c } else { 0x6e } | u8::from(wide);
            let code: Vec<u8> = prefixes.iter().copied().chain([0xf3, opcode]).collect();
            let segments = [SegmentName::Es, SegmentName::Ds].map(|name| (name, Segment::flat(0))).to_vec();
            let memory = (0x1000..0x1010).map(|at| (at, at as u8)).collect();
            let mut machine = Machine { memory, segments, ..Machine::default() };
            let before = Regs { rip: 0xfffd, rcx: high | 2, rsi: high | 0x1000, rdi: high | 0x1000, ..regs() };
            let mut r = before;
            assert_eq!(privileged_op(&mut r, &view, &code, &mut machine), DONE, "{mode:?} {code:02x?}");
            let end = 0xfffd + code.len() as u64;
            let rip = if mode == Bits16 { end & 0xffff } else { end };
            let moved = kept | (0x1000 + 2 * u64::from(width));
            let (rsi, rdi) = if input { (before.rsi, moved) } else { (moved, before.rdi) };
            assert_eq!(r, Regs { rip, rcx: kept, rsi, rdi, rflags: 0x202, ..before }, "{mode:?} {code:02x?}");
            let bytes: Vec<u8> = (0x1000..0x1010).map(|at| machine.memory[&at]).collect();
            let cut = 64 - 8 * u32::from(width);
            if input {
                let mut expected: Vec<u8> = (0..16).collect();
                for (to, n) in expected.chunks_mut(width.into()).zip(1..=2u8) {
                    to.copy_from_slice(&[n, 0xab, 0xf8, 0x0c][..width.into()]);
                }
                assert_eq!(bytes, expected, "{mode:?} {code:02x?}");
            } else {
                let all = 0x0706_0504_0302_0100_u64;
                let part = |n: u32| ((all >> (8 * u32::from(width) * n)) << cut >> cut) as u32;
                assert_eq!(machine.out, [(0xcf8, width, part(0)), (0xcf8, width, part(1))], "{mode:?} {code:02x?}");
            }
        }
    }
}

#[test]
fn a_segment_prefix_names_the_segment_outside_64_bit_code() {
    use SegmentName::{Cs, Ds, Es, Fs, Gs, Ss};
    let names = [Es, Cs, Ss, Ds, Fs, Gs];
    let bases = (1..).zip(names).map(|(n, name)| (name, Segment::flat(n * 0x1000)));
    for (n, prefix) in (1u64..).zip([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]) {
        let memory = [(n * 0x1000, n as u8)].into_iter().collect();
        let mut machine = Machine { memory, segments: bases.clone().collect(), ..Machine::default() };
        let view = View { mode: Mode::Bits32, ..KERNEL };
        let mut r = Regs { rsi: 0, ..regs() };
        assert_eq!(privileged_op(&mut r, &view, &[prefix, 0x6e], &mut machine), DONE, "{prefix:#x}");
        assert_eq!(machine.out, [(0xcf8, 1, n as u32)]);
    }
}

#[test]
fn the_last_port_of_the_bitmap_is_in_it() {
    let view = View { iopl: 0, iobmp_limit: 0x400, ..USER };
    let run = |code: &[u8], port: u64| {
        let mut machine = Machine { bitmap: [(0x7f, 0)].into_iter().collect(), ..Machine::default() };
        privileged_op(&mut Regs { rdx: port, ..regs() }, &view, code, &mut machine)
    };
    assert_eq!([run(&[0xec], 0x3ff), run(&[0x66, 0xed], 0x3fe), run(&[0xed], 0x3fc)], [DONE; 3]);
    assert_eq!([run(&[0x66, 0xed], 0x3ff), run(&[0xed], 0x3fd)], [gp(); 2]);
}

#[test]
fn machine_status_words_go_through_memory_too() {
    let memory = || [(0x1000, 0xf8), (0x1001, 0xff), (0x1002, 0x55)].into_iter().collect();
    let machine = || Machine { crs: [(0, 0x8005_a033)].into_iter().collect(), memory: memory(), ..Machine::default() };
    let (lmsw, smsw) = ([0x0f, 0x01, 0x37], [0x0f, 0x01, 0x27]);
    let at = |rdi| Regs { rdi, ..regs() };

    let mut loads = machine();
    assert_eq!(privileged_op(&mut at(0x1000), &KERNEL, &lmsw, &mut loads), DONE);
    assert_eq!(loads.crs[&0], 0x8005_a039, "the low four bits, of which PE stays");
    let mut r = Regs { rax: 0xffff_fff1, ..regs() };
    assert_eq!(privileged_op(&mut r, &KERNEL, &[0x0f, 0x01, 0xf0], &mut loads), DONE);
    assert_eq!(loads.crs[&0], 0x8005_a031);
    let outcome = privileged_op(&mut at(0x1002), &KERNEL, &lmsw, &mut loads);
    assert_eq!(outcome, Outcome::Raise(Exception::pf(Vaddr(0x1003), false)));
    assert_eq!(privileged_op(&mut at(1 << 47), &KERNEL, &lmsw, &mut loads), gp());

    let mut stores = machine();
    assert_eq!(privileged_op(&mut at(0x1000), &USER, &smsw, &mut stores), DONE);
    assert_eq!([0x1000, 0x1001, 0x1002].map(|at| stores.memory[&at]), [0x33, 0xa0, 0x55]);
    let outcome = privileged_op(&mut at(0x1002), &USER, &smsw, &mut stores);
    assert_eq!(outcome, Outcome::Raise(Exception::pf(Vaddr(0x1003), true)));
}

#[test]
fn fifteen_bytes_that_need_a_sixteenth_are_gp() {
    for tail in [&[0x66, 0x66][..], &[0x66, 0x0f], &[0x0f, 0x01], &[0x66, 0xe4], &[0x66, 0xea]] {
        let code: Vec<u8> = [0x66; 13].iter().chain(tail).copied().collect();
        assert_eq!(privileged_op(&mut regs(), &KERNEL, &code, &mut Machine::default()), gp(), "{tail:02x?}");
    }
}

#[test]
fn a_fault_leaves_the_registers() {
    let memory = || [(0x1000, 0)].into_iter().collect();
    let machine = || Machine { crs: [(0, 0x8005_0033)].into_iter().collect(), memory: memory(), ..Machine::default() };
    let tsd = View { tsd: true, ..USER };
    for (view, code) in [
        (&KERNEL, &[0x0f, 0x20, 0xd8][..]), // mov rax, cr3
        (&KERNEL, &[0x0f, 0x22, 0xd8]),     // mov cr3, rax
        (&KERNEL, &[0x0f, 0x21, 0xf3]),     // mov rbx, dr6
        (&KERNEL, &[0x0f, 0x23, 0xfb]),     // mov dr7, rbx
        (&KERNEL, &[0x0f, 0x32]),           // rdmsr
        (&KERNEL, &[0x0f, 0x30]),           // wrmsr
        (&KERNEL, &[0x0f, 0x33]),           // rdpmc
        (&KERNEL, &[0x0f, 0x01, 0xd1]),     // xsetbv
        (&KERNEL, &[0x0f, 0x01, 0x37]),     // lmsw [rdi]
        (&USER, &[0x0f, 0x01, 0x27]),       // smsw [rdi]
        (&USER, &[0x0f, 0x06]),             // clts
        (&USER, &[0xec]),                   // in dx, al
        (&USER, &[0xf3, 0x6c]),             // rep insb
        (&KERNEL, &[0xf3, 0x6c]),           // the same, with nothing at rdi
        (&tsd, &[0x0f, 0x31]),              // rdtsc
        (&tsd, &[0x0f, 0x01, 0xf9]),        // rdtscp
        (&KERNEL, &[0x48, 0xcf]),           // iretq
        (&KERNEL, &[0x0f]),
    ] {
        let before = Regs { rdi: 0x1fff, rcx: 0x77, ..regs() };
        let mut r = before;
        let outcome = privileged_op(&mut r, view, code, &mut machine());
        assert!(matches!(outcome, Outcome::Raise(_)), "{code:02x?}");
        assert_eq!(r, before, "{code:02x?}");
    }
}

#[test]
fn error_codes_of_page_faults_are_the_processors() {
    let codes = [Exception::pf(Vaddr(1), false), Exception::pf(Vaddr(1), true), Exception::pf_fetch(Vaddr(1))];
    assert_eq!(
        codes.map(|fault| fault.error_code),
        [Some(0b00100), Some(0b00110), Some(0b10100)],
        "U, U and W, U and I"
    );
    assert_eq!(codes.map(|fault| (fault.vector, fault.cr2)), [(14, Some(Vaddr(1))); 3]);
}

#[test]
fn each_instruction_that_kernels_execute_all_day_is_quick() {
    let view = View { iopl: 1, ..KERNEL };
    let quick = |view: &View, code: &[u8]| {
        let mut bytes = [0x70; 16];
        bytes[..code.len()].copy_from_slice(code);
        let words = u128::from_le_bytes(bytes);
        let mut machine = Machine { msrs: BTreeMap::from([(0x10, 1)]), ..Machine::default() };
        let mut r = Regs { rcx: 0x10, ..regs() };
        let outcome = quick_privileged_op(&mut r, view, [words as u64, (words >> 64) as u64], &mut machine)?;
        assert_eq!((outcome, r.rip), (DONE, RIP + code.len() as u64), "{code:02x?}");
        Some((machine.out.len(), machine.reads))
    };
    for (code, done) in [(&[0xfa][..], (0, 0)), (&[0xfb], (0, 0)), (&[0x0f, 0x30], (0, 0)), (&[0x0f, 0x32], (0, 0))] {
        assert_eq!(quick(&view, code), Some(done), "{code:02x?}");
        assert_eq!(quick(&View { kernel: false, ..view }, code), None, "{code:02x?}");
    }
    let no_level = View { iopl: 0, ..view };
    for opcode in (0xe4..=0xe7).chain(0xec..=0xef) {
        let code = if opcode < 0xe8 { vec![opcode, 0x71] } else { vec![opcode] };
        let done = if opcode & 2 != 0 { (1, 0) } else { (0, 1) };
        for code in [code.clone(), [&[0x66], &code[..]].concat()] {
            assert_eq!(quick(&view, &code), Some(done), "{code:02x?}");
            assert_eq!(quick(&no_level, &code), None, "{code:02x?}");
        }
    }
    assert_eq!([&[0xfa][..], &[0xfb]].map(|code| quick(&no_level, code)), [None; 2]);
    for other in [&[0xf4][..], &[0x0f, 0x31], &[0x0f, 0x20, 0xc0], &[0x48, 0xef]] {
        assert_eq!(quick(&view, other), None, "{other:02x?}");
    }
}

#[test]
fn a_view_is_what_the_vcpu_has() {
    let pv = PvState { flags: crate::pv::IN_KERNEL, iopl: 2, iobmp_limit: 77, cr4: 1 << 2, ..PvState::default() };
    let View { kernel, iopl, architectural_iopl, iobmp_limit, tsd, .. } = View::new(&pv, Mode::Bits64, true);
    assert_eq!((kernel, iopl, architectural_iopl, iobmp_limit, tsd), (true, 2, true, 77, true));
    let pv = PvState { cr4: !(1 << 2), ..PvState::default() };
    let view = View::new(&pv, Mode::Bits64, false);
    assert_eq!((view.kernel, view.iopl, view.architectural_iopl, view.tsd), (false, 0, false, false));
}
