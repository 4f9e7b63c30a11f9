//! What the lab's machines are made of: the parts that `./x boot` uses.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use ferroxen_lab::host::{Host, Order, Prepared};
use ferroxen_lab::machine::{self, Machine, Net};

use crate::boot::{self, BootArgs, Bus, Chipset, Hypervisor, Symbols};
use crate::build;
use crate::paths::Paths;

/// The lab's host.
pub struct LabHost<'a> {
    paths: &'a Paths,
    /// Our hypervisor, built once for a run. The lock also keeps two machines from making one image.
    ours: Mutex<Option<PathBuf>>,
}

impl<'a> LabHost<'a> {
    /// With the parts of a checkout.
    pub fn new(paths: &'a Paths) -> Self {
        Self { paths, ours: Mutex::new(None) }
    }
}

impl Host for LabHost<'_> {
    fn prepare(&self, machine: &Machine, order: &Order) -> Result<Prepared> {
        let mut ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner);
        let mut args = arguments(machine, order)?;
        for disk in args.disk.iter_mut().filter(|disk| disk.as_os_str() == EMPTY) {
            *disk = self.empty_disk()?;
        }
        if args.hypervisor == Hypervisor::Ferroxen {
            let built = match ours.take() {
                Some(built) => built,
                None => build::hypervisor(self.paths)?,
            };
            args.hypervisor = Hypervisor::File(ours.insert(built).clone());
        }
        let (command, files) = boot::command(self.paths, &args)?;
        Ok(Prepared { command, keep: Box::new(files) })
    }

    fn machines(&self) -> PathBuf {
        self.paths.root.join("lab/lab/machines")
    }

    fn explain(&self, line: &str) -> String {
        if !line.contains("[<") {
            return line.to_owned();
        }
        Symbols::read(&self.paths.debug_symbols()).explain(line)
    }

    fn runs(&self) -> PathBuf {
        self.paths.target.join("lab")
    }

    fn symbols(&self) -> PathBuf {
        self.paths.debug_symbols()
    }
}

/// The name of a disk that nothing was written to.
const EMPTY: &str = "empty";

impl LabHost<'_> {
    /// A sparse file of 64 MiB; machines throw away what they write.
    fn empty_disk(&self) -> Result<PathBuf> {
        let file = self.runs().join("empty.img");
        std::fs::create_dir_all(self.runs())?;
        std::fs::File::create(&file).and_then(|disk| disk.set_len(64 << 20)).context("cannot make an empty disk")?;
        Ok(file)
    }
}

/// A machine of the lab as `./x boot` is told.
fn arguments(machine: &Machine, order: &Order) -> Result<BootArgs> {
    let mut args = BootArgs {
        hypervisor: machine.hypervisor.parse().unwrap_or(Hypervisor::Ferroxen),
        kernel: machine.kernel.parse().unwrap_or(crate::setup::KernelChoice::Debian61),
        uncompressed: machine.uncompressed,
        machine: match machine.chipset {
            machine::Chipset::Pc => Chipset::Pc,
            machine::Chipset::Q35 => Chipset::Q35,
        },
        cpus: Some(machine.cpus),
        memory: machine.memory,
        cpu: machine.cpu.clone(),
        icount: machine.icount,
        cmdline: machine.hypervisor_options.clone(),
        dom0_cmdline: machine.kernel_options.clone(),
        tools: machine.tools.then(|| "debian".to_owned()),
        exec: order.exec.clone(),
        qemu: order.qemu.clone(),
        replay: order.replay.clone(),
        ..BootArgs::default()
    };
    for disk in &machine.disks {
        match disk.image.as_str() {
            "rootfs" => args.rootfs = Some(bus(&disk.bus)?),
            // `./x boot` has its own disks on virtio only.
            image if disk.bus == "virtio" => args.disk.push(PathBuf::from(image)),
            image => bail!("disk {image}: only `rootfs` can be on the bus {}", disk.bus),
        }
    }
    let mut user = machine.nics.iter().filter(|nic| nic.net == Net::User);
    args.nic = user.next().map(|nic| nic.model.clone());
    if user.next().is_some() {
        bail!("a machine has one card on QEMU's own network at most");
    }
    Ok(args)
}

fn bus(name: &str) -> Result<Bus> {
    use clap::ValueEnum;
    Bus::from_str(name, true).ok().with_context(|| format!("no bus {name}: there are virtio, ahci and ide"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_becomes_what_boot_is_told() {
        let machine = Machine::parse(
            "chipset = \"q35\"\ncpus = 2\nmemory = 6144\nhypervisor = \"xen\"\n[[disks]]\nimage = \"rootfs\"\nbus = \"ahci\"\n\
             [[nics]]\nmodel = \"e1000\"\n[[nics]]\nmodel = \"igb\"\nnet = \"lan\"\n",
        )
        .unwrap();
        let args = arguments(&machine, &Order { exec: Some("true".to_owned()), ..Order::default() }).unwrap();
        assert_eq!((args.hypervisor, args.machine, args.cpus), (Hypervisor::Xen, Chipset::Q35, Some(2)));
        assert_eq!((args.rootfs, args.nic.as_deref()), (Some(Bus::Ahci), Some("e1000")));
        assert_eq!(args.exec.as_deref(), Some("true"));
    }

    #[test]
    fn a_bus_that_is_not_there_is_named() {
        let machine = Machine::parse("[[disks]]\nimage = \"rootfs\"\nbus = \"scsi\"\n").unwrap();
        assert!(arguments(&machine, &Order::default()).unwrap_err().to_string().contains("scsi"));
    }
}
