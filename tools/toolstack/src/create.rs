//! Making a domain, from its configuration to its first instruction.

use crate::host::kernel_cache;
use crate::work::Work;
use crate::{Domain, DomainConfig, Error, Host, Result, paths};
use std::time::Duration;
use xenctl::{CpuSet, CreateDomain, DomainInfo, Hypercalls};
use xenstore::{Access as _, Perm, Permission};

/// Memory beside the domain's own: its first tables, its vcpus, its grant table, in KiB.
const SLACK_KIB: u64 = 1024;

/// How a domain is created.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// It does not run before it is unpaused.
    pub paused: bool,
    /// The kernel is unpacked anew.
    pub no_cache: bool,
}

impl<H: Hypercalls> Host<H> {
    /// Makes a domain; gives it paused or running. If a step fails, what was made is taken back.
    ///
    /// # Errors
    /// Whatever step failed.
    pub fn create(&mut self, config: &DomainConfig, options: Options) -> Result<Domain> {
        self.name_is_free(&config.name)?;
        let mut config = config.clone();
        let uuid = *config.uuid.get_or_insert_with(crate::uuid::random);
        if let Some(other) = self.xen.domains()?.into_iter().find(|info| info.uuid == uuid) {
            let (uuid, domid) = (crate::uuid::format(&uuid), other.domid);
            return Err(Error::Invalid(format!("uuid {uuid}: domain {domid} has it; choose another, or none")));
        }
        for vif in &mut config.vifs {
            vif.mac.get_or_insert_with(crate::uuid::random_mac);
        }
        let note = self.begin(&uuid, &Work::Create)?;
        self.create_under(note, &config, options)
    }

    /// Makes a domain that does not run yet. If a step fails, what was made is taken back.
    pub(crate) fn make(&mut self, config: &DomainConfig, options: Options) -> Result<DomainInfo> {
        // Everything that can fail without a domain comes before there is one.
        self.check_devices(config)?;
        (self.progress)("reading the kernel");
        let cache = (!options.no_cache).then(kernel_cache);
        let kernel = dombuild::kernel(&config.kernel, cache.as_ref())?;
        let ramdisk = match &config.ramdisk {
            Some(path) => Some(std::fs::read(path).map_err(|source| dombuild::Error::File {
                what: "ramdisk",
                path: path.clone(),
                source,
            })?),
            None => None,
        };
        let system = self.xen.system_info()?;
        let free = (system.free_pages.saturating_sub(system.outstanding_pages)) / 256;
        let wanted = config.memory_kib / 1024 + 1;
        if wanted > free {
            return Err(Error::NoMemory { wanted, free });
        }
        let cpupool = match &config.pool {
            Some(name) => self.find_pool(name)?.pool.id,
            None => 0,
        };
        let domid = self.xen.create_domain(&CreateDomain {
            uuid: config.uuid.unwrap_or_default(),
            max_vcpus: config.max_vcpus,
            max_event_channels: config.max_event_channels,
            max_grant_frames: config.max_grant_frames,
            max_maptrack_frames: config.max_maptrack_frames,
            cpupool,
        })?;
        let made = self.fill(domid, config, &kernel, ramdisk.as_deref());
        let found = made.and_then(|()| self.xen.domain_info(domid).map_err(Error::from));
        found.and_then(|info| info.ok_or_else(|| Error::NoDomain(domid.to_string()))).inspect_err(|_| {
            // The first failure is what is told.
            let _ = self.take_away(domid);
        })
    }

    fn fill(
        &mut self,
        domid: u16,
        config: &DomainConfig,
        kernel: &dombuild::Kernel,
        ramdisk: Option<&[u8]>,
    ) -> Result<()> {
        self.xen.set_max_vcpus(domid, config.max_vcpus)?;
        self.pin(domid, &config.cpus, &config.cpus_soft, config.max_vcpus)?;
        self.xen.set_max_memory(domid, config.max_memory_kib + SLACK_KIB)?;
        let store_port = self.xen.open_event_channel(domid, 0)?;
        let console_port = self.xen.open_event_channel(domid, 0)?;
        (self.progress)("filling its memory");
        let built = dombuild::build(
            &self.xen,
            domid,
            &dombuild::Spec {
                kernel_path: &config.kernel,
                kernel,
                ramdisk,
                command_line: &config.command_line,
                frames: config.memory_kib / 4,
                store_port,
                console_port,
                store_domid: 0,
                console_domid: 0,
            },
        )?;
        self.save_config(domid, config)?;
        self.write_home(domid, config, (store_port, built.store_mfn), (console_port, built.console_mfn))?;
        self.xs.introduce(domid, built.store_mfn, store_port)?;
        for disk in &config.disks {
            self.noted_attach(domid, "vbd", |host, note| host.attach_disk(domid, disk, note))?;
        }
        for (index, vif) in (0..).zip(&config.vifs) {
            self.attach_vif(domid, index, vif)?;
        }
        // What the backends have to say before the guest looks for them.
        for disk in &config.disks {
            self.wait_for_backend(domid, "vbd", disk.number(), BACKEND_PATIENCE)?;
        }
        for (index, vif) in (0..).zip(&config.vifs) {
            self.wait_for_backend(domid, "vif", index, BACKEND_PATIENCE)?;
            self.plug_vif(domid, index, vif)?;
        }
        Ok(())
    }

    /// Where its vcpus may run.
    pub(crate) fn pin(&mut self, domid: u16, hard: &[String], soft: &[String], vcpus: u32) -> Result<()> {
        if hard.is_empty() && soft.is_empty() {
            return Ok(());
        }
        let count = self.cpu_count()?;
        let set = |list: &[String], vcpu: u32| -> Result<Option<CpuSet>> {
            match list.get(vcpu as usize).or(list.last()) {
                None => Ok(None),
                Some(text) => cpu_set(text, count).map(Some).map_err(Error::Invalid),
            }
        };
        for vcpu in 0..vcpus {
            let (hard, soft) = (set(hard, vcpu)?, set(soft, vcpu)?);
            self.xen.set_vcpu_affinity(domid, vcpu, hard.as_ref(), soft.as_ref(), count)?;
        }
        Ok(())
    }

    /// Writes what the guest, other tools and the daemons find of it in the store, all at once; not if another has its
    /// name.
    fn write_home(&mut self, domid: u16, config: &DomainConfig, store: (u32, u64), console: (u32, u64)) -> Result<()> {
        let uuid = config.uuid.unwrap_or_default();
        let (home, vm, libxl) = (paths::home(domid), paths::vm(&uuid), paths::libxl(domid));
        let readable = [Perm::new(Permission::None, 0), Perm::new(Permission::Read, domid)];
        let own = [Perm::new(Permission::None, domid)];
        let back = format!("/local/domain/0/backend/console/{domid}/0");
        let mut entries = vec![
            (format!("{home}/vm"), vm.clone()),
            (format!("{home}/name"), config.name.clone()),
            (format!("{home}/domid"), domid.to_string()),
            (format!("{home}/memory/static-max"), config.max_memory_kib.to_string()),
            (format!("{home}/memory/target"), config.memory_kib.to_string()),
            (format!("{home}/memory/videoram"), "0".to_owned()),
            (format!("{home}/store/port"), store.0.to_string()),
            (format!("{home}/store/ring-ref"), store.1.to_string()),
            (format!("{home}/console/backend"), back.clone()),
            (format!("{home}/console/backend-id"), "0".to_owned()),
            (format!("{home}/console/limit"), "1048576".to_owned()),
            (format!("{home}/console/type"), "xenconsoled".to_owned()),
            (format!("{home}/console/output"), "pty".to_owned()),
            (format!("{home}/console/tty"), String::new()),
            (format!("{home}/console/port"), console.0.to_string()),
            (format!("{home}/console/ring-ref"), console.1.to_string()),
            (format!("{back}/frontend"), format!("{home}/console")),
            (format!("{back}/frontend-id"), domid.to_string()),
            (format!("{back}/online"), "1".to_owned()),
            (format!("{back}/state"), "1".to_owned()),
            (format!("{back}/protocol"), "vt100".to_owned()),
            (format!("{vm}/name"), config.name.clone()),
            (format!("{vm}/uuid"), crate::uuid::format(&uuid)),
            (format!("{vm}/start_time"), format!("{:.2}", now())),
            (format!("{libxl}/type"), "pv".to_owned()),
            (format!("{libxl}/dm-version"), "qemu_xen".to_owned()),
        ];
        for vcpu in 0..config.max_vcpus {
            let online = if vcpu < config.vcpus { "online" } else { "offline" };
            entries.push((format!("{home}/cpu/{vcpu}/availability"), online.to_owned()));
        }
        let (xs, xen) = (&mut self.xs, &self.xen);
        let taken = xs.transaction(|t| {
            // Two that are created at once: who commits later reads again, and sees the other.
            let taken = crate::host::holder(t, xen, &config.name, domid)?;
            if taken.is_some() {
                return Ok(taken);
            }
            for node in ["", "/cpu", "/memory", "/store", "/console"] {
                t.mkdir(&format!("{home}{node}"))?;
                t.set_perms(&format!("{home}{node}"), &readable)?;
            }
            t.mkdir(&libxl)?;
            t.mkdir(&vm)?;
            t.set_perms(&vm, &readable)?;
            // What the guest may write.
            for node in [
                "device",
                "control",
                "control/shutdown",
                "control/sysrq",
                "data",
                "drivers",
                "attr",
                "error",
                "control/feature-poweroff",
                "control/feature-reboot",
                "control/feature-suspend",
                "control/feature-balloon",
                "control/platform-feature-multiprocessor-suspend",
                "console/feature",
            ] {
                let path = format!("{home}/{node}");
                t.write(&path, b"")?;
                t.set_perms(&path, if node == "device" || node == "control" { &readable } else { &own })?;
            }
            t.write(&format!("{home}/control/platform-feature-multiprocessor-suspend"), b"1")?;
            for (path, value) in &entries {
                t.write(path, value.as_bytes())?;
            }
            t.set_perms(&back, &readable)?;
            Ok(None)
        })?;
        crate::host::free(&config.name, taken)
    }
}

/// How long a backend has to answer.
const BACKEND_PATIENCE: Duration = Duration::from_secs(40);

fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Reads `all`, `0-3,5`, `0-3,^1`; `count` CPUs can be there.
///
/// # Errors
/// What is wrong with it.
pub fn cpu_set(text: &str, count: u32) -> std::result::Result<CpuSet, String> {
    let mut set = CpuSet::default();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (part, add) = part.strip_prefix('^').map_or((part, true), |part| (part, false));
        let range = match part.split_once('-') {
            _ if part == "all" => Some((0, count.saturating_sub(1))),
            Some((first, last)) => first.parse().ok().zip(last.parse().ok()),
            None => part.parse().ok().map(|cpu| (cpu, cpu)),
        };
        let Some((first, last)) = range.filter(|(first, last)| first <= last) else {
            return Err(format!("\"{part}\" is no CPU: all, 2, 0-3 or ^1 are expected"));
        };
        if last >= count {
            return Err(format!("CPU {last} is not there: the last is {}", count.saturating_sub(1)));
        }
        (first..=last).for_each(|cpu| if add { set.add(cpu) } else { set.remove(cpu) });
    }
    if set.is_empty() { Err(format!("\"{text}\" leaves no CPU")) } else { Ok(set) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_cpus_are_read() {
        let show = |text: &str| cpu_set(text, 8).map(|set| set.display(8));
        assert_eq!(show("all"), Ok("all".into()));
        assert_eq!(show("0-3,^1, 6"), Ok("0,2-3,6".into()));
        assert_eq!(show("9"), Err("CPU 9 is not there: the last is 7".into()));
        assert_eq!(show("x"), Err("\"x\" is no CPU: all, 2, 0-3 or ^1 are expected".into()));
        assert_eq!(show("1,^1"), Err("\"1,^1\" leaves no CPU".into()));
    }
}
