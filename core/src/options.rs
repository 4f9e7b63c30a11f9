//! The hypervisor's command line, with Xen's names and meanings (docs: "Xen Hypervisor Command Line Options").

use crate::grant::Limits;
use crate::settings::{MOST_GRANT_FRAMES, MOST_MAPTRACK_FRAMES};

/// The most pages of a trace buffer: 4 MiB for each CPU.
const MAX_TBUF_SIZE: u32 = 1024;

/// Options as parsed; anything not given keeps its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `dom0_mem=`: how much dom0 gets.
    pub dom0_mem: Dom0Mem,
    /// `dom0_max_vcpus=MIN-MAX` or one number.
    pub dom0_max_vcpus: (u32, u32),
    /// `com1=BAUD,...`: 0 means that COM1 is not configured.
    pub com1_baud: u32,
    /// `console=`: serial port 1 carries the console.
    pub console_com1: bool,
    /// `console=vga`.
    pub console_vga: bool,
    /// `vga=keep`: the screen stays the hypervisor's when dom0 runs.
    pub vga_keep: bool,
    /// `loglvl=LEVEL/LEVEL`: lines up to the first are printed, those up to the second ten times in five seconds.
    pub loglvl: (LogLevel, LogLevel),
    /// `guest_loglvl=`: as `loglvl=`, of lines that a guest causes.
    pub guest_loglvl: (LogLevel, LogLevel),
    /// `gnttab_max_frames=`.
    pub gnttab_max_frames: u32,
    /// `gnttab_max_maptrack_frames=`.
    pub gnttab_max_maptrack_frames: u32,
    /// `conswitch=CHARACTER`: Ctrl and this, three times, switches console input.
    pub conswitch: Conswitch,
    /// `noreboot`: halt after a panic.
    pub noreboot: bool,
    /// `maxcpus=`: the most CPUs that are brought up.
    pub maxcpus: u32,
    /// `x2apic=`.
    pub x2apic: bool,
    /// `xen-version=MAJOR.MINOR`: what XENVER_version answers.
    pub xen_version: (u16, u16),
    /// `tsc-skew=TICKS`, a test option: CPU n's TSC is read with n times this added.
    pub tsc_skew: u64,
    /// `smep=`, `smap=`.
    pub smap: bool,
    /// `tbuf_size=PAGES`: each CPU keeps that many pages of what passed its trace points; 0: the points are off.
    pub tbuf_size: u32,
    /// `iommu=required` (or `force`): do not go on without one.
    pub iommu_required: bool,
}

/// Amounts are bytes; `None` means not given. A negative amount means "all but that much".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dom0Mem {
    /// The wanted amount.
    pub amount: Option<Amount>,
    /// `min:`.
    pub min: Option<Amount>,
    /// `max:`.
    pub max: Option<Amount>,
}

/// A number of bytes, or all but a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// That many bytes.
    Bytes(u64),
    /// All but that many bytes.
    AllBut(u64),
}

impl Amount {
    /// In bytes, of `total`.
    pub fn of(self, total: u64) -> u64 {
        match self {
            Amount::Bytes(bytes) => bytes,
            Amount::AllBut(bytes) => total.saturating_sub(bytes),
        }
    }
}

/// Thresholds for console lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing.
    None,
    /// Errors.
    Error,
    /// And warnings.
    Warning,
    /// And information.
    Info,
    /// And debugging: everything.
    Debug,
}

impl Default for Options {
    fn default() -> Self {
        let grants = Limits::default();
        Options {
            dom0_mem: Dom0Mem::default(),
            dom0_max_vcpus: (1, u32::MAX),
            com1_baud: 0,
            console_com1: false,
            console_vga: true,
            vga_keep: false,
            loglvl: (LogLevel::Warning, LogLevel::Warning),
            guest_loglvl: (LogLevel::None, LogLevel::Warning),
            gnttab_max_frames: grants.frames,
            gnttab_max_maptrack_frames: grants.maptrack,
            conswitch: Conswitch::default(),
            noreboot: false,
            maxcpus: u32::MAX,
            x2apic: true,
            xen_version: (4, 17),
            tsc_skew: 0,
            smap: true,
            tbuf_size: 0,
            iommu_required: false,
        }
    }
}

/// What is wrong with one word of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Complaint<'a> {
    /// No such option; it is ignored.
    Unknown(&'a str),
    /// The option exists, its value makes no sense; the default stays.
    BadValue(&'a str),
    /// Known to Xen, without effect here.
    NoEffect(&'a str),
    /// Xen can do it; here that is not available, and this happens instead.
    NotHere(&'a str, &'static str),
}

impl core::fmt::Display for Complaint<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Complaint::Unknown(word) => write!(f, "command line: unknown option \"{word}\" is ignored"),
            Complaint::BadValue(word) => write!(f, "command line: bad value in \"{word}\"; the default is used"),
            Complaint::NoEffect(word) => write!(f, "command line: \"{word}\" has no effect in this version"),
            Complaint::NotHere(word, instead) => {
                write!(f, "command line: \"{word}\" is not available in this version: {instead}")
            }
        }
    }
}

/// Parses a number of bytes with Xen's suffixes (B, K, M, G, T; none: KiB).
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (digits, hex) = match text.strip_prefix("0x") {
        Some(rest) => (rest.trim_end_matches(|c: char| "kKmMgGtT".contains(c)), true),
        None => (digits, false),
    };
    let number = u64::from_str_radix(digits, if hex { 16 } else { 10 }).ok()?;
    let suffix = text.get(digits.len() + if hex { 2 } else { 0 }..)?;
    let shift = match suffix {
        "B" | "b" => 0,
        "" | "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        "T" | "t" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

fn parse_amount(text: &str) -> Option<Amount> {
    match text.strip_prefix('-') {
        Some(rest) => parse_size(rest).map(Amount::AllBut),
        None => parse_size(text).map(Amount::Bytes),
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "" | "1" | "true" | "yes" | "on" | "enable" => Some(true),
        "0" | "false" | "no" | "off" | "disable" => Some(false),
        _ => None,
    }
}

/// `LEVEL` or `LOWER/UPPER`; the upper one is not below.
pub(crate) fn parse_levels(text: &str) -> Option<(LogLevel, LogLevel)> {
    let (lower, upper) = text.split_once('/').unwrap_or((text, text));
    let levels = (LogLevel::parse(lower)?, LogLevel::parse(upper)?);
    (levels.0 <= levels.1).then_some(levels)
}

impl LogLevel {
    /// All, by number.
    const NAMES: [(LogLevel, &'static str); 5] = [
        (LogLevel::None, "none"),
        (LogLevel::Error, "error"),
        (LogLevel::Warning, "warning"),
        (LogLevel::Info, "info"),
        (LogLevel::Debug, "all"),
    ];

    fn parse(text: &str) -> Option<LogLevel> {
        let text = if text == "debug" { "all" } else { text };
        Self::NAMES.iter().find(|(_, name)| *name == text).map(|(level, _)| *level)
    }

    /// As Xen prints it.
    pub fn name(self) -> &'static str {
        Self::NAMES.get(self as usize).map_or("", |(_, name)| name)
    }

    /// The level of a number; one that is none is the highest.
    pub(crate) fn from_number(number: u8) -> LogLevel {
        Self::NAMES.get(usize::from(number)).map_or(LogLevel::Debug, |(level, _)| *level)
    }
}

/// Which key switches the console's input, and who has it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conswitch {
    /// The letter that is pressed with Ctrl.
    pub letter: u8,
    /// `x` behind it: input goes to the hypervisor until it is switched.
    pub ours_first: bool,
}

impl Default for Conswitch {
    fn default() -> Self {
        Conswitch { letter: b'a', ours_first: false }
    }
}

impl Conswitch {
    /// `CHARACTER` or `CHARACTERx`.
    pub fn parse(text: &str) -> Option<Conswitch> {
        match *text.as_bytes() {
            [letter] if letter.is_ascii_lowercase() => Some(Conswitch { letter, ours_first: false }),
            [letter, b'x'] if letter.is_ascii_lowercase() => Some(Conswitch { letter, ours_first: true }),
            _ => None,
        }
    }
}

impl Dom0Mem {
    fn parse(text: &str) -> Option<Dom0Mem> {
        let mut mem = Dom0Mem::default();
        for part in text.split(',') {
            match part.split_once(':') {
                Some(("min", value)) => mem.min = Some(parse_amount(value)?),
                Some(("max", value)) => mem.max = Some(parse_amount(value)?),
                Some(_) => return None,
                None => mem.amount = Some(parse_amount(part)?),
            }
        }
        Some(mem)
    }
}

impl Options {
    /// One part of `iommu=`. This version drives none.
    fn apply_iommu(&mut self, part: &str, complain: &mut dyn FnMut(Known)) {
        const NONE: Known = Known::NotHere("devices reach memory without an IOMMU");
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match (parse_bool(part), name.strip_prefix("no-").unwrap_or(name)) {
            (Some(false), _) => self.iommu_required = false,
            (Some(true), _) => complain(NONE),
            (None, "force" | "required") => match parse_bool(value) {
                Some(wanted) => self.iommu_required = wanted && !name.starts_with("no-"),
                None => complain(Known::BadValue),
            },
            (None, manner) if IOMMU_MANNERS.contains(&manner) => complain(NONE),
            _ => complain(Known::BadValue),
        }
    }

    /// Parses a command line; every word that is not understood goes to `complain`.
    pub fn parse<'a>(line: &'a str, mut complain: impl FnMut(Complaint<'a>)) -> Options {
        let mut options = Options::default();
        for word in line.split_ascii_whitespace() {
            if word == "--" {
                continue;
            }
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let (name, value) = match name.strip_prefix("no-") {
                Some(rest) if value.is_empty() => (rest, "no"),
                _ => (name, value),
            };
            if !options.apply(name, value, &mut |complaint| match complaint {
                Known::BadValue => complain(Complaint::BadValue(word)),
                Known::NoEffect => complain(Complaint::NoEffect(word)),
                Known::NotHere(instead) => complain(Complaint::NotHere(word, instead)),
            }) {
                complain(Complaint::Unknown(word));
            }
        }
        options
    }

    fn apply(&mut self, name: &str, value: &str, complain: &mut dyn FnMut(Known)) -> bool {
        fn set<T>(slot: &mut T, value: Option<T>, complain: &mut dyn FnMut(Known)) {
            match value {
                Some(value) => *slot = value,
                None => complain(Known::BadValue),
            }
        }
        match name {
            "dom0_mem" => set(&mut self.dom0_mem, Dom0Mem::parse(value), complain),
            "dom0_max_vcpus" => set(&mut self.dom0_max_vcpus, parse_range(value), complain),
            "com1" => set(&mut self.com1_baud, parse_baud(value), complain),
            "console" => {
                self.console_com1 = false;
                self.console_vga = false;
                for part in value.split(',') {
                    match part {
                        "com1" => self.console_com1 = true,
                        "vga" => self.console_vga = true,
                        "none" => {}
                        _ => complain(Known::BadValue),
                    }
                }
            }
            // Which mode it is in, the boot loader says.
            "vga" => {
                for part in value.split(',') {
                    match part {
                        "keep" => self.vga_keep = true,
                        "current" | "ask" => {}
                        part if ["text-", "gfx-", "mode-"].iter().any(|kind| part.starts_with(kind)) => {
                            complain(Known::NoEffect)
                        }
                        _ => complain(Known::BadValue),
                    }
                }
            }
            "loglvl" => set(&mut self.loglvl, parse_levels(value), complain),
            "guest_loglvl" => set(&mut self.guest_loglvl, parse_levels(value), complain),
            "gnttab_max_frames" => {
                set(&mut self.gnttab_max_frames, parse_frames(value, MOST_GRANT_FRAMES), complain);
            }
            "gnttab_max_maptrack_frames" => {
                set(&mut self.gnttab_max_maptrack_frames, parse_frames(value, MOST_MAPTRACK_FRAMES), complain);
            }
            "conswitch" => set(&mut self.conswitch, Conswitch::parse(value), complain),
            "noreboot" => set(&mut self.noreboot, parse_bool(value), complain),
            "maxcpus" => set(&mut self.maxcpus, value.parse().ok().filter(|&n| n > 0), complain),
            "nosmp" => self.maxcpus = 1,
            "x2apic" => set(&mut self.x2apic, parse_bool(value), complain),
            "smap" | "smep" => set(&mut self.smap, parse_bool(value), complain),
            "xen-version" => set(&mut self.xen_version, parse_version(value), complain),
            "tbuf_size" => set(&mut self.tbuf_size, value.parse().ok().filter(|&n| n <= MAX_TBUF_SIZE), complain),
            "tsc-skew" => set(&mut self.tsc_skew, value.parse().ok(), complain),
            "sched" => match value {
                // What the one scheduler of this version says that it is.
                "credit2" => {}
                "credit" | "rtds" | "arinc653" | "null" => {
                    complain(Known::NotHere("the one scheduler that there is, credit2, is used"))
                }
                _ => complain(Known::BadValue),
            },
            "iommu" => value.split(',').for_each(|part| self.apply_iommu(part, complain)),
            "placeholder" | "console_timestamps" | "sync_console" | "com2" | "ucode" | "spec-ctrl" | "cpufreq"
            | "dom0" | "apicv" => complain(Known::NoEffect),
            _ => return false,
        }
        true
    }
}

enum Known {
    BadValue,
    NoEffect,
    NotHere(&'static str),
}

/// Parts of `iommu=` that say how one is used.
const IOMMU_MANNERS: [&str; 15] = [
    "verbose",
    "debug",
    "workaround_bios_bug",
    "igfx",
    "intremap",
    "intpost",
    "snoop",
    "qinval",
    "sharept",
    "superpages",
    "quarantine",
    "crash-disable",
    "amd-iommu-perdev-intremap",
    "dom0-passthrough",
    "dom0-strict",
];

fn parse_range(text: &str) -> Option<(u32, u32)> {
    let (min, max) = match text.split_once('-') {
        None => (text.parse().ok()?, text.parse().ok()?),
        Some((min, max)) => (
            if min.is_empty() { 1 } else { min.parse().ok()? },
            if max.is_empty() { u32::MAX } else { max.parse().ok()? },
        ),
    };
    (min >= 1 && min <= max).then_some((min, max))
}

/// A limit of grant frames or handles.
pub(crate) fn parse_frames(text: &str, most: u32) -> Option<u32> {
    text.parse().ok().filter(|&n| n <= most)
}

fn parse_baud(text: &str) -> Option<u32> {
    let first = text.split(',').next()?;
    let baud = first.split('/').next()?;
    if baud == "auto" { Some(115_200) } else { baud.parse().ok().filter(|&n| n > 0) }
}

fn parse_version(text: &str) -> Option<(u16, u16)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn parse(line: &str) -> (Options, Vec<Complaint<'_>>) {
        let mut complaints = Vec::new();
        let options = Options::parse(line, |c| complaints.push(c));
        (options, complaints)
    }

    #[test]
    fn peers_command_line_is_understood_without_complaint() {
        let line = "dom0_mem=1024M,max:1024M dom0_max_vcpus=2 com1=115200,8n1 console=com1 loglvl=all guest_loglvl=all";
        let (options, complaints) = parse(line);
        assert_eq!(complaints, []);
        assert_eq!(options.dom0_mem.amount, Some(Amount::Bytes(1 << 30)));
        assert_eq!(options.dom0_mem.max, Some(Amount::Bytes(1 << 30)));
        assert_eq!(options.dom0_max_vcpus, (2, 2));
        assert_eq!(options.com1_baud, 115_200);
        assert!(options.console_com1 && !options.console_vga);
        assert_eq!(options.loglvl, (LogLevel::Debug, LogLevel::Debug));
    }

    #[test]
    fn sizes_have_xens_suffixes_and_kib_without() {
        assert_eq!(parse_size("4096"), Some(4 << 20));
        assert_eq!(parse_size("3G"), Some(3 << 30));
        assert_eq!(parse_size("17B"), Some(17));
        assert_eq!(parse_size("0x10M"), Some(16 << 20));
        for bad in ["", "M", "12Q", "99999999999T", "-1"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_not_understood_is_reported_and_the_default_stays() {
        let (options, complaints) = parse("frobnicate=1 dom0_mem=lots maxcpus=0 ucode=scan no-x2apic");
        assert_eq!(
            complaints,
            [
                Complaint::Unknown("frobnicate=1"),
                Complaint::BadValue("dom0_mem=lots"),
                Complaint::BadValue("maxcpus=0"),
                Complaint::NoEffect("ucode=scan")
            ]
        );
        assert_eq!(options, Options { x2apic: false, ..Options::default() });
    }

    #[test]
    fn the_key_that_switches_input_and_the_limits_of_grants_are_options() {
        let (options, complaints) =
            parse("conswitch=bx gnttab_max_frames=32 gnttab_max_maptrack_frames=99999 loglvl=error/info");
        assert_eq!(complaints, [Complaint::BadValue("gnttab_max_maptrack_frames=99999")]);
        assert_eq!(options.conswitch, Conswitch { letter: b'b', ours_first: true });
        assert_eq!((options.gnttab_max_frames, options.gnttab_max_maptrack_frames), (32, 1024));
        assert_eq!(options.loglvl, (LogLevel::Error, LogLevel::Info));
        for bad in ["", "A", "ab", "axx"] {
            assert_eq!(Conswitch::parse(bad), None, "{bad}");
        }
        let (options, complaints) = parse("gnttab_max_frames=4096 gnttab_max_maptrack_frames=16384");
        assert_eq!((options.gnttab_max_frames, options.gnttab_max_maptrack_frames), (4096, 16384));
        assert!(complaints.is_empty(), "{complaints:?}");
        let (_, complaints) = parse("gnttab_max_frames=4097 gnttab_max_maptrack_frames=16385");
        assert_eq!(complaints.len(), 2, "{complaints:?}");
    }

    #[test]
    fn a_scheduler_that_is_not_here_is_said_and_another_word_is_no_scheduler() {
        assert_eq!(parse("sched=credit2").1, []);
        assert!(matches!(parse("sched=rtds").1[..], [Complaint::NotHere("sched=rtds", _)]));
        assert_eq!(parse("sched=fast").1, [Complaint::BadValue("sched=fast")]);
    }

    #[test]
    fn an_iommu_that_must_be_there_is_kept_and_one_that_is_not_used_is_no_matter() {
        for quiet in ["iommu=off", "iommu=no", "no-iommu", "iommu=required,no-required"] {
            let (options, complaints) = parse(quiet);
            assert_eq!((options.iommu_required, complaints), (false, Vec::new()), "{quiet}");
        }
        for must in ["iommu=required", "iommu=force", "iommu=force=yes"] {
            assert!(parse(must).0.iommu_required, "{must}");
        }
        for said in ["iommu=on", "iommu", "iommu=dom0-strict", "iommu=no-intremap"] {
            assert!(matches!(parse(said).1[..], [Complaint::NotHere(word, _)] if word == said), "{said}");
        }
        assert_eq!(parse("iommu=maybe").1, [Complaint::BadValue("iommu=maybe")]);
    }

    #[test]
    fn every_option_changes_its_own_field_and_nothing_else() {
        let default = Options::default();
        let check = |line: &str, expected: Options| assert_eq!(parse(line), (expected, Vec::new()), "{line}");
        for (console, console_com1, console_vga) in
            [("com1", true, false), ("vga", false, true), ("com1,vga", true, true), ("none", false, false)]
        {
            check(&alloc::format!("console={console}"), Options { console_com1, console_vga, ..default.clone() });
        }
        check("vga=current", default.clone());
        check("vga=ask,keep", Options { vga_keep: true, ..default.clone() });
        check("noreboot", Options { noreboot: true, ..default.clone() });
        check("noreboot=no", default.clone());
        check("maxcpus=1", Options { maxcpus: 1, ..default.clone() });
        check("nosmp", Options { maxcpus: 1, ..default.clone() });
        check("no-smap", Options { smap: false, ..default.clone() });
        check("smep=off", Options { smap: false, ..default.clone() });
        check("xen-version=5.20", Options { xen_version: (5, 20), ..default.clone() });
        check("tbuf_size=1024", Options { tbuf_size: 1024, ..default.clone() });
        check("tsc-skew=1000000", Options { tsc_skew: 1_000_000, ..default.clone() });
        check("conswitch=z", Options { conswitch: Conswitch { letter: b'z', ours_first: false }, ..default.clone() });
        check("dom0_max_vcpus=2-", Options { dom0_max_vcpus: (2, u32::MAX), ..default.clone() });
        check("dom0_max_vcpus=-3", Options { dom0_max_vcpus: (1, 3), ..default.clone() });
        check("dom0_max_vcpus=4-4", Options { dom0_max_vcpus: (4, 4), ..default.clone() });
        check("com1=auto", Options { com1_baud: 115_200, ..default.clone() });
        check("com1=9600/115200,8n1,0x3f8,4", Options { com1_baud: 9600, ..default.clone() });
    }

    #[test]
    fn values_beyond_their_limits_are_bad_and_the_default_stays() {
        for bad in [
            "com1=0,8n1",
            "com1=fast",
            "console=com9",
            "conswitch=Ax",
            "dom0_max_vcpus=0",
            "dom0_max_vcpus=0-4",
            "dom0_max_vcpus=3-2",
            "noreboot=perhaps",
            "smap=perhaps",
            "tbuf_size=1025",
            "tsc-skew=-1",
            "vga=loud",
            "xen-version=4",
            "xen-version=4.x",
        ] {
            let (options, complaints) = parse(bad);
            let console_vga = !bad.starts_with("console");
            assert_eq!(complaints, [Complaint::BadValue(bad)], "{bad}");
            assert_eq!(options, Options { console_vga, ..Options::default() }, "{bad}");
        }
        for idle in ["vga=text-80x25", "vga=gfx-1024x768x32", "vga=mode-3", "dom0=pvh", "com2=9600"] {
            assert_eq!(parse(idle), (Options::default(), [Complaint::NoEffect(idle)].into()));
        }
        let twice = "no-smap=yes";
        assert_eq!(parse(twice), (Options::default(), [Complaint::Unknown(twice)].into()), "that means nothing in Xen");
    }

    #[test]
    fn an_amount_is_of_the_whole_or_all_but_that_much() {
        assert_eq!([Amount::Bytes(7).of(100), Amount::AllBut(7).of(100), Amount::AllBut(101).of(100)], [7, 93, 0]);
        assert_eq!(parse("dom0_mem=-1G,min:2B").0.dom0_mem.amount, Some(Amount::AllBut(1 << 30)));
        let sizes = [("1b", 1), ("1k", 1 << 10), ("1m", 1 << 20), ("1g", 1 << 30), ("1t", 1 << 40), ("2T", 2 << 40)];
        sizes.into_iter().for_each(|(text, bytes)| assert_eq!(parse_size(text), Some(bytes), "{text}"));
    }

    #[test]
    fn a_complaint_quotes_the_word_and_says_what_becomes_of_it() {
        for (complaint, outcome) in [
            (Complaint::Unknown("a=b"), "ignored"),
            (Complaint::BadValue("a=b"), "the default is used"),
            (Complaint::NoEffect("a=b"), "no effect"),
            (Complaint::NotHere("a=b", "c instead"), "c instead"),
        ] {
            let text = alloc::format!("{complaint}");
            assert!(text.starts_with("command line: ") && text.contains("\"a=b\"") && text.contains(outcome), "{text}");
        }
    }
}
