//! The initramfs that dom0 starts with, built here from Debian's busybox and kernel modules.
//!
//! Two archives one after the other: a packed one that depends on the kernel only and is kept in
//! the cache, and a small one with what this boot is told to do.

mod cpio;
mod fio;
mod guest;
mod modules;
mod start;
mod tools;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;

use self::cpio::Cpio;
pub use self::fio::archive as fio;
pub use self::guest::files as guest_files;
pub use self::start::{Daemons, Whose};
use crate::paths::Paths;
use crate::setup::{Kernel, Parts, XenRelease};
use crate::ui;

const INIT: &str = include_str!("init.sh");
/// What udhcpc runs, so that `udhcpc -i eth0 -n` gives a network.
const UDHCPC: &str = "#!/bin/sh
[ \"$1\" = bound ] || exit 0
ip addr add \"$ip/$mask\" dev \"$interface\"
[ -n \"$router\" ] && ip route add default via \"$router\"
[ -n \"$dns\" ] && echo \"nameserver $dns\" >/etc/resolv.conf
exit 0
";
const PROFILE: &str = "export PS1='dom0:\\w# '\n";

/// What the packed part holds beside busybox and modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// Debian's Xen tools.
    pub xen_tools: Option<XenRelease>,
    /// The micro-benchmark, `/bin/fxbench`.
    pub bench: bool,
}

/// What one boot is told.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    /// Commands for `sh`; none is a shell on the console.
    pub exec: Option<String>,
    /// The size of the user's terminal: rows, columns.
    pub terminal: Option<(u16, u16)>,
    /// Files of the host to put at a path of the guest.
    pub files: Vec<(String, PathBuf)>,
    /// The label of the file system to go on from.
    pub root: Option<&'static str>,
    /// The daemons that are started before the shell.
    pub daemons: Option<Daemons>,
    /// Run before the shell.
    pub welcome: Option<&'static str>,
}

/// The packed part for `kernel`, built unless the cache has it.
pub fn base(paths: &Paths, kernel: &Kernel, contents: Contents) -> Result<PathBuf> {
    let parts = Parts::new(paths);
    let busybox = parts.busybox()?;
    let tools = contents.xen_tools.map(|release| parts.xen_tools(release)).transpose()?;
    let bench = if contents.bench { Some(crate::fxbench::build(paths)?) } else { None };
    let mut inputs = vec![busybox.as_path(), kernel.image.as_path()];
    inputs.extend(bench.iter().flatten().map(PathBuf::as_path));
    let name = format!(
        "initramfs-{}{}{}-{:016x}.img",
        kernel.release,
        contents.xen_tools.map(|release| format!("-tools-{}", release.name())).unwrap_or_default(),
        if contents.bench { "-bench" } else { "" },
        fingerprint(&inputs)
    );
    let image = paths.cache.join(name);
    if image.exists() {
        return Ok(image);
    }
    ui::step(format!("building the initramfs for {}", kernel.release));
    let fresh = image.with_extension(format!("new-{}", std::process::id()));
    let out = GzEncoder::new(BufWriter::new(File::create(&fresh)?), Compression::new(3));
    let mut cpio = Cpio::new(out);
    cpio.chardev("dev/console", 0o600, (5, 1))?;
    cpio.chardev("dev/null", 0o666, (1, 3))?;
    cpio.file("init", 0o755, INIT.as_bytes())?;
    cpio.file("etc/profile", 0o644, PROFILE.as_bytes())?;
    cpio.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n")?;
    cpio.file("etc/group", 0o644, b"root:x:0:\n")?;
    cpio.file("etc/modules.xen", 0o644, (modules::XEN.join("\n") + "\n").as_bytes())?;
    cpio.file("etc/udhcpc/default.script", 0o755, UDHCPC.as_bytes())?;
    cpio.host("bin/busybox", &busybox)?;
    cpio.link("bin/sh", "busybox")?;
    for dir in ["sbin", "usr/bin", "usr/sbin", "proc", "sys", "run", "tmp", "root", "mnt", "var/log"] {
        cpio.dir(dir)?;
    }
    if let Some(dir) = &kernel.modules {
        let selection = modules::select(dir)?;
        let to = format!("lib/modules/{}", kernel.release);
        for module in &selection.modules {
            cpio.file(&format!("{to}/{}", module.inner), 0o644, &module.content)?;
        }
        cpio.file(&format!("{to}/modules.dep"), 0o644, selection.dep.as_bytes())?;
        cpio.file(&format!("{to}/modules.alias"), 0o644, selection.alias.as_bytes())?;
    }
    if let Some(tools) = &tools {
        tools::add(&mut cpio, tools)?;
    }
    for (name, program) in crate::fxbench::PROGRAMS.iter().zip(bench.iter().flatten()) {
        cpio.host(&format!("bin/{name}"), program)?;
    }
    cpio.finish()?.finish()?.flush()?;
    fs::rename(&fresh, &image)?;
    Ok(image)
}

/// Writes the initrd of one boot: the packed part, then the orders.
pub fn compose(base: &Path, orders: &Orders, contents: Contents, to: &Path) -> Result<()> {
    let mut bytes = fs::read(base).with_context(|| format!("cannot read {}", base.display()))?;
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let mut cpio = Cpio::new(&mut bytes);
    let mut conf = String::new();
    if let Some((rows, cols)) = orders.terminal {
        conf.push_str(&format!("ROWS={rows} COLS={cols}\n"));
    }
    if let Some(daemons) = &orders.daemons {
        conf.push_str("XEN_TOOLS=1\n");
        cpio.file("etc/start-xen-tools", 0o644, daemons.script(contents.xen_tools).as_bytes())?;
    }
    if let Some(script) = orders.welcome {
        cpio.file("etc/welcome", 0o644, script.as_bytes())?;
    }
    if let Some(root) = orders.root {
        let files: Vec<&str> = orders.files.iter().map(|(name, _)| name.trim_start_matches('/')).collect();
        conf.push_str(&format!("ROOT={root} FILES='{}'\n", files.join(" ")));
    }
    if orders.exec.is_some() {
        // Between the markers only what the commands print.
        conf.push_str("PRINTK=1\n");
    }
    cpio.file("etc/boot.conf", 0o644, conf.as_bytes())?;
    if let Some(exec) = &orders.exec {
        cpio.file("exec", 0o755, exec.as_bytes())?;
    }
    for (name, file) in &orders.files {
        cpio.host(name, file)?;
    }
    cpio.finish()?;
    fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(())
}

/// A number that changes when a file, or what we make of it, does (FNV-1a over sizes, times and the scripts).
fn fingerprint(inputs: &[&Path]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut mix = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    mix(include_bytes!("mod.rs"));
    mix(include_bytes!("modules.rs"));
    mix(include_bytes!("tools.rs"));
    mix(INIT.as_bytes());
    for input in inputs {
        mix(input.to_string_lossy().as_bytes());
        if let Ok(meta) = input.metadata() {
            mix(&meta.len().to_le_bytes());
            let time = meta.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            mix(&time.unwrap_or_default().as_nanos().to_le_bytes());
        }
    }
    hash
}
