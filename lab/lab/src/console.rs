//! The console of a running machine: everything it says is kept, a shell on it is told what to do.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What a machine says before it is gone. Linux's, Xen's and ours.
const DEATHS: &[&str] = &[
    "Kernel panic - not syncing",
    "Panic on CPU ",
    "Hardware Dom0 crashed",
    "Domain 0 crashed",
    "Ferroxen cannot start",
];
const EXEC_BEGIN: &str = "@@ferroxen exec-begin@@";
const EXEC_END: &str = "@@ferroxen exec-end ";
/// Bytes that a hypervisor's input ring holds for certain.
const CHUNK: usize = 16;
/// How long an echo may take before more is typed all the same.
const ECHO: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 5 });

/// What commands came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Their exit status.
    pub status: i32,
    /// Their lines, without those of the hypervisor.
    pub lines: Vec<String>,
}

impl Output {
    /// The output, if the commands succeeded.
    ///
    /// # Errors
    ///
    /// With status and output, if they did not.
    pub fn good(self) -> Result<Self> {
        if self.status != 0 {
            bail!("the commands ended with {}: {:?}", self.status, self.lines);
        }
        Ok(self)
    }

    /// The output, if these texts are in its lines, in this order.
    ///
    /// # Errors
    ///
    /// With the first text that is not.
    pub fn says(self, wanted: &[&str]) -> Result<Self> {
        let mut lines = self.lines.iter();
        for text in wanted {
            if !lines.any(|line| line.contains(text)) {
                bail!("no line with {text:?} (in this order) in {:?}", self.lines);
            }
        }
        Ok(self)
    }
}

/// A machine's process and its console. It does not outlive this value.
#[derive(Debug)]
pub struct Console {
    child: Mutex<Child>,
    input: Mutex<(ChildStdin, u32)>,
    heard: Arc<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    partial: Vec<u8>,
    bytes: usize,
    ended: bool,
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `look` gives something; an error if the machine ended or the time is over.
    fn wait<T>(&self, what: &str, timeout: Duration, mut look: impl FnMut(&State) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&state) {
                return Ok(found);
            }
            if state.ended {
                bail!("the machine ended while we waited for {what}");
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("no {what} within {} s", timeout.as_secs());
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn hear(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.bytes += bytes.len();
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = String::from_utf8_lossy(&state.partial).replace('\r', "");
                    state.partial.clear();
                    state.lines.push(line);
                }
                _ => state.partial.push(*byte),
            }
        }
        self.changed.notify_all();
    }
}

impl Console {
    /// Starts a machine; its console goes to `log` as well.
    ///
    /// # Errors
    ///
    /// If it does not start, or the log cannot be written.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let mut log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let input = child.stdin.take().context("no standard input")?;
        let mut output = child.stdout.take().context("no standard output")?;
        let heard = Arc::new(Heard::default());
        let told = Arc::clone(&heard);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = output.read(&mut bytes)
                && count > 0
            {
                let bytes = bytes.get(..count).unwrap_or_default();
                // A full disk must not stop the machine.
                let _ = log.write_all(bytes);
                told.hear(bytes);
            }
            told.lock().ended = true;
            told.changed.notify_all();
        });
        Ok(Self { child: Mutex::new(child), input: Mutex::new((input, 0)), heard })
    }

    /// Waits for a line that contains `text`, behind the first `from` lines; gives its number.
    ///
    /// # Errors
    ///
    /// If the machine dies or ends before, or the time is over.
    pub fn wait_for(&self, text: &str, from: usize, timeout: Duration) -> Result<usize> {
        let mut next = from;
        let found = self.heard.wait(&format!("{text:?}"), timeout, |state| {
            while let Some(line) = state.lines.get(next) {
                next += 1;
                if line.contains(text) {
                    return Some(Ok(next - 1));
                }
                if let Some(death) = death(line) {
                    return Some(Err(death));
                }
            }
            None
        })?;
        found.map_err(|death| anyhow::anyhow!("the machine died: {death}"))
    }

    /// Waits until dom0's shell or commands have begun.
    ///
    /// # Errors
    ///
    /// As [`Console::wait_for`].
    pub fn wait_up(&self, timeout: Duration) -> Result<()> {
        self.wait_for("@@ferroxen dom0-up@@", 0, timeout).map(drop)
    }

    /// Waits for the commands of the initramfs and for the machine's power-off.
    ///
    /// # Errors
    ///
    /// As [`Console::wait_for`].
    pub fn exec_output(&self, timeout: Duration) -> Result<Output> {
        let begin = self.wait_for(EXEC_BEGIN, 0, timeout)?;
        let end = self.wait_for(EXEC_END, begin, timeout)?;
        Ok(self.output(begin, end, EXEC_END))
    }

    /// Tells the shell on the console to run commands (one line), and waits for their end.
    ///
    /// # Errors
    ///
    /// As [`Console::wait_for`]. A status other than 0 is none.
    pub fn run(&self, commands: &str, timeout: Duration) -> Result<Output> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        input.1 += 1;
        let number = input.1;
        let from = self.lines();
        // What the terminal echoes has quotes inside the marks, so it is not taken for them.
        let line =
            format!("echo \"@@la\"\"b begin {number}@@\"; ( {commands} ); echo \"@@la\"\"b end {number} $?@@\"\n");
        for chunk in line.as_bytes().chunks(CHUNK) {
            let before = self.heard.lock().bytes;
            input.0.write_all(chunk)?;
            input.0.flush()?;
            // The echo says that the input ring has room again.
            let echo = self.heard.wait("echo", ECHO, |state| (state.bytes >= before + chunk.len()).then_some(()));
            if self.heard.lock().ended {
                echo?;
            }
        }
        drop(input);
        let begin = self.wait_for(&format!("@@lab begin {number}@@"), from, timeout)?;
        let mark = format!("@@lab end {number} ");
        let end = self.wait_for(&mark, begin, timeout)?;
        Ok(self.output(begin, end, &mark))
    }

    /// Waits until the machine has ended by itself.
    ///
    /// # Errors
    ///
    /// If it has not within the time.
    pub fn wait_end(&self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        while !self.heard.lock().ended {
            if Instant::now() >= deadline {
                bail!("the machine did not go off within {} s", timeout.as_secs());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// How many lines were heard.
    pub fn lines(&self) -> usize {
        self.heard.lock().lines.len()
    }

    /// The last lines.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let state = self.heard.lock();
        let from = state.lines.len().saturating_sub(count);
        state.lines.get(from..).unwrap_or_default().to_vec()
    }

    /// True if the process has ended.
    pub fn ended(&self) -> bool {
        self.heard.lock().ended
    }

    /// Ends the process.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }

    /// The output between two marks.
    fn output(&self, begin: usize, end: usize, mark: &str) -> Output {
        let state = self.heard.lock();
        let inside = state.lines.get(begin + 1..end).unwrap_or_default();
        let mut lines: Vec<String> = inside.iter().filter(|line| !from_hypervisor(line)).cloned().collect();
        if lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        let last = state.lines.get(end).map(String::as_str).unwrap_or_default();
        let status = last.find(mark).and_then(|at| last.get(at + mark.len()..)?.split("@@").next()?.parse().ok());
        Output { status: status.unwrap_or(1), lines }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.kill();
    }
}

/// True for a line that a hypervisor wrote between those of dom0.
fn from_hypervisor(line: &str) -> bool {
    line.starts_with("(XEN) ")
}

/// The line, if it says that the machine is dead. What commands print does not count: kernels and hypervisors
/// put a stamp before what they say.
fn death(line: &str) -> Option<String> {
    let stamped = line.starts_with('[') || line.starts_with("(XEN) ");
    (stamped && DEATHS.iter().any(|death| line.contains(death))).then(|| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn machine(script: &str) -> (Console, std::path::PathBuf) {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let log = std::env::temp_dir().join(format!("ferroxen-console-test-{}-{number}", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        (Console::start(command, &log).unwrap(), log)
    }

    #[test]
    fn commands_of_the_initramfs_give_their_output_and_status() {
        let script =
            r"printf 'boot\r\n@@ferroxen exec-begin@@\r\none\r\n(XEN) noise\r\ntwo\r\n\r\n@@ferroxen exec-end 3@@\r\n'";
        let (console, log) = machine(script);
        let output = console.exec_output(SOON).unwrap();
        assert_eq!(output, Output { status: 3, lines: vec!["one".to_owned(), "two".to_owned()] });
        console.wait_end(SOON).unwrap();
        assert!(std::fs::read_to_string(&log).unwrap().contains("(XEN) noise"));
        std::fs::remove_file(log).unwrap();
    }

    /// A shell that reads lines and echoes them, as a terminal does.
    #[test]
    fn a_shell_runs_one_command_after_the_other() {
        let (console, log) = machine(r#"while IFS= read -r line; do printf '%s\r\n' "$line"; eval "$line"; done"#);
        let first = console.run("echo a; echo b", SOON).unwrap();
        assert_eq!(first, Output { status: 0, lines: vec!["a".to_owned(), "b".to_owned()] });
        assert_eq!(console.run("exit 7", SOON).unwrap().status, 7);
        assert!(console.run("echo c", SOON).unwrap().good().unwrap().says(&["d"]).is_err());
        std::fs::remove_file(log).unwrap();
    }

    #[test]
    fn a_panic_ends_the_waiting_and_a_printed_one_does_not() {
        let (console, log) = machine(
            "echo 'grep: Kernel panic - not syncing'; echo '[    1.0] Kernel panic - not syncing: no init'; sleep 60",
        );
        let err = console.wait_up(SOON).unwrap_err();
        assert!(err.to_string().contains("the machine died: [    1.0]"), "{err}");
        std::fs::remove_file(log).unwrap();
    }

    #[test]
    fn a_machine_that_ends_early_is_told_at_once() {
        let (console, log) = machine("echo boot");
        let err = console.wait_up(SOON).unwrap_err();
        assert!(err.to_string().contains("the machine ended"), "{err}");
        std::fs::remove_file(log).unwrap();
    }
}
