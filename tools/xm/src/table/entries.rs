//! All commands, in the order of `xm help`.

use super::{Args, Entry, Param};
use crate::commands;
use crate::failure::Outcome;

const DOMAIN: Param = Param::One("domain", "Name, number or UUID");
const JSON: Param = Param::Flag('j', "json", "Print JSON");

const fn entry(
    name: &'static str,
    about: &'static str,
    params: &'static [Param],
    run: fn(&Args<'_>) -> Outcome,
) -> Entry {
    Entry { name, aliases: &[], old: &[], about, params, run, hidden: false }
}

const WEIGHT: Param =
    Param::Short('w', "weight", "WEIGHT", "1 to 65535: a domain with twice the weight gets twice the time");
const CAP: Param = Param::Short('c', "cap", "PERCENT", "The most it gets, in percent of a CPU; 0: all it can get");
const OF: Param = Param::Short('d', "domain", "DOMAIN", "Only this domain; whose parameters are set");
const POOL: Param = Param::Short('p', "cpupool", "POOL", "Only this CPU pool");
const OF_POOL: Param = Param::Flag('s', "schedparam", "The parameters of a CPU pool, not of domains");
const RATE: Param =
    Param::Short('r', "ratelimit_us", "MICROSECONDS", "How long a vcpu runs at least: 100 to 500000, 0: no limit");

/// All commands.
pub const TABLE: &[Entry] = &[
    Entry {
        aliases: &["new", "start"],
        ..entry(
            "create",
            "Create a domain from a configuration",
            &[
                Param::Flag('c', "console", "Connect to its console"),
                Param::Flag('p', "paused", "Leave it paused"),
                Param::Flag('q', "quiet", "Say nothing of progress"),
                Param::Flag('n', "dry-run", "Only check the configuration"),
                Param::Flag('e', "no-wait", "Do nothing when it ends"),
                Param::Flag('C', "no-cache", "Unpack its kernel anew"),
                Param::Value("defconfig", "FILE", "The configuration (as the first argument)"),
                JSON,
                Param::Rest("config", "Configuration file, then key=value settings that override it"),
            ],
            commands::create::create,
        )
    },
    entry(
        "apply",
        "Bring the host to what a folder of configurations says",
        &[
            Param::Flag('n', "dry-run", "Only show the difference"),
            Param::Flag('E', "exit-code", "With --dry-run: exit with 7 if there is a difference"),
            Param::Flag('r', "restart", "Start domains anew whose changes need it (else: at their next start)"),
            Param::Flag('p', "prune", "Shut domains down that are not in the folder"),
            Param::Value("timeout", "SECONDS", "How long a domain has to shut down (120)"),
            Param::One("dir", "The folder: all its *.cfg, as create takes them"),
        ],
        commands::apply::apply,
    ),
    Entry {
        aliases: &["ls"],
        ..entry(
            "list",
            "List domains",
            &[
                Param::Flag('l', "long", "Everything, as JSON"),
                Param::Flag('v', "verbose", "UUID and why it shut down, too"),
                Param::Flag('c', "cpupool", "CPU pools, too"),
                JSON,
                Param::Rest("domain", "Only these"),
            ],
            commands::list::list,
        )
    },
    entry("console", "Connect to a domain's console (Ctrl-] leaves it)", &[DOMAIN], commands::console::console),
    entry(
        "destroy",
        "End a domain at once",
        &[
            Param::Flag('f', "force", "As without (for scripts of xl)"),
            Param::Some("domain", "Names, numbers or UUIDs"),
        ],
        commands::life::destroy,
    ),
    entry(
        "shutdown",
        "Ask a domain to switch itself off",
        &[
            Param::Flag('w', "wait", "Wait until it did"),
            Param::Flag('a', "all", "All domains but the control domain"),
            Param::Flag('F', "fallback", "As without (for scripts of xl)"),
            Param::Value("timeout", "SECONDS", "How long to wait at most"),
            Param::Rest("domain", "Names, numbers or UUIDs"),
        ],
        commands::life::shutdown,
    ),
    entry(
        "reboot",
        "Ask a domain to start anew",
        &[
            Param::Flag('w', "wait", "Wait until it ended"),
            Param::Flag('a', "all", "All domains but the control domain"),
            Param::Flag('F', "fallback", "As without (for scripts of xl)"),
            Param::Value("timeout", "SECONDS", "How long to wait at most"),
            Param::Rest("domain", "Names, numbers or UUIDs"),
        ],
        commands::life::reboot,
    ),
    entry("pause", "Stop a domain's vcpus", &[Param::Some("domain", "Names, numbers or UUIDs")], commands::life::pause),
    entry(
        "unpause",
        "Let a paused domain go on",
        &[Param::Some("domain", "Names, numbers or UUIDs")],
        commands::life::unpause,
    ),
    entry(
        "rename",
        "Give a domain another name",
        &[DOMAIN, Param::One("name", "The new name")],
        commands::life::rename,
    ),
    entry("vm-list", "List domains with their UUIDs", &[JSON], commands::list::vm_list),
    entry("claims", "List domains with the memory that is claimed for them", &[JSON], commands::list::claims),
    entry(
        "sharing",
        "List domains with the pages that they share",
        &[JSON, Param::Rest("domain", "Only these")],
        commands::list::sharing,
    ),
    entry("domid", "A domain's number", &[DOMAIN], commands::list::domid),
    entry("domname", "A domain's name", &[DOMAIN], commands::list::domname),
    entry(
        "top",
        "Show what domains do, on the whole screen (keys: ?)",
        &[
            Param::Short('d', "delay", "SECONDS", "Time between two rounds (3)"),
            Param::Flag('n', "networks", "Network cards, too"),
            Param::Flag('x', "vbds", "Disks, too"),
            Param::Flag('v', "vcpus", "Vcpus, too"),
            Param::Flag('r', "repeat-header", "The header above each domain"),
            Param::Flag('f', "full-name", "Long names whole"),
            Param::Flag('z', "dom0-first", "Domain 0 first, however the others are sorted"),
            Param::Flag('b', "batch", "Print line by line, without a screen"),
            Param::Short('i', "iterations", "COUNT", "End after so many rounds"),
            Param::Flag('V', "version", "Print the version"),
        ],
        crate::top::top,
    ),
    entry(
        "uptime",
        "How long domains have been running",
        &[Param::Flag('s', "short", "Shorter"), JSON, Param::Rest("domain", "Only these")],
        commands::list::uptime,
    ),
    entry(
        "config-update",
        "Give a domain another configuration, for its next start",
        &[
            DOMAIN,
            Param::Value("defconfig", "FILE", "The configuration (as the second argument)"),
            Param::Rest("config", "Configuration file, then key=value settings that override it"),
        ],
        commands::life::config_update,
    ),
    entry(
        "dump-core",
        "Write a domain's memory and registers into a core file",
        &[
            Param::Flag('L', "live", "Let it run meanwhile"),
            Param::Flag('C', "crash", "It crashes afterwards"),
            Param::Flag('R', "reset", "It reboots afterwards"),
            DOMAIN,
            Param::Maybe("file", "Where (/var/lib/xen/dump/NAME.core)"),
        ],
        commands::life::dump_core,
    ),
    entry(
        "trigger",
        "Pull a trigger of a vcpu",
        &[
            DOMAIN,
            Param::One("trigger", "nmi, reset, init, power or sleep (a PV domain has nmi alone)"),
            Param::Maybe("vcpu", "Which (0)"),
        ],
        commands::life::trigger,
    ),
    entry(
        "button-press",
        "Press a button of a domain (as trigger; a PV domain has none)",
        &[DOMAIN, Param::One("button", "power or sleep")],
        commands::life::button_press,
    ),
    entry(
        "sysrq",
        "Send a domain a magic system request",
        &[DOMAIN, Param::One("letter", "Which")],
        commands::life::sysrq,
    ),
    entry(
        "info",
        "The machine and the hypervisor",
        &[Param::Flag('n', "numa", "Nodes and CPUs, too"), JSON],
        commands::info::info,
    ),
    entry(
        "dmesg",
        "The hypervisor's console",
        &[Param::Flag('c', "clear", "Clear it after reading")],
        commands::info::dmesg,
    ),
    entry("log", "What these tools noted", &[], commands::system::log),
    entry(
        "debug-keys",
        "Send keys to the hypervisor's console",
        &[Param::One("keys", "Which")],
        commands::info::debug_keys,
    ),
    entry(
        "set-parameters",
        "Change parameters of the running hypervisor (without any: list them)",
        &[Param::Rest("parameter", "NAME=VALUE, as on the hypervisor's command line")],
        commands::parameters::set,
    ),
    entry("vcpu-list", "List vcpus", &[JSON, Param::Rest("domain", "Only these")], commands::vcpu::list),
    Entry {
        old: &["pincpu"],
        ..entry(
            "vcpu-pin",
            "Say where vcpus may run",
            &[
                DOMAIN,
                Param::One("vcpu", "Its number, or all"),
                Param::One("hard", "CPUs where it may run (0-3,^1; all; - for no change)"),
                Param::Maybe("soft", "CPUs where it likes to run"),
            ],
            commands::vcpu::pin,
        )
    },
    Entry {
        old: &["set-vcpus"],
        ..entry(
            "vcpu-set",
            "Say how many vcpus a domain uses",
            &[DOMAIN, Param::One("count", "How many")],
            commands::vcpu::set,
        )
    },
    Entry {
        old: &["balloon"],
        ..entry(
            "mem-set",
            "Say how much memory a domain uses",
            &[DOMAIN, Param::One("memory", "MiB, or with a unit: 512m, 1g, 65536k")],
            commands::memory::set,
        )
    },
    Entry {
        old: &["maxmem"],
        ..entry(
            "mem-max",
            "Say how much memory a domain may use at most",
            &[DOMAIN, Param::One("memory", "MiB, or with a unit")],
            commands::memory::max,
        )
    },
    Entry {
        old: &["vbd-create", "block_attach"],
        ..entry(
            "block-attach",
            "Plug a disk into a domain",
            &[DOMAIN, Param::Some("disk", "As in a configuration: target,format,vdev,access")],
            commands::device::block_attach,
        )
    },
    Entry {
        old: &["vbd-destroy", "block_detach"],
        ..entry(
            "block-detach",
            "Take a disk out of a domain",
            &[
                Param::Flag('f', "force", "Without asking the guest"),
                DOMAIN,
                Param::One("device", "Its name or number"),
            ],
            commands::device::block_detach,
        )
    },
    Entry {
        old: &["vbd-list"],
        ..entry(
            "block-list",
            "List a domain's disks",
            &[JSON, Param::Some("domain", "Names, numbers or UUIDs")],
            commands::device::block_list,
        )
    },
    Entry {
        old: &["vif-attach"],
        ..entry(
            "network-attach",
            "Plug a network card into a domain",
            &[DOMAIN, Param::Rest("setting", "As in a configuration: mac=…, bridge=…")],
            commands::device::network_attach,
        )
    },
    Entry {
        old: &["vif-detach", "network-destroy"],
        ..entry(
            "network-detach",
            "Take a network card out of a domain",
            &[
                Param::Flag('f', "force", "Without asking the guest"),
                DOMAIN,
                Param::One("device", "Its number or address"),
            ],
            commands::device::network_detach,
        )
    },
    Entry {
        old: &["vif-list"],
        ..entry(
            "network-list",
            "List a domain's network cards",
            &[JSON, Param::Some("domain", "Names, numbers or UUIDs")],
            commands::device::network_list,
        )
    },
    entry(
        "channel-list",
        "List a domain's channels",
        &[JSON, Param::Some("domain", "Names, numbers or UUIDs")],
        commands::device::channel_list,
    ),
    entry(
        "sched-credit",
        "Show or set parameters of the scheduler credit",
        &[
            OF,
            WEIGHT,
            CAP,
            POOL,
            OF_POOL,
            Param::Short('t', "tslice_ms", "MILLISECONDS", "How long a vcpu runs at a time: 1 to 1000"),
            RATE,
            Param::Short('m', "migration_delay_us", "MICROSECONDS", "How long a vcpu stays on its CPU: 0 to 100000"),
            JSON,
        ],
        commands::sched::credit,
    ),
    entry(
        "sched-credit2",
        "Show or set parameters of the scheduler credit2",
        &[OF, WEIGHT, CAP, POOL, OF_POOL, RATE, JSON],
        commands::sched::credit2,
    ),
    entry(
        "sched-rtds",
        "Show or set parameters of the scheduler rtds",
        &[
            OF,
            Param::Each('v', "vcpuid", "VCPU", "Of this vcpu, or all"),
            Param::Each('p', "period", "MICROSECONDS", "How often its budget is filled up"),
            Param::Each('b', "budget", "MICROSECONDS", "How long it may run in each period"),
            Param::Each('e', "extratime", "0|1", "Whether it gets time that nobody reserved"),
            Param::Short('c', "cpupool", "POOL", "Only this CPU pool"),
            JSON,
        ],
        commands::sched::rtds,
    ),
    entry(
        "cpupool-list",
        "List CPU pools",
        &[Param::Flag('c', "cpus", "Their CPUs, one by one"), JSON, Param::Maybe("pool", "Only this one")],
        commands::pool::list,
    ),
    entry(
        "cpupool-create",
        "Make a CPU pool",
        &[
            Param::Flag('n', "dry-run", "Only check the configuration"),
            Param::Short('f', "defconfig", "FILE", "The configuration (as the first argument)"),
            Param::Rest("config", "Configuration file, then key=value settings: name, sched, cpus, nodes"),
        ],
        commands::pool::create,
    ),
    entry(
        "cpupool-destroy",
        "Remove a CPU pool that has no domain",
        &[Param::One("pool", "Name or number")],
        commands::pool::destroy,
    ),
    entry(
        "cpupool-rename",
        "Give a CPU pool another name",
        &[Param::One("pool", "Name or number"), Param::One("name", "The new name")],
        commands::pool::rename,
    ),
    entry(
        "cpupool-cpu-add",
        "Put CPUs into a CPU pool",
        &[Param::One("pool", "Name or number"), Param::One("cpus", "2, 0-3, or node:1")],
        commands::pool::add_cpus,
    ),
    entry(
        "cpupool-cpu-remove",
        "Take CPUs out of a CPU pool",
        &[Param::One("pool", "Name or number"), Param::One("cpus", "2, 0-3, or node:1")],
        commands::pool::remove_cpus,
    ),
    entry(
        "cpupool-migrate",
        "Move a domain to another CPU pool",
        &[DOMAIN, Param::One("pool", "Name or number")],
        commands::pool::migrate,
    ),
    entry("cpupool-numa-split", "Make a CPU pool of each NUMA node", &[], commands::pool::numa_split),
    Entry {
        hidden: true,
        ..entry("init-dom0", "Note the control domain in xenstore", &[], commands::system::init_dom0)
    },
    Entry {
        hidden: true,
        ..entry(
            "attend",
            "Wait for a domain's end and do what its configuration says",
            &[
                Param::Flag('S', "supervised", "This process is started again by the one above it"),
                Param::One("uuid", "Its UUID"),
            ],
            commands::attend::attend,
        )
    },
    Entry {
        hidden: true,
        ..entry(
            "completion",
            "Completion for a shell",
            &[Param::One("shell", "bash, zsh or fish")],
            commands::system::completion,
        )
    },
    Entry { hidden: true, ..entry("counts", "What is in use, for finding leaks", &[JSON], commands::counts::counts) },
    Entry { hidden: true, ..entry("man", "The manual page", &[], commands::system::man) },
];
