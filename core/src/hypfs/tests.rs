//! The tree as the control domain sees it.

use super::*;
use crate::options::{Conswitch, LogLevel};
use crate::testing::{GUEST_BASE, TestWorld};
use std::collections::BTreeMap;

const PATH: u64 = GUEST_BASE;
const BUFFER: u64 = GUEST_BASE + 0x2000;
const ROOM: u64 = 0x2000;

fn world() -> TestWorld {
    TestWorld::new(16, &[])
}

fn poke(world: &TestWorld, at: u64, bytes: &[u8]) {
    bytes.iter().enumerate().for_each(|(n, byte)| world.platform().poke(at + n as u64, byte));
}

fn op(world: &TestWorld, cmd: u32, path: &str, len: u64) -> HypercallResult {
    poke(world, PATH, path.as_bytes());
    world.call(0, |ctx| hypfs_op(ctx, cmd, Vaddr(PATH), path.len() as u64, Vaddr(BUFFER), len)).0
}

/// Description and content.
fn get(world: &TestWorld, path: &str) -> Result<(XenHypfsDirentry, Vec<u8>), Stop> {
    op(world, XEN_HYPFS_OP_read, &format!("{path}\0"), ROOM)?;
    let head: XenHypfsDirentry = world.platform().peek(BUFFER);
    Ok((head, (0..head.content_len.into()).map(|n| world.platform().peek(BUFFER + HEAD + n)).collect()))
}

fn text(world: &TestWorld, path: &str) -> String {
    let (_, mut content) = get(world, path).unwrap();
    assert_eq!(content.pop(), Some(0), "{path} ends");
    String::from_utf8(content).unwrap()
}

fn set(world: &TestWorld, path: &str, value: &[u8]) -> HypercallResult {
    poke(world, BUFFER, value);
    op(world, XEN_HYPFS_OP_write_contents, &format!("{path}\0"), value.len() as u64)
}

fn err<T>(errno: Errno) -> Result<T, Stop> {
    Err(Stop::Err(errno))
}

/// Name and description of all that is in a directory.
fn names(world: &TestWorld, path: &str) -> Vec<(String, XenHypfsDirentry)> {
    let (head, content) = get(world, path).unwrap();
    assert_eq!(head.r#type, XEN_HYPFS_TYPE_DIR);
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let mut item = XenHypfsDirlistentry::default();
        item.as_mut_bytes().copy_from_slice(&content[at..at + size_of::<XenHypfsDirlistentry>()]);
        let name = content[at + NAME..].iter().take_while(|byte| **byte != 0).copied().collect();
        let name = String::from_utf8(name).unwrap();
        let len = (NAME + name.len() + 1).next_multiple_of(4);
        found.push((name, item.e));
        if item.off_next == 0 {
            assert_eq!(at + len, content.len());
            return found;
        }
        assert_eq!(usize::from(item.off_next), len, "no longer than its name needs");
        at += usize::from(item.off_next);
    }
}

#[test]
fn every_entry_is_in_its_directory_as_it_describes_itself() {
    let world = world();
    let mut seen = BTreeMap::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let listed = names(&world, if folder.is_empty() { "/" } else { &folder });
        assert!(listed.is_sorted_by_key(|(name, _)| name.clone()));
        for (name, described) in listed {
            let path = format!("{folder}/{name}");
            let (head, _) = get(&world, &path).unwrap();
            assert_eq!(head, described, "{path}");
            if head.r#type == XEN_HYPFS_TYPE_DIR {
                folders.push(path.clone());
            }
            seen.insert(path, head);
        }
    }
    assert_eq!(seen.len(), 21);
    assert_eq!(seen["/buildinfo/version/minor"].r#type, XEN_HYPFS_TYPE_UINT);
    assert_eq!(get(&world, "/buildinfo/version/minor").unwrap().1, 17u32.to_le_bytes());
    assert_eq!(text(&world, "/buildinfo/changeset"), "ferroxen");
    assert_eq!(text(&world, "/cpupool/0/sched-gran"), "cpu");
    assert!(text(&world, "/buildinfo/config").contains("CONFIG_PV=y"));
}

#[test]
fn a_setting_says_how_much_can_be_written() {
    let world = world();
    let written = [("conswitch", 3), ("gnttab_max_frames", 12), ("gnttab_max_maptrack_frames", 12)];
    for (name, most) in written.into_iter().chain([("guest_loglvl", 16), ("loglvl", 16)]) {
        assert_eq!(get(&world, &format!("/params/{name}")).unwrap().0.max_write_len, most, "{name}");
    }
    for path in ["/buildinfo/changeset", "/buildinfo/version/minor", "/params"] {
        assert_eq!(get(&world, path).unwrap().0.max_write_len, 0, "{path} is for reading");
    }
}

#[test]
fn a_setting_is_what_was_written_last() {
    let world = world();
    let written = [
        ("/params/loglvl", "error/info", "error/info"),
        ("/params/guest_loglvl", "debug", "all/all"),
        ("/params/conswitch", "bx", "bx"),
        ("/params/gnttab_max_frames", "32", "32"),
        ("/params/gnttab_max_maptrack_frames", "0", "0"),
    ];
    for (path, value, read) in written {
        assert_eq!(set(&world, path, format!("{value}\0").as_bytes()), Ok(0), "{path}");
        assert_eq!(text(&world, path), read, "{path}");
        let (too_long, no_text) =
            if path.ends_with("conswitch") { (Errno::ENOSPC, Errno::EINVAL) } else { (Errno::EINVAL, Errno::EDOM) };
        for bad in [&b"?\0"[..], b"\0", b"-1\0"] {
            assert_eq!(set(&world, path, bad), err(Errno::EINVAL), "{path} {bad:?}");
        }
        for bad in [&b""[..], b"b", b"b\0\0", b"\xff\0"] {
            assert_eq!(set(&world, path, bad), err(no_text), "{path} {bad:?}");
        }
        assert_eq!(set(&world, path, &[b'a'; 17]), err(too_long), "{path}");
        assert_eq!(text(&world, path), read, "{path} after what is not a value");
    }
    assert_eq!(world.hv.settings.loglvl.levels(), (LogLevel::Error, LogLevel::Info));
    assert_eq!(world.hv.console.conswitch(), Conswitch { letter: b'b', ours_first: true });
    let grain = |value| set(&world, "/cpupool/0/sched-gran", value);
    assert_eq!((grain(b"core\0"), grain(b"cpu\0")), (err(Errno::EBUSY), err(Errno::EBUSY)));
    assert_eq!((grain(b"atom\0"), grain(b"ninebytes")), (err(Errno::EINVAL), err(Errno::ENOSPC)));
}

#[test]
fn what_is_for_reading_is_not_written() {
    let world = world();
    for path in ["/buildinfo/changeset", "/buildinfo/version/major", "/params", "/"] {
        assert_eq!(set(&world, path, b"1\0"), err(Errno::EACCES), "{path}");
    }
}

#[test]
fn a_path_is_absolute_and_ends_once() {
    let world = world();
    let read = |path: &str| op(&world, XEN_HYPFS_OP_read, path, ROOM);
    assert_eq!((read("/\0"), read("/params\0"), read("/params/\0")), (Ok(0), Ok(0), Ok(0)));
    for bad in ["", "\0", "/", "params\0", "/par\0ams\0", "/params"] {
        assert_eq!(read(bad), err(Errno::EINVAL), "{bad:?}");
    }
    for absent in ["/nope\0", "//\0", "/params//\0", "/params/loglvl/x\0", "/PARAMS\0", "/param\0"] {
        assert_eq!(read(absent), err(Errno::ENOENT), "{absent:?}");
    }
    let long = format!("/{}\0", "a".repeat(XEN_HYPFS_MAX_PATHLEN - 2));
    assert_eq!(read(&long), err(Errno::ENOENT));
    assert_eq!(read(&format!("/{long}")), err(Errno::EINVAL));
    assert_eq!(world.call(0, |ctx| hypfs_op(ctx, 1, Vaddr(1 << 47), 4, Vaddr(BUFFER), 64)).0, err(Errno::EFAULT));
    assert_eq!(world.call(0, |ctx| hypfs_op(ctx, 1, Vaddr(PATH), u64::MAX, Vaddr(BUFFER), 64)).0, err(Errno::EINVAL));
}

#[test]
fn what_does_not_fit_is_described() {
    let world = world();
    world.platform().poke(BUFFER + HEAD, &0x55u8);
    assert_eq!(op(&world, XEN_HYPFS_OP_read, "/params/loglvl\0", HEAD), err(Errno::ENOBUFS));
    let head: XenHypfsDirentry = world.platform().peek(BUFFER);
    assert_eq!(head.content_len as usize, "warning/warning\0".len());
    assert_eq!(world.platform().peek::<u8>(BUFFER + HEAD), 0x55, "only the description is written");
    assert_eq!(op(&world, XEN_HYPFS_OP_read, "/params/loglvl\0", HEAD - 1), err(Errno::EINVAL));
    let all = HEAD + u64::from(head.content_len);
    assert_eq!(op(&world, XEN_HYPFS_OP_read, "/params/loglvl\0", all - 1), err(Errno::ENOBUFS));
    assert_eq!(op(&world, XEN_HYPFS_OP_read, "/params/loglvl\0", all), Ok(0));
}

#[test]
fn it_is_for_the_privileged_and_has_a_version() {
    let world = world();
    let call = |dom, cmd, args: [u64; 4]| {
        world.call(dom, |ctx| hypfs_op(ctx, cmd, Vaddr(args[0]), args[1], Vaddr(args[2]), args[3])).0
    };
    assert_eq!(call(0, XEN_HYPFS_OP_get_version, [0; 4]), Ok(1));
    for n in 0..4 {
        let mut args = [0; 4];
        args[n] = 1;
        assert_eq!(call(0, XEN_HYPFS_OP_get_version, args), err(Errno::EINVAL));
    }
    for cmd in 0..4 {
        assert_eq!(call(1, cmd, [0; 4]), err(Errno::EPERM));
    }
    assert_eq!(op(&world, 3, "/\0", ROOM), err(Errno::EOPNOTSUPP));
}
