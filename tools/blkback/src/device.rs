//! A disk of a domain: its nodes in xenstore, its ring, its image.

use crate::disk::Disk as _;
use crate::front::{self, Front, Wrong};
use crate::image::{Format, Image};
use crate::life::{Step, View, decide, state};
use crate::pages::{Grants, Pages};
use crate::queue::{INDIRECT_MOST, Queue, Rules};
use crate::redo::Redo;
use crate::ring::Ring;
use crate::statistics::{Counts, Statistics};
use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::{info, warn};
use xen_abi::io::blkif::VDISK_READONLY;
use xen_sys::{Bound, EventChannels, GrantDevice, GrantedPage};
use xenstore::{Access, DEFAULT_SOCKET, Xenstore};

/// Turns of the ring between two looks at the store.
const TURNS: usize = 64;
/// How often a store that went away is looked for.
const STORE_AGAIN: Duration = Duration::from_millis(100);
/// How often requests that found no room are tried again.
const ROOM_AGAIN: Duration = Duration::from_secs(1);

/// What a guest grants to us, through the kernel.
struct Foreign {
    device: GrantDevice,
    domid: u16,
}

impl Grants for Foreign {
    type Map = GrantedPage;

    fn map(&self, references: &[u32], writable: bool) -> std::io::Result<GrantedPage> {
        self.device.map_all(self.domid, references, writable)
    }
}

struct Served {
    queue: Queue<GrantedPage, Foreign>,
    port: Bound,
}

/// The backend of one disk.
pub struct Device {
    domid: u16,
    back: String,
    front: String,
    store: Option<Xenstore>,
    events: EventChannels,
    grants: GrantDevice,
    image: Image,
    rules: Rules,
    redo: PathBuf,
    statistics: Option<Statistics>,
    /// Of the rings before the one that is served.
    counts: Counts,
    served: Option<Served>,
    /// The guest's ring makes no sense: it is left alone until the guest begins anew.
    broken: bool,
    /// Requests wait for room where the image is.
    full: bool,
}

/// A node as text; what is not text is like what is not there.
fn text(store: &mut Xenstore, half: &str, name: &str) -> xenstore::Result<Option<String>> {
    let value = store.read_if_there(&format!("{half}/{name}"))?;
    Ok(value.and_then(|value| String::from_utf8(value).ok()))
}

/// Whether the store is gone, and may come back.
fn is_gone(error: &xenstore::Error) -> bool {
    matches!(error, xenstore::Error::Broken(_) | xenstore::Error::Unreachable { .. })
}

/// Reading a guest's half fails with the guest or with the store.
enum Unreachable {
    Guest(Wrong),
    Store(xenstore::Error),
}

impl From<Wrong> for Unreachable {
    fn from(wrong: Wrong) -> Self {
        Unreachable::Guest(wrong)
    }
}

impl Device {
    /// Opens the image that the backend's half of the device names. `None`: it cannot be served, and the half says why.
    ///
    /// # Errors
    /// There is no store, or no hypervisor.
    pub fn open(domid: u16, number: u32, run_dir: &Path) -> anyhow::Result<Option<Device>> {
        let back = format!("/local/domain/0/backend/qdisk/{domid}/{number}");
        let mut store = Xenstore::open()?;
        if !store.exists(&back)? {
            info!("{back} is not there (any more)");
            Statistics::forget(run_dir, domid, number);
            return Ok(None);
        }
        let mut node = |name: &str| text(&mut store, &back, name).map(Option::unwrap_or_default);
        let (params, mode, discard) = (node("params")?, node("mode")?, node("discard-enable")?);
        let front = node("frontend")?;
        let rules = Rules { read_only: mode != "w", discard: discard != "0" };
        let (format, path) = params.split_once(':').unwrap_or(("", &params));
        let image = format
            .parse::<Format>()
            .and_then(|format| Image::open(path.as_ref(), format, rules.read_only).map_err(|error| error.to_string()));
        let image = match image {
            Ok(image) => image,
            Err(error) => {
                warn!("{params}: {error}");
                store.write(&format!("{back}/ferroxen-error"), format!("{path}: {error}").as_bytes())?;
                store.write(&format!("{back}/state"), state::CLOSED.to_string().as_bytes())?;
                return Ok(None);
            }
        };
        info!("{params}, {} sectors, for domain {domid}", image.sectors());
        watch(&mut store, &back, &front)?;
        let redo = run_dir.join(format!("{domid}-{number}"));
        let (statistics, counts) = Statistics::open(run_dir, domid, number, redo.exists());
        Ok(Some(Device {
            domid,
            redo,
            statistics: Some(statistics),
            counts,
            back,
            front,
            store: Some(store),
            events: EventChannels::open().context("cannot open /dev/xen/evtchn")?,
            grants: GrantDevice::open().context("cannot open /dev/xen/gntdev")?,
            image,
            rules,
            served: None,
            broken: false,
            full: false,
        }))
    }

    /// Serves until the device is taken away, or something can be read from `stop`.
    ///
    /// # Errors
    /// The store refuses, the kernel fails.
    pub fn run(&mut self, stop: &UnixStream) -> anyhow::Result<()> {
        let mut look = true;
        loop {
            if look && self.with_store(Device::look)? {
                return Ok(());
            }
            let more = self.turns();
            let counts = self.counts();
            let untold = self.statistics.as_mut().and_then(|statistics| statistics.tell(&counts));
            let timeout = match (more, &self.store) {
                (true, _) => Some(Duration::ZERO),
                (false, None) => Some(STORE_AGAIN),
                (false, Some(_)) => untold,
            };
            let timeout =
                if self.full { Some(timeout.map_or(ROOM_AGAIN, |time| time.min(ROOM_AGAIN))) } else { timeout };
            let stopped = self.wait(stop, timeout)?;
            if stopped {
                // What was answered is on the disk; the ring is left for whoever comes next.
                self.statistics.iter_mut().for_each(|statistics| statistics.write(&counts));
                self.image.sync().context("the image cannot be synchronised")?;
                return Ok(());
            }
            look = self.heard()?;
        }
    }

    /// Does something with the store; when that is gone, the ring is served without it.
    fn with_store<R: Default>(
        &mut self,
        act: impl FnOnce(&mut Device, &mut Xenstore) -> xenstore::Result<R>,
    ) -> anyhow::Result<R> {
        let Some(mut store) = self.store.take() else { return Ok(R::default()) };
        match act(self, &mut store) {
            Ok(result) => {
                self.store = Some(store);
                Ok(result)
            }
            Err(error) if is_gone(&error) => {
                warn!("going on without a store: {error}");
                Ok(R::default())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the store has news; looks for one that went away.
    fn heard(&mut self) -> anyhow::Result<bool> {
        if self.store.is_none() {
            let Ok(mut store) = Xenstore::open_socket(DEFAULT_SOCKET.as_ref()) else { return Ok(false) };
            if watch(&mut store, &self.back, &self.front).is_err() {
                return Ok(false);
            }
            info!("the store is back");
            self.store = Some(store);
            return Ok(true);
        }
        self.with_store(|_, store| {
            let mut news = false;
            while store.next_event(Some(Duration::ZERO))?.is_some() {
                news = true;
            }
            Ok(news)
        })
    }

    /// Waits; whether to stop.
    fn wait(&self, stop: &UnixStream, timeout: Option<Duration>) -> anyhow::Result<bool> {
        let timeout = timeout.map(Timespec::try_from).transpose().context("a strange time")?;
        let mut fds = vec![
            PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.events.as_fd(), PollFlags::IN),
        ];
        fds.extend(self.store.iter().map(|store| PollFd::from_borrowed_fd(store.as_fd(), PollFlags::IN)));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("poll failed"),
        }
        Ok(fds.first().is_some_and(|fd| !fd.revents().is_empty()))
    }

    /// Serves the ring for a while; whether more waits.
    fn turns(&mut self) -> bool {
        for port in self.events.fired().unwrap_or_default() {
            // What comes after the turns fires again.
            let _ = self.events.unmask(port);
        }
        let Some(served) = &mut self.served else { return false };
        for _ in 0..TURNS {
            match served.queue.turn(&mut self.image) {
                Ok(turn) => {
                    if turn.notify {
                        // A guest that is gone is found out by the store.
                        let _ = self.events.notify(served.port);
                    }
                    if turn.full != self.full {
                        self.full = turn.full;
                        let what = if turn.full {
                            "no room for its image to grow: requests wait"
                        } else {
                            "there is room again"
                        };
                        warn!("domain {}, {}: {what}", self.domid, self.image.path().display());
                    }
                    if !turn.more {
                        return false;
                    }
                }
                Err(error) => {
                    warn!("domain {}: {error}: it is not served any more", self.domid);
                    self.let_go();
                    self.broken = true;
                    return false;
                }
            }
        }
        true
    }

    /// Looks at both halves and does what follows; whether that was the end.
    fn look(&mut self, store: &mut Xenstore) -> xenstore::Result<bool> {
        loop {
            // What this causes is looked at at once.
            while store.next_event(Some(Duration::ZERO))?.is_some() {}
            let number = |value: Option<String>| value.and_then(|value| value.parse().ok());
            let (ours, front) = (text(store, &self.back, "state")?, text(store, &self.front, "state")?);
            let view = View {
                ours: ours.map(|ours| number(Some(ours)).unwrap_or(0)),
                front: number(front).unwrap_or(0),
                online: text(store, &self.back, "online")?.as_deref() == Some("1"),
                served: self.served.is_some() || self.broken,
                resumable: self.redo.exists(),
            };
            let step = decide(view);
            match step {
                Step::Wait => return Ok(false),
                Step::Offer => self.offer(store)?,
                Step::Connect => self.connect(store, view)?,
                Step::Closing => self.say(store, state::CLOSING)?,
                Step::Close | Step::End => {
                    self.let_go();
                    self.broken = false;
                    if let Err(error) = self.image.sync() {
                        warn!("the image: {error}");
                    }
                    if step == Step::End {
                        // Before anybody hears that it is free.
                        self.image.unlock();
                    }
                    if view.ours.is_some() {
                        self.say(store, state::CLOSED)?;
                    }
                    if step == Step::End {
                        self.statistics.take().into_iter().for_each(Statistics::remove);
                        return Ok(true);
                    }
                }
            }
        }
    }

    fn say(&self, store: &mut Xenstore, state: u32) -> xenstore::Result<()> {
        let path = format!("{}/state", self.back);
        store.transaction(|t| {
            // The tools may have taken it away meanwhile, and nobody would take it away again.
            if t.exists(&path)? { t.write(&path, state.to_string().as_bytes()) } else { Ok(()) }
        })
    }

    fn offer(&mut self, store: &mut Xenstore) -> xenstore::Result<()> {
        self.let_go();
        self.broken = false;
        let change = u32::from(!self.rules.read_only);
        let discard = change & u32::from(self.rules.discard);
        let nodes = [
            ("max-ring-page-order", front::RING_ORDER),
            ("feature-persistent", 1),
            ("feature-max-indirect-segments", INDIRECT_MOST.into()),
            ("feature-flush-cache", change),
            ("feature-barrier", change),
            ("feature-discard", discard),
            ("discard-granularity", self.image.granularity),
            ("discard-alignment", 0),
            ("discard-secure", 0),
            ("state", state::INIT_WAIT),
        ];
        let back = &self.back;
        store.transaction(|t| {
            nodes.iter().try_for_each(|(name, value)| t.write(&format!("{back}/{name}"), value.to_string().as_bytes()))
        })
    }

    fn connect(&mut self, store: &mut Xenstore, view: View) -> xenstore::Result<()> {
        let mut node = |name: &str| text(store, &self.front, name).map_err(Unreachable::Store);
        let reached = match front::read(&mut node) {
            Ok(front) => self.reach(&front, view.resumable).map_err(|error| format!("{error:#}")),
            Err(Unreachable::Guest(wrong)) => Err(wrong.to_string()),
            Err(Unreachable::Store(error)) => return Err(error),
        };
        if let Err(error) = reached {
            warn!("domain {} cannot be reached: {error}", self.domid);
            self.broken = true;
            store.write(&format!("{}/ferroxen-error", self.back), error.as_bytes())?;
            return self.say(store, state::CLOSING);
        }
        info!("domain {} is connected", self.domid);
        if view.ours.is_some_and(|ours| ours >= state::CLOSING) {
            // It was asked to end before, and still is.
            return Ok(());
        }
        let info = if self.rules.read_only { VDISK_READONLY } else { 0 };
        let nodes = [
            ("sectors", self.image.sectors()),
            ("info", info.into()),
            ("sector-size", 512),
            ("physical-sector-size", 512),
            ("state", state::CONNECTED.into()),
        ];
        let back = &self.back;
        store.transaction(|t| {
            nodes.iter().try_for_each(|(name, value)| t.write(&format!("{back}/{name}"), value.to_string().as_bytes()))
        })
    }

    fn reach(&mut self, front: &Front, resumed: bool) -> anyhow::Result<()> {
        let memory = self.grants.map_all(self.domid, &front.ring, true).context("its ring cannot be mapped")?;
        let ring = Ring::attach(memory, front.ring.len(), front.layout);
        let pages = Pages::new(Foreign { device: self.grants.clone(), domid: self.domid }, front.persistent);
        let port = self.events.bind_interdomain(self.domid, front.port).context("its event channel cannot be bound")?;
        let redo = Redo::open(&self.redo).with_context(|| format!("{}", self.redo.display()));
        let queue = redo.and_then(|redo| Ok(Queue::new(ring, pages, self.rules, redo, resumed)?));
        match queue {
            Ok(mut queue) => {
                queue.counts = self.counts;
                // A backend that died may have answered and not told.
                let _ = self.events.notify(port);
                self.served = Some(Served { queue, port });
                Ok(())
            }
            Err(error) => {
                let _ = self.events.unbind(port);
                Err(error)
            }
        }
    }

    fn counts(&self) -> Counts {
        self.served.as_ref().map_or(self.counts, |served| served.queue.counts)
    }

    /// Unmaps everything of the guest's.
    fn let_go(&mut self) {
        self.full = false;
        if let Some(served) = self.served.take() {
            self.counts = served.queue.counts;
            served.queue.end();
            // The guest may have closed its end.
            let _ = self.events.unbind(served.port);
            info!("domain {} is disconnected", self.domid);
        } else {
            // What a backend that died left.
            let _ = std::fs::remove_file(&self.redo);
        }
    }
}

fn watch(store: &mut Xenstore, back: &str, front: &str) -> xenstore::Result<()> {
    store.watch(back, b"back", None)?;
    store.watch(&format!("{front}/state"), b"front", None)
}
