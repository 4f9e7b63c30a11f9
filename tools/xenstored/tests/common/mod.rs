//! A daemon of our own, for tests.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A supervised daemon in a directory of its own. Killed when dropped.
pub struct Supervised {
    supervisor: Child,
    pub dir: tempfile::TempDir,
}

impl Supervised {
    pub fn start(args: &[&str]) -> Supervised {
        // The journal wants a file system with a page cache; a tmpfs is what it has in real life.
        let dir = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" }).unwrap();
        let supervisor = Command::new(env!("CARGO_BIN_EXE_xenstored"))
            .arg("--supervise")
            .arg("--run-dir")
            .arg(dir.path())
            .arg("--pid-file")
            .arg(dir.path().join("pid"))
            .args(args)
            .stderr(std::fs::File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let this = Supervised { supervisor, dir };
        wait_for("the daemon's socket", || this.dir.path().join("pid").exists().then_some(()));
        this
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    pub fn supervisor_pid(&self) -> u32 {
        self.supervisor.id()
    }

    /// The supervisor of now: a daemon that lost the first one starts another.
    pub fn supervisor_now(&self) -> i32 {
        wait_for("the pid file", || std::fs::read_to_string(self.dir.path().join("pid")).ok()?.trim().parse().ok())
    }

    /// The daemon under the supervisor, if it runs at the moment.
    pub fn daemon_pid(&self) -> Option<i32> {
        let own = self.dir.path().as_os_str().as_encoded_bytes();
        std::fs::read_dir("/proc").unwrap().flatten().find_map(|process| {
            let pid: i32 = process.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(process.path().join("cmdline")).ok()?;
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            let is_daemon = words.contains(&&b"--kept"[..]) && words.contains(&own);
            is_daemon.then_some(pid)
        })
    }

    /// `kill -9` to the supervisor.
    pub fn kill_supervisor(&self) {
        let pid = rustix::process::Pid::from_raw(self.supervisor_now()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    /// `kill -9` to the daemon; `false` if there was none to kill.
    pub fn kill_daemon(&self) -> bool {
        let Some(pid) = self.daemon_pid().and_then(rustix::process::Pid::from_raw) else { return false };
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok()
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let now = std::fs::read_to_string(self.dir.path().join("pid")).ok().and_then(|pid| pid.trim().parse().ok());
        if let Some(pid) = now.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if let Some(pid) = rustix::process::Pid::from_raw(self.supervisor.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.supervisor.wait();
    }
}

/// Waits up to ten seconds for something.
pub fn wait_for<R>(what: &str, mut probe: impl FnMut() -> Option<R>) -> R {
    let start = Instant::now();
    loop {
        if let Some(r) = probe() {
            return r;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A small generator of numbers, so that a failing run can be repeated from its seed.
pub struct Rng(pub u64);

impl Rng {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}
