//! What is plugged in behind devices: loop devices, interfaces in bridges, processes that serve images. A seam, so that a test
//! can do without them, and kill between two of them.

use crate::{Error, Result};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use xen_sys::{Interface, LoopDevice};

/// How long netback has to make an interface.
const INTERFACE_PATIENCE: Duration = Duration::from_secs(20);

/// Domain 0's side of devices.
pub trait Hotplug {
    /// Puts a free loop device over a file. `chosen` hears which, before it is taken; it may be called again with another.
    ///
    /// # Errors
    /// The kernel's; what `chosen` gives.
    fn attach_loop(
        &self,
        file: &Path,
        read_only: bool,
        chosen: &mut dyn FnMut(&Path) -> io::Result<()>,
    ) -> io::Result<PathBuf>;

    /// Takes a loop device off its file, if it has one.
    ///
    /// # Errors
    /// The kernel's.
    fn detach_loop(&self, device: &Path) -> io::Result<()>;

    /// The file under a loop device.
    fn loop_file(&self, device: &Path) -> Option<PathBuf>;

    /// Major and minor number of a block device.
    ///
    /// # Errors
    /// The kernel's.
    fn device_numbers(&self, device: &Path) -> io::Result<(u32, u32)>;

    /// Starts the process that serves a disk; it ends by itself when the device is taken away.
    ///
    /// # Errors
    /// It cannot be started.
    fn serve_image(&self, domid: u16, number: u32) -> Result<()>;

    /// Whether there is such a bridge.
    fn is_bridge(&self, name: &str) -> bool;

    /// Waits for an interface that netback is about to make.
    fn await_interface(&self, name: &str);

    /// Gives an interface its name and packet size, and puts it into a bridge, switched on.
    ///
    /// # Errors
    /// The kernel's.
    fn plug_interface(&self, name: &str, rename: Option<&str>, mtu: Option<u32>, bridge: &str) -> io::Result<()>;
}

/// This kernel's.
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelHotplug;

impl Hotplug for KernelHotplug {
    fn attach_loop(
        &self,
        file: &Path,
        read_only: bool,
        chosen: &mut dyn FnMut(&Path) -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        LoopDevice::attach(file, read_only, chosen).map(|device| device.path)
    }

    fn detach_loop(&self, device: &Path) -> io::Result<()> {
        LoopDevice::detach(device)
    }

    fn loop_file(&self, device: &Path) -> Option<PathBuf> {
        LoopDevice::file_of(device)
    }

    fn device_numbers(&self, device: &Path) -> io::Result<(u32, u32)> {
        Ok(xen_sys::device_numbers(std::fs::metadata(device)?.rdev()))
    }

    fn serve_image(&self, domid: u16, number: u32) -> Result<()> {
        let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("blkback")));
        let program = beside.filter(|path| path.exists()).unwrap_or_else(|| "blkback".into());
        let log = std::fs::create_dir_all("/var/log/xen")
            .and_then(|()| File::options().create(true).append(true).open("/var/log/xen/blkback.log"));
        let status = Command::new(&program)
            .args(["--detach", &domid.to_string(), &number.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.map_or_else(|_| Stdio::null(), Stdio::from))
            .status()
            .map_err(Error::io(format!("cannot run {}", program.display())))?;
        if status.success() { Ok(()) } else { Err(Error::Failed(format!("{} ended with {status}", program.display()))) }
    }

    fn is_bridge(&self, name: &str) -> bool {
        Interface::named(name).is_bridge()
    }

    fn await_interface(&self, name: &str) {
        let (interface, deadline) = (Interface::named(name), Instant::now() + INTERFACE_PATIENCE);
        while !interface.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn plug_interface(&self, name: &str, rename: Option<&str>, mtu: Option<u32>, bridge: &str) -> io::Result<()> {
        let mut interface = Interface::named(name);
        if let Some(name) = rename {
            interface.rename(name)?;
        }
        if let Some(mtu) = mtu {
            interface.set_mtu(mtu)?;
        }
        Interface::named(bridge).add_port(&interface)?;
        interface.set_up(true)
    }
}
