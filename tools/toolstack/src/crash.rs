//! What is kept of a domain that crashed: the end of its console, registers, why, the hypervisor's messages, its
//! configuration, and its memory if the configuration says so. A folder for each crash.

use crate::{DomainConfig, Error, Host, Result, uuid};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;
use xen_abi::arch_x86::VcpuGuestContext;
use xen_abi::sched::{SHUTDOWN_crash, SHUTDOWN_watchdog};
use xenctl::{DomainInfo, Hypercalls};

/// Folders that are kept; the oldest goes when there is one more.
const MOST: usize = 16;
/// Bytes of a console that are kept.
const CONSOLE: u64 = 128 << 10;
/// How long xenconsoled may take to write the last lines.
const LAST_LINES: Duration = Duration::from_millis(300);

/// What `SHUTDOWN_*` says, in words.
#[allow(non_upper_case_globals, reason = "the ABI's names stand in patterns")]
pub(crate) fn reason(code: u8) -> &'static str {
    match u32::from(code) {
        SHUTDOWN_crash => "it crashed",
        SHUTDOWN_watchdog => "its watchdog expired",
        _ => "it ended",
    }
}

/// One vcpu's registers.
fn registers(vcpu: u32, context: &VcpuGuestContext) -> String {
    let r = &context.user_regs;
    let rows = [
        [("rip", r.rip), ("rsp", r.rsp), ("rflags", r.rflags), ("cs", r.cs.into())],
        [("rax", r.rax), ("rbx", r.rbx), ("rcx", r.rcx), ("rdx", r.rdx)],
        [("rsi", r.rsi), ("rdi", r.rdi), ("rbp", r.rbp), ("r8", r.r8)],
        [("r9", r.r9), ("r10", r.r10), ("r11", r.r11), ("r12", r.r12)],
        [("r13", r.r13), ("r14", r.r14), ("r15", r.r15), ("ss", r.ss.into())],
        [
            ("cr0", context.ctrlreg[0]),
            ("cr2", context.ctrlreg[2]),
            ("cr3", context.ctrlreg[3]),
            ("cr4", context.ctrlreg[4]),
        ],
        [
            ("fs", context.fs_base),
            ("gs", context.gs_base_kernel),
            ("gs user", context.gs_base_user),
            ("flags", context.flags),
        ],
    ];
    let mut text = format!("vcpu {vcpu}\n");
    for row in rows {
        for (name, value) in row {
            // Writing to a string cannot fail.
            let _ = write!(text, "  {name:>7} {value:016x}");
        }
        text.push('\n');
    }
    text
}

/// The end of a file.
fn end_of(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Gives a folder this name, or this name and a number.
fn name_folder(folder: &Path, dir: &Path, name: &str) -> std::io::Result<PathBuf> {
    let mut path = dir.join(name);
    for n in 2..=1000 {
        // Renaming would take the place of one that is empty, and of no other: none of ours is.
        match fs::rename(folder, &path) {
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::DirectoryNotEmpty
                ) =>
            {
                path = dir.join(format!("{name}-{n}"));
            }
            other => return other.map(|()| path),
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
}

/// Removes the oldest folders, but for so many; never `own`, which a clock that was set back makes look old.
fn keep_newest(dir: &Path, most: usize, own: &Path) -> std::io::Result<()> {
    let mut all: Vec<(std::time::SystemTime, PathBuf)> = fs::read_dir(dir)?
        .flatten()
        .filter(|entry| entry.path() != own && !entry.file_name().as_encoded_bytes().starts_with(b"."))
        .filter_map(|entry| {
            entry.metadata().ok().filter(fs::Metadata::is_dir)?.modified().ok().map(|at| (at, entry.path()))
        })
        .collect();
    all.sort();
    let surplus = all.len().saturating_add(1).saturating_sub(most);
    all.iter().take(surplus).try_for_each(|(_, path)| fs::remove_dir_all(path))
}

impl<H: Hypercalls> Host<H> {
    /// Keeps what is needed to see why a domain crashed; gives the folder. What cannot be had is named in it.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(crate) fn keep_crash(&mut self, info: &DomainInfo, config: &DomainConfig, core: bool) -> Result<PathBuf> {
        let failed = |path: &Path| Error::io(format!("cannot write to {}", path.display()));
        let now = jiff::Timestamp::now();
        let name = format!("{}-{}", config.name, now.strftime("%Y%m%d-%H%M%S"));
        // It has its name when it is complete. Who was killed before that, or met a full disk, leaves nothing for ever.
        let dir = self.crash_dir.join(format!(".{}", uuid::format(&info.uuid)));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).map_err(failed(&self.crash_dir))?;
        let (domid, id) = (info.domid, uuid::format(&info.uuid));
        let why = reason(info.shutdown().unwrap_or(0));
        let mut told =
            format!("domain {} ({domid}, {id}): {why}\nseen {}\n", config.name, now.strftime("%Y-%m-%d %H:%M:%S UTC"));
        let seconds = info.cpu_time as f64 / 1e9;
        let _ = writeln!(told, "{} KiB of memory, {seconds:.1} s of CPU time", info.pages * 4);
        if let Ok(version) = self.xen.version() {
            let (major, minor) = version.version;
            let _ = writeln!(told, "hypervisor {major}.{minor}{}", version.extra);
        }

        let mut vcpus = String::new();
        for vcpu in 0..info.max_vcpu_id.map_or(0, |last| last.saturating_add(1)) {
            match self.xen.vcpu_context(domid, vcpu) {
                Ok(context) => vcpus.push_str(&registers(vcpu, &context)),
                Err(error) => {
                    let _ = writeln!(vcpus, "vcpu {vcpu}: {error}");
                }
            }
        }
        let messages = self.xen.whole_console().map_err(|error| error.to_string());
        std::thread::sleep(LAST_LINES);
        let console = self.console_dir.join(format!("guest-{}.log", config.name));
        let parts = [
            ("registers", Ok(vcpus.into_bytes())),
            ("hypervisor", messages),
            ("console", end_of(&console, CONSOLE).map_err(|error| format!("{}: {error}", console.display()))),
            ("config.json", serde_json::to_vec_pretty(config).map_err(|error| error.to_string())),
        ];
        for (name, bytes) in parts {
            let written = bytes.and_then(|bytes| fs::write(dir.join(name), bytes).map_err(|error| error.to_string()));
            if let Err(error) = written {
                let _ = writeln!(told, "no {name}: {error}");
            }
        }
        if core && let Err(error) = self.dump_core(domid, &dir.join("core")) {
            let _ = writeln!(told, "no core: {error}");
        }
        let named = fs::write(dir.join("reason"), told).and_then(|()| name_folder(&dir, &self.crash_dir, &name));
        if named.is_err() {
            let _ = fs::remove_dir_all(&dir);
        }
        let named = named.map_err(failed(&self.crash_dir))?;
        // One that cannot be removed is there the next time, too.
        let _ = keep_newest(&self.crash_dir, MOST, &named);
        Ok(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_folders_are_kept_and_none_is_taken_twice() {
        let dir = tempfile::tempdir().unwrap();
        let made: Vec<PathBuf> = (0..4u64)
            .map(|at| {
                let fresh = dir.path().join(".fresh");
                fs::create_dir(&fresh).unwrap();
                fs::write(fresh.join("reason"), "x").unwrap();
                let path = name_folder(&fresh, dir.path(), "t-1").unwrap();
                let file = File::open(&path).unwrap();
                file.set_modified(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(100 - at)).unwrap();
                path
            })
            .collect();
        // The clock was set back for each: the last one looks the oldest.
        keep_newest(dir.path(), 2, &made[3]).unwrap();
        let there: Vec<bool> = made.iter().map(|path| path.exists()).collect();
        assert_eq!(there, [true, false, false, true]);
    }

    #[test]
    fn the_end_of_a_long_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "0123456789").unwrap();
        assert_eq!(end_of(&path, 4).unwrap(), b"6789");
        assert_eq!(end_of(&path, 40).unwrap(), b"0123456789");
    }
}
