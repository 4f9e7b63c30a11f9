//! The machine and the hypervisor.

use crate::call::list;
use crate::{Error, Result, Xen};
use xen_abi::sysctl::*;
use xen_abi::version::*;
use xen_abi::xen::__HYPERVISOR_xen_version;
use xen_abi::{Errno, GuestPtr};
use xen_call::{Buffer as _, Hypercalls};
use zerocopy::{FromZeros as _, IntoBytes as _};

/// The machine.
pub type SystemInfo = XenSysctlPhysinfo;
/// Where a CPU is.
pub type CpuTopology = XenSysctlCputopo;
/// A node's memory.
pub type NodeMemory = XenSysctlMeminfo;

/// What `xen_version` says.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct VersionInfo {
    /// Major and minor version.
    pub version: (u32, u32),
    /// What stands behind it.
    pub extra: String,
    /// The kinds of guests that can run.
    pub capabilities: String,
    /// The hypervisor's first address.
    pub virt_start: u64,
    /// Which sources it was built from.
    pub changeset: String,
    /// Its command line.
    pub command_line: String,
    /// Compiler.
    pub compiler: String,
    /// Who built it.
    pub compile_by: String,
    /// Where.
    pub compile_domain: String,
    /// When.
    pub compile_date: String,
    /// Bytes of a page.
    pub page_size: u64,
    /// The linker's number of this build, in hexadecimal.
    pub build_id: String,
}

fn text(bytes: &[u8]) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

impl<H: Hypercalls> Xen<H> {
    /// The machine.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn system_info(&self) -> Result<SystemInfo> {
        self.sysctl("ask for the machine", XEN_SYSCTL_physinfo, &XenSysctlPhysinfo::default())
    }

    /// The scheduler (`XEN_SCHEDULER_*`).
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn scheduler(&self) -> Result<u32> {
        Ok(self.sysctl("ask for the scheduler", XEN_SYSCTL_sched_id, &XenSysctlSchedId::default())?.sched_id)
    }

    /// All CPUs.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn cpus(&self) -> Result<Vec<CpuTopology>> {
        let what = "ask for the CPUs";
        let count = self.sysctl(what, XEN_SYSCTL_cputopoinfo, &XenSysctlCputopoinfo::default())?.num_cpus;
        let buffer = self.buffer(count as usize * size_of::<CpuTopology>())?;
        let arg = XenSysctlCputopoinfo { num_cpus: count, cputopo: GuestPtr::new(buffer.addr()), ..Default::default() };
        let count = self.sysctl(what, XEN_SYSCTL_cputopoinfo, &arg)?.num_cpus.min(count);
        Ok(list(&buffer, count as usize))
    }

    /// How long each CPU had nothing to do since boot, in nanoseconds.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn idle_times(&self) -> Result<Vec<u64>> {
        const MOST: u32 = 4096;
        let buffer = self.buffer(MOST as usize * size_of::<XenSysctlCpuinfo>())?;
        let arg = XenSysctlGetcpuinfo { max_cpus: MOST, info: GuestPtr::new(buffer.addr()), ..Default::default() };
        let count = self.sysctl("ask for the CPUs' idle times", XEN_SYSCTL_getcpuinfo, &arg)?.nr_cpus.min(MOST);
        Ok(list::<_, XenSysctlCpuinfo>(&buffer, count as usize).iter().map(|cpu| cpu.idletime).collect())
    }

    /// All nodes, with the distances between them.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn nodes(&self) -> Result<Vec<(NodeMemory, Vec<u32>)>> {
        let what = "ask for the nodes";
        let count = self.sysctl(what, XEN_SYSCTL_numainfo, &XenSysctlNumainfo::default())?.num_nodes as usize;
        let memory = self.buffer(count * size_of::<NodeMemory>())?;
        let distance = self.buffer(count * count * 4)?;
        let arg = XenSysctlNumainfo {
            num_nodes: count as u32,
            meminfo: GuestPtr::new(memory.addr()),
            distance: GuestPtr::new(distance.addr()),
            ..Default::default()
        };
        let found = (self.sysctl(what, XEN_SYSCTL_numainfo, &arg)?.num_nodes as usize).min(count);
        let distances: Vec<u32> = list(&distance, count * count);
        let rows = distances.chunks(count.max(1)).map(<[u32]>::to_vec);
        Ok(list::<_, NodeMemory>(&memory, found).into_iter().zip(rows).collect())
    }

    /// The hypervisor's console from `index` on; gives the bytes and the next index. `None`: from the first that is kept.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn read_console(&self, index: Option<u32>, clear: bool) -> Result<(Vec<u8>, u32)> {
        const AT_ONCE: usize = 32 << 10;
        let buffer = self.buffer(AT_ONCE)?;
        let arg = XenSysctlReadconsole {
            clear: clear.into(),
            incremental: index.is_some().into(),
            index: index.unwrap_or(0),
            buffer: GuestPtr::new(buffer.addr()),
            count: AT_ONCE as u32,
            ..Default::default()
        };
        let result = self.sysctl("read the hypervisor's console", XEN_SYSCTL_readconsole, &arg)?;
        Ok((list(&buffer, result.count as usize), result.index))
    }

    /// All that the hypervisor's console keeps.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn whole_console(&self) -> Result<Vec<u8>> {
        let (mut all, mut next) = (Vec::new(), 0);
        loop {
            let (bytes, after) = self.read_console(Some(next), false)?;
            if bytes.is_empty() {
                return Ok(all);
            }
            all.extend(bytes);
            next = after;
        }
    }

    /// Sends keys to the hypervisor's own console.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn debug_keys(&self, keys: &[u8]) -> Result<()> {
        let buffer = self.buffer(keys.len())?;
        buffer.write(0, keys);
        let arg = XenSysctlDebugKeys {
            keys: GuestPtr::new(buffer.addr()),
            nr_keys: u32::try_from(keys.len()).unwrap_or(0),
            ..Default::default()
        };
        self.sysctl("send debug keys", XEN_SYSCTL_debug_keys, &arg).map(drop)
    }

    /// Who the hypervisor is.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn version(&self) -> Result<VersionInfo> {
        let failed = |errno: Errno| Error { what: "ask for the hypervisor's version", domid: None, errno };
        let buffer = self.buffer(4096)?;
        let call = |cmd: u32, at: u64| {
            self.hypercalls().call(__HYPERVISOR_xen_version, [cmd.into(), at, 0, 0, 0]).map_err(failed)
        };
        let ask = |cmd: u32| call(cmd, buffer.addr());
        let string = |cmd: u32, len: usize| -> Result<String> {
            buffer.write(0, &vec![0; len]);
            ask(cmd)?;
            let mut bytes = vec![0; len];
            buffer.read(0, &mut bytes);
            Ok(text(&bytes))
        };
        let version = call(XENVER_version, 0)?;
        let mut compile = XenCompileInfo::new_zeroed();
        ask(XENVER_compile_info)?;
        buffer.read(0, compile.as_mut_bytes());
        let mut platform = XenPlatformParameters::new_zeroed();
        ask(XENVER_platform_parameters)?;
        buffer.read(0, platform.as_mut_bytes());
        // A header with the room behind it; the answer is how much was written.
        const MOST: u32 = 64;
        buffer.write(0, &MOST.to_le_bytes());
        let build_id =
            match self.hypercalls().call(__HYPERVISOR_xen_version, [XENVER_build_id.into(), buffer.addr(), 0, 0, 0]) {
                Ok(len) => {
                    let mut bytes = vec![0; usize::try_from(len.min(MOST.into())).unwrap_or(0)];
                    buffer.read(4, &mut bytes);
                    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
                }
                // It has none.
                Err(_) => String::new(),
            };
        let number = |value: u64| u32::try_from(value & 0xffff).unwrap_or(0);
        Ok(VersionInfo {
            version: (number(version >> 16), number(version)),
            extra: string(XENVER_extraversion, XEN_EXTRAVERSION_LEN)?,
            capabilities: string(XENVER_capabilities, XEN_CAPABILITIES_INFO_LEN)?,
            virt_start: platform.virt_start,
            changeset: string(XENVER_changeset, XEN_CHANGESET_INFO_LEN)?,
            command_line: string(XENVER_commandline, 1024)?,
            compiler: text(&compile.compiler),
            compile_by: text(&compile.compile_by),
            compile_domain: text(&compile.compile_domain),
            compile_date: text(&compile.compile_date),
            page_size: call(XENVER_pagesize, 0)?,
            build_id,
        })
    }
}
