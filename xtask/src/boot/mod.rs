//! `./x boot`: one machine, from set-up to its end.

mod loader;
mod machine;
mod symbols;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use ferroxen_lab::host::Replay;
use ferroxen_lab::qcow2;

pub use self::loader::Via;
use self::loader::{Module, Plan};
pub use self::machine::{Bus, Chipset};
use self::machine::{Console, Disk, Machine, Start, default_cpu};
pub use self::symbols::Symbols;
pub use self::watch::{End, Outcome, Show, Typed};
use crate::initramfs::{self, Contents, Daemons, Orders, Whose};
use crate::kernel_image;
use crate::kernel_variants::Variant;
use crate::paths::Paths;
use crate::setup::by_hand::Wanted;
use crate::setup::{Kernel, KernelChoice, Parts, Qemu, XenRelease};
use crate::{build, deb, endure, guests, own_tools, rootfs, setup, ui};

/// Exit codes of `./x boot` that no command in dom0 had a part in.
pub const EXIT_DIED: i32 = 125;
/// The time was over.
pub const EXIT_TIMEOUT: i32 = 124;

/// What runs below the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hypervisor {
    /// Ours, built now.
    Ferroxen,
    /// Debian's Xen 4.17.
    Xen,
    /// None: the kernel on the bare machine.
    None,
    /// A file.
    File(PathBuf),
}

impl FromStr for Hypervisor {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "ferroxen" => Self::Ferroxen,
            "xen" => Self::Xen,
            "none" => Self::None,
            file => Self::File(PathBuf::from(file)),
        })
    }
}

/// What `./x boot` is told.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Exit status: that of the commands, or of the test guest (0 success, 3 skip, 4 error, 5 failure, \
    6 crash); 124 if the time was over, 125 if the machine died, 1 if it could not be started."
)]
pub struct BootArgs {
    /// ferroxen, xen (Debian's 4.17), none (bare kernel), or a file
    #[arg(long, default_value = "ferroxen", value_name = "ferroxen|xen|none|PATH")]
    pub hypervisor: Hypervisor,
    /// Who loads it: QEMU (Multiboot 1), QEMU by PVH, or GRUB on a CD
    #[arg(long, value_enum, default_value = "qemu")]
    pub via: Via,
    /// dom0's kernel: 6.1, 6.12, 5.10 (Debian's), or a file
    #[arg(long, default_value = "6.1", value_name = "VERSION|FILE")]
    pub kernel: KernelChoice,
    /// Change dom0's kernel before: pack it otherwise, or damage it
    #[arg(long, value_enum, conflicts_with = "uncompressed")]
    pub variant: Option<Variant>,
    /// Unpack the kernel on the host first
    #[arg(long)]
    pub uncompressed: bool,
    /// QEMU's machine
    #[arg(long, value_enum, default_value = "pc")]
    pub machine: Chipset,
    /// CPUs [default: 2, with --icount 1]
    #[arg(long)]
    pub cpus: Option<u32>,
    /// Memory in MiB
    #[arg(long, default_value_t = 4096, value_name = "MIB")]
    pub memory: u32,
    /// QEMU's CPU model [default: max]
    #[arg(long)]
    pub cpu: Option<String>,
    /// Count instructions: one takes one nanosecond of guest time
    #[arg(long)]
    pub icount: bool,
    /// Wait for gdb on port 1234
    #[arg(long)]
    pub gdb: bool,
    /// More options for the hypervisor
    #[arg(long, default_value = "", allow_hyphen_values = true, value_name = "OPTIONS")]
    pub cmdline: String,
    /// More options for dom0's kernel or the test guest (no commas: QEMU's -initrd has no escape for them)
    #[arg(long, default_value = "", allow_hyphen_values = true, value_name = "OPTIONS")]
    pub dom0_cmdline: String,
    /// Boot this test guest as the only module, without Linux; exit with its result
    #[arg(long, value_name = "ELF")]
    pub guest: Option<PathBuf>,
    /// Start these Xen tools in dom0 (only with a hypervisor): ours, Debian 12's, Debian 13's, or ours with Debian 12's
    /// beside them
    #[arg(long, value_name = "ferroxen|debian|debian13|both", value_parser = ["ferroxen", "debian", "debian13", "both"])]
    pub tools: Option<String>,
    /// Whose xenstored and xenconsoled run, where both tools are there: ours, Debian's, Debian's with oxenstored
    /// [default: ours if they are there]
    #[arg(long, value_enum, value_name = "WHOSE")]
    pub daemons: Option<Whose>,
    /// Kernel, ramdisk and configurations for guests, in dom0's /guests
    #[arg(long)]
    pub guests: bool,
    /// What dom0 does before its shell.
    #[arg(skip)]
    pub welcome: Option<&'static str>,
    /// Put a file of this machine into the initramfs
    #[arg(long, value_name = "GUEST=HOST")]
    pub file: Vec<String>,
    /// Go on from Debian's root file system on a disk (made on this machine, kept in the cache); with --tools debian that
    /// of a host with Debian's Xen tools, libvirt and xen-tools
    #[arg(long, value_enum, value_name = "BUS", num_args = 0..=1, default_missing_value = "virtio")]
    pub rootfs: Option<Bus>,
    /// A raw disk image as a virtio disk; writes are thrown away
    #[arg(long, value_name = "IMAGE")]
    pub disk: Vec<PathBuf>,
    /// A network card with a user-mode network (e1000, virtio-net-pci, igb ...)
    #[arg(long, value_name = "MODEL")]
    pub nic: Option<String>,
    /// One more argument for QEMU
    #[arg(long, allow_hyphen_values = true, value_name = "ARG")]
    pub qemu: Vec<String>,
    /// Seconds until a machine that is not interactive is given up
    #[arg(long, default_value_t = 300, value_name = "S")]
    pub timeout: u64,
    /// Where the console is logged [default: target/boot/console.log]
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Run these commands in dom0, print their output, exit with their status
    #[arg(long, value_name = "COMMANDS")]
    pub exec: Option<String>,
    /// With --exec: show the whole console
    #[arg(long, short)]
    pub verbose: bool,
    /// The micro-benchmark /bin/fxbench in the initramfs
    #[arg(long)]
    pub fxbench: bool,
    /// Debian's fio for guests, in dom0's /guests
    #[arg(long, requires = "guests")]
    pub fio: bool,
    /// The programs of the long runs, /bin/fxclock and /bin/fx32, in dom0
    #[arg(long)]
    pub endure: bool,
    /// With --via disk: both Debian packages, built now, and a small guest, beside the commands in /run/orders
    #[arg(long)]
    pub packages: bool,
    /// Print QEMU's command line and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Record or replay; for the lab
    #[arg(skip)]
    pub replay: Option<Replay>,
    /// What is typed on a console that is watched.
    #[arg(skip)]
    pub typed: &'static [Typed],
}

impl Default for BootArgs {
    fn default() -> Self {
        Self {
            hypervisor: Hypervisor::Ferroxen,
            via: Via::Qemu,
            kernel: KernelChoice::Debian61,
            variant: None,
            uncompressed: false,
            machine: Chipset::Pc,
            cpus: None,
            memory: 4096,
            cpu: None,
            icount: false,
            gdb: false,
            cmdline: String::new(),
            dom0_cmdline: String::new(),
            guest: None,
            tools: None,
            daemons: None,
            guests: false,
            welcome: None,
            file: Vec::new(),
            rootfs: None,
            disk: Vec::new(),
            nic: None,
            qemu: Vec::new(),
            timeout: 300,
            log: None,
            exec: None,
            verbose: false,
            fxbench: false,
            fio: false,
            endure: false,
            packages: false,
            dry_run: false,
            replay: None,
            typed: &[],
        }
    }
}

/// `./x boot`. Returns the exit status.
pub fn main(paths: &Paths, args: &BootArgs) -> Result<i32> {
    let interactive = args.exec.is_none() && args.guest.is_none();
    let prepared = prepare(paths, args, if interactive { Console::Terminal } else { Console::Piped })?;
    if args.dry_run {
        println!("{:?}", prepared.command);
        return Ok(0);
    }
    if interactive {
        return interact(prepared, args);
    }
    let show = if args.verbose || args.guest.is_some() { Show::Console } else { Show::Output };
    let log = prepared.log.clone();
    let outcome = finish(prepared, args, show)?;
    Ok(report(paths, &outcome, args, &log, show))
}

/// Boots without a terminal and without printing; for tests and benchmarks.
///
/// Several threads may do so at once; they prepare one after the other, because that fills caches.
pub fn quiet(paths: &Paths, args: &BootArgs) -> Result<Outcome> {
    static PREPARING: Mutex<()> = Mutex::new(());
    let prepared = {
        let _turn = PREPARING.lock().unwrap_or_else(PoisonError::into_inner);
        prepare(paths, args, Console::Piped)?
    };
    finish(prepared, args, Show::Nothing)
}

/// The command of a machine whose console is its standard streams, and the files that it needs while it runs.
pub fn command(paths: &Paths, args: &BootArgs) -> Result<(Command, Scratch)> {
    let prepared = prepare(paths, args, Console::Piped)?;
    Ok((prepared.command, prepared.dir))
}

fn finish(prepared: Prepared, args: &BootArgs, show: Show) -> Result<Outcome> {
    let Prepared { command, log, dir } = prepared;
    let outcome = watch::watch(command, Duration::from_secs(args.timeout), &log, show, args.typed);
    drop(dir);
    outcome
}

/// Says how a machine without a terminal ended, and turns that into an exit status.
fn report(paths: &Paths, outcome: &Outcome, args: &BootArgs, log: &Path, show: Show) -> i32 {
    let log = log.display();
    let tail = |why: &str| {
        let ours = matches!(args.hypervisor, Hypervisor::Ferroxen);
        let symbols = if ours { Symbols::read(&paths.debug_symbols()) } else { Symbols::default() };
        let explained = |line: &String| symbols.explain(line);
        if show != Show::Console {
            eprintln!("--- the console's last lines ---");
            for line in outcome.tail(40).iter().map(explained) {
                eprintln!("{line}");
            }
        } else {
            for line in outcome.tail(60).iter().filter(|line| symbols.explain(line) != **line).map(explained) {
                eprintln!("{line}");
            }
        }
        eprintln!("{} {why}; whole console: {log}", ui::styled("1;31", "error:"));
    };
    match &outcome.end {
        End::Exec(status) => {
            if !outcome.powered_off {
                ui::note(format!("dom0 did not power the machine off after the commands; console: {log}"));
            }
            *status
        }
        End::Off if args.guest.is_some() => guests::status(outcome),
        End::Off => {
            tail("the machine went off or reset before the commands had ended");
            EXIT_DIED
        }
        End::Panic(line) => {
            tail(&format!("the machine died: {line}"));
            EXIT_DIED
        }
        End::Timeout => {
            tail(&format!("no end after {} s (--timeout gives it more)", args.timeout));
            EXIT_TIMEOUT
        }
    }
}

fn interact(mut prepared: Prepared, args: &BootArgs) -> Result<i32> {
    ui::step("booting; Ctrl-] x ends QEMU, Ctrl-] c switches to its monitor");
    if args.gdb {
        ui::note("QEMU waits: gdb dist/ferroxen.debug -ex 'target remote :1234'");
    }
    let status = prepared
        .command
        .stdin(Stdio::inherit())
        .status()
        .with_context(|| format!("cannot start {:?}", prepared.command))?;
    eprintln!();
    ui::note(format!("the console is logged in {}", prepared.log.display()));
    Ok(status.code().unwrap_or(EXIT_DIED))
}

/// A machine that is ready to be started; its folder goes away with it.
struct Prepared {
    command: Command,
    log: PathBuf,
    /// Held until the machine has ended.
    dir: Scratch,
}

/// A Debian host that is installed on a disk: that disk, and one with the orders.
fn installed_disks(paths: &Paths, args: &BootArgs, dir: &Path) -> Result<Vec<Disk>> {
    let mut files = Vec::new();
    if args.packages {
        for file in deb::packages(paths)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, file));
        }
        let hello = build::bare_metal(paths, &["guest-hello"])?.join("guest-hello");
        files.push(("hello".to_owned(), hello));
    }
    for pair in &args.file {
        let (guest, host) = pair.split_once('=').context("--file wants GUEST=HOST")?;
        files.push((guest.trim_start_matches('/').to_owned(), PathBuf::from(host)));
    }
    let orders = rootfs::installed::orders(args.exec.as_deref(), &files, dir)?;
    let disk = |file| Disk { file, bus: Bus::Virtio, qcow2: false };
    Ok(vec![disk(rootfs::installed::image(paths)?), disk(orders)])
}

fn prepare(paths: &Paths, args: &BootArgs, console: Console) -> Result<Prepared> {
    let cpus = args.cpus.unwrap_or(if args.icount { 1 } else { 2 });
    if args.icount && cpus > 1 && args.cpu.as_deref().is_none_or(|cpu| !cpu.contains("-x2apic")) {
        ui::note("with --icount, several CPUs share one thread");
    }
    for (option, value) in [("--dom0-cmdline", &args.dom0_cmdline)] {
        if value.contains(',') && matches!(args.via, Via::Qemu | Via::Pvh) {
            bail!(
                "{option} may not contain a comma: QEMU's -initrd separates modules with it (with --via grub-... it may)"
            );
        }
    }
    setup::by_hand::check(
        paths,
        Wanted {
            kernel: (args.guest.is_none() && !args.via.is_disk()).then_some(&args.kernel),
            xen: args.hypervisor == Hypervisor::Xen,
            xen_tools: debians_tools(args),
            grub: !matches!(args.via, Via::Qemu | Via::Pvh),
        },
    )?;
    let qemu = Qemu::find(paths)?;
    if qemu.major < 10 && args.hypervisor != Hypervisor::None {
        ui::note(format!("QEMU {} has known faults with hypervisors; 10 is better", qemu.version));
    }
    let dir = Scratch::new()?;
    let hypervisor = match &args.hypervisor {
        _ if args.via.is_disk() => None,
        Hypervisor::Ferroxen => Some(build::hypervisor(paths)?),
        Hypervisor::Xen => Some(Parts::new(paths).xen()?),
        Hypervisor::File(file) => {
            Some(fs::canonicalize(file).with_context(|| format!("no hypervisor {}", file.display()))?)
        }
        Hypervisor::None => None,
    };
    let log = log_file(paths, args)?;
    let mut machine = Machine {
        chipset: args.machine,
        cpus,
        memory: args.memory,
        icount: args.icount,
        replay: args.replay.clone(),
        gdb: args.gdb,
        cpu: args.cpu.clone().unwrap_or_else(|| default_cpu(args.icount || args.replay.is_some()).to_owned()),
        start: Start::Kernel { kernel: PathBuf::new(), append: String::new(), initrd: None },
        disks: Vec::new(),
        nic: args.nic.clone(),
        more: args.qemu.clone(),
        console,
        log: log.clone(),
    };
    for disk in &args.disk {
        let file = fs::canonicalize(disk).with_context(|| format!("no disk image {}", disk.display()))?;
        machine.disks.push(Disk { file, bus: Bus::Virtio, qcow2: false });
    }
    let (linux, modules) = match &args.guest {
        _ if args.via.is_disk() => {
            let mut disks = installed_disks(paths, args, &dir.path)?;
            disks.append(&mut machine.disks);
            machine.disks = disks;
            (None, Vec::new())
        }
        Some(guest) => {
            if hypervisor.is_none() {
                bail!("--guest needs a hypervisor: --hypervisor ferroxen or xen");
            }
            dir.link(guest, "guest")?;
            // A power off by dom0 alone only halts a machine without ACPI tables for it; a reset ends QEMU.
            let options = options(&["end=reboot", &args.dom0_cmdline]);
            (None, vec![Module { file: "guest", options }])
        }
        None => {
            let options = options(&["console=hvc0 loglevel=7", &args.dom0_cmdline]);
            let kernel = linux(paths, args, &dir)?;
            let initrd = Module { file: "initrd", options: String::new() };
            let modules = vec![Module { file: "vmlinuz", options }, initrd];
            (Some(kernel), if args.variant == Some(Variant::Missing) { Vec::new() } else { modules })
        }
    };
    if let (Some(bus), Some(kernel)) = (args.rootfs, &linux) {
        let file = rootfs::image(paths, kernel, root_purpose(args))?;
        machine.disks.insert(0, Disk { file, bus, qcow2: false });
    }
    if let Some(replay) = &args.replay {
        overlay(&mut machine.disks, replay)?;
    }
    let bare = dir.path.join("vmlinuz");
    let plan = match &hypervisor {
        Some(file) => {
            let options = options(&[&xen_options(args, cpus), &args.cmdline]);
            Plan { kernel: file, hypervisor: true, options, modules }
        }
        None => {
            let options = options(&["console=ttyS0,115200 loglevel=7", &args.dom0_cmdline]);
            let modules = modules.into_iter().skip(1).collect();
            Plan { kernel: &bare, hypervisor: false, options, modules }
        }
    };
    machine.start = args.via.start(paths, plan, &dir.path)?;
    let command = machine.command(&qemu, &dir.path);
    Ok(Prepared { command, log, dir })
}

/// Puts an image over each disk that holds what a recording writes, and the snapshot that a replay begins with.
fn overlay(disks: &mut [Disk], replay: &Replay) -> Result<()> {
    for (number, disk) in disks.iter_mut().enumerate() {
        let over = replay.file.with_extension(format!("disk{number}.qcow2"));
        if replay.record {
            qcow2::create(&over, disk.file.metadata()?.len(), Some(&disk.file))?;
        }
        *disk = Disk { file: over, bus: disk.bus, qcow2: true };
    }
    Ok(())
}

/// What the root file system on a disk has to hold.
fn root_purpose(args: &BootArgs) -> rootfs::Purpose {
    match args.tools.as_deref() {
        Some("debian") => rootfs::Purpose::Host,
        _ => rootfs::Purpose::Plain,
    }
}

/// Which of Debian's Xen tools the initramfs of a boot has.
fn debians_tools(args: &BootArgs) -> Option<XenRelease> {
    match args.tools.as_deref() {
        // The packages in the root file system bring them.
        Some("debian") if args.rootfs.is_some() => None,
        Some("debian" | "both") if args.hypervisor != Hypervisor::None => Some(XenRelease::V4_17),
        Some("debian13") if args.hypervisor != Hypervisor::None => Some(XenRelease::V4_20),
        _ => None,
    }
}

/// Puts kernel and initrd into `dir`.
fn linux(paths: &Paths, args: &BootArgs, dir: &Scratch) -> Result<Kernel> {
    let kernel = Parts::new(paths).kernel(&args.kernel)?;
    let image = if args.uncompressed && args.hypervisor != Hypervisor::None {
        kernel_image::vmlinux(paths, &kernel)?
    } else {
        kernel.image.clone()
    };
    let image = match args.variant {
        Some(variant) => variant.make(paths, &kernel)?,
        None => Some(image),
    };
    if let Some(image) = image {
        dir.link(&image, "vmlinuz")?;
    }
    let tools = args.tools.as_deref().filter(|_| args.hypervisor != Hypervisor::None);
    let contents = Contents { xen_tools: debians_tools(args), bench: args.fxbench };
    let mut files = if args.endure { endure::build(paths)? } else { Vec::new() };
    let ours = matches!(tools, Some("ferroxen" | "both"));
    if ours {
        files.extend(own_tools::build(paths)?);
    }
    let debians = contents.xen_tools.is_some();
    // Without any here, a root file system starts its own.
    let daemons = (ours || debians || args.daemons.is_some()).then(|| Daemons::choose(args.daemons, ours, debians));
    let daemons = daemons.transpose()?;
    if args.guests {
        files.extend(initramfs::guest_files(paths, &kernel, args.fxbench)?);
    }
    if args.fio {
        files.push(("guests/fio.cpio".to_owned(), initramfs::fio(paths)?));
    }
    for pair in &args.file {
        let (guest, host) = pair.split_once('=').context("--file wants GUEST=HOST")?;
        files.push((guest.to_owned(), PathBuf::from(host)));
    }
    let terminal = if args.exec.is_none() { terminal_size() } else { None };
    let root = args.rootfs.map(|_| rootfs::LABEL);
    let orders = Orders { exec: args.exec.clone(), terminal, files, root, daemons, welcome: args.welcome };
    let base = initramfs::base(paths, &kernel, contents)?;
    initramfs::compose(&base, &orders, contents, &dir.path.join("initrd"))?;
    Ok(kernel)
}

/// Options that Debian's Xen 4.17 needs under QEMU's TCG for guests beside dom0: where it restores XSAVE state only at a vcpu's
/// first use (its default on AMD), programs of both compute wrongly and die (`lab/README.md`).
const XEN_ON_TCG: &str = "spec-ctrl=eager-fpu";

/// Options for a hypervisor that is to run guests, with those that it needs here.
pub fn for_guests(hypervisor: &Hypervisor, options_given: &str) -> String {
    if *hypervisor == Hypervisor::Xen { options(&[XEN_ON_TCG, options_given]) } else { options_given.to_owned() }
}

fn xen_options(args: &BootArgs, cpus: u32) -> String {
    let console = "com1=115200,8n1 console=com1 loglvl=all guest_loglvl=all";
    let dom0 = if args.guest.is_some() { 128 } else { (args.memory / 2).clamp(256, 1024) };
    format!("dom0_mem={dom0}M,max:{dom0}M dom0_max_vcpus={cpus} {console}")
}

fn options(parts: &[&str]) -> String {
    let words: Vec<&str> = parts.iter().flat_map(|part| part.split_whitespace()).collect();
    words.join(" ")
}

fn log_file(paths: &Paths, args: &BootArgs) -> Result<PathBuf> {
    match &args.log {
        Some(file) => Ok(std::path::absolute(file)?),
        None => {
            let dir = paths.target.join("boot");
            fs::create_dir_all(&dir)?;
            Ok(dir.join("console.log"))
        }
    }
}

/// Rows and columns of our terminal, if there is one.
fn terminal_size() -> Option<(u16, u16)> {
    let text = Command::new("stty").arg("size").stdin(Stdio::inherit()).stderr(Stdio::null()).output().ok()?.stdout;
    let text = String::from_utf8(text).ok()?;
    let (rows, cols) = text.trim().split_once(' ')?;
    let size = (rows.parse().ok()?, cols.parse().ok()?);
    (size != (0, 0)).then_some(size)
}

/// A folder for one boot, with names that QEMU's `-initrd` can hold (no comma, no blank).
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> Result<Self> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ferroxen-boot-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path })
    }

    fn link(&self, file: &Path, name: &str) -> Result<()> {
        let file = fs::canonicalize(file).with_context(|| format!("no file {}", file.display()))?;
        std::os::unix::fs::symlink(file, self.path.join(name))?;
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
