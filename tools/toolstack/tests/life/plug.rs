//! Domain 0's kernel: loop devices and interfaces that are only told of, and backends that answer.

use crate::fate::{Blow, Fate, Killed};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use toolstack::{Hotplug, Result};
use xenstore::{Access as _, Xenstore};

/// What is plugged in, shared by all processes.
#[derive(Clone, Debug, Default)]
pub struct Dom0 {
    loops: Arc<Mutex<BTreeMap<PathBuf, PathBuf>>>,
    bridged: Arc<Mutex<BTreeMap<String, String>>>,
    torn: Arc<Mutex<Vec<String>>>,
}

impl Dom0 {
    /// Starts its backends over the store in `dir`.
    pub fn start(dir: &Path) -> Dom0 {
        let dom0 = Dom0::default();
        let (own, socket) = (dom0.clone(), dir.join("socket"));
        std::thread::spawn(move || {
            let Ok(mut xs) = Xenstore::open_socket(&socket) else { return };
            // Until the store goes.
            while own.answer(&mut xs).is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        dom0
    }

    /// One look at all backends.
    fn answer(&self, xs: &mut Xenstore) -> xenstore::Result<()> {
        let mut interfaces = Vec::new();
        for kind in ["vbd", "vif"] {
            let root = format!("/local/domain/0/backend/{kind}");
            let none_if_gone = |list: xenstore::Result<Vec<String>>| match list {
                Err(error) if error.is_not_found() => Ok(Vec::new()),
                other => other,
            };
            for domid in none_if_gone(xs.list(&root))? {
                for number in none_if_gone(xs.list(&format!("{root}/{domid}")))? {
                    let state = format!("{root}/{domid}/{number}/state");
                    let front = format!("/local/domain/{domid}/device/{kind}/{number}");
                    // InitWait after Initialising, Closed after Closing, in one step: the device may go meanwhile.
                    let answered = xs.transaction(|t| {
                        let Some(now) = t.read_if_there(&state)? else { return Ok(()) };
                        match &now[..] {
                            b"1" => t.write(&state, b"2"),
                            // The guest connects, and lets go.
                            b"2" if t.exists(&front)? => {
                                t.write(&format!("{front}/state"), b"4")?;
                                t.write(&state, b"4")
                            }
                            b"5" => {
                                let connects =
                                    t.read_if_there(&format!("{front}/state"))?.is_none_or(|now| now == b"1");
                                if connects {
                                    self.torn.lock().unwrap().push(front.clone());
                                } else {
                                    t.write(&format!("{front}/state"), b"6")?;
                                }
                                t.write(&state, b"6")
                            }
                            _ => Ok(()),
                        }
                    });
                    answered?;
                    if kind == "vif" {
                        interfaces.push(format!("vif{domid}.{number}"));
                    }
                }
            }
        }
        // An interface goes with its device.
        self.bridged.lock().unwrap().retain(|name, _| interfaces.contains(name));
        Ok(())
    }

    /// A line for each thing.
    pub fn plugged(&self) -> Vec<String> {
        let loops = self.loops.lock().unwrap();
        let bridged = self.bridged.lock().unwrap();
        let loops = loops.iter().map(|(device, file)| format!("{} over {}", device.display(), file.display()));
        loops.chain(bridged.iter().map(|(name, bridge)| format!("{name} in {bridge}"))).collect()
    }

    /// Devices that were to close, or whose guest's half went, while a guest could still be connecting to them.
    pub fn torn(&self) -> Vec<String> {
        self.torn.lock().unwrap().clone()
    }

    pub fn as_seen_by(&self, fate: &Arc<Fate>) -> Seen {
        Seen { dom0: self.clone(), fate: fate.clone() }
    }
}

/// The same for a process with a fate: each call is a step.
pub struct Seen {
    dom0: Dom0,
    fate: Arc<Fate>,
}

impl Seen {
    fn step(&self) -> io::Result<()> {
        match self.fate.step() {
            Ok(()) => Ok(()),
            Err(Blow::Error) => Err(io::ErrorKind::OutOfMemory.into()),
            Err(Blow::Death) => std::panic::resume_unwind(Box::new(Killed)),
        }
    }
}

impl Hotplug for Seen {
    fn attach_loop(
        &self,
        file: &Path,
        _: bool,
        chosen: &mut dyn FnMut(&Path) -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        let taken: Vec<PathBuf> = self.dom0.loops.lock().unwrap().keys().cloned().collect();
        let free = (0..).map(|n| PathBuf::from(format!("/dev/loop{n}"))).find(|path| !taken.contains(path)).unwrap();
        self.step()?;
        chosen(&free)?;
        self.step()?;
        self.dom0.loops.lock().unwrap().insert(free.clone(), file.to_owned());
        self.step()?;
        Ok(free)
    }
    fn detach_loop(&self, device: &Path) -> io::Result<()> {
        self.step()?;
        self.dom0.loops.lock().unwrap().remove(device);
        self.step()
    }
    fn loop_file(&self, device: &Path) -> Option<PathBuf> {
        self.dom0.loops.lock().unwrap().get(device).cloned()
    }
    fn device_numbers(&self, _: &Path) -> io::Result<(u32, u32)> {
        Ok((7, 0))
    }
    fn serve_image(&self, _: u16, _: u32) -> Result<()> {
        Ok(())
    }
    fn is_bridge(&self, name: &str) -> bool {
        name == "xenbr0"
    }
    fn await_interface(&self, _: &str) {}
    fn plug_interface(&self, name: &str, _: Option<&str>, _: Option<u32>, bridge: &str) -> io::Result<()> {
        self.step()?;
        self.dom0.bridged.lock().unwrap().insert(name.to_owned(), bridge.to_owned());
        self.step()
    }
}
