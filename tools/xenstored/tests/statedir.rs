//! The state directory: what a daemon that died at an awkward moment, or a second one, leaves or finds there.

use std::fs;
use xen_wire::xenstore::Request;
use xenstored::durable::Durable;
use xenstored::engine::Happening;
use xenstored::journal::StoreError;
use xenstored::state::{ConnId, Peer, Quotas};

const CLIENT: ConnId = ConnId(1);

fn open(dir: &tempfile::TempDir) -> Result<Durable, StoreError> {
    Durable::open(dir.path(), &Quotas::default())
}

fn write(d: &mut Durable, path: &str, value: &[u8]) {
    let mut bytes = Vec::new();
    Request::Write(path.as_bytes(), value).encode(1, 0, &mut bytes).unwrap();
    d.make_room().unwrap();
    d.input_space(bytes.len()).copy_from_slice(&bytes);
    d.input(CLIENT, bytes.len());
    let upto = d.engine().out(CLIENT).map_or(0, |o| o.sent() + o.len() as u64);
    d.delivered(CLIENT, upto);
}

fn value(d: &Durable, path: &str) -> Option<Vec<u8>> {
    d.engine().state().tree().get(path).map(|n| n.value().to_vec())
}

fn started(dir: &tempfile::TempDir) -> Durable {
    let mut d = open(dir).unwrap();
    d.happened(&Happening::Connected(CLIENT, Peer { domid: 0, read_only: false })).unwrap();
    write(&mut d, "/a", b"1");
    d
}

fn files(dir: &tempfile::TempDir) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn what_was_written_is_there_again_and_the_journal_stays_short() {
    let dir = tempfile::tempdir().unwrap();
    let mut d = started(&dir);
    for n in 0..20_000u32 {
        write(&mut d, &format!("/many/{}", n % 100), n.to_string().as_bytes());
    }
    drop(d);
    let names = files(&dir);
    assert_eq!(names.len(), 3, "one snapshot, one journal, the lock: {names:?}");
    let size = fs::metadata(dir.path().join(&names[0])).unwrap().len();
    assert!(size <= 1 << 20, "{} has {size} bytes", names[0]);
    let d = open(&dir).unwrap();
    assert_eq!(value(&d, "/a").unwrap(), b"1");
    assert_eq!(value(&d, "/many/99").unwrap(), b"19999");
    assert!(d.engine().out(CLIENT).unwrap().is_empty(), "what was delivered is not delivered again");
}

#[test]
fn a_compaction_that_was_cut_off_leaves_the_old_state_in_force() {
    let dir = tempfile::tempdir().unwrap();
    drop(started(&dir));
    // It had made the next journal and begun the next snapshot.
    fs::copy(dir.path().join("journal-1"), dir.path().join("journal-2")).unwrap();
    fs::write(dir.path().join("snapshot.tmp"), b"half").unwrap();
    let mut d = open(&dir).unwrap();
    assert_eq!(value(&d, "/a").unwrap(), b"1");
    d.compact().unwrap();
    drop(d);
    // It had named the snapshot, and not yet removed the old files.
    fs::write(dir.path().join("snapshot-1"), b"rubbish").unwrap();
    fs::remove_file(dir.path().join("journal-2")).unwrap();
    let d = open(&dir).unwrap();
    assert_eq!(value(&d, "/a").unwrap(), b"1");
    assert_eq!(files(&dir), ["journal-2", "lock", "snapshot-2"]);
}

#[test]
fn a_failed_compaction_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut d = started(&dir);
    fs::create_dir(dir.path().join("snapshot.tmp")).unwrap();
    assert!(matches!(d.compact(), Err(StoreError::Io { .. })));
    write(&mut d, "/b", b"2");
    drop(d);
    let d = open(&dir).unwrap();
    assert_eq!((value(&d, "/a"), value(&d, "/b")), (Some(b"1".to_vec()), Some(b"2".to_vec())));
}

#[test]
fn two_daemons_never_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let first = started(&dir);
    let Err(e) = open(&dir) else { panic!("the second daemon got in") };
    assert_eq!(e.to_string(), format!("another xenstored uses {}", dir.path().display()));
    drop(first);
    assert!(open(&dir).is_ok());
}

/// Starting empty would lose everything and look like success.
#[test]
fn a_damaged_snapshot_is_an_error_and_not_an_empty_store() {
    let dir = tempfile::tempdir().unwrap();
    drop(started(&dir));
    let path = dir.path().join("snapshot-1");
    let whole = fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(matches!(open(&dir), Err(StoreError::Snapshot { .. })), "{cut} of {} bytes", whole.len());
    }
    let mut other = whole.clone();
    other[0] += 1;
    fs::write(&path, &other).unwrap();
    let Err(e) = open(&dir) else { panic!("another version was loaded") };
    assert!(e.to_string().contains("has version 3"), "{e}");
    // Without connections, version 1 is the same.
    other[0] = 1;
    fs::write(&path, &other).unwrap();
    assert_eq!(value(&open(&dir).unwrap(), "/a").unwrap(), b"1");
    fs::write(&path, &whole).unwrap();
    assert_eq!(value(&open(&dir).unwrap(), "/a").unwrap(), b"1");
}
