//! Watches the console of a machine: where the output of the commands begins and ends, and
//! whether the machine died.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, LineWriter, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// What a machine came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The commands ended with this status.
    Exec(i32),
    /// The emulator ended by itself (power off, or a reset with `-no-reboot`), or dom0 halted.
    Off,
    /// A line of the console says that the machine is dead.
    Panic(String),
    /// The time is over.
    Timeout,
}

/// A finished boot.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Lines that the commands printed, without those of the hypervisor.
    pub output: Vec<String>,
    /// Every line of the console.
    pub console: Vec<String>,
    /// True if the machine also powered itself off after the commands.
    pub powered_off: bool,
    /// From QEMU's start to the line that says that dom0 is up.
    pub up_after: Option<Duration>,
}

impl Outcome {
    /// What a hypervisor said while the commands ran: once dom0 is up it has nothing to say unless something is wrong, or
    /// is done on purpose: `expected` is part of such a line.
    pub fn complaint(&self, expected: Option<&str>) -> Option<&str> {
        let lines = self.console.iter().map(String::as_str);
        let mut during = lines.skip_while(|line| !line.contains(BEGIN)).take_while(|line| !line.contains(END));
        during.find(|line| from_hypervisor(line) && !expected.is_some_and(|text| line.contains(text)))
    }

    /// The last `count` lines of the console.
    pub fn tail(&self, count: usize) -> &[String] {
        let from = self.console.len().saturating_sub(count);
        self.console.get(from..).unwrap_or_default()
    }
}

/// Marks that a machine will not come back from. Xen's, Linux's and ours.
const DEATHS: &[&str] = &[
    "Kernel panic - not syncing",
    "Panic on CPU ",
    "Hardware Dom0 crashed",
    "Domain 0 crashed",
    "Ferroxen cannot start",
];

/// What a hypervisor says when dom0 ended without switching the machine off: it stands still.
const HALTED: &str = "Dom0 halted";

const BEGIN: &str = "@@ferroxen exec-begin@@";
const END: &str = "@@ferroxen exec-end ";
const UP: &str = "@@ferroxen dom0-up@@";

/// How long a machine may still talk after its death or after the commands' end.
const GRACE: Duration = Duration::from_secs(90);
/// A panic prints, then waits five seconds before it restarts the machine.
const LAST_WORDS: Duration = Duration::from_secs(9);
/// Who stands still has said everything.
const STANDING_STILL: Duration = Duration::from_secs(2);
const STILL: &[&str] = &[HALTED, "Ferroxen cannot start", "Halted (noreboot)"];

/// Follows what the console says, one line after the other.
#[derive(Debug, Default)]
struct Follower {
    inside: bool,
    output: Vec<String>,
    status: Option<i32>,
    death: Option<String>,
    up: bool,
    halted: bool,
    still: bool,
}

impl Follower {
    /// How long the machine may still talk, if it is at its end.
    fn grace(&self) -> Option<Duration> {
        match (self.still, self.death.is_some(), self.status.is_some()) {
            (true, ..) => Some(STANDING_STILL),
            (_, true, _) => Some(LAST_WORDS),
            (.., true) => Some(GRACE),
            _ => None,
        }
    }

    /// Takes a line; returns it if it is output of the commands.
    fn line(&mut self, line: &str) -> Option<String> {
        if line.contains(UP) {
            self.up = true;
        }
        // While commands run, only lines that a kernel or hypervisor wrote count: these have their stamp.
        let believed = !self.inside || line.starts_with('[') || from_hypervisor(line);
        if self.death.is_none() && believed && DEATHS.iter().any(|mark| line.contains(mark)) {
            self.death = Some(line.trim().to_owned());
        }
        if !self.inside && line.contains(HALTED) {
            self.halted = true;
        }
        self.still |= believed && STILL.iter().any(|mark| line.contains(mark));
        if self.status.is_some() {
            return None;
        }
        if let Some(at) = line.find(END) {
            let rest = line.get(at + END.len()..).unwrap_or_default();
            let number = rest.split("@@").next().unwrap_or_default();
            self.status = Some(number.parse().unwrap_or(1));
            self.inside = false;
            return None;
        }
        if line.contains(BEGIN) {
            self.inside = true;
            return None;
        }
        if self.inside && !from_hypervisor(line) {
            return Some(line.to_owned());
        }
        None
    }
}

/// True for a line that a hypervisor wrote between those of dom0.
fn from_hypervisor(line: &str) -> bool {
    line.starts_with("(XEN) ") || line.starts_with("(FX) ") || line.starts_with("[ferroxen] ")
}

/// What a caller wants to see while it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Nothing.
    Nothing,
    /// What the commands print, as they print it.
    Output,
    /// The whole console.
    Console,
}

/// What is typed on the console once it shows this; one after the other.
pub type Typed = (&'static str, &'static str);

/// Types, step by step.
struct Typist<'a> {
    steps: &'a [Typed],
    keys: Option<ChildStdin>,
}

impl Typist<'_> {
    fn line(&mut self, line: &str) {
        if let Some(((mark, text), rest)) = self.steps.split_first()
            && line.contains(mark)
        {
            self.steps = rest;
            if let Some(keys) = &mut self.keys {
                // A machine that is gone needs no keys.
                let _ = keys.write_all(text.as_bytes()).and_then(|()| keys.flush());
            }
        }
    }
}

/// Starts `cmd` and follows its standard output to an end.
pub fn watch(mut cmd: Command, timeout: Duration, log: &Path, show: Show, typed: &[Typed]) -> Result<Outcome> {
    let mut log = LineWriter::new(File::create(log).with_context(|| format!("cannot write {}", log.display()))?);
    let start = Instant::now();
    let mut child = Running(
        cmd.stdin(if typed.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {cmd:?}"))?,
    );
    let stdout = child.0.stdout.take().context("QEMU has no standard output")?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&bytes);
            let line = text.trim_end_matches(['\r', '\n']).replace('\r', "");
            if sender.send(line).is_err() {
                return;
            }
            bytes.clear();
        }
    });

    let mut typist = Typist { steps: typed, keys: child.0.stdin.take() };
    let mut follower = Follower::default();
    let mut console = Vec::new();
    let mut held = VecDeque::new();
    let mut up_after = None;
    let mut deadline = start + timeout;
    let mut ending = None;
    let mut powered_off = false;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                writeln!(log, "{line}")?;
                let output = follower.line(&line);
                typist.line(&line);
                if show == Show::Console {
                    println!("{line}");
                }
                if let Some(output) = output {
                    // One line is held back: init puts an empty one before its last mark.
                    held.push_back(output);
                }
                let keep = usize::from(follower.status.is_none());
                while held.len() > keep {
                    let Some(line) = held.pop_front() else { break };
                    if follower.status.is_some() && line.is_empty() && held.is_empty() {
                        break;
                    }
                    if show == Show::Output {
                        println!("{line}");
                    }
                    follower.output.push(line);
                }
                if follower.up && up_after.is_none() {
                    up_after = Some(start.elapsed());
                }
                console.push(line);
                if let Some(grace) = follower.grace().filter(|&grace| ending.is_none_or(|shorter| grace < shorter)) {
                    ending = Some(grace);
                    deadline = deadline.min(Instant::now() + grace);
                }
            }
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => {
                powered_off = true;
                break;
            }
        }
    }
    log.flush()?;
    drop(child);
    let end = match (follower.status, follower.death) {
        (Some(status), _) => End::Exec(status),
        (None, Some(death)) => End::Panic(death),
        (None, None) if powered_off || follower.halted => End::Off,
        (None, None) => End::Timeout,
    };
    Ok(Outcome { end, output: follower.output, console, powered_off, up_after })
}

/// The emulator; it does not outlive us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_between_the_marks_are_output() {
        let mut follower = Follower::default();
        let lines = ["boot", "@@ferroxen exec-begin@@", "a", "(XEN) d0 noise", "b", "@@ferroxen exec-end 3@@", "after"];
        let output: Vec<String> = lines.iter().filter_map(|line| follower.line(line)).collect();
        assert_eq!(output, ["a", "b"]);
        assert_eq!(follower.status, Some(3));
        assert_eq!(follower.death, None);
    }

    #[test]
    fn a_panic_that_commands_only_print_is_no_death() {
        let mut follower = Follower::default();
        for line in [BEGIN, "grep said: Kernel panic - not syncing", "@@ferroxen exec-end 0@@"] {
            follower.line(line);
        }
        assert_eq!((follower.death, follower.status), (None, Some(0)));
    }

    #[test]
    fn a_panic_of_the_kernel_under_the_commands_is_death() {
        let mut follower = Follower::default();
        for line in [BEGIN, "[   10.811276] Kernel panic - not syncing: sysrq triggered crash"] {
            follower.line(line);
        }
        assert!(follower.death.is_some());
    }

    #[test]
    fn a_hypervisor_panic_before_the_commands_is_death() {
        let mut follower = Follower::default();
        follower.line("(XEN) Panic on CPU 0:");
        assert_eq!(follower.death.as_deref(), Some("(XEN) Panic on CPU 0:"));
    }

    #[test]
    fn a_machine_that_says_nothing_ends_by_timeout() {
        let log = std::env::temp_dir().join(format!("ferroxen-watch-test-{}", std::process::id()));
        let mut cmd = Command::new("sleep");
        cmd.arg("60");
        let outcome = watch(cmd, Duration::from_millis(200), &log, Show::Nothing, &[]).unwrap();
        assert_eq!(outcome.end, End::Timeout);
        std::fs::remove_file(log).unwrap();
    }

    #[test]
    fn keys_are_typed_when_their_mark_is_seen() {
        let log = std::env::temp_dir().join(format!("ferroxen-watch-test3-{}", std::process::id()));
        let mut cmd = Command::new("sh");
        cmd.args(["-c", "echo two; echo one; read a; echo got $a; read b; echo got $b"]);
        let steps = [("one", "first\n"), ("got first", "second\n")];
        let outcome = watch(cmd, Duration::from_secs(10), &log, Show::Nothing, &steps).unwrap();
        assert_eq!(outcome.console, ["two", "one", "got first", "got second"]);
        std::fs::remove_file(log).unwrap();
    }

    #[test]
    fn output_without_a_last_newline_and_the_status_are_kept() {
        let log = std::env::temp_dir().join(format!("ferroxen-watch-test2-{}", std::process::id()));
        let mut cmd = Command::new("printf");
        cmd.arg(r"x\r\n@@ferroxen exec-begin@@\r\none\r\ntwo\r\n\r\n@@ferroxen exec-end 7@@\r\n");
        let outcome = watch(cmd, Duration::from_secs(10), &log, Show::Nothing, &[]).unwrap();
        assert_eq!(outcome.end, End::Exec(7));
        assert_eq!(outcome.output, ["one", "two"]);
        assert!(outcome.powered_off);
        std::fs::remove_file(log).unwrap();
    }
}
