//! Between two domains: `fxbench peer DOMID` in one offers a page and answers events, the other measures.

use std::io::Write;

use crate::mark::Run;
use crate::sys;
use crate::target::{Peer, targets};
use crate::xen;

/// Offers a page and a port to `domain`, says which, and answers its events for ever.
pub fn serve(domain: u16) -> ! {
    let alloc = xen::open_gntalloc();
    let grant = xen::grant(alloc, domain);
    let events = sys::open(xen::EVTCHN);
    let port = xen::unbound(events, domain);
    println!("fxbench peer {grant} {port}");
    let _ = std::io::stdout().flush();
    loop {
        xen::await_event(events);
        xen::notify(events, port);
    }
}

fn with_peer(work: impl FnOnce(u16, Peer) -> u64) -> u64 {
    let Some(peer) = targets().peer else { return 0 };
    let domain = u16::try_from(peer.domain).unwrap_or(u16::MAX);
    work(domain, peer)
}

thread_local! {
    /// The port, and the device that it is bound on: a peer's port can be bound once only.
    static PORT: std::cell::OnceCell<(i32, u32)> = const { std::cell::OnceCell::new() };
}

/// An event to the other domain and one back.
pub fn event(run: Run) -> u64 {
    with_peer(|domain, peer| {
        let bind = || {
            let events = sys::open(xen::EVTCHN);
            (events, xen::interdomain(events, domain, peer.port))
        };
        let (events, port) = PORT.with(|cell| *cell.get_or_init(bind));
        let start = run.begin();
        for _ in 0..run.rounds {
            xen::notify(events, port);
            xen::await_event(events);
        }
        start.end()
    })
}

/// The other domain's page mapped, read, unmapped.
pub fn map_unmap(run: Run) -> u64 {
    with_peer(|domain, peer| xen::map_unmap(run, domain, peer.grant))
}

/// 4 KiB of the other domain's page copied.
pub fn copy(run: Run) -> u64 {
    with_peer(|domain, peer| xen::copy(run, domain, peer.grant))
}
