//! The stores that kernels make to page tables all day, decoded in a few dozen instructions: MOV, XCHG and LOCK CMPXCHG
//! of a whole entry, LOCK AND of one byte (write protection). Whatever is not exactly one of these is [`super::Store`]'s.

use super::{RFLAGS_RF, RFLAGS_TF, arith};
use crate::addr::Vaddr;
use crate::pv::Regs;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// MOV.
    Put(u64),
    /// XCHG: the value, and the register (by its number) that gets the old one.
    Exchange(u64, u8),
    /// LOCK CMPXCHG: what is written if memory holds RAX.
    CompareExchange(u64),
    /// LOCK AND of one byte.
    And(u8),
}

/// One decoded store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuickStore {
    at: Vaddr,
    kind: Kind,
    len: u8,
}

fn register(regs: &mut Regs, number: u8) -> &mut u64 {
    match number & 15 {
        0 => &mut regs.rax,
        1 => &mut regs.rcx,
        2 => &mut regs.rdx,
        3 => &mut regs.rbx,
        4 => &mut regs.rsp,
        5 => &mut regs.rbp,
        6 => &mut regs.rsi,
        7 => &mut regs.rdi,
        8 => &mut regs.r8,
        9 => &mut regs.r9,
        10 => &mut regs.r10,
        11 => &mut regs.r11,
        12 => &mut regs.r12,
        13 => &mut regs.r13,
        14 => &mut regs.r14,
        _ => &mut regs.r15,
    }
}

impl QuickStore {
    /// Decodes the instruction at RIP, of which `code` has the 16 bytes, as a store to exactly `fault`. Registers are
    /// not changed. `None`: not one of these.
    #[inline]
    pub fn decode(regs: &mut Regs, code: [u64; 2], fault: Vaddr) -> Option<QuickStore> {
        if regs.rflags & RFLAGS_TF != 0 {
            return None;
        }
        let [low, high] = code;
        // At most six bytes are looked at before an immediate: lock, rex, 0f, opcode, modrm, sib.
        let byte = |at: u32| (low >> (8 * (at & 7))) as u8;
        let mut at = 0;
        // A kernel that runs on one vcpu makes its LOCKs DS prefixes, which mean nothing in 64-bit code.
        let locked = matches!(byte(0), 0xf0 | 0x3e);
        if locked {
            at = 1;
        }
        let mut rex = 0;
        if byte(at) & 0xf0 == 0x40 {
            rex = byte(at);
            at += 1;
        }
        let wide = rex & 8 != 0;
        let opcode = byte(at);
        at += 1;
        let (known, immediate) = match opcode {
            0x89 => (wide && !locked, 0),
            0x87 => (wide, 0),
            0xc7 => (wide && !locked, 4),
            0x80 => (locked, 1),
            0x0f => {
                let second = byte(at);
                at += 1;
                (wide && locked && second == 0xb1, 0)
            }
            _ => (false, 0),
        };
        if !known {
            return None;
        }
        let modrm = byte(at);
        at += 1;
        let field = modrm >> 3 & 7;
        let mut base = modrm & 7;
        if base == 4 {
            // SIB: a base and no index.
            let sib = byte(at);
            at += 1;
            if sib & 0x38 != 0x20 || rex & 2 != 0 {
                return None;
            }
            base = sib & 7;
        }
        let offset = match modrm >> 6 {
            // Without displacement, this base means none.
            0 if base != 5 => 0,
            1 => {
                let offset = byte(at) as i8;
                at += 1;
                i64::from(offset) as u64
            }
            _ => return None,
        };
        let address = register(regs, base | (rex & 1) << 3).wrapping_add(offset);
        if address != fault.0 {
            return None;
        }
        let source = field | (rex & 4) << 1;
        let kind = match opcode {
            0x89 => Kind::Put(*register(regs, source)),
            0x87 => Kind::Exchange(*register(regs, source), source),
            0x0f => Kind::CompareExchange(*register(regs, source)),
            0x80 if field == 4 => Kind::And(byte(at)),
            0xc7 if field == 0 => {
                let value = (u128::from(high) << 64 | u128::from(low)).wrapping_shr(8 * at) as i32;
                Kind::Put(i64::from(value) as u64)
            }
            _ => return None,
        };
        if opcode != 0x80 && address & 7 != 0 {
            return None;
        }
        Some(QuickStore { at: Vaddr(address), kind, len: at as u8 + immediate })
    }

    /// The 8-byte entry that holds the stored bytes.
    pub fn entry_at(&self) -> Vaddr {
        Vaddr(self.at.0 & !7)
    }

    /// What the entry becomes that is `entry` now; `None`: nothing is written.
    #[inline]
    pub fn on_entry(&self, entry: u64, regs: &Regs) -> Option<u64> {
        match self.kind {
            Kind::Put(value) | Kind::Exchange(value, _) => Some(value),
            Kind::CompareExchange(value) => (entry == regs.rax).then_some(value),
            Kind::And(mask) => Some(entry & !(u64::from(!mask) << (8 * (self.at.0 & 7)))),
        }
    }

    /// Registers after it was done on an entry that was `entry`.
    #[inline]
    pub fn retire(&self, entry: u64, regs: &mut Regs) {
        let flags = match self.kind {
            Kind::Put(_) => None,
            Kind::Exchange(_, number) => {
                *register(regs, number) = entry;
                None
            }
            Kind::CompareExchange(_) => {
                let compared = arith::sub(regs.rax, entry, false, 8);
                regs.rax = entry;
                Some(compared.flags)
            }
            Kind::And(mask) => {
                let old = (entry >> (8 * (self.at.0 & 7))) as u8;
                Some(arith::logic(u64::from(old & mask), 1).flags)
            }
        };
        if let Some(flags) = flags {
            regs.rflags = regs.rflags & !arith::ARITHMETIC | flags;
        }
        regs.rflags &= !RFLAGS_RF;
        regs.rip = regs.rip.wrapping_add(self.len.into());
    }
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    fn regs() -> Regs {
        let at = 0x1_0000_u64;
        Regs {
            rax: 0x8000_0000_1234_5067,
            rcx: at + 8,
            rdx: at + 16,
            rbx: at + 24,
            rsp: at + 32,
            rbp: at + 40,
            rsi: at + 48,
            rdi: at + 56,
            r8: at + 64,
            r9: at + 72,
            r10: at + 80,
            r11: at + 88,
            r12: at + 96,
            r13: at + 104,
            r14: at + 112,
            r15: at + 120,
            rip: 0xffff_ffff_8100_0000,
            rflags: 0x1_08d7,
            ..Regs::default()
        }
    }

    /// Every prefix, REX, opcode and ModRM with some SIBs: what is decoded does what the full decoder says.
    #[test]
    fn a_quick_store_does_what_the_full_decoder_says() {
        let mut decoded = 0;
        let heads: [&[u8]; 5] = [&[0x89], &[0x87], &[0xc7], &[0x80], &[0x0f, 0xb1]];
        for lock in [None, Some(0xf0), Some(0x3e)] {
            for rex in [None].into_iter().chain((0x40..0x50).map(Some)) {
                for head in heads {
                    for modrm in 0..=255u8 {
                        for sib in [0x24, 0x25, 0x65, 0x08] {
                            let mut code = [0u8; 16];
                            let bytes = lock
                                .into_iter()
                                .chain(rex)
                                .chain(head.iter().copied())
                                .chain([modrm, sib, 0xf8, 0xfd, 0x97, 0x11, 0x83, 0x55, 0x99]);
                            code.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
                            let words = u128::from_le_bytes(code);
                            let words = [words as u64, (words >> 64) as u64];
                            decoded += compare(words, &code);
                        }
                    }
                }
            }
        }
        assert!(decoded > 500, "{decoded}");
    }

    fn compare(words: [u64; 2], code: &[u8; 16]) -> u32 {
        let mut found = 0;
        for fault in (0x1_0000u64 - 136..0x1_0000 + 256).chain([0x8000_0000_1234_5067, 0x8000_0000_1234_5060]) {
            let mut mine = regs();
            let Some(quick) = QuickStore::decode(&mut mine, words, Vaddr(fault)) else { continue };
            assert_eq!(mine, regs(), "decoding changes no register");
            let full = Store::decode(&mine, &code[..15], Vaddr(fault), |_| 0)
                .unwrap_or_else(|error| panic!("{code:02x?} at {fault:#x}: {error:?}"));
            assert_eq!(full.entry_at(), quick.entry_at());
            for entry in [0, u64::MAX, regs().rax, 0x8000_0000_dead_b067] {
                let expected = full.on_entry(entry, 0).unwrap();
                let mut after = regs();
                let new = quick.on_entry(entry, &after);
                quick.retire(entry, &mut after);
                assert_eq!((new, after), (expected.new, expected.regs), "{code:02x?} on {entry:#x}");
            }
            found += 1;
        }
        found
    }

    #[test]
    fn single_steps_go_to_the_full_decoder() {
        let mut stepped = regs();
        stepped.rflags |= RFLAGS_TF;
        // mov %rcx, (%rdx)
        let code = [0x0a_8948, 0];
        assert!(QuickStore::decode(&mut regs(), code, Vaddr(regs().rdx)).is_some());
        assert_eq!(QuickStore::decode(&mut stepped, code, Vaddr(regs().rdx)), None);
    }

    /// What Linux's native page-table writes compile to.
    #[test]
    fn each_kind_of_store_is_quick_with_its_registers_immediate_and_length() {
        let r = regs();
        let quick = |code: &[u8], fault: u64| {
            let mut bytes = [0x90; 16];
            bytes[..code.len()].copy_from_slice(code);
            let words = u128::from_le_bytes(bytes);
            QuickStore::decode(&mut regs(), [words as u64, (words >> 64) as u64], Vaddr(fault))
        };
        let (put, exchange, compare) = (Kind::Put(r.rcx), Kind::Exchange(r.rcx, 1), Kind::CompareExchange(r.rcx));
        for (code, at, kind) in [
            (&[0x48, 0x89, 0x0a][..], r.rdx, put), // mov %rcx,(%rdx)
            (&[0x4c, 0x89, 0x42, 0x08], r.rdx + 8, Kind::Put(r.r8)),
            (&[0x48, 0x89, 0x0c, 0x24], r.rsp, put),
            (&[0x48, 0x89, 0x0c, 0x22], r.rdx, put),
            (&[0x49, 0x89, 0x4c, 0x24, 0xf8], r.r12 - 8, put),
            (&[0x48, 0x87, 0x0a], r.rdx, exchange),
            (&[0xf0, 0x4d, 0x87, 0x1c, 0x24], r.r12, Kind::Exchange(r.r11, 11)),
            (&[0x48, 0xc7, 0x02, 0x78, 0x56, 0x34, 0x12], r.rdx, Kind::Put(0x1234_5678)),
            (&[0x48, 0xc7, 0x42, 0xf8, 0x67, 0, 0, 0x80], r.rdx - 8, Kind::Put(0xffff_ffff_8000_0067)),
            (&[0xf0, 0x48, 0x0f, 0xb1, 0x0a], r.rdx, compare),
            (&[0x3e, 0x4c, 0x0f, 0xb1, 0x4f, 0x10], r.rdi + 16, Kind::CompareExchange(r.r9)),
            (&[0xf0, 0x80, 0x22, 0xfd], r.rdx, Kind::And(0xfd)), // lock andb $0xfd,(%rdx)
            (&[0x3e, 0x41, 0x80, 0x64, 0x24, 0x01, 0xdf], r.r12 + 1, Kind::And(0xdf)),
        ] {
            assert_eq!(quick(code, at), Some(QuickStore { at: Vaddr(at), kind, len: code.len() as u8 }), "{code:02x?}");
            assert_eq!(quick(code, at + 8), None, "another address: {code:02x?}");
        }
        for other in [
            &[0xf0, 0x48, 0x0f, 0xab, 0x0a][..], // lock bts
            &[0x48, 0x0f, 0xb1, 0x0a],           // cmpxchg without lock
            &[0xf0, 0x80, 0x0a, 0xfd],           // lock orb
            &[0x80, 0x22, 0xfd],                 // andb without lock
            &[0x89, 0x0a],                       // mov of half an entry
            &[0x48, 0x89, 0x0c, 0x0a],           // mov with an index
            &[0x4a, 0x89, 0x0c, 0x22],
        ] {
            assert_eq!(quick(other, r.rdx), None, "{other:02x?}");
        }
    }
}
