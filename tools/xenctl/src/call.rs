//! The calls themselves: an argument goes into a buffer, the hypercall is made, the argument is read back.

use crate::{Error, Result};
use xen_abi::Errno;
use xen_abi::domctl::{XEN_DOMCTL_INTERFACE_VERSION, XenDomctl};
use xen_abi::member;
use xen_abi::sysctl::{XEN_SYSCTL_INTERFACE_VERSION, XenSysctl};
use xen_abi::xen::{__HYPERVISOR_domctl, __HYPERVISOR_sysctl};
use xen_call::{Buffer, Hypercalls};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The hypervisor, for a toolstack.
pub struct Xen<H: Hypercalls> {
    hv: H,
    arg: H::Buffer,
}

impl<H: Hypercalls> std::fmt::Debug for Xen<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Xen").finish_non_exhaustive()
    }
}

/// How often a call that says "again" is made again: a teardown of a large domain says it many times.
const MOST_RETRIES: u32 = 1_000_000;

impl<H: Hypercalls> Xen<H> {
    /// Over a hypervisor.
    ///
    /// # Errors
    /// No memory for arguments.
    pub fn new(hv: H) -> Result<Self> {
        let arg = hv.buffer(4096).map_err(|errno| Error { what: "get memory for hypercalls", domid: None, errno })?;
        Ok(Xen { hv, arg })
    }

    /// What is below.
    pub fn hypercalls(&self) -> &H {
        &self.hv
    }

    /// A buffer for lists and the like.
    pub(crate) fn buffer(&self, len: usize) -> Result<H::Buffer> {
        let what = "get memory for a hypercall's list";
        self.hv.buffer(len).map_err(|errno| Error { what, domid: None, errno })
    }

    /// A hypercall whose last argument points to `value`, which is read back.
    pub(crate) fn with<T: IntoBytes + FromBytes + Immutable>(
        &self,
        number: u32,
        before: &[u64],
        value: &mut T,
    ) -> std::result::Result<u64, Errno> {
        self.arg.write(0, value.as_bytes());
        let mut args = [0; 5];
        let list = before.iter().copied().chain([self.arg.addr()]);
        args.iter_mut().zip(list).for_each(|(to, from)| *to = from);
        let result = self.hv.call(number, args)?;
        self.arg.read(0, value.as_mut_bytes());
        Ok(result)
    }

    /// `domctl`: gives the union's bytes as they are afterwards.
    pub(crate) fn domctl<T: IntoBytes + Immutable>(
        &self,
        what: &'static str,
        domid: u16,
        cmd: u32,
        arg: &T,
    ) -> Result<XenDomctl> {
        let mut op =
            XenDomctl { cmd, interface_version: XEN_DOMCTL_INTERFACE_VERSION, domain: domid, ..Default::default() };
        member::put(&mut op.u, arg);
        for _ in 0..MOST_RETRIES {
            match self.with(__HYPERVISOR_domctl, &[], &mut op) {
                Ok(_) => return Ok(op),
                Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(Error { what, domid: Some(domid), errno }),
            }
        }
        Err(Error { what, domid: Some(domid), errno: Errno::EAGAIN })
    }

    /// `sysctl`: gives the argument as it is afterwards.
    pub(crate) fn sysctl<T: IntoBytes + FromBytes + Immutable>(
        &self,
        what: &'static str,
        cmd: u32,
        arg: &T,
    ) -> Result<T> {
        let mut op = XenSysctl { cmd, interface_version: XEN_SYSCTL_INTERFACE_VERSION, ..Default::default() };
        member::put(&mut op.u, arg);
        self.with(__HYPERVISOR_sysctl, &[], &mut op).map_err(|errno| Error { what, domid: None, errno })?;
        Ok(member::get(&op.u))
    }
}

/// Reads a list of `T` out of a buffer.
pub(crate) fn list<B: Buffer, T: FromBytes + IntoBytes>(buffer: &B, count: usize) -> Vec<T> {
    let size = size_of::<T>();
    let count = count.min(buffer.len() / size.max(1));
    (0..count)
        .map(|n| {
            let mut value = T::new_zeroed();
            buffer.read(n * size, value.as_mut_bytes());
            value
        })
        .collect()
}
