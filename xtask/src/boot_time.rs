//! `./x boot-time`: instructions from a hypervisor's first to dom0's first, on Debian's Xen and on Ferroxen.
//!
//! The machine counts instructions (`-icount`: one is one nanosecond, and one tick of its TSC), and two runs of it are the
//! same. QEMU's gdb stub stops the first at one place and the second at the other, where RDTSC is executed in place of
//! what is there.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use object::{Object, ObjectSection};

use crate::boot::{self, BootArgs, Hypervisor};
use crate::build;
use crate::kernel_image;
use crate::paths::Paths;
use crate::setup::{KernelChoice, Parts};
use crate::ui;

/// What `./x boot-time` is told.
#[derive(Debug, Args)]
pub struct BootTimeArgs {
    /// Only the uncompressed kernel: unpacking XZ under emulation takes its minutes
    #[arg(long)]
    uncompressed: bool,
    /// Only Ferroxen
    #[arg(long)]
    ours: bool,
    /// Seconds for one machine
    #[arg(long, default_value_t = 900, value_name = "S")]
    timeout: u64,
}

/// The most that ours may take, as a part of what Xen takes (issue 2, section 5).
const LIMITS: [(bool, f64); 2] = [(true, 0.5), (false, 1.0)];

/// `./x boot-time`. Fails if a limit is broken.
pub fn main(paths: &Paths, args: &BootTimeArgs) -> Result<i32> {
    let ours = build::hypervisor(paths)?;
    let xen = if args.ours { None } else { Some(Parts::new(paths).xen()?) };
    println!("Instructions from the hypervisor's first to dom0's first; 4 GiB, 1 CPU, Linux 6.1, all log levels\n");
    println!("| dom0's kernel | Xen 4.17 | Ferroxen | ratio | at most |");
    println!("|---|---|---|---|---|");
    let mut status = 0;
    for (uncompressed, limit) in LIMITS {
        if args.uncompressed && !uncompressed {
            continue;
        }
        let kernel = if uncompressed { "uncompressed" } else { "bzImage, XZ" };
        let mine = measure(paths, args, &ours, uncompressed)?;
        let Some(xen) = &xen else {
            println!("| {kernel} | | {mine} | | |");
            continue;
        };
        let theirs = measure(paths, args, xen, uncompressed)?;
        let ratio = mine as f64 / theirs as f64;
        println!("| {kernel} | {theirs} | {mine} | {ratio:.3} | {limit} |");
        if ratio > limit {
            status = 1;
        }
    }
    Ok(status)
}

fn measure(paths: &Paths, args: &BootTimeArgs, hypervisor: &Path, uncompressed: bool) -> Result<u64> {
    let kernel = Parts::new(paths).kernel(&KernelChoice::Debian61)?;
    let first = elf_entry(hypervisor)?;
    let dom0 = xen_entry(&kernel_image::vmlinux(paths, &kernel)?)?;
    ui::step(format!("{}, {}", hypervisor.display(), if uncompressed { "uncompressed kernel" } else { "bzImage" }));
    let start = clock_at(paths, args, hypervisor, uncompressed, first)?;
    let end = clock_at(paths, args, hypervisor, uncompressed, dom0)?;
    end.checked_sub(start).context("the clock went backwards")
}

/// The TSC of a machine when it first comes to `address`.
fn clock_at(paths: &Paths, args: &BootTimeArgs, hypervisor: &Path, uncompressed: bool, address: u64) -> Result<u64> {
    let socket = std::env::temp_dir().join(format!("ferroxen-gdb-{}", std::process::id()));
    let _ = fs::remove_file(&socket);
    let debugger = {
        let (socket, patience) = (socket.clone(), Duration::from_secs(args.timeout));
        thread::spawn(move || {
            let mut gdb = Gdb::connect(&socket, patience)?;
            let ticks = gdb.tsc_at(address);
            gdb.kill()?;
            ticks
        })
    };
    let gdb = format!("unix:{},server=on,wait=off", socket.display());
    let log = paths.target.join("boot/boot-time.log");
    let boot = BootArgs {
        hypervisor: Hypervisor::File(hypervisor.to_owned()),
        uncompressed,
        icount: true,
        cpus: Some(1),
        qemu: vec!["-gdb".into(), gdb, "-S".into()],
        timeout: args.timeout,
        exec: Some("true".to_owned()),
        log: Some(log.clone()),
        ..BootArgs::default()
    };
    fs::create_dir_all(paths.target.join("boot"))?;
    let outcome = boot::quiet(paths, &boot);
    let ticks = debugger.join().map_err(|_| anyhow::anyhow!("the debugger's thread died"))?;
    let _ = fs::remove_file(&socket);
    outcome?;
    ticks.with_context(|| format!("no figure; console: {}", log.display()))
}

/// Where QEMU's Multiboot starts this file.
fn elf_entry(file: &Path) -> Result<u64> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(object::File::parse(&*bytes)?.entry())
}

/// `XEN_ELFNOTE_ENTRY` of a kernel.
fn xen_entry(vmlinux: &PathBuf) -> Result<u64> {
    const ENTRY: u32 = 1;
    let bytes = fs::read(vmlinux).with_context(|| format!("cannot read {}", vmlinux.display()))?;
    let file = object::File::parse(&*bytes)?;
    let section = file.section_by_name(".notes").context("the kernel has no notes")?;
    let mut notes = section.data()?;
    while let Some((head, rest)) = notes.split_first_chunk::<12>() {
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (name, len) = ((word(0) as usize).next_multiple_of(4), word(4) as usize);
        let value = rest.get(name..name + len).context("a note is cut short")?;
        if word(8) == ENTRY && rest.starts_with(b"Xen\0") {
            return Ok(u64::from_le_bytes(value.try_into().context("an entry of 64 bits")?));
        }
        notes = rest.get(name + len.next_multiple_of(4)..).unwrap_or(&[]);
    }
    bail!("{} has no Xen entry", vmlinux.display())
}

/// QEMU's gdb stub ("GDB Remote Serial Protocol").
struct Gdb {
    stream: UnixStream,
}

impl Gdb {
    fn connect(socket: &Path, patience: Duration) -> Result<Self> {
        let start = Instant::now();
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(_) if start.elapsed() < Duration::from_secs(120) => thread::sleep(Duration::from_millis(100)),
                Err(err) => return Err(err).context("QEMU opens no debugger's socket"),
            }
        };
        stream.set_read_timeout(Some(patience))?;
        Ok(Self { stream })
    }

    /// Runs up to `address` and reads the clock there. The machine is of no use afterwards.
    fn tsc_at(&mut self, address: u64) -> Result<u64> {
        const RDTSC: &str = "0f31";
        self.ask(&format!("Z1,{address:x},1"))?;
        let stop = self.ask("c")?;
        if !stop.starts_with('T') && !stop.starts_with('S') {
            bail!("the machine did not come to {address:#x}: {stop}");
        }
        self.ask(&format!("z1,{address:x},1"))?;
        self.ask(&format!("M{address:x},2:{RDTSC}"))?;
        self.ask("s")?;
        let after = self.ask("g")?;
        // RAX is the first register, RDX the fourth.
        let word = |number: usize| -> Result<u64> {
            let digits = after.get(number * 16..number * 16 + 8).context("registers are cut short")?;
            Ok(u64::from(u32::from_str_radix(digits, 16)?.swap_bytes()))
        };
        Ok(word(3)? << 32 | word(0)?)
    }

    fn kill(&mut self) -> Result<()> {
        self.send("k")
    }

    fn send(&mut self, text: &str) -> Result<()> {
        let sum = text.bytes().fold(0u8, u8::wrapping_add);
        self.stream.write_all(format!("${text}#{sum:02x}").as_bytes())?;
        Ok(())
    }

    fn ask(&mut self, text: &str) -> Result<String> {
        self.send(text)?;
        let mut reply = Vec::new();
        let mut byte = [0];
        loop {
            self.stream.read_exact(&mut byte).context("the debugger's connection ended")?;
            match byte[0] {
                b'+' if reply.is_empty() => {}
                b'$' => reply.clear(),
                b'#' => break,
                other => reply.push(other),
            }
        }
        self.stream.read_exact(&mut [0; 2])?;
        self.stream.write_all(b"+")?;
        let reply = String::from_utf8(reply)?;
        if reply.starts_with('E') {
            bail!("the debugger's request {text:.20} is refused: {reply}");
        }
        Ok(reply)
    }
}
