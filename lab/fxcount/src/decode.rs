//! Which instructions are worth counting on their own, and who executes.

/// `nopl 0x46584201(%rax,%rax,1)`: counting begins. RDI: the name (C string), RSI: how many operations follow.
pub const MARK_BEGIN: [u8; 8] = [0x0f, 0x1f, 0x84, 0x00, 0x01, 0x42, 0x58, 0x46];
/// `nopl 0x46584501(%rax,%rax,1)`: counting ends.
pub const MARK_END: [u8; 8] = [0x0f, 0x1f, 0x84, 0x00, 0x01, 0x45, 0x58, 0x46];

/// Who executes, by the address of the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// The lower half.
    User,
    /// L4 slots 256 to 271, which the PV ABI keeps for the hypervisor; nobody's on the bare kernel.
    Hypervisor,
    /// The rest of the upper half.
    Kernel,
}

impl Who {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::User, Self::Hypervisor, Self::Kernel];

    /// Whose code an address holds.
    pub fn of(address: u64) -> Self {
        match address {
            0..0x8000_0000_0000 => Self::User,
            0xffff_8000_0000_0000..0xffff_8800_0000_0000 => Self::Hypervisor,
            _ => Self::Kernel,
        }
    }

    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Hypervisor => "hypervisor",
            Self::Kernel => "kernel",
        }
    }
}

macro_rules! events {
    ($($name:ident $text:literal,)*) => {
        /// An instruction that hardware charges more for than an emulator does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Event { $(#[doc = $text] $name,)* }

        impl Event {
            /// All, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in the report.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

events! {
    Syscall "syscall",
    Sysret "sysret",
    Iret "iret",
    Cr3Load "cr3-load",
    Cr4Load "cr4-load",
    Cr0Load "cr0-load",
    CrRead "cr-read",
    Invlpg "invlpg",
    Invpcid "invpcid",
    Wrmsr "wrmsr",
    Rdmsr "rdmsr",
    Cpuid "cpuid",
    Swapgs "swapgs",
    Clts "clts",
    Hlt "hlt",
    Interrupts "cli-sti",
    Port "port-io",
    Undefined "ud2",
    DescriptorTable "descriptor-table-load",
    Int "int",
    Locked "lock-prefix",
    XchgMemory "xchg-memory",
    Xsave "xsave-xrstor",
}

/// What the plugin does with an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Decoded {
    /// Counted as this.
    pub event: Option<Event>,
    /// It loads the interrupt descriptor table.
    pub lidt: bool,
    /// It may be a 32-bit store to the local APIC.
    pub store32: bool,
}

/// Looks at the bytes of one instruction of 64-bit code.
pub fn decode(bytes: &[u8]) -> Decoded {
    let mut rest = bytes;
    let mut lock = false;
    let mut wide = false;
    while let Some((first, tail)) = rest.split_first() {
        match first {
            0xf0 => lock = true,
            0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf2 | 0xf3 => {}
            0x48..=0x4f => wide = true,
            0x40..=0x47 => {}
            _ => break,
        }
        rest = tail;
    }
    let event = match rest {
        [0x0f, 0x05, ..] => Some(Event::Syscall),
        [0x0f, 0x07, ..] => Some(Event::Sysret),
        [0xcf, ..] => Some(Event::Iret),
        [0x0f, 0x22, modrm, ..] => match modrm >> 3 & 7 {
            0 => Some(Event::Cr0Load),
            3 => Some(Event::Cr3Load),
            4 => Some(Event::Cr4Load),
            _ => None,
        },
        [0x0f, 0x20, ..] => Some(Event::CrRead),
        [0x0f, 0x01, 0xf8, ..] => Some(Event::Swapgs),
        [0x0f, 0x01, modrm, ..] if modrm >> 6 != 3 => match modrm >> 3 & 7 {
            7 => Some(Event::Invlpg),
            2 | 3 => Some(Event::DescriptorTable),
            _ => None,
        },
        [0x0f, 0x00, modrm, ..] if matches!(modrm >> 3 & 7, 2 | 3) => Some(Event::DescriptorTable),
        [0x0f, 0x38, 0x82, ..] => Some(Event::Invpcid),
        [0x0f, 0x30, ..] => Some(Event::Wrmsr),
        [0x0f, 0x32, ..] => Some(Event::Rdmsr),
        [0x0f, 0xa2, ..] => Some(Event::Cpuid),
        [0x0f, 0x06, ..] => Some(Event::Clts),
        [0x0f, 0x0b, ..] => Some(Event::Undefined),
        // Memory forms with /4, /5, /6: xsave, xrstor, xsaveopt; with /0 and /1 fxsave and fxrstor; 0f c7: xsaves …
        [0x0f, 0xae, modrm, ..] if modrm >> 6 != 3 && matches!(modrm >> 3 & 7, 0 | 1 | 4 | 5 | 6) => Some(Event::Xsave),
        [0x0f, 0xc7, modrm, ..] if modrm >> 6 != 3 && matches!(modrm >> 3 & 7, 3..=5) => Some(Event::Xsave),
        [0xf4, ..] => Some(Event::Hlt),
        [0xfa | 0xfb, ..] => Some(Event::Interrupts),
        [0xcc..=0xce, ..] => Some(Event::Int),
        [0xe4..=0xe7 | 0xec..=0xef | 0x6c..=0x6f, ..] => Some(Event::Port),
        [0x86 | 0x87, modrm, ..] if modrm >> 6 != 3 => Some(Event::XchgMemory),
        _ if lock => Some(Event::Locked),
        _ => None,
    };
    let memory_operand = |at: usize| rest.get(at).is_some_and(|modrm| modrm >> 6 != 3);
    Decoded {
        event,
        lidt: matches!(rest, [0x0f, 0x01, modrm, ..] if modrm >> 6 != 3 && modrm >> 3 & 7 == 3),
        store32: !wide
            && matches!(rest, [0x87 | 0x89 | 0xa3 | 0xc7, ..])
            && (rest.first() == Some(&0xa3) || memory_operand(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(bytes: &[u8]) -> Option<Event> {
        decode(bytes).event
    }

    #[test]
    fn prefixes_are_passed_over() {
        assert_eq!(event(&[0x48, 0xcf]), Some(Event::Iret));
        assert_eq!(event(&[0x48, 0x0f, 0x07]), Some(Event::Sysret));
        assert_eq!(event(&[0x66, 0x0f, 0x38, 0x82, 0x08]), Some(Event::Invpcid));
        assert_eq!(event(&[0xf0, 0x48, 0x0f, 0xb1, 0x0f]), Some(Event::Locked));
    }

    #[test]
    fn control_registers_are_told_apart() {
        assert_eq!(event(&[0x0f, 0x22, 0xd8]), Some(Event::Cr3Load));
        assert_eq!(event(&[0x41, 0x0f, 0x22, 0xdc]), Some(Event::Cr3Load));
        assert_eq!(event(&[0x0f, 0x22, 0xe0]), Some(Event::Cr4Load));
        assert_eq!(event(&[0x0f, 0x20, 0xd8]), Some(Event::CrRead));
    }

    #[test]
    fn group_0f01_is_told_apart_by_its_modrm() {
        assert_eq!(event(&[0x0f, 0x01, 0x38]), Some(Event::Invlpg));
        assert_eq!(event(&[0x0f, 0x01, 0xf8]), Some(Event::Swapgs));
        assert!(decode(&[0x0f, 0x01, 0x1d, 0, 0, 0, 0]).lidt);
        // stac: register form, nothing of ours.
        assert_eq!(event(&[0x0f, 0x01, 0xcb]), None);
    }

    #[test]
    fn only_32_bit_stores_to_memory_may_reach_the_apic() {
        assert!(decode(&[0x89, 0x14, 0x25, 0, 0xb3, 0x5f, 0xff]).store32);
        assert!(decode(&[0xc7, 0x00, 0, 0, 0, 0]).store32);
        assert!(!decode(&[0x48, 0x89, 0x07]).store32);
        assert!(!decode(&[0x89, 0xc0]).store32);
    }

    #[test]
    fn the_halves_are_told_apart() {
        assert_eq!(Who::of(0x40_0000), Who::User);
        assert_eq!(Who::of(0xffff_82d0_4020_0000), Who::Hypervisor);
        assert_eq!(Who::of(0xffff_ffff_8100_0000), Who::Kernel);
        assert_eq!(Who::of(0xffff_8880_0000_0000), Who::Kernel);
    }

    #[test]
    fn marks_are_nops_with_an_operand_and_no_event() {
        for mark in [MARK_BEGIN, MARK_END] {
            assert!(mark.starts_with(&[0x0f, 0x1f, 0x84, 0x00]));
            assert_eq!(decode(&mark), Decoded::default());
        }
    }

    #[test]
    fn numbers_of_enums_follow_their_lists() {
        assert!(Event::ALL.iter().enumerate().all(|(number, event)| *event as usize == number));
        assert!(Who::ALL.iter().enumerate().all(|(number, who)| *who as usize == number));
    }
}
