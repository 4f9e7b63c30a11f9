//! xenstored in this process, for domains of a simulated hypervisor, and a door to it that can be shut.

use crate::fate::Fate;
use ferroxen_sim::control::{Control, SimMap};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use xen_abi::event_channel::*;
use xen_abi::xen::__HYPERVISOR_event_channel_op;
use xen_wire::xenstore::{HEADER_SIZE, XsError, split_message};
use xenctl::{Buffer as _, Hypercalls as _, Xen};
use xenstored::daemon::{self, Daemon};
use xenstored::rings::{DomainEvent, DomainTransport};
use xenstored::state::Quotas;
use xenstored::throttle::Limits;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Starts xenstored in `dir`; what it is rung by when a domain may have ended.
pub fn start(dir: &Path, control: &Control) -> UnixStream {
    let (bell, heard) = UnixStream::pair().unwrap();
    heard.set_nonblocking(true).unwrap();
    let config = daemon::Config {
        run_dir: dir.to_owned(),
        state_dir: dir.join("state"),
        quotas: Quotas::default(),
        limits: Limits { rate: 1e9, burst: 1e9, ..Limits::default() },
        pid_file: None,
    };
    let control = control.clone();
    thread::spawn(move || {
        let domains = SimDomains { xen: Xen::new(control).unwrap(), heard, connected: BTreeMap::new() };
        Daemon::new(&config, None, domains).unwrap().run().unwrap();
    });
    let socket = dir.join("socket");
    while UnixStream::connect(&socket).is_err() {
        thread::yield_now();
    }
    bell
}

/// How the daemon reaches the simulated domains.
struct SimDomains {
    xen: Xen<Control>,
    heard: UnixStream,
    connected: BTreeMap<u16, (SimMap, u32)>,
}

impl SimDomains {
    fn event_op<T: IntoBytes + FromBytes + Immutable>(&self, op: u32, argument: &mut T) -> Option<()> {
        let hv = self.xen.hypercalls();
        let buffer = hv.buffer(size_of::<T>()).ok()?;
        buffer.write(0, argument.as_bytes());
        hv.call(__HYPERVISOR_event_channel_op, [op.into(), buffer.addr(), 0, 0, 0]).ok()?;
        buffer.read(0, argument.as_mut_bytes());
        Some(())
    }
}

impl DomainTransport for SimDomains {
    type Page = SimMap;

    fn connect(&mut self, domid: u16, gfn: u64, port: u32) -> Result<(), XsError> {
        let page = self.xen.hypercalls().map_foreign(domid, &[gfn], true).map_err(|_| XsError::EINVAL)?;
        let mut bind = EvtchnBindInterdomain { remote_dom: domid, remote_port: port, ..Default::default() };
        self.event_op(EVTCHNOP_bind_interdomain, &mut bind).ok_or(XsError::EINVAL)?;
        self.connected.insert(domid, (page, bind.local_port));
        Ok(())
    }
    fn disconnect(&mut self, domid: u16) {
        if let Some((_, port)) = self.connected.remove(&domid) {
            self.event_op(EVTCHNOP_close, &mut EvtchnClose { port });
        }
    }
    fn page(&self, domid: u16) -> Option<&SimMap> {
        self.connected.get(&domid).map(|(page, _)| page)
    }
    fn notify(&mut self, _: u16) {}
    fn poll(&mut self, into: &mut Vec<DomainEvent>) {
        while self.heard.read(&mut [0; 64]).is_ok_and(|len| len > 0) {}
        for domid in self.connected.keys() {
            match self.xen.domain_info(*domid) {
                Ok(Some(info)) if !info.dying() && info.shutdown().is_some() => {
                    into.push(DomainEvent::Shutdown(*domid));
                }
                Ok(Some(info)) if !info.dying() => {}
                _ => into.push(DomainEvent::Gone(*domid)),
            }
        }
    }
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.heard.as_fd())
    }
    fn control_domain(&self) -> Option<(u64, u32)> {
        None
    }
}

/// A socket whose requests are steps of a client's fate.
pub fn door(dir: &Path, fate: &Arc<Fate>) -> PathBuf {
    let (path, behind) = (dir.join(format!("door-{:p}", Arc::as_ptr(fate))), dir.join("socket"));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let fate = fate.clone();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, store) = (client.unwrap(), UnixStream::connect(&behind).unwrap());
            let (mut from, mut to) = (store.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            let fate = fate.clone();
            thread::spawn(move || pass(&client, &store, &fate));
        }
    });
    path
}

/// Passes requests on until the client's end.
fn pass(mut client: &UnixStream, mut store: &UnixStream, fate: &Fate) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    while let Ok(len @ 1..) = client.read(&mut buffer) {
        bytes.extend(&buffer[..len]);
        while let Ok(Some((header, payload, _))) = split_message(&bytes) {
            let len = HEADER_SIZE + payload.len();
            match fate.step() {
                Ok(()) => store.write_all(&bytes[..len]).unwrap(),
                Err(crate::fate::Blow::Error) => {
                    let text = b"ENOSPC\0";
                    let words = [16, header.req_id, header.tx_id, text.len() as u32];
                    client.write_all(&[words.as_bytes(), text].concat()).unwrap();
                }
                Err(crate::fate::Blow::Death) => {
                    let _ = (client.shutdown(std::net::Shutdown::Both), store.shutdown(std::net::Shutdown::Both));
                    return;
                }
            }
            bytes.drain(..len);
        }
    }
    let _ = store.shutdown(std::net::Shutdown::Both);
}
