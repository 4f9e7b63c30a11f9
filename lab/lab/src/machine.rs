//! A machine as data.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What a machine consists of; the TOML files in `machines/` are this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Machine {
    /// What makes it: `qemu` (TCG).
    pub emulator: Emulator,
    /// The chipset.
    pub chipset: Chipset,
    /// QEMU's `-cpu`, if not the usual one.
    pub cpu: Option<String>,
    /// CPUs.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory: u32,
    /// `ferroxen`, `xen`, `none`, or a file.
    pub hypervisor: String,
    /// More options for it.
    pub hypervisor_options: String,
    /// dom0's kernel: `6.1`, `6.12`, `5.10`, or a file.
    pub kernel: String,
    /// The kernel is unpacked on the host.
    pub uncompressed: bool,
    /// More options for the kernel.
    pub kernel_options: String,
    /// Debian's Xen tools are started in dom0.
    pub tools: bool,
    /// Count instructions: one takes a nanosecond of guest time, all CPUs share one thread.
    pub icount: bool,
    /// Disks, in the order in which they are found.
    pub disks: Vec<Disk>,
    /// Network cards.
    pub nics: Vec<Nic>,
}

/// What makes a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Emulator {
    /// QEMU without hardware virtualisation.
    Qemu,
}

/// QEMU's chipset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Chipset {
    /// i440FX.
    Pc,
    /// ICH9, PCI Express.
    Q35,
}

/// A disk; writes are thrown away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// `empty` (64 MiB of zeros), `rootfs` (Debian's root file system, from which dom0 then goes on), or a raw
    /// image's path.
    pub image: String,
    /// `virtio`, `ahci` or `ide`.
    #[serde(default = "virtio")]
    pub bus: String,
}

fn virtio() -> String {
    "virtio".to_owned()
}

/// A network card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    /// QEMU's name of the model.
    pub model: String,
    /// What it is plugged into.
    #[serde(default)]
    pub net: Net,
}

/// A network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Net {
    /// QEMU's own, with an address by DHCP.
    #[default]
    User,
    /// A cable between two machines of the scenario.
    Lan,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            emulator: Emulator::Qemu,
            chipset: Chipset::Pc,
            cpu: None,
            cpus: 1,
            memory: 1024,
            hypervisor: "ferroxen".to_owned(),
            hypervisor_options: String::new(),
            kernel: "6.1".to_owned(),
            uncompressed: true,
            kernel_options: String::new(),
            tools: false,
            icount: false,
            disks: Vec::new(),
            nics: Vec::new(),
        }
    }
}

impl Machine {
    /// Reads a description.
    ///
    /// # Errors
    ///
    /// If it is no TOML or describes something that is not there, with the line.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(toml::from_str(text)?)
    }

    /// Reads `NAME.toml` in `folder`.
    ///
    /// # Errors
    ///
    /// If there is none or it cannot be read.
    pub fn load(folder: &Path, name: &str) -> Result<Self> {
        let file = folder.join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&file).with_context(|| format!("no machine {}", file.display()))?;
        Self::parse(&text).with_context(|| file.display().to_string())
    }

    /// The description as a file.
    ///
    /// # Errors
    ///
    /// Never for what `parse` can read.
    pub fn to_toml(&self) -> Result<String> {
        Ok(toml::to_string(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_of_the_folder_is_read_and_written_back() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("machines");
        let mut count = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
            let machine = Machine::load(&folder, &name).unwrap();
            assert_eq!(Machine::parse(&machine.to_toml().unwrap()).unwrap(), machine, "{name}");
            count += 1;
        }
        assert!(count >= 6);
    }

    #[test]
    fn a_misspelt_key_is_an_error_that_names_it() {
        let err = Machine::parse("cpus = 1\nmemroy = 3").unwrap_err();
        assert!(err.to_string().contains("memroy"), "{err}");
    }
}
