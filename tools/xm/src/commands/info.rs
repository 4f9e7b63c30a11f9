//! `xm info`, `xm dmesg`, `xm debug-keys`. The keys of `info` are Xen's, in Xen's order.

use crate::failure::Outcome;
use crate::output::{json, line, text};
use crate::table::Args;
use toolstack::Host;
use xen_abi::sysctl::{
    XEN_SYSCTL_PHYSCAP_directio, XEN_SYSCTL_PHYSCAP_gnttab_v1, XEN_SYSCTL_PHYSCAP_gnttab_v2, XEN_SYSCTL_PHYSCAP_hap,
    XEN_SYSCTL_PHYSCAP_hvm, XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share, XEN_SYSCTL_PHYSCAP_pv, XEN_SYSCTL_PHYSCAP_shadow,
    XEN_SYSCTL_PHYSCAP_vmtrace, XEN_SYSCTL_PHYSCAP_vpmu,
};
use xenctl::{SystemInfo, Xen, scheduler_name};

fn capabilities(info: &SystemInfo) -> String {
    let has = |flag: u32| info.capabilities & flag != 0;
    let (hvm, pv, direct) = (has(XEN_SYSCTL_PHYSCAP_hvm), has(XEN_SYSCTL_PHYSCAP_pv), has(XEN_SYSCTL_PHYSCAP_directio));
    let words = [
        (pv, "pv"),
        (hvm, "hvm"),
        (hvm && direct, "hvm_directio"),
        (pv && direct, "pv_directio"),
        (has(XEN_SYSCTL_PHYSCAP_hap), "hap"),
        (has(XEN_SYSCTL_PHYSCAP_shadow), "shadow"),
        (has(XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share), "iommu_hap_pt_share"),
        (has(XEN_SYSCTL_PHYSCAP_vmtrace), "vmtrace"),
        (has(XEN_SYSCTL_PHYSCAP_vpmu), "vpmu"),
        (has(XEN_SYSCTL_PHYSCAP_gnttab_v1), "gnttab-v1"),
        (has(XEN_SYSCTL_PHYSCAP_gnttab_v2), "gnttab-v2"),
    ];
    words.into_iter().filter(|(there, _)| *there).map(|(_, word)| word).collect::<Vec<_>>().join(" ")
}

fn entries(xen: &Xen<impl xenctl::Hypercalls>) -> Result<Vec<(&'static str, String)>, xenctl::Error> {
    let (info, version) = (xen.system_info()?, xen.version()?);
    let uts = rustix::system::uname();
    let lossy = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let mib = |pages: u64| (pages / 256).to_string();
    let caps: Vec<String> = info.hw_cap.iter().map(|word| format!("{word:08x}")).collect();
    let free_cpus = xen.free_cpus(info.max_cpu_id.saturating_add(1))?.iter().count();
    let (major, minor) = version.version;
    Ok(vec![
        ("host", lossy(uts.nodename())),
        ("release", lossy(uts.release())),
        ("version", lossy(uts.version())),
        ("machine", lossy(uts.machine())),
        ("nr_cpus", info.nr_cpus.to_string()),
        ("max_cpu_id", info.max_cpu_id.to_string()),
        ("nr_nodes", info.nr_nodes.to_string()),
        ("cores_per_socket", info.cores_per_socket.to_string()),
        ("threads_per_core", info.threads_per_core.to_string()),
        ("cpu_mhz", format!("{}.{:03}", info.cpu_khz / 1000, info.cpu_khz % 1000)),
        ("hw_caps", caps.join(":")),
        ("virt_caps", capabilities(&info)),
        ("total_memory", mib(info.total_pages)),
        ("free_memory", mib(info.free_pages.saturating_sub(info.outstanding_pages))),
        ("sharing_freed_memory", "0".to_owned()),
        ("sharing_used_memory", "0".to_owned()),
        ("outstanding_claims", mib(info.outstanding_pages)),
        ("free_cpus", free_cpus.to_string()),
        ("xen_major", major.to_string()),
        ("xen_minor", minor.to_string()),
        ("xen_extra", version.extra.clone()),
        ("xen_version", format!("{major}.{minor}{}", version.extra)),
        ("xen_caps", version.capabilities),
        ("xen_scheduler", scheduler_name(xen.scheduler()?).to_owned()),
        ("xen_pagesize", version.page_size.to_string()),
        ("platform_params", format!("virt_start=0x{:x}", version.virt_start)),
        ("xen_changeset", version.changeset),
        ("xen_commandline", version.command_line),
        ("cc_compiler", version.compiler),
        ("cc_compile_by", version.compile_by),
        ("cc_compile_domain", version.compile_domain),
        ("cc_compile_date", version.compile_date),
        ("build_id", version.build_id),
        ("xend_config_format", "4".to_owned()),
    ])
}

pub fn info(args: &Args<'_>) -> Outcome {
    let xen = Host::open_hypervisor()?;
    let entries = entries(&xen)?;
    if args.flag("json") {
        let object: serde_json::Map<String, serde_json::Value> =
            entries.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        json(&object.into());
        return Ok(());
    }
    for (key, value) in entries {
        // The topology comes before this line, as Xen prints it.
        if key == "xen_major" && args.flag("numa") {
            topology(&xen)?;
        }
        line(&format!("{key:<23}: {value}"));
    }
    Ok(())
}

fn topology(xen: &Xen<impl xenctl::Hypercalls>) -> Outcome {
    line("cpu_topology           :");
    line("cpu:    core    socket     node");
    for (cpu, place) in xen.cpus()?.iter().enumerate() {
        line(&format!("{cpu:>3}:    {:>4}     {:>4}     {:>4}", place.core, place.socket, place.node));
    }
    line("device topology        :");
    line("No device topology data available");
    line("numa_info              :");
    line("node:    memsize    memfree    distances");
    for (node, (memory, distances)) in xen.nodes()?.iter().enumerate() {
        let distances: Vec<String> = distances.iter().map(u32::to_string).collect();
        let (size, free) = (memory.memsize >> 20, memory.memfree >> 20);
        line(&format!("{node:>4}:    {size:>6}     {free:>6}      {}", distances.join(",")));
    }
    Ok(())
}

pub fn dmesg(args: &Args<'_>) -> Outcome {
    let xen = Host::open_hypervisor()?;
    let bytes = if args.flag("clear") { xen.read_console(Some(0), true)?.0 } else { xen.whole_console()? };
    text(&String::from_utf8_lossy(&bytes));
    Ok(())
}

pub fn debug_keys(args: &Args<'_>) -> Outcome {
    let xen = Host::open_hypervisor()?;
    Ok(xen.debug_keys(args.one("keys").as_bytes())?)
}
