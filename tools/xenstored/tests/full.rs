//! A state directory in which no snapshot can be written: requests wait, nothing is lost, and all goes on as soon as
//! there is room. (A directory in the place of the temporary file is what a full disk is here.)

mod common;

use common::Supervised;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use xenstore::{Access as _, Xenstore};

#[test]
fn without_room_requests_wait_and_then_go_on() {
    let daemon = Supervised::start(&[]);
    let obstacle = daemon.dir.path().join("state/snapshot.tmp");
    common::wait_for("the first snapshot", || daemon.dir.path().join("state/snapshot-1").exists().then_some(()));
    std::fs::create_dir(&obstacle).unwrap();
    let done: Vec<AtomicU64> = (0..4).map(|_| AtomicU64::new(0)).collect();
    let stop = AtomicU64::new(0);
    let sum = || done.iter().map(|d| d.load(Ordering::Relaxed)).sum::<u64>();
    let mut watcher = Xenstore::open_socket(&daemon.socket()).unwrap();
    watcher.watch("/full/0/last", b"w", None).unwrap();
    std::thread::scope(|scope| {
        for (n, done) in done.iter().enumerate() {
            let (stop, socket) = (&stop, daemon.socket());
            scope.spawn(move || {
                let mut xs = Xenstore::open_socket(&socket).unwrap();
                let mut i = 0u64;
                while stop.load(Ordering::Relaxed) == 0 {
                    let path = format!("/full/{n}/{}", i % 20);
                    let value = [b'v'; 700];
                    xs.write(&path, &value).unwrap();
                    assert_eq!(xs.read(&path).unwrap(), value);
                    i += 1;
                    done.store(i, Ordering::Relaxed);
                }
                xs.write(&format!("/full/{n}/last"), i.to_string().as_bytes()).unwrap();
            });
        }
        // Until nothing moves any more.
        let start = Instant::now();
        loop {
            let before = sum();
            std::thread::sleep(Duration::from_millis(500));
            if sum() == before && before > 0 {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "the journal never fills");
        }
        let stalled = sum();
        assert!(daemon.log().contains("requests wait"), "{}", daemon.log());
        assert!(daemon.kill_daemon(), "and one that is killed just then loses nothing either");
        let mut late = Xenstore::open_socket(&daemon.socket()).unwrap();
        std::fs::remove_dir(&obstacle).unwrap();
        common::wait_for("progress", || (sum() > stalled + 100).then_some(()));
        assert_eq!(late.read("/tool").unwrap(), b"");
        stop.store(1, Ordering::Relaxed);
    });
    for (n, done) in done.iter().enumerate() {
        assert_eq!(watcher.read_string(&format!("/full/{n}/last")).unwrap(), done.load(Ordering::Relaxed).to_string());
    }
    assert_eq!(watcher.next_event(None).unwrap().unwrap().path, "/full/0/last", "the first event of a watch");
    assert!(watcher.next_event(Some(Duration::from_secs(5))).unwrap().is_some());
    assert_eq!(watcher.control(&["check"]).unwrap(), "OK");
}
