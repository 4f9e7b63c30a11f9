//! Segments outside 64-bit mode, and the FS and GS bases inside it.

use super::{Exception, Mode};
use crate::addr::Vaddr;

/// A segment register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum SegmentName {
    Es,
    Cs,
    Ss,
    Ds,
    Fs,
    Gs,
}

/// A segment, decoded from its descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Linear address of its first byte.
    pub base: u64,
    /// Its last offset, in bytes (granularity applied); of an expand-down segment the last one below it.
    pub limit: u32,
    /// Grows downwards.
    pub expand_down: bool,
    /// Bit D/B.
    pub big: bool,
    /// Bit L of a code segment.
    pub long: bool,
    /// May be read.
    pub readable: bool,
    /// May be written.
    pub writable: bool,
    /// Is code.
    pub code: bool,
}

impl Segment {
    /// All of the address space from `base` on: what 64-bit code sees in FS or GS.
    pub const fn flat(base: u64) -> Segment {
        Segment {
            base,
            limit: u32::MAX,
            expand_down: false,
            big: true,
            long: false,
            readable: true,
            writable: true,
            code: false,
        }
    }

    /// Decodes a descriptor of a GDT or LDT. `None`: not present, or no code or data segment.
    pub fn parse(descriptor: u64) -> Option<Segment> {
        let bit = |n: u32| descriptor >> n & 1 != 0;
        if !bit(47) || !bit(44) {
            return None;
        }
        let pages = (descriptor & 0xffff | descriptor >> 32 & 0xf_0000) as u32;
        let code = bit(43);
        Some(Segment {
            base: descriptor >> 16 & 0xff_ffff | descriptor >> 32 & 0xff00_0000,
            limit: if bit(55) { pages << 12 | 0xfff } else { pages },
            expand_down: !code && bit(42),
            big: bit(54),
            long: code && bit(53),
            readable: !code || bit(41),
            writable: !code && bit(41),
            code,
        })
    }

    /// What kind of code a code segment holds.
    pub const fn mode(&self) -> Mode {
        match (self.long, self.big) {
            (true, _) => Mode::Bits64,
            (false, true) => Mode::Bits32,
            (false, false) => Mode::Bits16,
        }
    }

    /// The linear address of `width` bytes at `offset`, outside 64-bit mode. `name` chooses between #GP and #SS.
    pub fn linear(&self, name: SegmentName, offset: u64, width: u8, write: bool) -> Result<Vaddr, Exception> {
        let last = offset.wrapping_add(u64::from(width)).wrapping_sub(1);
        let limit = u64::from(self.limit);
        let top = if self.big { 0xffff_ffff } else { 0xffff };
        let inside = if self.expand_down {
            offset > limit && last <= top && last >= offset
        } else {
            last <= limit && last >= offset
        };
        let allowed = if write { self.writable } else { self.readable };
        if !inside || !allowed {
            return Err(violation(name));
        }
        Ok(Vaddr(self.base.wrapping_add(offset) & 0xffff_ffff))
    }
}

/// The fault of an access that a segment refuses.
pub(super) const fn violation(name: SegmentName) -> Exception {
    match name {
        SegmentName::Ss => Exception::ss(0),
        _ => Exception::gp(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_of_linux_parse_as_the_manual_says() {
        let data = Segment::parse(0x00cf_f300_0000_ffff).unwrap();
        assert_eq!(data, Segment { big: true, ..Segment::flat(0) });
        let code64 = Segment::parse(0x00af_fb00_0000_ffff).unwrap();
        assert_eq!((code64.mode(), code64.readable, code64.writable), (Mode::Bits64, true, false));
        assert_eq!(Segment::parse(0x00cf_fb00_0000_ffff).unwrap().mode(), Mode::Bits32);
        assert_eq!(Segment::parse(0x0000_fb00_0000_ffff).unwrap().mode(), Mode::Bits16);
        let tls = Segment::parse(0x12c0_f356_7890_0010).unwrap();
        assert_eq!((tls.base, tls.limit), (0x1256_7890, 0x10fff));
        assert_eq!(Segment::parse(0x00cf_7300_0000_ffff), None, "not present");
        assert_eq!(Segment::parse(0x0000_8900_0000_0067), None, "a TSS");
    }

    #[test]
    fn limits_hold_to_the_last_byte() {
        let seg = Segment { limit: 0xfff, base: 0x1000, ..Segment::flat(0) };
        let at = |o, w| seg.linear(SegmentName::Ds, o, w, false);
        assert_eq!(at(0xffc, 4), Ok(Vaddr(0x1ffc)));
        assert_eq!(at(0xffd, 4), Err(Exception::gp(0)));
        assert_eq!(at(u64::MAX, 4), Err(Exception::gp(0)));
        assert_eq!(seg.linear(SegmentName::Ss, 0x1000, 1, false), Err(Exception::ss(0)));
        let read_only = Segment { writable: false, ..seg };
        assert_eq!(read_only.linear(SegmentName::Ds, 0, 1, true), Err(Exception::gp(0)));
    }

    #[test]
    fn an_expand_down_segment_lies_above_its_limit() {
        let seg = Segment { limit: 0xfff, expand_down: true, ..Segment::flat(0) };
        assert_eq!(seg.linear(SegmentName::Ds, 0xfff, 1, true), Err(Exception::gp(0)));
        assert_eq!(seg.linear(SegmentName::Ds, 0x1000, 4, true), Ok(Vaddr(0x1000)));
        assert_eq!(seg.linear(SegmentName::Ds, 0xffff_fffd, 4, true), Err(Exception::gp(0)));
        let small = Segment { big: false, ..seg };
        assert_eq!(small.linear(SegmentName::Ds, 0xffff, 2, true), Err(Exception::gp(0)));
    }

    #[test]
    fn each_type_of_a_descriptor_has_its_rights() {
        for kind in 0..16u64 {
            let [code, bit_42, bit_41] = [3, 2, 1].map(|n| kind >> n & 1 != 0);
            let seg = Segment::parse(0x0000_f000_0000_ffff | kind << 40).unwrap();
            assert_eq!((seg.code, seg.expand_down), (code, !code && bit_42), "{kind:04b}: conforming code goes up");
            assert_eq!(seg.readable, !code || bit_41, "{kind:04b}: data can be read, code may be for executing only");
            assert_eq!(seg.writable, !code && bit_41, "{kind:04b}: code is never written");
            assert_eq!((seg.base, seg.limit, seg.big, seg.long), (0, 0xffff, false, false));
        }
        let big = Segment::parse(0x00c0_f000_0000_0000).unwrap();
        assert_eq!((big.limit, big.big, big.long), (0xfff, true, false));
        assert!(!Segment::parse(0x0020_f000_0000_0000).unwrap().long, "bit L means nothing in data");
    }
}
