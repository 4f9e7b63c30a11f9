//! The emulated stores beside the processor that runs this test: the same instruction, registers and memory must give
//! the same registers, flags and memory.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(unsafe_code)]

use core::arch::asm;
use ferroxen_core::addr::Vaddr;
use ferroxen_core::emulate::Store;
use ferroxen_core::pv::Regs;

/// The registers that the tested instructions use.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    rax: u64,
    rcx: u64,
    rdx: u64,
    rbx: u64,
    rsi: u64,
    rdi: u64,
    r8: u64,
    r9: u64,
    rflags: u64,
}

/// A page that can be written and executed, and the one after it, which cannot be touched.
struct Code(*mut u8);

impl Code {
    fn new() -> Code {
        let at: usize;
        // SAFETY: an anonymous private mapping of one page touches nothing that exists.
        unsafe {
            asm!("syscall", inlateout("rax") 9usize => at, in("rdi") 0, in("rsi") 4096, in("rdx") 7, in("r10") 0x22,
                 in("r8") -1isize, in("r9") 0, out("rcx") _, out("r11") _);
        }
        assert!(at < usize::MAX - 4095, "mmap failed");
        Code(at as *mut u8)
    }

    /// Runs one instruction.
    fn run(&self, instruction: &[u8], state: &mut State) {
        assert!(instruction.len() <= 15);
        // SAFETY: the page has room for the instruction and a RET.
        unsafe { core::ptr::copy_nonoverlapping(instruction.as_ptr(), self.0, instruction.len()) };
        // SAFETY: at most 15 bytes into the page.
        let end = unsafe { self.0.add(instruction.len()) };
        // SAFETY: as above; the page may be written.
        unsafe { end.write(0xc3) };
        // SAFETY: the instruction is one of this file's, writes only the buffer behind RDI, and uses no other register
        // than those of `State`; RBX is saved by hand because the compiler keeps it for itself.
        unsafe {
            asm!(
                "push rbx",
                "push qword ptr [r15 + 64]",
                "popfq",
                "mov rax, [r15]", "mov rcx, [r15 + 8]", "mov rdx, [r15 + 16]", "mov rbx, [r15 + 24]",
                "mov rsi, [r15 + 32]", "mov rdi, [r15 + 40]", "mov r8, [r15 + 48]", "mov r9, [r15 + 56]",
                "call r14",
                "mov [r15], rax", "mov [r15 + 8], rcx", "mov [r15 + 16], rdx", "mov [r15 + 24], rbx",
                "mov [r15 + 32], rsi", "mov [r15 + 40], rdi", "mov [r15 + 48], r8", "mov [r15 + 56], r9",
                "pushfq",
                "pop qword ptr [r15 + 64]",
                "cld",
                "pop rbx",
                in("r14") self.0, in("r15") state,
                out("rax") _, out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _, out("r8") _, out("r9") _,
            );
        }
    }
}

/// xorshift64*: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    /// A value that is often at an edge.
    fn value(&mut self) -> u64 {
        match self.next() % 6 {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << (self.next() % 64),
            3 => (1u64 << (self.next() % 64)).wrapping_sub(1),
            _ => self.next(),
        }
    }
}

/// Opcodes with a ModRM byte whose memory operand is `[rdi]`: prefix bytes, opcode, register field (None: any), bytes
/// of immediate with 16-bit and with other operands.
const TABLE: &[(&[u8], Option<u8>, usize, usize)] = &[
    (&[0x00], None, 0, 0),
    (&[0x01], None, 0, 0),
    (&[0x08], None, 0, 0),
    (&[0x09], None, 0, 0),
    (&[0x10], None, 0, 0),
    (&[0x11], None, 0, 0),
    (&[0x18], None, 0, 0),
    (&[0x19], None, 0, 0),
    (&[0x20], None, 0, 0),
    (&[0x21], None, 0, 0),
    (&[0x28], None, 0, 0),
    (&[0x29], None, 0, 0),
    (&[0x30], None, 0, 0),
    (&[0x31], None, 0, 0),
    (&[0x86], None, 0, 0),
    (&[0x87], None, 0, 0),
    (&[0x88], None, 0, 0),
    (&[0x89], None, 0, 0),
    (&[0x0f, 0xb0], None, 0, 0),
    (&[0x0f, 0xb1], None, 0, 0),
    (&[0x0f, 0xc0], None, 0, 0),
    (&[0x0f, 0xc1], None, 0, 0),
    (&[0x0f, 0xab], None, 0, 0),
    (&[0x0f, 0xb3], None, 0, 0),
    (&[0x0f, 0xbb], None, 0, 0),
    (&[0x80], Some(0), 1, 1),
    (&[0x80], Some(1), 1, 1),
    (&[0x80], Some(2), 1, 1),
    (&[0x80], Some(3), 1, 1),
    (&[0x80], Some(4), 1, 1),
    (&[0x80], Some(5), 1, 1),
    (&[0x80], Some(6), 1, 1),
    (&[0x81], Some(0), 2, 4),
    (&[0x81], Some(1), 2, 4),
    (&[0x81], Some(2), 2, 4),
    (&[0x81], Some(3), 2, 4),
    (&[0x81], Some(4), 2, 4),
    (&[0x81], Some(5), 2, 4),
    (&[0x81], Some(6), 2, 4),
    (&[0x83], Some(0), 1, 1),
    (&[0x83], Some(1), 1, 1),
    (&[0x83], Some(2), 1, 1),
    (&[0x83], Some(3), 1, 1),
    (&[0x83], Some(4), 1, 1),
    (&[0x83], Some(5), 1, 1),
    (&[0x83], Some(6), 1, 1),
    (&[0xf6], Some(2), 0, 0),
    (&[0xf6], Some(3), 0, 0),
    (&[0xf7], Some(2), 0, 0),
    (&[0xf7], Some(3), 0, 0),
    (&[0xfe], Some(0), 0, 0),
    (&[0xfe], Some(1), 0, 0),
    (&[0xff], Some(0), 0, 0),
    (&[0xff], Some(1), 0, 0),
    (&[0xc6], Some(0), 1, 1),
    (&[0xc7], Some(0), 2, 4),
    (&[0x0f, 0xba], Some(5), 1, 1),
    (&[0x0f, 0xba], Some(6), 1, 1),
    (&[0x0f, 0xba], Some(7), 1, 1),
    (&[0x0f, 0xc7], Some(1), 0, 0),
    (&[0x0f, 0xc3], None, 0, 0),
    (&[0x0f, 0x90], Some(0), 0, 0),
    (&[0x0f, 0x91], Some(0), 0, 0),
    (&[0x0f, 0x92], Some(0), 0, 0),
    (&[0x0f, 0x93], Some(0), 0, 0),
    (&[0x0f, 0x94], Some(0), 0, 0),
    (&[0x0f, 0x95], Some(0), 0, 0),
    (&[0x0f, 0x96], Some(0), 0, 0),
    (&[0x0f, 0x97], Some(0), 0, 0),
    (&[0x0f, 0x98], Some(0), 0, 0),
    (&[0x0f, 0x99], Some(0), 0, 0),
    (&[0x0f, 0x9a], Some(0), 0, 0),
    (&[0x0f, 0x9b], Some(0), 0, 0),
    (&[0x0f, 0x9c], Some(0), 0, 0),
    (&[0x0f, 0x9d], Some(0), 0, 0),
    (&[0x0f, 0x9e], Some(0), 0, 0),
    (&[0x0f, 0x9f], Some(0), 0, 0),
];

/// Operand-size and REX prefixes to put in front.
const PREFIXES: [&[u8]; 6] = [&[], &[0x66], &[0x48], &[0x40], &[0x44], &[0x4c]];

const WORDS: usize = 1 << 14;
const CHANGED_FLAGS: u64 = 0x8d5;

/// Runs `code` both ways and compares. `Err`: it is not emulated.
fn compare(code: &[u8], cpu: &Code, start: State, memory: &mut [u64], fault: u64) -> Result<(), ()> {
    let rip = 0xffff_ffff_8100_0000;
    let State { rax, rcx, rdx, rbx, rsi, rdi, r8, r9, rflags } = start;
    let regs = Regs { rax, rcx, rdx, rbx, rsi, rdi, r8, r9, rip, rflags, ..Regs::default() };
    let store = Store::decode(&regs, code, Vaddr(fault), |_| 0).map_err(|_| ())?;
    let base = memory.as_ptr() as u64;
    let index = ((store.at.0 & !7) - base) as usize / 8;
    let old: u128 = if store.width == 16 {
        u128::from(memory[index + 1]) << 64 | u128::from(memory[index])
    } else {
        u128::from(memory[index] >> (8 * (store.at.0 & 7)))
    };
    let source = store.source.map_or(0, |at| memory[(at.0 - base) as usize / 8]);
    let step = store.step(old, source);
    let entry = store.on_entry(memory[index], source);

    let before = [memory[index], memory[index + 1]];
    let mut state = start;
    cpu.run(code, &mut state);

    let after = [memory[index], memory[index + 1]];
    match entry {
        Some(entry) => assert_eq!(entry.new.unwrap_or(before[0]), after[0], "{code:x?} {start:x?} old {old:#x}"),
        None => {
            let got = u128::from(after[1]) << 64 | u128::from(after[0]);
            assert_eq!(step.new.unwrap_or(old), got, "{code:x?} {start:x?} old {old:#x}");
        }
    }
    let Regs { rax, rcx, rdx, rbx, rsi, rdi, r8, r9, rip: end, rflags, .. } = step.regs;
    let ours = State { rax, rcx, rdx, rbx, rsi, rdi, r8, r9, rflags: rflags & CHANGED_FLAGS };
    assert_eq!(ours, State { rflags: state.rflags & CHANGED_FLAGS, ..state }, "{code:x?} {start:x?} old {old:#x}");
    assert_eq!(end, rip + code.len() as u64);
    Ok(())
}

#[test]
fn every_store_does_what_the_processor_does() {
    let cpu = Code::new();
    let mut memory = vec![0u64; WORDS];
    let middle = memory.as_ptr() as u64 / 16 * 16 + WORDS as u64 * 4;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut compared, mut refused) = (0u32, 0u32);
    for round in 0..200 {
        for &(opcode, field, short, long) in TABLE {
            let prefix = PREFIXES[random.next() as usize % PREFIXES.len()];
            let field = field.unwrap_or_else(|| match random.next() % 8 {
                // RSP, RBP and RDI (the address) are not in `State` or in use: AH and CH in byte instructions without
                // REX are worth having, so 4 and 5 stay for those.
                n @ (4 | 5) if !(prefix.is_empty() && opcode.last().is_some_and(|op| op & 1 == 0)) => n as u8 - 4,
                7 => 6,
                n => n as u8,
            });
            // REX.R turns the field into R8 and up: only R8 and R9 are in `State`.
            let rex_r = prefix.first().is_some_and(|byte| byte & 0xf4 == 0x44);
            let extended = opcode.len() == 1 || ![0xba, 0xc7].contains(&opcode[1]);
            let field = if rex_r && extended && field > 1 && !is_group(opcode) { field & 1 } else { field };
            let mut code = [prefix, opcode, &[field << 3 | 7]].concat();
            let immediate = if prefix == [0x66] { short } else { long };
            code.extend((0..immediate).map(|_| random.next() as u8));

            let mut value = || random.value();
            let mut state = State {
                rax: value(),
                rcx: value(),
                rdx: value(),
                rbx: value(),
                rsi: value(),
                rdi: middle,
                r8: value(),
                r9: value(),
                rflags: 0x202 | value() & CHANGED_FLAGS,
            };
            let bits = opcode[0] == 0x0f && [0xab, 0xb3, 0xbb].contains(&opcode[1]);
            if bits {
                // Keep the bit inside the buffer.
                for cell in [
                    &mut state.rax,
                    &mut state.rcx,
                    &mut state.rdx,
                    &mut state.rbx,
                    &mut state.rsi,
                    &mut state.r8,
                    &mut state.r9,
                ] {
                    *cell = (*cell << 48) as i64 as u64 >> 48;
                    *cell = (*cell as u16 as i16 / 2) as i64 as u64;
                }
            }
            let near = (middle - memory.as_ptr() as u64) as usize / 8;
            memory[near] = match round % 4 {
                0 => state.rax,
                _ => random.value(),
            };
            memory[near + 1] = if round % 8 == 0 { state.rdx } else { random.value() };
            if opcode == [0x0f, 0xc7] && round % 4 == 0 && prefix != [0x48] {
                memory[near] = (state.rdx & 0xffff_ffff) << 32 | state.rax & 0xffff_ffff;
            }
            // The decoder wants to know where the fault was: try the operand's place for bit strings.
            let faults: Vec<u64> =
                if bits { (middle - 8192..middle + 8192).step_by(2).collect() } else { vec![middle] };
            match faults.into_iter().find_map(|fault| compare(&code, &cpu, state, &mut memory, fault).ok()) {
                Some(()) => compared += 1,
                None => refused += 1,
            }
        }
    }
    assert!(compared > refused * 20, "{compared} compared, {refused} refused");
}

/// Whether the register field is part of the opcode.
fn is_group(opcode: &[u8]) -> bool {
    match opcode {
        [op] => [0x80, 0x81, 0x83, 0xf6, 0xf7, 0xfe, 0xff, 0xc6, 0xc7].contains(op),
        [_, op] => *op == 0xba || *op == 0xc7 || *op & 0xf0 == 0x90,
        _ => false,
    }
}

#[test]
fn string_stores_do_what_the_processor_does() {
    let cpu = Code::new();
    let mut memory = vec![0u64; 64];
    let base = memory.as_ptr() as u64;
    let mut random = Random(7);
    for code in [&[0xaa][..], &[0x66, 0xab], &[0xab], &[0x48, 0xab], &[0xa4], &[0x66, 0xa5], &[0xa5], &[0x48, 0xa5]] {
        for down in [0, 1 << 10] {
            memory.iter_mut().for_each(|word| *word = random.next());
            let state = State {
                rax: random.next(),
                rdi: base + 128,
                rsi: base + 256,
                rflags: 0x202 | down,
                ..State::default()
            };
            compare(code, &cpu, state, &mut memory, base + 128).unwrap();
        }
    }
}
