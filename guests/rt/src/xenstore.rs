//! xenstore, over the ring that a domain is started with: one request at a time.

use crate::{events, hypercall, memory, start};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, Ordering, fence};
use xen_abi::io::xs_wire::*;
use zerocopy::{FromZeros, IntoBytes};

const SIZE: u32 = XENSTORE_RING_SIZE as u32;

/// The connection.
pub struct Store {
    page: u64,
    port: u32,
    /// A watch fired since the last [`Store::wait`].
    fired: bool,
}

impl Store {
    /// That of a domain which was given one; domain 0 without tools was not.
    pub fn open() -> Option<Store> {
        let info = start::info();
        if info.store_mfn == 0 || info.store_evtchn == 0 {
            return None;
        }
        // `poll` sees what is masked; the callback would take it away.
        events::set_mask(info.store_evtchn, true);
        Some(Store { page: memory::va_of_mfn(info.store_mfn), port: info.store_evtchn, fired: false })
    }

    /// What a node holds, cut to `into`. `None`: there is no such node, or it is not for this domain.
    pub fn read<'a>(&mut self, path: &str, into: &'a mut [u8]) -> Option<&'a [u8]> {
        let len = self.request(XS_READ, &[path.as_bytes(), b"\0"], into)?;
        into.get(..len)
    }

    /// Writes a node; whether that was allowed.
    pub fn write(&mut self, path: &str, value: &[u8]) -> bool {
        self.request(XS_WRITE, &[path.as_bytes(), b"\0", value], &mut []).is_some()
    }

    /// Watches a node, which fires at once and whenever it changes.
    pub fn watch(&mut self, path: &str) -> bool {
        self.request(XS_WATCH, &[path.as_bytes(), b"\0w\0"], &mut []).is_some()
    }

    /// Waits until a watch has fired since the last time.
    pub fn wait(&mut self) {
        while !core::mem::take(&mut self.fired) {
            let head = self.head();
            self.skip(head.len);
            self.fired |= head.r#type == XS_WATCH_EVENT;
        }
    }

    /// Sends a request and takes its reply: the bytes that were put into `into`, `None` for an error.
    fn request(&mut self, kind: u32, parts: &[&[u8]], into: &mut [u8]) -> Option<usize> {
        let len = parts.iter().map(|part| part.len() as u32).sum();
        self.put(XsdSockmsg { r#type: kind, req_id: 0, tx_id: 0, len }.as_bytes());
        parts.iter().for_each(|part| self.put(part));
        loop {
            let head = self.head();
            if head.r#type != kind {
                self.skip(head.len);
                if head.r#type == XS_ERROR {
                    return None;
                }
                self.fired |= head.r#type == XS_WATCH_EVENT;
                continue;
            }
            let wanted = into.len().min(head.len as usize);
            self.take(&mut into[..wanted]);
            self.skip(head.len - wanted as u32);
            return Some(wanted);
        }
    }

    fn head(&mut self) -> XsdSockmsg {
        let mut head = XsdSockmsg::new_zeroed();
        self.take(head.as_mut_bytes());
        head
    }

    fn skip(&mut self, len: u32) {
        (0..len).for_each(|_| self.take(&mut [0]));
    }

    fn index(&self, at: usize) -> &'static AtomicU32 {
        // SAFETY: the domain builder maps the store's page with all of the guest's first memory; both sides use it atomically.
        unsafe { AtomicU32::from_ptr((self.page + at as u64) as *mut u32) }
    }

    /// Waits until the other side made `what` true.
    fn until(&self, what: impl Fn() -> bool) {
        loop {
            events::clear_pending(self.port);
            if what() {
                return;
            }
            hypercall::poll(&[self.port], 0);
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        let cons = self.index(offset_of!(XenstoreDomainInterface, req_cons));
        let prod = self.index(offset_of!(XenstoreDomainInterface, req_prod));
        for &byte in bytes {
            let at = prod.load(Ordering::Relaxed);
            self.until(|| at.wrapping_sub(cons.load(Ordering::Acquire)) < SIZE);
            let place = self.page + offset_of!(XenstoreDomainInterface, req) as u64 + u64::from(at % SIZE);
            // SAFETY: inside the ring, where this side writes.
            unsafe { (place as *mut u8).write_volatile(byte) };
            fence(Ordering::SeqCst);
            prod.store(at.wrapping_add(1), Ordering::Release);
        }
        events::send(self.port);
    }

    fn take(&mut self, bytes: &mut [u8]) {
        let cons = self.index(offset_of!(XenstoreDomainInterface, rsp_cons));
        let prod = self.index(offset_of!(XenstoreDomainInterface, rsp_prod));
        for byte in bytes {
            let at = cons.load(Ordering::Relaxed);
            self.until(|| prod.load(Ordering::Acquire) != at);
            let place = self.page + offset_of!(XenstoreDomainInterface, rsp) as u64 + u64::from(at % SIZE);
            // SAFETY: inside the ring, which the other side has filled up to here.
            *byte = unsafe { (place as *const u8).read_volatile() };
            fence(Ordering::SeqCst);
            cons.store(at.wrapping_add(1), Ordering::Release);
        }
        events::send(self.port);
    }
}
