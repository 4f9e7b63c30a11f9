//! The versions of domctl's interface that are answered, at the same time: each call says which one it speaks.

use xen_abi::Errno;
use xen_abi::domctl::{self, XenDomctl, XenDomctlCreatedomain};
use xen_abi::member;
use xen_abi::v4_20;

/// A version of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interface {
    /// 0x15: Xen 4.17.
    V4_17,
    /// 0x17: Xen 4.19 and 4.20.
    V4_20,
}

impl Interface {
    /// By its number.
    ///
    /// # Errors
    /// `EACCES`: another one.
    pub fn of(version: u32) -> Result<Self, Errno> {
        match version {
            domctl::XEN_DOMCTL_INTERFACE_VERSION => Ok(Self::V4_17),
            v4_20::XEN_DOMCTL_INTERFACE_VERSION => Ok(Self::V4_20),
            _ => Err(Errno::EACCES),
        }
    }

    /// Whether it has a command that came after 4.17.
    pub fn has(self, cmd: u32) -> bool {
        !matches!(cmd, v4_20::XEN_DOMCTL_gsi_permission | v4_20::XEN_DOMCTL_set_llc_colors) || self == Self::V4_20
    }

    /// The argument of XEN_DOMCTL_createdomain.
    ///
    /// # Errors
    /// `EINVAL`: it asks for something that only later versions can ask for, and no PV domain can have.
    pub fn createdomain(self, op: &XenDomctl) -> Result<XenDomctlCreatedomain, Errno> {
        if self == Self::V4_17 {
            return Ok(member::get(&op.u));
        }
        let new: v4_20::XenDomctlCreatedomain = member::get(&op.u);
        if new.altp2m_opts != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(XenDomctlCreatedomain {
            ssidref: new.ssidref,
            handle: new.handle,
            flags: new.flags,
            iommu_opts: new.iommu_opts,
            max_vcpus: new.max_vcpus,
            max_evtchn_port: new.max_evtchn_port,
            max_grant_frames: new.max_grant_frames,
            max_maptrack_frames: new.max_maptrack_frames,
            grant_opts: new.grant_opts,
            vmtrace_size: new.vmtrace_size,
            cpupool_id: new.cpupool_id,
            arch: new.arch,
        })
    }
}
