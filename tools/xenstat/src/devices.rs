//! What the backends of disks and network cards count.

use crate::collect::Problem;
use crate::snapshot::{Disk, Nic, Requests, Traffic};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use toolstack::config::disk::vdev_name;

/// Bytes of a sector in the kernel's counts.
const SECTOR: u64 = 512;

/// The entries of a folder; one that is not there has none.
fn entries(dir: &Path) -> Result<Vec<(String, PathBuf)>, Problem> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| format!("{}: {error}", dir.display()))?,
    };
    let named = |entry: fs::DirEntry| entry.file_name().into_string().ok().map(|name| (name, entry.path()));
    let mut all: Vec<_> = entries.filter_map(Result::ok).filter_map(named).collect();
    all.sort();
    Ok(all)
}

/// Domain and number of `KIND-DOMID-NUMBER`.
fn of_device(name: &str, kind: &str) -> Option<(u16, u32)> {
    let (domid, number) = name.strip_prefix(kind)?.strip_prefix('-')?.split_once('-')?;
    Some((domid.parse().ok()?, number.parse().ok()?))
}

/// A counter in a file of its own. `None`: the device went, or its kernel does not count that.
fn counter(dir: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(dir.join(name)).ok()?.trim().parse().ok()
}

/// The disks behind the kernel's backend.
///
/// # Errors
/// The folder cannot be read.
pub fn kernel_disks(backends: &Path) -> Result<Vec<Disk>, Problem> {
    let disk = |(name, path): (String, PathBuf)| {
        let (domid, number) = of_device(&name, "vbd")?;
        let count = |what| counter(&path.join("statistics"), what);
        let disk = Disk { domid, number, device: vdev_name(number), backend: "vbd", ..Disk::default() };
        let counted = || {
            Some(Disk {
                counts: true,
                requests: Requests {
                    read: count("rd_req")?,
                    write: count("wr_req")?,
                    flush: count("f_req")?,
                    discard: count("ds_req").unwrap_or(0),
                },
                read_bytes: count("rd_sect")?.saturating_mul(SECTOR),
                written_bytes: count("wr_sect")?.saturating_mul(SECTOR),
                out_of_requests: count("oo_req"),
                ..disk.clone()
            })
        };
        Some(counted().unwrap_or(disk))
    };
    Ok(entries(backends)?.into_iter().filter_map(disk).collect())
}

/// The disks behind `blkback`, which notes its counts in `DOMID-NUMBER.statistics`, a line `name value` each.
///
/// # Errors
/// The folder cannot be read.
pub fn own_disks(dir: &Path) -> Result<Vec<Disk>, Problem> {
    let disk = |(name, path): (String, PathBuf)| {
        let (domid, number) = name.strip_suffix(".statistics")?.split_once('-')?;
        let number = number.parse().ok()?;
        let text = fs::read_to_string(path).ok()?;
        let count = |what: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(name, _)| *name == what)?.1.trim().parse::<u64>().ok()
        };
        Some(Disk {
            domid: domid.parse().ok()?,
            number,
            device: vdev_name(number),
            counts: true,
            backend: "qdisk",
            requests: Requests {
                read: count("read_requests")?,
                write: count("write_requests")?,
                flush: count("flush_requests")?,
                discard: count("discard_requests")?,
            },
            read_bytes: count("read_bytes")?,
            written_bytes: count("written_bytes")?,
            out_of_requests: None,
        })
    };
    Ok(entries(dir)?.into_iter().filter_map(disk).collect())
}

/// All network cards: what their interface in this domain received, their guest transmitted.
///
/// # Errors
/// The folder cannot be read.
pub fn nics(backends: &Path) -> Result<Vec<Nic>, Problem> {
    let nic = |(name, path): (String, PathBuf)| {
        let (domid, device) = of_device(&name, "vif")?;
        // One, of whatever name.
        let (_, interface) = entries(&path.join("net")).ok()?.into_iter().next()?;
        let count = |what: String| counter(&interface.join("statistics"), &what);
        let traffic = |way: &str| {
            Some(Traffic {
                bytes: count(format!("{way}_bytes"))?,
                packets: count(format!("{way}_packets"))?,
                dropped: count(format!("{way}_dropped"))?,
                errors: count(format!("{way}_errors")).unwrap_or(0),
            })
        };
        Some(Nic { domid, device, received: traffic("tx")?, transmitted: traffic("rx")? })
    };
    Ok(entries(backends)?.into_iter().filter_map(nic).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn what_a_backend_receives_its_guest_transmits() {
        let dir = tempfile::tempdir().unwrap();
        let of = |way: &str, base: u32| {
            [("bytes", 100), ("packets", 10), ("dropped", 1), ("errors", 3)].map(|(what, times)| {
                (format!("vif-3-1/net/slow/statistics/{way}_{what}"), format!("{}\n", base * times))
            })
        };
        let files: Vec<_> = of("rx", 1).into_iter().chain(of("tx", 2)).collect();
        write(dir.path(), &files.iter().map(|(name, text)| (&**name, &**text)).collect::<Vec<_>>());
        // One whose interface is not there yet, others that are none.
        write(dir.path(), &[("vif-4-0/nodename", ""), ("vif-x-1/a", ""), ("vbd-3-51712/mode", "w")]);
        let nics = nics(dir.path()).unwrap();
        assert_eq!(
            nics,
            [Nic {
                domid: 3,
                device: 1,
                received: Traffic { bytes: 200, packets: 20, dropped: 2, errors: 6 },
                transmitted: Traffic { bytes: 100, packets: 10, dropped: 1, errors: 3 },
            }]
        );
    }

    #[test]
    fn disks_of_both_backends_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let counts =
            [("oo_req", 1), ("rd_req", 2), ("wr_req", 3), ("f_req", 4), ("ds_req", 5), ("rd_sect", 6), ("wr_sect", 7)];
        for (name, value) in counts {
            write(dir.path(), &[(&format!("vbd-9-51712/statistics/{name}"), &format!("{value}\n"))]);
        }
        write(dir.path(), &[("vbd-8-51712/statistics/rd_req", "none"), ("9-51728", "")]);
        let own = "read_requests 1\nwrite_requests 2\nflush_requests 3\ndiscard_requests 4\nread_bytes 512\nwritten_bytes 1024\n";
        write(dir.path(), &[("9-51728.statistics", own), ("9-51744.statistics", "read_requests 1\n")]);
        let requests = Requests { read: 2, write: 3, flush: 4, discard: 5 };
        let disk = Disk { domid: 9, number: 51712, device: "xvda".into(), backend: "vbd", requests, ..Disk::default() };
        let disk = Disk { read_bytes: 3072, written_bytes: 3584, out_of_requests: Some(1), counts: true, ..disk };
        let idle = Disk { domid: 8, number: 51712, device: "xvda".into(), backend: "vbd", ..Disk::default() };
        assert_eq!(kernel_disks(dir.path()).unwrap(), [idle, disk]);
        let requests = Requests { read: 1, write: 2, flush: 3, discard: 4 };
        let disk =
            Disk { domid: 9, number: 51728, device: "xvdb".into(), backend: "qdisk", requests, ..Disk::default() };
        assert_eq!(
            own_disks(dir.path()).unwrap(),
            [Disk { read_bytes: 512, written_bytes: 1024, counts: true, ..disk }]
        );
        assert_eq!(own_disks(&dir.path().join("none")), Ok(Vec::new()));
    }
}
