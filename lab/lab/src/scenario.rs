//! A scenario: steps on one or several machines.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::barrier::Meeting;
use crate::console::{Console, Output};
use crate::host::{Host, Order, Replay, qemu_path};
use crate::machine::{Machine, Net};
use crate::qmp::Qmp;

/// A scenario as the list of scenarios has it.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// What holds if it passes.
    pub name: &'static str,
    /// Only with `--full`.
    pub full: bool,
    /// CPUs of all its machines together, for running several scenarios at once.
    pub cpus: u32,
    /// True if it uses one machine only, whose failure can be replayed.
    pub single: bool,
    /// What it does.
    pub run: fn(&Lab<'_>) -> Result<()>,
}

/// How long a boot may take under emulation on a busy machine.
pub const BOOT: Duration = Duration::from_secs(300);
/// How long a few commands may take.
pub const STEP: Duration = Duration::from_secs(120);

/// What one machine does while others do theirs.
pub type Steps<'a> = &'a (dyn Fn(&Meeting) -> Result<()> + Sync);

/// How a scenario is run.
#[derive(Debug, Clone, Default)]
pub struct Mode {
    /// Count instructions, all CPUs on one thread.
    pub icount: bool,
    /// Record or replay.
    pub replay: Option<Replay>,
    /// Wait for gdb on this port of the loopback.
    pub gdb: Option<u16>,
    /// Keep the memory of machines that failed.
    pub core: bool,
}

/// What a scenario is given: machines, and a folder for what they leave.
pub struct Lab<'a> {
    host: &'a dyn Host,
    dir: PathBuf,
    mode: Mode,
    running: Mutex<Vec<Arc<Running>>>,
}

/// A machine that runs.
pub struct Running {
    name: String,
    console: Console,
    qmp: PathBuf,
    _keep: Box<dyn std::any::Any + Send + Sync>,
    shell: bool,
    on_lan: bool,
}

// What is kept is only ever dropped.
impl std::fmt::Debug for Running {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "machine {}", self.name)
    }
}

impl<'a> Lab<'a> {
    /// A lab whose machines leave their consoles in `dir`.
    ///
    /// # Errors
    ///
    /// If the folder cannot be made.
    pub fn new(host: &'a dyn Host, dir: &Path, mode: Mode) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Self { host, dir: dir.to_owned(), mode, running: Mutex::default() })
    }

    /// The description `NAME.toml`.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn machine(&self, name: &str) -> Result<Machine> {
        Machine::load(&self.host.machines(), name)
    }

    /// Starts a machine with a shell, waits until it is up.
    ///
    /// # Errors
    ///
    /// If it does not come up.
    pub fn start(&self, name: &str, machine: &Machine) -> Result<Arc<Running>> {
        let running = self.launch(name, machine, None)?;
        running.wait_shell()?;
        Ok(running)
    }

    /// Starts several machines at the same time, waits until all are up.
    ///
    /// # Errors
    ///
    /// If one does not come up.
    pub fn start_all(&self, machines: &[(&str, &Machine)]) -> Result<Vec<Arc<Running>>> {
        let running =
            machines.iter().map(|(name, machine)| self.launch(name, machine, None)).collect::<Result<Vec<_>>>()?;
        for running in &running {
            running.wait_shell()?;
        }
        Ok(running)
    }

    /// Boots a machine for these commands alone, waits for their end and its power-off.
    ///
    /// # Errors
    ///
    /// If it dies, or takes longer than `timeout`.
    pub fn exec(&self, name: &str, machine: &Machine, commands: &str, timeout: Duration) -> Result<Output> {
        let running = self.launch(name, machine, Some(commands))?;
        let output = running.console.exec_output(timeout)?;
        running.console.wait_end(STEP).with_context(|| name.to_owned())?;
        Ok(output)
    }

    /// Boots a machine and waits for a line on its console, then for its end if `ends`.
    ///
    /// # Errors
    ///
    /// If the line does not come.
    pub fn expect_line(&self, name: &str, machine: &Machine, commands: &str, line: &str, ends: bool) -> Result<()> {
        let running = self.launch(name, machine, Some(commands))?;
        let found = running.console.wait_for(line, 0, BOOT);
        if let Err(err) = found {
            // The line itself may be one of those that say that a machine is dead.
            if !running.console.tail(usize::MAX).iter().any(|heard| heard.contains(line)) {
                return Err(err);
            }
        }
        if ends { running.console.wait_end(STEP) } else { Ok(()) }
    }

    /// Does the steps of several machines at the same time; they meet at [`Meeting::wait`].
    ///
    /// # Errors
    ///
    /// The first failure; the others are ended by it.
    pub fn together(&self, parties: &[(&str, Steps<'_>)]) -> Result<()> {
        let meeting = Meeting::new(parties.len());
        let results: Vec<Result<()>> = thread::scope(|scope| {
            let handles: Vec<_> = parties
                .iter()
                .map(|(name, steps)| {
                    let meeting = &meeting;
                    scope.spawn(move || {
                        let result = steps(meeting).with_context(|| (*name).to_owned());
                        if let Err(err) = &result {
                            meeting.fail(&format!("{err:#}"));
                        }
                        result
                    })
                })
                .collect();
            handles.into_iter().map(|handle| handle.join().unwrap_or_else(|_| bail!("a step panicked"))).collect()
        });
        // The cause, not the echo of it in the others.
        let mut failures: Vec<anyhow::Error> = results.into_iter().filter_map(Result::err).collect();
        failures.sort_by_key(|err| format!("{err:#}").contains("another machine failed"));
        failures.into_iter().next().map_or(Ok(()), Err)
    }

    fn launch(&self, name: &str, machine: &Machine, exec: Option<&str>) -> Result<Arc<Running>> {
        let mut machine = machine.clone();
        machine.icount |= self.mode.icount;
        let short = std::env::temp_dir().join(format!("fxlab-{}-{}", std::process::id(), self.count()));
        let qmp = short.with_extension("qmp");
        let mut order = Order { exec: exec.map(str::to_owned), replay: self.mode.replay.clone(), ..Order::default() };
        order.qemu.extend(["-qmp".to_owned(), format!("unix:{},server=on,wait=off", qemu_path(&qmp))]);
        order.qemu.extend(self.cables(&machine)?);
        if let Some(port) = self.mode.gdb {
            order.qemu.extend(["-gdb".to_owned(), format!("tcp:127.0.0.1:{port}"), "-S".to_owned()]);
        }
        let prepared = self.host.prepare(&machine, &order)?;
        fs::write(self.dir.join(format!("{name}.toml")), machine.to_toml()?)?;
        if let Some(commands) = exec {
            fs::write(self.dir.join(format!("{name}.exec")), commands)?;
        }
        fs::write(self.dir.join(format!("{name}.command")), format!("{:?}\n", prepared.command))?;
        let console = Console::start(prepared.command, &self.dir.join(format!("{name}.console")))?;
        let running = Arc::new(Running {
            name: name.to_owned(),
            console,
            qmp,
            _keep: prepared.keep,
            shell: exec.is_none(),
            on_lan: machine.nics.iter().any(|nic| nic.net == Net::Lan),
        });
        self.machines().push(Arc::clone(&running));
        Ok(running)
    }

    /// Cables between machines are sockets: the first machine listens, the next is plugged in.
    fn cables(&self, machine: &Machine) -> Result<Vec<String>> {
        let mut arguments = Vec::new();
        for (number, nic) in machine.nics.iter().enumerate().filter(|(_, nic)| nic.net == Net::Lan) {
            let socket = std::env::temp_dir().join(format!("fxlab-{}-{}.lan", std::process::id(), self.tag()));
            let first = !self.machines().iter().any(|running| running.on_lan);
            if !first {
                self.await_socket(&socket)?;
            }
            let server = if first { "on" } else { "off" };
            let path = qemu_path(&socket);
            let mac = self.count() + 1;
            arguments.extend([
                "-netdev".to_owned(),
                format!("stream,id=lan{number},server={server},addr.type=unix,addr.path={path}"),
                "-device".to_owned(),
                format!("{},netdev=lan{number},mac=52:54:00:fe:{number:02x}:{mac:02x}", nic.model),
            ]);
        }
        Ok(arguments)
    }

    /// The first machine makes the socket when it starts.
    fn await_socket(&self, socket: &Path) -> Result<()> {
        let deadline = Instant::now() + STEP;
        while !socket.exists() {
            if Instant::now() >= deadline {
                bail!("the first machine made no {}", socket.display());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// A number for this lab, from its folder.
    fn tag(&self) -> u64 {
        let bytes = self.dir.as_os_str().as_encoded_bytes();
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
    }

    fn count(&self) -> usize {
        self.machines().len()
    }

    fn machines(&self) -> MutexGuard<'_, Vec<Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a failure leaves: consoles are there already; registers, and what dom0 can still tell.
    pub fn autopsy(&self) {
        for running in self.machines().iter() {
            let text = running.autopsy(self.mode.core.then(|| self.dir.join(format!("{}.core", running.name))));
            // An autopsy must not hide the failure that it is about.
            let _ = fs::write(self.dir.join(format!("{}.autopsy", running.name)), text);
        }
    }

    /// The last lines of every console, with names for addresses.
    pub fn last_words(&self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for running in self.machines().iter() {
            let tail = running.console.tail(count);
            lines.extend(tail.iter().map(|line| format!("{}| {}", running.name, self.host.explain(line))));
        }
        lines
    }
}

impl Drop for Lab<'_> {
    fn drop(&mut self) {
        let socket = std::env::temp_dir().join(format!("fxlab-{}-{}.lan", std::process::id(), self.tag()));
        let _ = fs::remove_file(socket);
        for running in self.machines().iter() {
            // A log that is recorded is complete only if QEMU ends by itself.
            if self.mode.replay.is_some() && !running.console.ended() {
                let _ = Qmp::connect(&running.qmp).and_then(|mut qmp| qmp.execute("quit", &serde_json::json!({})));
                let _ = running.console.wait_end(STEP);
            }
            let _ = fs::remove_file(&running.qmp);
        }
    }
}

impl Running {
    fn wait_shell(&self) -> Result<()> {
        self.console.wait_up(BOOT).with_context(|| format!("{} does not come up", self.name))?;
        self.console.wait_for("Leave with", 0, STEP).map(drop)
    }

    /// Runs commands in dom0's shell; their status may be anything.
    ///
    /// # Errors
    ///
    /// If the machine dies or the time is over.
    pub fn run(&self, commands: &str, timeout: Duration) -> Result<Output> {
        self.console.run(commands, timeout).with_context(|| format!("{}: `{commands}`", self.name))
    }

    /// Runs commands that have to succeed.
    ///
    /// # Errors
    ///
    /// If they do not.
    pub fn must(&self, commands: &str, timeout: Duration) -> Result<Output> {
        let output = self.run(commands, timeout)?;
        output.good().with_context(|| format!("{}: `{commands}`", self.name))
    }

    /// Powers the machine off and waits for its end.
    ///
    /// # Errors
    ///
    /// If it does not go off.
    pub fn power_off(&self) -> Result<()> {
        // The shell does not live to say how it went.
        let _ = self.console.run("sync; exec poweroff -f", Duration::from_secs(30));
        self.console.wait_end(STEP).with_context(|| self.name.clone())
    }

    fn autopsy(&self, core: Option<PathBuf>) -> String {
        let mut text = String::new();
        if self.console.ended() {
            return "the machine had ended\n".to_owned();
        }
        if self.shell {
            for commands in ["dmesg | tail -50", "xl dmesg | tail -50", "xenstore-ls -fp | head -200", "ps"] {
                let output = self.console.run(commands, Duration::from_secs(20));
                let lines = output.map_or_else(|err| format!("{err:#}"), |output| output.lines.join("\n"));
                text += &format!("--- {commands}\n{lines}\n");
            }
        }
        match Qmp::connect(&self.qmp) {
            Ok(mut qmp) => {
                for line in ["info status", "info registers -a", "info pic", "info lapic"] {
                    let answer = qmp.monitor(line).unwrap_or_else(|err| format!("{err:#}"));
                    text += &format!("--- {line}\n{answer}\n");
                }
                if let Some(core) = core {
                    let arguments =
                        serde_json::json!({"paging": false, "protocol": format!("file:{}", core.display())});
                    let dumped = qmp.execute("dump-guest-memory", &arguments);
                    text += &format!("--- memory in {}: {:?}\n", core.display(), dumped.err());
                }
            }
            Err(err) => text += &format!("no monitor: {err:#}\n"),
        }
        text
    }
}
