//! What a domain is to be: read from a file in the syntax of xl.cfg.

pub mod disk;
mod keys;
pub mod near;
pub mod syntax;
pub mod vif;

pub use disk::Disk;
pub use vif::{DEFAULT_BRIDGE, Vif};

use self::keys::{KEYS, MISSING, WITHOUT_EFFECT};
use self::syntax::{At, Setting, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is done when a domain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It goes.
    Destroy,
    /// It goes, and comes again.
    Restart,
    /// It stays under another name, and comes again.
    RenameRestart,
    /// It stays as it is.
    Preserve,
}

impl Action {
    const NAMES: &[&str] =
        &["destroy", "restart", "rename-restart", "preserve", "coredump-destroy", "coredump-restart"];

    /// With whether a core file is written first.
    fn from_name(name: &str) -> Option<(Action, bool)> {
        match name {
            "destroy" => Some((Action::Destroy, false)),
            "restart" => Some((Action::Restart, false)),
            "rename-restart" => Some((Action::RenameRestart, false)),
            "preserve" => Some((Action::Preserve, false)),
            "coredump-destroy" => Some((Action::Destroy, true)),
            "coredump-restart" => Some((Action::Restart, true)),
            _ => None,
        }
    }
}

/// A domain's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainConfig {
    /// Its name.
    pub name: String,
    /// Its UUID; chosen when it is created if there is none.
    pub uuid: Option<[u8; 16]>,
    /// The kernel's file.
    pub kernel: PathBuf,
    /// The ramdisk's.
    pub ramdisk: Option<PathBuf>,
    /// The kernel's command line.
    pub command_line: String,
    /// Memory at the start, in KiB.
    pub memory_kib: u64,
    /// The most memory, in KiB.
    pub max_memory_kib: u64,
    /// Vcpus at the start.
    pub vcpus: u32,
    /// The most vcpus.
    pub max_vcpus: u32,
    /// Where each vcpu may run (the last counts for those after it).
    pub cpus: Vec<String>,
    /// Where each likes to run.
    pub cpus_soft: Vec<String>,
    /// Its CPU pool, by name or number; `None`: the machine's first.
    #[serde(default)]
    pub pool: Option<String>,
    /// Its disks.
    pub disks: Vec<Disk>,
    /// Its network cards.
    pub vifs: Vec<Vif>,
    /// When it switched itself off.
    pub on_poweroff: Action,
    /// When it rebooted.
    pub on_reboot: Action,
    /// When it crashed.
    pub on_crash: Action,
    /// When its watchdog ended it.
    pub on_watchdog: Action,
    /// A core file is written when it crashed.
    #[serde(default)]
    pub core_on_crash: bool,
    /// A core file is written when its watchdog ended it.
    #[serde(default)]
    pub core_on_watchdog: bool,
    /// The most event channels.
    pub max_event_channels: u32,
    /// The most frames of its grant table.
    pub max_grant_frames: Option<u32>,
    /// The most frames for mappings of others' grants.
    pub max_maptrack_frames: Option<u32>,
}

/// A message about a place in a file: a warning or an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where; `None`: the file as a whole.
    pub at: Option<At>,
    /// What.
    pub what: String,
}

impl Message {
    /// `file:line:column: what`.
    pub fn with_file(&self, file: &str) -> String {
        match self.at {
            Some(at) => format!("{file}:{at}: {}", self.what),
            None => format!("{file}: {}", self.what),
        }
    }
}

const MIB: u64 = 1024;

/// Reads a configuration; `more` are settings (`key=value`) that come after the text. Gives warnings too.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse(text: &str, more: &[String]) -> Result<(DomainConfig, Vec<Message>), Message> {
    let place = |error: syntax::SyntaxError| Message { at: Some(error.at), what: error.what };
    let (mut settings, ignored) = syntax::parse(text).map_err(place)?;
    let mut warnings: Vec<Message> = ignored.into_iter().map(place).collect();
    for extra in more {
        let quoted = quote(extra);
        let parsed =
            syntax::parse(&quoted).map_err(|error| Message { at: None, what: format!("{extra}: {}", error.what) })?;
        settings.extend(parsed.0);
    }
    let names = settings.keys().map(String::as_str).collect::<Vec<_>>();
    for name in names {
        let at = settings.get(name).map(|setting| setting.at);
        if MISSING.contains(&name) {
            return Err(Message { at, what: format!("{name} is not there yet") });
        }
        if WITHOUT_EFFECT.contains(&name) {
            warnings.push(Message { at, what: format!("{name} has no effect on a PV domain here") });
        } else if !KEYS.contains(&name) {
            let all = KEYS.iter().chain(WITHOUT_EFFECT).chain(MISSING).copied();
            let hint = near::nearest(name, all).map_or(String::new(), |near| format!("; is \"{near}\" meant?"));
            warnings.push(Message { at, what: format!("unknown key \"{name}\" is left out{hint}") });
        }
    }
    let config = Reader { settings: &settings }.read()?;
    // Whoever switches himself off leaves nothing to look for.
    for name in ["on_poweroff", "on_reboot", "on_shutdown"] {
        if let Some(setting) = settings.get(name)
            && let Value::Text(text) = &setting.value
            && let Some(rest) = text.strip_prefix("coredump-")
        {
            let what = format!("{name}: a core file is written after crashes only, so this is \"{rest}\"");
            warnings.push(Message { at: Some(setting.value_at), what });
        }
    }
    Ok((config, warnings))
}

/// On a command line, a value that is no number, list or quoted string is a string.
pub fn quote(setting: &str) -> String {
    match setting.split_once('=') {
        Some((name, value))
            if !value.trim_start().starts_with(['"', '\'', '[']) && syntax::number(value.trim()).is_none() =>
        {
            format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
        }
        _ => setting.to_owned(),
    }
}

struct Reader<'a> {
    settings: &'a BTreeMap<String, Setting>,
}

impl Reader<'_> {
    fn wrong<T>(&self, name: &str, what: String) -> Result<T, Message> {
        Err(Message { at: self.settings.get(name).map(|setting| setting.value_at), what })
    }

    fn text(&self, name: &str) -> Result<Option<&str>, Message> {
        match self.settings.get(name).map(|setting| &setting.value) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => self.wrong(name, format!("{name} must be a string")),
        }
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Message> {
        let value = match self.settings.get(name).map(|setting| &setting.value) {
            None => return Ok(None),
            Some(Value::Number(number)) => Some(*number),
            Some(Value::Text(text)) => syntax::number(text.trim()),
            Some(Value::List(_)) => None,
        };
        match value.and_then(|value| u64::try_from(value).ok()) {
            Some(value) => Ok(Some(value)),
            None => self.wrong(name, format!("{name} must be a number")),
        }
    }

    fn small(&self, name: &str, range: std::ops::RangeInclusive<u32>) -> Result<Option<u32>, Message> {
        match self.number(name)? {
            None => Ok(None),
            Some(value) => match u32::try_from(value).ok().filter(|value| range.contains(value)) {
                Some(value) => Ok(Some(value)),
                None => self.wrong(name, format!("{name} must be from {} to {}", range.start(), range.end())),
            },
        }
    }

    /// A list of strings; one string is a list of one.
    fn list(&self, name: &str) -> Result<Vec<&str>, Message> {
        match self.settings.get(name).map(|setting| &setting.value) {
            None => Ok(Vec::new()),
            Some(Value::Text(text)) => Ok(vec![text]),
            Some(Value::List(list)) => list
                .iter()
                .map(|value| match value {
                    Value::Text(text) => Ok(text.as_str()),
                    _ => self.wrong(name, format!("{name} must be a list of strings")),
                })
                .collect(),
            Some(Value::Number(_)) => self.wrong(name, format!("{name} must be a list of strings")),
        }
    }

    /// Sets of CPUs: a string for all vcpus, or a list with one for each.
    fn cpus(&self, name: &str) -> Result<Vec<String>, Message> {
        match self.settings.get(name).map(|setting| &setting.value) {
            Some(Value::Number(cpu)) => Ok(vec![cpu.to_string()]),
            Some(Value::List(list)) => Ok(list
                .iter()
                .map(|value| match value {
                    Value::Number(cpu) => cpu.to_string(),
                    Value::Text(text) => text.clone(),
                    Value::List(_) => String::new(),
                })
                .collect()),
            _ => Ok(self.text(name)?.map(str::to_owned).into_iter().collect()),
        }
    }

    /// With whether a core file is written first.
    fn action(&self, name: &str, default: Action) -> Result<(Action, bool), Message> {
        match self.text(name)? {
            None => Ok((default, false)),
            Some(text) => match Action::from_name(text) {
                Some(action) => Ok(action),
                None => {
                    let hint = near::nearest(text, Action::NAMES.iter().copied());
                    let hint = hint.map_or(String::new(), |near| format!("; is \"{near}\" meant?"));
                    self.wrong(name, format!("{name}: \"{text}\" is no action ({}){hint}", Action::NAMES.join(", ")))
                }
            },
        }
    }

    fn read(&self) -> Result<DomainConfig, Message> {
        let Some(name) = self.text("name")? else {
            return Err(Message { at: None, what: "no name (name = \"…\")".to_owned() });
        };
        if let Some(problem) = name_problem(name) {
            return self.wrong("name", format!("name \"{name}\": {problem}"));
        }
        let kind = match (self.text("type")?, self.text("builder")?) {
            (Some(kind), _) => kind,
            (None, Some("hvm")) => "hvm",
            _ => "pv",
        };
        if kind != "pv" {
            let key = if self.settings.contains_key("type") { "type" } else { "builder" };
            return self.wrong(key, format!("type {kind} is not there yet: only pv is"));
        }
        let Some(kernel) = self.text("kernel")? else {
            return Err(Message { at: None, what: "no kernel (kernel = \"/path\")".to_owned() });
        };
        let command_line = match self.text("cmdline")? {
            Some(line) => line.to_owned(),
            None => {
                let root = self.text("root")?.map(|root| format!("root={root}"));
                let parts: Vec<String> = root.into_iter().chain(self.text("extra")?.map(str::to_owned)).collect();
                parts.join(" ")
            }
        };
        let memory = self.number("memory")?.unwrap_or(32);
        let max_memory = self.number("maxmem")?.unwrap_or(memory);
        if memory == 0 || max_memory < memory || max_memory > 1 << 24 {
            let key = if memory == 0 { "memory" } else { "maxmem" };
            return self.wrong(key, format!("memory {memory}, maxmem {max_memory}: MiB, maxmem at least memory"));
        }
        let vcpus = self.small("vcpus", 1..=128)?.unwrap_or(1);
        let max_vcpus = self.small("maxvcpus", 1..=128)?.unwrap_or(vcpus);
        if max_vcpus < vcpus {
            return self.wrong("maxvcpus", format!("maxvcpus {max_vcpus} is less than vcpus {vcpus}"));
        }
        let mut disks: Vec<Disk> = Vec::new();
        for text in self.list("disk")? {
            match Disk::parse(text) {
                Ok(disk) if disks.iter().any(|other| other.vdev == disk.vdev) => {
                    return self.wrong("disk", format!("disk \"{text}\": {} is there twice", disk.vdev));
                }
                Ok(disk) => disks.push(disk),
                Err(what) => return self.wrong("disk", format!("disk \"{text}\": {what}")),
            }
        }
        let mut vifs = Vec::new();
        for text in self.list("vif")? {
            match Vif::parse(text) {
                Ok(vif) => vifs.push(vif),
                Err(what) => return self.wrong("vif", format!("vif \"{text}\": {what}")),
            }
        }
        let uuid = match self.text("uuid")? {
            None => None,
            Some(text) => match crate::uuid::parse(text) {
                Some(uuid) => Some(uuid),
                None => return self.wrong("uuid", format!("uuid \"{text}\" is none")),
            },
        };
        let cpus = if self.settings.contains_key("cpus") { self.cpus("cpus")? } else { self.cpus("cpu")? };
        let many = 1..=1 << 16;
        let on_shutdown = self.action("on_shutdown", Action::Destroy)?.0;
        let (on_crash, core_on_crash) = self.action("on_crash", Action::Destroy)?;
        let (on_watchdog, core_on_watchdog) = self.action("on_watchdog", Action::Destroy)?;
        Ok(DomainConfig {
            name: name.to_owned(),
            uuid,
            kernel: kernel.into(),
            ramdisk: self.text("ramdisk")?.filter(|path| !path.is_empty()).map(PathBuf::from),
            command_line,
            memory_kib: memory * MIB,
            max_memory_kib: max_memory * MIB,
            vcpus,
            max_vcpus,
            cpus,
            cpus_soft: self.cpus("cpus_soft")?,
            pool: match self.settings.get("pool").map(|setting| &setting.value) {
                Some(Value::Number(number)) => Some(number.to_string()),
                _ => self.text("pool")?.map(str::to_owned),
            },
            disks,
            vifs,
            on_poweroff: self.action("on_poweroff", on_shutdown)?.0,
            on_reboot: self.action("on_reboot", Action::Restart)?.0,
            on_crash,
            on_watchdog,
            core_on_crash,
            core_on_watchdog,
            max_event_channels: self
                .small("max_event_channels", many.clone())?
                .or(self.small("event_channels", many.clone())?)
                .unwrap_or(1023),
            max_grant_frames: self.small("max_grant_frames", many.clone())?,
            max_maptrack_frames: self.small("max_maptrack_frames", many)?,
        })
    }
}

/// What keeps a name from being a domain's.
pub fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > 200 {
        Some("it has more than 200 bytes")
    } else if name.chars().all(|c| c.is_ascii_digit()) {
        Some("a number alone would be taken for a domain's id")
    } else if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:+@".contains(c)) {
        Some("letters, digits and -_.:+@ are allowed")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "name='a'\nkernel='/k'\n";

    fn error(text: &str) -> String {
        parse(text, &[]).unwrap_err().with_file("x.cfg")
    }

    #[test]
    fn a_small_file_gives_a_domain_with_defaults() {
        let (config, warnings) = parse(SMALL, &[]).unwrap();
        assert_eq!((config.memory_kib, config.vcpus, config.on_reboot), (32 << 10, 1, Action::Restart));
        assert!(warnings.is_empty());
    }

    #[test]
    fn settings_of_the_command_line_come_last_and_need_no_quotes() {
        let more = ["memory=64".to_owned(), "extra=ro quiet".to_owned(), "disk=['/d,raw,xvda,w']".to_owned()];
        let (config, _) = parse(&format!("{SMALL}memory=32\nroot='/dev/xvda1'"), &more).unwrap();
        assert_eq!(config.memory_kib, 64 << 10);
        assert_eq!(config.command_line, "root=/dev/xvda1 ro quiet");
        assert_eq!(config.disks.len(), 1);
    }

    #[test]
    fn an_unknown_key_is_a_warning_with_the_nearest_name() {
        let (_, warnings) = parse(&format!("{SMALL}memmory=1\nlocaltime=1"), &[]).unwrap();
        let lines: Vec<String> = warnings.iter().map(|warning| warning.with_file("x")).collect();
        assert_eq!(lines[0], "x:4:1: localtime has no effect on a PV domain here");
        assert_eq!(lines[1], "x:3:1: unknown key \"memmory\" is left out; is \"memory\" meant?");
    }

    #[test]
    fn what_cannot_be_is_an_error_with_its_place() {
        assert_eq!(error("kernel='/k'"), "x.cfg: no name (name = \"…\")");
        assert_eq!(error("name='a'"), "x.cfg: no kernel (kernel = \"/path\")");
        assert_eq!(error(&format!("{SMALL}vcpus=0")), "x.cfg:3:7: vcpus must be from 1 to 128");
        assert_eq!(error(&format!("{SMALL}memory=[]")), "x.cfg:3:8: memory must be a number");
        assert_eq!(error(&format!("{SMALL}type='hvm'")), "x.cfg:3:6: type hvm is not there yet: only pv is");
        assert_eq!(
            error(&format!("{SMALL}on_crash='reboot'")),
            "x.cfg:3:10: on_crash: \"reboot\" is no action (destroy, restart, rename-restart, preserve, \
             coredump-destroy, coredump-restart)"
        );
        assert_eq!(
            error("name='7'\nkernel='/k'"),
            "x.cfg:1:6: name \"7\": a number alone would be taken for a domain's id"
        );
        assert_eq!(
            error(&format!("{SMALL}disk=['/a,raw,xvda,w','/b,raw,xvda,w']")),
            "x.cfg:3:6: disk \"/b,raw,xvda,w\": xvda is there twice"
        );
        assert_eq!(error(&format!("{SMALL}bootloader='pygrub'")), "x.cfg:3:1: bootloader is not there yet");
    }
}
