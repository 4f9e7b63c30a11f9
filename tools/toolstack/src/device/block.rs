//! Disks: xen-blkback over a block device, or over a loop device over a file; or a process of ours over an image.

use crate::config::disk::{BlockBackend, Format};
use crate::paths::DevicePaths;
use crate::work::{Note, Work};
use crate::{Disk, Error, Host, Result};
use serde::Serialize;
use std::fs::File;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;
use xenctl::Hypercalls;
use xenstore::Access as _;

/// A disk of a domain, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockInfo {
    /// Its number.
    pub vdev: u32,
    /// The backend's domain.
    pub backend_domid: u16,
    /// What Xen's tools show as the handle: the guest's number.
    pub handle: u32,
    /// The frontend's state.
    pub state: u32,
    /// The guest's event channel.
    pub event_channel: i64,
    /// The guest's grant of its ring.
    pub ring_ref: i64,
    /// The backend in xenstore.
    pub backend_path: String,
    /// What is behind it.
    pub target: String,
    /// Its name in the guest.
    pub name: String,
}

impl<H: Hypercalls> Host<H> {
    fn wrong_disk(disk: &Disk, why: impl Into<String>) -> Error {
        Error::Disk { vdev: disk.vdev.clone(), target: disk.target.clone(), why: why.into() }
    }

    /// Whether the target is there, can be opened as the disk wants it, and is free.
    pub(crate) fn check_disk(&mut self, disk: &Disk) -> Result<()> {
        if disk.target.is_empty() {
            return Ok(());
        }
        let path = Path::new(&disk.target);
        let meta = std::fs::metadata(path).map_err(|error| Self::wrong_disk(disk, error.to_string()))?;
        if !meta.is_file() && !meta.file_type().is_block_device() {
            return Err(Self::wrong_disk(disk, "it is neither a block device nor a file"));
        }
        File::options()
            .read(true)
            .write(!disk.read_only)
            .open(path)
            .map_err(|error| Self::wrong_disk(disk, error.to_string()))?;
        if !disk.read_only
            && let Some(user) = self.user_of_disk(&disk.target)?
        {
            return Err(Self::wrong_disk(
                disk,
                format!("it is in use by domain {user}: detach it there, or use access=r"),
            ));
        }
        Ok(())
    }

    /// The backends of all disks, with their domains.
    fn disk_backends(&mut self) -> Result<Vec<(String, String)>> {
        let mut all = Vec::new();
        for root in ["/local/domain/0/backend/vbd", "/local/domain/0/backend/qdisk"] {
            let domains = match self.xs.list(root) {
                Err(error) if error.is_not_found() => continue,
                other => other?,
            };
            for domid in domains {
                let numbers = self.xs.list(&format!("{root}/{domid}")).unwrap_or_default();
                all.extend(numbers.iter().map(|number| (domid.clone(), format!("{root}/{domid}/{number}"))));
            }
        }
        Ok(all)
    }

    /// The domain that may write to a target.
    fn user_of_disk(&mut self, target: &str) -> Result<Option<String>> {
        let wanted = std::fs::canonicalize(target).unwrap_or_else(|_| target.into());
        for (domid, at) in self.disk_backends()? {
            let used = self.node(&format!("{at}/ferroxen-target"))?;
            let used = if used.is_empty() { self.node(&format!("{at}/params"))? } else { used };
            let used = std::fs::canonicalize(&used).unwrap_or_else(|_| used.into());
            if used == wanted && self.node(&format!("{at}/mode"))? != "r" {
                return Ok(Some(domid));
            }
        }
        Ok(None)
    }

    /// Whether a loop device is some disk's.
    pub(crate) fn knows_loop(&mut self, device: &Path) -> Result<bool> {
        for (_, at) in self.disk_backends()? {
            if Path::new(&self.node(&format!("{at}/ferroxen-loop"))?) == device {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Plugs a disk in: the backend finds it, the guest may connect. The note knows of what nobody else knows of yet.
    pub(crate) fn attach_disk(&mut self, domid: u16, disk: &Disk, note: &mut Note) -> Result<()> {
        let number = disk.number();
        self.renote(note, &Work::Attach { kind: "vbd".to_owned(), number, looped: None })?;
        if disk.backend == BlockBackend::Qdisk {
            self.write_qdisk(domid, disk)?;
            return self.hotplug.serve_image(domid, disk.number());
        }
        let meta = std::fs::metadata(&disk.target).map_err(|error| Self::wrong_disk(disk, error.to_string()))?;
        let (device, looped) = if meta.is_file() {
            let file = std::fs::canonicalize(&disk.target).unwrap_or_else(|_| disk.target.clone().into());
            let mut chosen = |device: &Path| {
                let looped = Some((device.to_owned(), file.clone()));
                note.becomes(&Work::Attach { kind: "vbd".to_owned(), number, looped })
            };
            let looped = self
                .hotplug
                .attach_loop(&file, disk.read_only, &mut chosen)
                .map_err(|error| Self::wrong_disk(disk, format!("no loop device: {error}")))?;
            (looped.display().to_string(), true)
        } else {
            (disk.target.clone(), false)
        };
        let attached = self.write_disk(domid, disk, &device, looped);
        if attached.is_err() && looped {
            // Nobody knows of it otherwise.
            let _ = self.hotplug.detach_loop(Path::new(&device));
        }
        attached
    }

    fn write_disk(&mut self, domid: u16, disk: &Disk, device: &str, looped: bool) -> Result<()> {
        let numbers = self.hotplug.device_numbers(Path::new(device));
        let (major, minor) = numbers.map_err(|error| Self::wrong_disk(disk, error.to_string()))?;
        let kind = if disk.cdrom { "cdrom" } else { "disk" };
        let front = [("virtual-device", disk.number().to_string()), ("device-type", kind.to_owned())];
        let mut back = vec![
            ("removable", if disk.cdrom { "1" } else { "0" }.to_owned()),
            ("bootable", "1".to_owned()),
            ("dev", disk.vdev.clone()),
            ("type", "phy".to_owned()),
            ("mode", if disk.read_only { "r" } else { "w" }.to_owned()),
            ("device-type", kind.to_owned()),
            ("discard-enable", if disk.discard { "1" } else { "0" }.to_owned()),
            ("params", device.to_owned()),
            ("physical-device-path", device.to_owned()),
            ("physical-device", format!("{major:x}:{minor:x}")),
            ("hotplug-status", "connected".to_owned()),
            ("ferroxen-target", disk.target.clone()),
        ];
        if looped {
            back.push(("ferroxen-loop", device.to_owned()));
        }
        self.write_device(domid, "vbd", disk.number(), &front, &back)
    }

    /// As libxl writes it for QEMU.
    fn write_qdisk(&mut self, domid: u16, disk: &Disk) -> Result<()> {
        let format = if disk.format == Format::Qcow2 { "qcow2" } else { "aio" };
        let kind = if disk.cdrom { "cdrom" } else { "disk" };
        // What serves it looks at it from another folder.
        let target = std::path::absolute(&disk.target).map_err(|error| Self::wrong_disk(disk, error.to_string()))?;
        let front = [("virtual-device", disk.number().to_string()), ("device-type", kind.to_owned())];
        let back = [
            ("removable", if disk.cdrom { "1" } else { "0" }.to_owned()),
            ("bootable", "1".to_owned()),
            ("dev", disk.vdev.clone()),
            ("type", "qdisk".to_owned()),
            ("mode", if disk.read_only { "r" } else { "w" }.to_owned()),
            ("device-type", kind.to_owned()),
            ("discard-enable", if disk.discard { "1" } else { "0" }.to_owned()),
            ("params", format!("{format}:{}", target.display())),
            ("hotplug-status", "connected".to_owned()),
            ("ferroxen-target", disk.target.clone()),
        ];
        self.write_device(domid, "qdisk", disk.number(), &front, &back)
    }

    pub(crate) fn unplug_disk(&mut self, at: &DevicePaths) -> Result<()> {
        let looped = self.node(&format!("{}/ferroxen-loop", at.back))?;
        if looped.starts_with("/dev/loop") {
            self.hotplug.detach_loop(Path::new(&looped)).map_err(Error::io(format!("cannot take down {looped}")))?;
        }
        Ok(())
    }

    /// Plugs a disk into a running domain.
    ///
    /// # Errors
    /// It is there already; its target's; the backend's.
    pub fn block_attach(&mut self, domid: u16, disk: &Disk) -> Result<()> {
        self.noted_attach(domid, "vbd", |host, note| {
            if host.devices(domid, "vbd")?.contains(&disk.number()) {
                return Err(Self::wrong_disk(disk, format!("domain {domid} has one of that name already")));
            }
            host.check_disk(disk)?;
            host.attach_disk(domid, disk, note)?;
            let ready = host.wait_for_backend(domid, "vbd", disk.number(), Duration::from_secs(20));
            if ready.is_err() {
                host.undo_attach(domid, "vbd", disk.number())?;
            }
            ready
        })
    }

    /// Takes a disk out of a domain; at once and without asking the guest if `force`.
    ///
    /// # Errors
    /// There is no such disk; the guest does not let go of it.
    pub fn block_detach(&mut self, domid: u16, device: &str, force: bool) -> Result<()> {
        let missing = || Error::NoDevice { domain: domid.to_string(), kind: "block", device: device.to_owned() };
        let number = crate::config::disk::vdev_number(device).ok_or_else(missing)?;
        if !self.devices(domid, "vbd")?.contains(&number) {
            return Err(missing());
        }
        self.take_out(domid, "vbd", number, device, force)
    }

    /// All disks of a domain.
    ///
    /// # Errors
    /// The store's.
    pub fn disks_of(&mut self, domid: u16) -> Result<Vec<BlockInfo>> {
        let mut all = Vec::new();
        for vdev in self.devices(domid, "vbd")? {
            let at = self.device_paths(domid, "vbd", vdev)?;
            let target = self.node(&format!("{}/ferroxen-target", at.back))?;
            let params = self.node(&format!("{}/params", at.back))?;
            all.push(BlockInfo {
                vdev,
                backend_domid: 0,
                handle: domid.into(),
                state: self.device_state(&at.front)?,
                event_channel: self.node(&format!("{}/event-channel", at.front))?.parse().unwrap_or(-1),
                ring_ref: self.node(&format!("{}/ring-ref", at.front))?.parse().unwrap_or(-1),
                target: if target.is_empty() { params } else { target },
                name: self.node(&format!("{}/dev", at.back))?,
                backend_path: at.back,
            });
        }
        Ok(all)
    }
}
