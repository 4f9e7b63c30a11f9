//! A vcpu's own time record (xen.h, `struct vcpu_time_info`), read from the kernel's memory through `/proc/kcore`.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::sys;

/// `struct vcpu_info`: the record stands behind the event words and `struct arch_vcpu_info`.
const TIME_IN_VCPU_INFO: u64 = 32;
const SIZE: usize = 32;

/// Where one vcpu's record is.
pub struct Record {
    kcore: File,
    at: u64,
}

/// What it says: `ns = system + ((tsc - stamp) << shift) * mul >> 32`.
#[derive(PartialEq, Eq)]
struct Line {
    version: u32,
    stamp: u64,
    system: u64,
    mul: u32,
    shift: i8,
}

impl Record {
    fn line(&self) -> Option<Line> {
        let mut bytes = [0; SIZE];
        self.kcore.read_exact_at(&mut bytes, self.at).ok()?;
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        Some(Line {
            version: u32_at(0),
            stamp: u64_at(8),
            system: u64_at(16),
            mul: u32_at(24),
            shift: bytes[28].cast_signed(),
        })
    }

    /// The time of the vcpu that runs this thread, which must be the record's. `None`: the record changed meanwhile.
    pub fn now(&self) -> Option<u64> {
        let line = self.line()?;
        let tsc = sys::tsc();
        let same = line.version.is_multiple_of(2) && self.line()? == line;
        let ticks = tsc.checked_sub(line.stamp)?;
        let shifted = if line.shift < 0 { ticks >> line.shift.unsigned_abs() } else { ticks << line.shift };
        let scaled = (u128::from(shifted) * u128::from(line.mul)) >> 32;
        same.then(|| line.system + scaled as u64)
    }
}

/// Finds the records of the first `cpus` vcpus.
pub fn find(cpus: usize) -> Result<Vec<Record>, String> {
    let symbols = fs::read_to_string("/proc/kallsyms").map_err(|err| format!("/proc/kallsyms: {err}"))?;
    let symbol = |name: &str| -> Result<u64, String> {
        let line = symbols.lines().find(|line| line.split(' ').nth(2) == Some(name));
        let address = line.and_then(|line| u64::from_str_radix(line.split(' ').next()?, 16).ok());
        address.ok_or_else(|| format!("the kernel has no symbol {name}"))
    };
    let info = symbol("xen_vcpu_info")?;
    let offsets = symbol("__per_cpu_offset")?;
    let kcore = Kcore::open()?;
    (0..cpus as u64)
        .map(|cpu| {
            let mut offset = [0; 8];
            let at = kcore.offset(offsets + 8 * cpu)?;
            kcore.file.read_exact_at(&mut offset, at).map_err(|err| format!("/proc/kcore: {err}"))?;
            let address = info.wrapping_add(u64::from_le_bytes(offset)).wrapping_add(TIME_IN_VCPU_INFO);
            let record = Record { at: kcore.offset(address)?, kcore: open()? };
            let line = record.line().ok_or("/proc/kcore cannot be read")?;
            if line.mul == 0 || line.stamp == 0 && line.system == 0 {
                return Err(format!("no time record at {address:#x}"));
            }
            Ok(record)
        })
        .collect()
}

fn open() -> Result<File, String> {
    File::open("/proc/kcore").map_err(|err| format!("/proc/kcore: {err}"))
}

/// The kernel's memory as an ELF file.
struct Kcore {
    file: File,
    /// Address, size, offset in the file.
    segments: Vec<[u64; 3]>,
}

impl Kcore {
    fn open() -> Result<Self, String> {
        let file = open()?;
        let u64_at = |at: u64| -> Result<u64, String> {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, at).map_err(|err| format!("/proc/kcore: {err}"))?;
            Ok(u64::from_le_bytes(bytes))
        };
        // ELF64: e_phoff at 32, e_phentsize and e_phnum at 54; p_type at 0, p_offset at 8, p_vaddr at 16, p_filesz at 32.
        let (table, sizes) = (u64_at(32)?, u64_at(54)?);
        let (size, count) = (sizes & 0xffff, sizes >> 16 & 0xffff);
        let mut segments = Vec::new();
        for at in (0..count).map(|n| table + n * size) {
            if u64_at(at)? & 0xffff_ffff == 1 {
                segments.push([u64_at(at + 16)?, u64_at(at + 32)?, u64_at(at + 8)?]);
            }
        }
        Ok(Self { file, segments })
    }

    fn offset(&self, address: u64) -> Result<u64, String> {
        let segment = self.segments.iter().find(|[start, size, _]| address.wrapping_sub(*start) < *size);
        segment
            .map(|[start, _, offset]| address - start + offset)
            .ok_or_else(|| format!("/proc/kcore lacks {address:#x}"))
    }
}
