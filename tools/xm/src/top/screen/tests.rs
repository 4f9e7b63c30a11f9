//! The terminal, as a shell finds it afterwards: this program in a pseudo-terminal (of util-linux' `script`), with keys and signals.

use super::run;
use crate::top::Settings;
use crate::top::app::App;
use crate::top::clean::Charset;
use crate::top::figures::tests::{machine, ran};
use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use xenstat::fake::Fake;

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";
/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// No test by itself: what the others run in a terminal. `XM_TOP` says how it ends.
#[test]
#[ignore = "it needs a terminal: the tests below give it one"]
fn shown() {
    let how = std::env::var("XM_TOP").unwrap_or_default();
    println!("pid={}", std::process::id());
    let source = machine(vec![ran(0, 1), ran(3, 5)], "guest");
    if how == "panic" {
        // As in the program, whose panics abort.
        std::panic::set_hook(Box::new(|info| {
            eprintln!("{info}");
            std::process::exit(101);
        }));
        let _ = run(Panics(source), app(), None);
        return;
    }
    let iterations = (how == "two").then_some(2);
    let outcome = run(source, app(), iterations);
    println!("outcome={outcome:?}");
}

fn app() -> App {
    App::new(Settings { delay: Duration::from_millis(200), ..Settings::default() }, Charset::Unicode)
}

/// A source that breaks at once.
struct Panics(Fake);

impl xenstat::collect::Source for Panics {
    fn host(&mut self) -> Result<xenstat::snapshot::Host, String> {
        panic!("the source broke (as is wanted)");
    }
    fn domains(&mut self) -> Result<Vec<xenctl::DomainInfo>, String> {
        self.0.domains()
    }
    fn vcpu(&mut self, domid: u16, id: u32) -> Result<Option<xenstat::snapshot::Vcpu>, String> {
        self.0.vcpu(domid, id)
    }
    fn names(&mut self, domain: &xenctl::DomainInfo) -> Result<(Option<String>, Option<f64>), String> {
        self.0.names(domain)
    }
    fn quotas(&mut self) -> Result<Vec<(String, u64)>, String> {
        self.0.quotas()
    }
    fn usage(&mut self, domid: u16) -> Result<Vec<(String, u64)>, String> {
        self.0.usage(domid)
    }
    fn disks(&mut self) -> Result<Vec<xenstat::snapshot::Disk>, String> {
        self.0.disks()
    }
    fn nics(&mut self) -> Result<Vec<xenstat::snapshot::Nic>, String> {
        self.0.nics()
    }
}

/// A shell in a pseudo-terminal.
struct Shell {
    child: Child,
    keys: ChildStdin,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Shell {
    /// Runs a script: `@` in it is `shown`. The terminal's settings are printed before and after.
    fn new(how: &str, script: &str) -> Shell {
        let program = std::env::current_exe().unwrap();
        let run = format!("'{}' --ignored --exact top::screen::tests::shown --nocapture", program.display());
        let script = format!(
            "stty rows 24 cols 100; echo before=$(stty -g); {}; echo status=$?; echo after=$(stty -g)",
            script.replace('@', &run)
        );
        let mut child = Command::new("script")
            .args(["-qec", &script, "/dev/null"])
            .env("XM_TOP", how)
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script, of util-linux");
        let (keys, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (send, output) = mpsc::channel();
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(len @ 1..) = from.read(&mut part) {
                if send.send(part[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        Shell { child, keys, output, seen: String::new() }
    }

    /// Waits until something was printed so often.
    fn until(&mut self, what: &str, times: usize) -> &mut Self {
        let end = Instant::now() + PATIENCE;
        while self.seen.matches(what).count() < times {
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(part) => self.seen.push_str(&String::from_utf8_lossy(&part)),
                Err(why) => panic!("no {what:?} ({why}) in {:?}", self.seen),
            }
        }
        self
    }

    fn press(&mut self, keys: &str) -> &mut Self {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self
    }

    /// The end, of a test that goes well: the terminal is as it was. Gives what was printed.
    fn end(mut self) -> String {
        self.until("after=", 1);
        self.child.wait().unwrap();
        while let Ok(part) = self.output.recv_timeout(PATIENCE) {
            self.seen.push_str(&String::from_utf8_lossy(&part));
        }
        let of = |name: &str| {
            let mut lines = self.seen.lines().filter_map(|line| line.split_once(name));
            lines.next_back().map(|(_, rest)| rest.trim().to_owned())
        };
        assert!(of("before=").is_some_and(|settings| settings.len() > 20), "{:?}", self.seen);
        assert_eq!(of("before="), of("after="), "{:?}", self.seen);
        let (entered, left) = (self.seen.matches(ENTER).count(), self.seen.matches(LEAVE).count());
        assert!(entered >= 1 && left >= entered, "{entered} {left} {:?}", self.seen);
        assert!(self.seen.rfind(LEAVE) > self.seen.rfind(ENTER), "{:?}", self.seen);
        assert!(self.seen.rfind("\x1b[?25h") > self.seen.rfind("\x1b[?25l"), "the cursor is back: {:?}", self.seen);
        std::mem::take(&mut self.seen)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Its terminal goes with it, and so does who runs there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_key_quits_and_gives_the_terminal_back() {
    for keys in ["q", "\x03", "\x1b"] {
        let mut shell = Shell::new("", "@");
        shell.until("guest", 1).press("n").until("Net0", 1).press(keys);
        let seen = shell.end();
        assert!(seen.contains("outcome=Ok(())") && seen.contains("status=0"), "{seen:?}");
    }
}

#[test]
fn rounds_that_were_asked_for_are_the_end() {
    let mut shell = Shell::new("two", "@");
    shell.until("outcome=Ok(())", 1);
    assert!(shell.end().contains("status=0"));
}

#[test]
fn a_signal_ends_it_and_is_its_status() {
    use rustix::process::{Pid, Signal, kill_process};
    for (signal, status) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let mut shell = Shell::new("", "@");
        shell.until("guest", 1);
        let pid =
            shell.seen.lines().find_map(|line| line.split_once("pid=")?.1.trim().parse().ok()).and_then(Pid::from_raw);
        kill_process(pid.unwrap(), signal).unwrap();
        assert!(shell.end().contains(&format!("status={status}")), "{signal:?}");
    }
}

#[test]
fn a_panic_leaves_a_message_and_a_terminal() {
    let seen = Shell::new("panic", "@").end();
    let message = seen.find("the source broke");
    assert!(message > seen.find(LEAVE) && message.is_some(), "{seen:?}");
    assert!(seen.contains("status=101"), "{seen:?}");
}

#[test]
fn suspended_it_leaves_the_terminal_to_the_shell_and_comes_back() {
    let mut shell = Shell::new("", "set -m; @; echo stopped=$?; echo meanwhile=$(stty -g); fg >/dev/null");
    shell.until("guest", 1).press("\x1a").until("meanwhile=", 1).until(ENTER, 2).until("guest", 2).press("q");
    let seen = shell.end();
    let settings = |name: &str| seen.lines().find_map(|line| line.split_once(name)).map(|(_, rest)| rest.trim());
    assert_eq!(settings("before="), settings("meanwhile="), "{seen:?}");
    assert!(seen.contains("stopped=147") && seen.contains("status=0"), "{seen:?}");
}

#[test]
fn it_follows_the_terminals_size() {
    let mut shell = Shell::new("", "{ sleep 1; stty -F /dev/tty rows 10 cols 30; } & @");
    shell.until("guest", 1).until("\x1b[2J", 2).until("guest", 2).press("q");
    shell.end();
}
