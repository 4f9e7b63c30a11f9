//! The client library and the command `xenstore` against a running daemon.

mod common;

use common::Supervised;
use std::process::{Command, Output};
use std::time::Duration;
use xenstore::{Access as _, Error, Perm, Xenstore, XsError};

#[test]
fn a_client_reads_writes_lists_and_watches() {
    let daemon = Supervised::start(&[]);
    let mut xs = Xenstore::open_socket(&daemon.socket()).unwrap();
    let mut other = Xenstore::open_socket(&daemon.socket()).unwrap();
    xs.write("/a/b", b"1").unwrap();
    assert_eq!(other.read_string("/a/b").unwrap(), "1");
    assert_eq!(other.read_if_there("/a/c").unwrap(), None);
    assert!(!other.exists("/a/c").unwrap());
    let names: Vec<String> = (0..500).map(|n| format!("a-rather-long-name-{n:05}")).collect();
    for n in &names {
        xs.mkdir(&format!("/many/{n}")).unwrap();
    }
    assert_eq!(other.list("/many").unwrap(), names, "in parts, since it is longer than a message");
    let perms = [Perm::parse(b"n0").unwrap(), Perm::parse(b"r5").unwrap()];
    xs.set_perms("/a", &perms).unwrap();
    assert_eq!(xs.perms("/a").unwrap(), perms);
    xs.watch("/a", b"token", None).unwrap();
    assert_eq!(xs.next_event(None).unwrap().unwrap().path, "/a");
    assert_eq!(xs.next_event(Some(Duration::from_millis(20))).unwrap(), None);
    other.write("/a/x", b"").unwrap();
    let event = xs.next_event(Some(Duration::from_secs(5))).unwrap().unwrap();
    assert_eq!((event.path.as_str(), event.token.as_slice()), ("/a/x", &b"token"[..]));
    xs.unwatch("/a", b"token").unwrap();
    assert_eq!(xs.unwatch("/a", b"token").unwrap_err().refused(), Some(XsError::ENOENT));
    assert_eq!(xs.domain_path(7).unwrap(), "/local/domain/7");
    assert!(!xs.is_introduced(7).unwrap());
    assert!(matches!(xs.write("/big", &[0; 4096]), Err(Error::TooLong { .. })));
    let mut ro = Xenstore::open_socket(&daemon.dir.path().join("socket_ro")).unwrap();
    assert_eq!(ro.write("/a", b"").unwrap_err().refused(), Some(XsError::EROFS));
    assert_eq!(ro.read("/a/b").unwrap(), b"1");
}

#[test]
fn a_dropped_transaction_is_undone_and_a_conflicting_one_is_tried_again() {
    let daemon = Supervised::start(&[]);
    let mut xs = Xenstore::open_socket(&daemon.socket()).unwrap();
    let mut other = Xenstore::open_socket(&daemon.socket()).unwrap();
    {
        let mut t = xs.begin().unwrap();
        t.write("/a", b"1").unwrap();
    }
    assert!(!xs.exists("/a").unwrap());
    let mut tries = 0;
    xs.transaction(|t| {
        tries += 1;
        let _ = t.read_if_there("/n")?;
        if tries < 3 {
            other.write("/n", b"meanwhile")?;
        }
        t.write("/n", tries.to_string().as_bytes())
    })
    .unwrap();
    assert_eq!((tries, xs.read_string("/n").unwrap().as_str()), (3, "3"));
    let refused = xs.transaction(|t| t.read("/nothing"));
    assert!(refused.unwrap_err().is_not_found());
}

struct Cli(Supervised);

impl Cli {
    fn run(&self, args: &str) -> (i32, String, String) {
        let args: Vec<&str> = args.split(' ').filter(|a| !a.is_empty()).collect();
        let mut path = std::env::current_exe().unwrap();
        path.pop();
        path.pop();
        let program = path.join("xenstore");
        let Output { status, stdout, stderr } =
            Command::new(program).env("XENSTORED_RUNDIR", self.0.dir.path()).args(args).output().unwrap();
        let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }
}

#[test]
fn the_command_does_its_work_and_its_exit_codes_are_those_documented() {
    let target = std::env::current_exe().unwrap();
    let built = target.parent().and_then(|p| p.parent()).unwrap().join("xenstore");
    if !built.exists() {
        // `cargo test -p xenstored` alone does not build another package's program.
        let cargo = Command::new(env!("CARGO")).args(["build", "-p", "xenstore"]).status().unwrap();
        assert!(cargo.success());
    }
    let cli = Cli(Supervised::start(&[]));
    let ok = |args: &str| {
        let (code, out, err) = cli.run(args);
        assert_eq!((code, err.as_str()), (0, ""), "{args}");
        out
    };
    ok("write /a/b/c one /a/b/d two\\x0a");
    assert_eq!(ok("read /a/b/c"), "one\n");
    assert_eq!(ok("read -p /a/b/d"), "/a/b/d: two\\n\n");
    assert_eq!(ok("list /a/b"), "c\nd\n");
    assert_eq!(ok("list -p /a"), "/a/b\n");
    assert_eq!(ok("ls /a"), "b = \"\"\n c = \"one\"\n d = \"two\\n\"\n");
    assert_eq!(ok("ls -f -p /a/b"), "/a/b/c = \"one\"   (n0)\n/a/b/d = \"two\\n\"   (n0)\n");
    ok("chmod -r /a n0 r5");
    assert_eq!(ok("ls -f -p /a/b"), "/a/b/c = \"one\"   (n0,r5)\n/a/b/d = \"two\\n\"   (n0,r5)\n");
    ok("exists /a /a/b");
    assert_eq!(ok("watch -n 1 /a"), "/a\n");
    assert!(ok("control quota").contains("nodes"));
    ok("rm -t /a/b/c");
    ok("rm -t /a/b/d");
    let (code, _, err) = cli.run("read /a");
    assert_eq!((code, err.as_str()), (3, "xenstore: READ /a: no such node, watch, transaction or domain (ENOENT)\n"));
    let table = [
        ("exists /nothing", 3, ""),
        ("rm /nothing", 3, "RM"),
        ("read", 2, "Usage"),
        ("nonsense", 2, "Usage"),
        ("write /a", 2, "has no value"),
        ("chmod /tool x5", 2, "followed by a domid"),
        ("read /a//b", 1, "EINVAL"),
        ("watch -T 0.05 -n 9 /tool", 6, "in time"),
        ("--socket /nonexistent/socket read /a", 5, "is it running?"),
        ("--help", 0, ""),
    ];
    for (args, want, text) in table {
        let (code, _, err) = cli.run(args);
        assert_eq!(code, want, "{args}: {err}");
        assert!(err.contains(text) || text == "RM", "{args}: {err}");
    }
}
