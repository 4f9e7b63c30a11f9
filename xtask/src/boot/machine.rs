//! A machine as data, and the command line of QEMU that makes it.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use ferroxen_lab::host::{Replay, qemu_path};

use crate::setup::{Ovmf, Qemu};

/// QEMU's chipset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Chipset {
    // i440FX, IDE
    Pc,
    // ICH9, AHCI, PCI Express
    Q35,
}

/// How a disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Bus {
    // virtio-blk on PCI
    Virtio,
    // An AHCI controller: the chipset's own (q35) or a card (pc)
    Ahci,
    // The chipset's IDE (pc only)
    Ide,
}

/// A disk image; writes to a raw one are thrown away.
#[derive(Debug, Clone)]
pub struct Disk {
    /// The image.
    pub file: PathBuf,
    /// It is qcow2 and keeps what is written: a replay needs its snapshots.
    pub qcow2: bool,
    /// How it is attached.
    pub bus: Bus,
}

/// Where the console goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// Our terminal, both ways.
    Terminal,
    /// Standard output, to be read by us.
    Piped,
}

/// What a machine starts.
#[derive(Debug, Clone)]
pub enum Start {
    /// QEMU itself loads it.
    Kernel {
        /// What `-kernel` loads.
        kernel: PathBuf,
        /// Its command line.
        append: String,
        /// `-initrd` as QEMU reads it: modules with their command lines, separated by `,`.
        initrd: Option<String>,
    },
    /// A boot loader on a CD does.
    Cd {
        /// The image.
        image: PathBuf,
        /// UEFI instead of a BIOS, with its variables in this (writable) file.
        uefi: Option<(Ovmf, PathBuf)>,
    },
    /// The boot loader on the first disk does, again after each reset.
    Disk {
        /// As above.
        uefi: Option<(Ovmf, PathBuf)>,
    },
}

/// Everything QEMU is told.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The chipset.
    pub chipset: Chipset,
    /// CPUs.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory: u32,
    /// Count instructions: one is one nanosecond of guest time.
    pub icount: bool,
    /// Record or replay.
    pub replay: Option<Replay>,
    /// Wait for a debugger on TCP port 1234.
    pub gdb: bool,
    /// QEMU's `-cpu`.
    pub cpu: String,
    /// What is started, and how.
    pub start: Start,
    /// Disks, in the order in which they are found.
    pub disks: Vec<Disk>,
    /// A user-mode network with this model of card.
    pub nic: Option<String>,
    /// More arguments, as they are.
    pub more: Vec<String>,
    /// Where the console goes.
    pub console: Console,
    /// A copy of the console, for a terminal.
    pub log: PathBuf,
}

impl Machine {
    /// QEMU's command line; it runs in `dir`, where the names in `initrd` are.
    pub fn command(&self, qemu: &Qemu, dir: &Path) -> Command {
        let mut cmd = qemu.command();
        cmd.current_dir(dir);
        let chipset = match self.chipset {
            Chipset::Pc => "pc",
            Chipset::Q35 => "q35",
        };
        cmd.args(["-machine", chipset, "-accel", "tcg", "-cpu", &self.cpu]);
        cmd.args(["-smp", &self.cpus.to_string(), "-m", &self.memory.to_string()]);
        cmd.args(["-display", "none"]);
        if !matches!(self.start, Start::Disk { .. }) {
            cmd.arg("-no-reboot");
        }
        match self.console {
            Console::Terminal => {
                let log = self.log.to_string_lossy().replace(',', ",,");
                cmd.args(["-echr", "0x1d", "-chardev"]);
                cmd.arg(format!("stdio,id=con,mux=on,signal=off,logfile={log}"));
                cmd.args(["-serial", "chardev:con", "-mon", "chardev=con,mode=readline"]);
            }
            Console::Piped => {
                cmd.args(["-serial", "stdio", "-monitor", "none"]);
            }
        }
        match &self.replay {
            Some(replay) => {
                let mode = if replay.record { "record" } else { "replay" };
                let mut icount = format!("shift=7,rr={mode},rrfile={}", qemu_path(&replay.file));
                if let Some(image) = &replay.snapshot {
                    icount += ",rrsnapshot=init";
                    cmd.args(["-drive", &format!("file={},format=qcow2,if=none,id=rr", qemu_path(image))]);
                }
                cmd.args(["-icount", &icount]);
            }
            None if self.icount => {
                cmd.args(["-icount", "shift=0,sleep=off"]);
            }
            None => {}
        }
        if self.gdb {
            cmd.args(["-gdb", "tcp:127.0.0.1:1234", "-S"]);
        }
        match &self.nic {
            // `-nic` would give virtio-net no vectors, so no MSI-X.
            Some(model) => cmd.args(["-netdev", "user,id=net0", "-device", &format!("{model},netdev=net0")]),
            None => cmd.args(["-nic", "none"]),
        };
        if self.nic.is_some() && self.replay.is_some() {
            cmd.args(["-object", "filter-replay,id=replay,netdev=net0"]);
        }
        for (number, disk) in self.disks.iter().enumerate() {
            let file = disk.file.to_string_lossy().replace(',', ",,");
            let format = if disk.qcow2 { "format=qcow2" } else { "format=raw,snapshot=on" };
            cmd.args(["-drive", &format!("file={file},{format},if=none,id=disk{number}")]);
            let drive = if self.replay.is_some() {
                cmd.args(["-drive", &format!("driver=blkreplay,if=none,image=disk{number},id=replayed{number}")]);
                format!("replayed{number}")
            } else {
                format!("disk{number}")
            };
            let device = match (disk.bus, self.chipset) {
                (Bus::Virtio, _) => format!("virtio-blk-pci,drive={drive}"),
                (Bus::Ahci, Chipset::Q35) | (Bus::Ide, _) => format!("ide-hd,drive={drive}"),
                (Bus::Ahci, Chipset::Pc) => {
                    cmd.args(["-device", &format!("ahci,id=ahci{number}")]);
                    format!("ide-hd,drive={drive},bus=ahci{number}.0")
                }
            };
            cmd.args(["-device", &device]);
        }
        match &self.start {
            Start::Kernel { kernel, append, initrd } => {
                cmd.arg("-kernel").arg(kernel).args(["-append", append]);
                if let Some(initrd) = initrd {
                    cmd.args(["-initrd", initrd]);
                }
            }
            Start::Disk { uefi } => flash(&mut cmd, uefi.as_ref()),
            Start::Cd { image, uefi } => {
                flash(&mut cmd, uefi.as_ref());
                cmd.args(["-drive", &format!("if=none,id=cd,format=raw,readonly=on,file={}", drive(image))]);
                // Firmware reads a SCSI CD much faster than one on IDE.
                cmd.args(["-device", "virtio-scsi-pci,id=scsi", "-device", "scsi-cd,drive=cd,bus=scsi.0,bootindex=0"]);
            }
        }
        cmd.args(&self.more);
        cmd
    }
}

/// A file as a value of `-drive`.
fn drive(file: &Path) -> String {
    file.to_string_lossy().replace(',', ",,")
}

/// The flash memory that UEFI and its variables are in.
fn flash(cmd: &mut Command, uefi: Option<&(Ovmf, PathBuf)>) {
    if let Some((ovmf, variables)) = uefi {
        cmd.args(["-drive", &format!("if=pflash,unit=0,format=raw,readonly=on,file={}", drive(&ovmf.code))]);
        cmd.args(["-drive", &format!("if=pflash,unit=1,format=raw,file={}", drive(variables))]);
    }
}

/// The CPU model that works: with x2APIC, QEMU under `-icount` dies of `Bad icount read`.
pub fn default_cpu(icount: bool) -> &'static str {
    if icount { "max,-x2apic" } else { "max" }
}
