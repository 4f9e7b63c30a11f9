//! Live update: another program takes over, or cannot; and supervisors that die.

mod common;

use common::{Supervised, wait_for};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use xenstore::{Access as _, Xenstore};

/// What the program has to contain to be started at all.
const MARK: &str = "ferroxen xenstored: takes over from a running one";

fn copy(daemon: &Supervised, name: &str) -> PathBuf {
    let to = daemon.dir.path().join(name);
    std::fs::copy(env!("CARGO_BIN_EXE_xenstored"), &to).unwrap();
    to
}

fn script(daemon: &Supervised, name: &str, text: &str, mode: u32) -> PathBuf {
    let to = daemon.dir.path().join(name);
    std::fs::write(&to, text).unwrap();
    std::fs::set_permissions(&to, std::fs::Permissions::from_mode(mode)).unwrap();
    to
}

fn program_of(pid: i32) -> PathBuf {
    std::fs::read_link(format!("/proc/{pid}/exe")).unwrap()
}

fn update(xs: &mut Xenstore, to: &Path) -> String {
    assert_eq!(xs.control(&["live-update", "-f", to.to_str().unwrap()]).unwrap(), "OK");
    xs.control(&["live-update", "-s", "-t", "60", "-F"]).unwrap()
}

#[test]
fn another_program_takes_over_with_nodes_watches_and_open_transactions() {
    let daemon = Supervised::start(&[]);
    let mut xs = Xenstore::open_socket(&daemon.socket()).unwrap();
    let mut other = Xenstore::open_socket(&daemon.socket()).unwrap();
    other.watch("/a", b"t", None).unwrap();
    other.next_event(None).unwrap().unwrap();
    let mut t = other.begin().unwrap();
    t.write("/a/inside", b"1").unwrap();
    for round in 0..5 {
        let new = copy(&daemon, &format!("new-{round}"));
        assert_eq!(update(&mut xs, &new), "OK");
        assert_eq!(program_of(wait_for("the daemon", || daemon.daemon_pid())), new);
    }
    // A daemon that dies comes back from the same file.
    daemon.kill_daemon();
    assert_eq!(t.read("/a/inside").unwrap(), b"1", "the open transaction goes on");
    t.commit().unwrap();
    assert_eq!(other.next_event(Some(Duration::from_secs(5))).unwrap().unwrap().path, "/a/inside");
    assert!(program_of(wait_for("the daemon", || daemon.daemon_pid())).ends_with("new-4"));
    // Without a file: what stands in the present one's.
    assert_eq!(xs.control(&["live-update", "-s"]).unwrap(), "OK");
}

#[test]
fn what_cannot_take_over_does_not_and_says_why_in_one_line() {
    let daemon = Supervised::start(&[]);
    let mut xs = Xenstore::open_socket(&daemon.socket()).unwrap();
    xs.write("/a", b"1").unwrap();
    let pid = wait_for("the daemon", || daemon.daemon_pid());
    let none = daemon.dir.path().join("none");
    let plain = script(&daemon, "plain", MARK, 0o644);
    let other = script(&daemon, "other", "#!/bin/sh\nexec cat\n", 0o755);
    for (program, why) in [(none, "No such file"), (plain, "cannot be executed"), (other, "no xenstored of Ferroxen")] {
        let said = update(&mut xs, &program);
        assert!(said.starts_with("no update: /") && said.contains(why) && said.lines().count() == 1, "{said}");
        assert!(said.ends_with("; the running daemon goes on"), "{said}");
        assert!(daemon.log().contains(&said), "{}", daemon.log());
        assert_eq!(daemon.daemon_pid(), Some(pid));
    }
    assert!(xs.control(&["live-update", "-f", "relative"]).is_err());
    assert!(xs.control(&["live-update", "-x"]).is_err());
    // One that was thought better of.
    assert_eq!(xs.control(&["live-update", "-f", "/none"]).unwrap(), "OK");
    assert_eq!(xs.control(&["live-update", "-a"]).unwrap(), "OK");
    // It ends at once, after the daemon has handed over to it.
    let early = script(&daemon, "early", &format!("#!/bin/sh\n# {MARK}\nexit 3\n"), 0o755);
    let said = update(&mut xs, &early);
    assert!(said.contains("it ended (exit status: 3); the version before goes on"), "{said}");
    assert_eq!(xs.read("/a").unwrap(), b"1");
    let now = wait_for("the daemon", || daemon.daemon_pid());
    assert_eq!(program_of(now), std::fs::canonicalize(env!("CARGO_BIN_EXE_xenstored")).unwrap());
    // And it is not tried again.
    daemon.kill_daemon();
    xs.write("/a", b"2").unwrap();
    assert_eq!(daemon.log().matches("no update: ").count(), 4, "{}", daemon.log());
    let good = copy(&daemon, "good");
    assert_eq!(update(&mut xs, &good), "OK");
}

/// An upgrade that goes wrong: the program's file is something else, or gone, when the daemon dies.
#[test]
fn a_daemon_comes_back_although_its_file_is_broken() {
    let daemon = Supervised::start(&[]);
    let mut xs = Xenstore::open_socket(&daemon.socket()).unwrap();
    let file = copy(&daemon, "program");
    assert_eq!(update(&mut xs, &file), "OK");
    for text in [None, Some("#!/bin/sh\nexit 0\n".to_owned()), Some(format!("#!/bin/sh\n# {MARK}\nexit 0\n"))] {
        std::fs::remove_file(&file).ok();
        if let Some(text) = text {
            script(&daemon, "program", &text, 0o755);
        }
        let old = wait_for("the daemon", || daemon.daemon_pid());
        daemon.kill_daemon();
        xs.write("/a", b"1").unwrap();
        let now = wait_for("the next daemon", || daemon.daemon_pid().filter(|pid| *pid != old));
        assert!(program_of(now).display().to_string().ends_with("program (deleted)"));
        // Told to hand over, it does not, or comes back.
        let said = xs.control(&["live-update", "-s"]).unwrap();
        assert!(said.starts_with("no update: "), "{said}");
    }
    copy(&daemon, "program-2");
    std::fs::rename(daemon.dir.path().join("program-2"), &file).unwrap();
    assert_eq!(xs.control(&["live-update", "-s"]).unwrap(), "OK");
    assert_eq!(program_of(wait_for("the daemon", || daemon.daemon_pid())), file);
}

/// Supervisor and daemon are killed in turn: each time the one that is left has another beside it.
#[test]
fn a_killed_supervisor_is_replaced_by_the_daemon() {
    let daemon = Supervised::start(&[]);
    let mut xs = Xenstore::open_socket(&daemon.socket()).unwrap();
    xs.watch("/a", b"t", None).unwrap();
    xs.next_event(None).unwrap().unwrap();
    let mut t = xs.begin().unwrap();
    t.write("/b", b"1").unwrap();
    let mut writer = Xenstore::open_socket(&daemon.socket()).unwrap();
    // Answered once, so that it is not between the supervisor's accepting it and its telling the daemon.
    writer.write("/a", b"first").unwrap();
    for round in 0..10u8 {
        let old = daemon.supervisor_now();
        daemon.kill_supervisor();
        wait_for("another supervisor", || Some(daemon.supervisor_now()).filter(|pid| *pid != old));
        assert_eq!(t.read("/b").unwrap(), b"1");
        let mut new = Xenstore::open_socket(&daemon.socket()).unwrap();
        if round > 0 {
            assert_eq!(new.read("/a").unwrap(), [round - 1]);
        }
        let old = wait_for("the daemon", || daemon.daemon_pid());
        assert!(daemon.kill_daemon());
        writer.write("/a", &[round]).unwrap();
        new.write("/c", &[round]).unwrap();
        wait_for("the next daemon", || daemon.daemon_pid().filter(|pid| *pid != old));
    }
    assert_eq!(t.read("/b").unwrap(), b"1");
    t.commit().unwrap();
    // Equal events that follow each other are told once.
    assert_eq!(xs.next_event(Some(Duration::from_secs(5))).unwrap().unwrap().path, "/a");
    let new = copy(&daemon, "new");
    assert_eq!(update(&mut xs, &new), "OK");
}
