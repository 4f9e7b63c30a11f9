//! One entry of `disk = [ … ]` (xl-disk-configuration), and the numbers of virtual devices.

use serde::{Deserialize, Serialize};

/// How an image is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As the guest sees it.
    #[default]
    Raw,
    /// qcow2.
    Qcow2,
}

/// Who serves a disk (`backendtype`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlockBackend {
    /// The kernel, xen-blkback.
    #[default]
    Phy,
    /// A process of ours, blkback; where Xen's tools have QEMU.
    Qdisk,
}

/// A virtual disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The block device or file behind it.
    pub target: String,
    /// Name in the guest: `xvda`.
    pub vdev: String,
    /// The guest may not write.
    pub read_only: bool,
    /// A CD.
    pub cdrom: bool,
    /// The guest may discard blocks.
    pub discard: bool,
    /// Another hot-plug script than ours.
    pub script: Option<String>,
    /// How its image is laid out.
    #[serde(default)]
    pub format: Format,
    /// Who serves it.
    #[serde(default)]
    pub backend: BlockBackend,
}

impl Disk {
    /// Reads `target,format,vdev,access` or `key=value`s, or the old `phy:target,vdev,access`.
    pub fn parse(text: &str) -> Result<Disk, String> {
        let mut disk = Disk {
            target: String::new(),
            vdev: String::new(),
            read_only: false,
            cdrom: false,
            discard: true,
            script: None,
            format: Format::Raw,
            backend: BlockBackend::Phy,
        };
        let mut backend = None;
        let mut format = String::from("raw");
        let mut position = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let (field, after) = rest.split_once(',').unwrap_or((rest, ""));
            let field = field.trim();
            match field.split_once('=') {
                // A target may contain anything and is the last.
                Some(("target", _)) => {
                    disk.target = rest.trim().trim_start_matches("target=").to_owned();
                    break;
                }
                Some((key, value)) if !field.starts_with('/') => match key {
                    "vdev" => value.clone_into(&mut disk.vdev),
                    "format" => value.clone_into(&mut format),
                    "access" => disk.read_only = access(value)?,
                    "devtype" => disk.cdrom = value == "cdrom",
                    "backendtype" if value == "phy" => backend = Some(BlockBackend::Phy),
                    "backendtype" if matches!(value, "qdisk" | "tap") => backend = Some(BlockBackend::Qdisk),
                    "backend" if matches!(value, "0" | "Domain-0") => {}
                    "script" => disk.script = Some(value.to_owned()),
                    "backendtype" | "backend" => {
                        return Err(format!("{field}: only phy and qdisk in domain 0 are there"));
                    }
                    _ => return Err(format!("\"{key}\" is no key of a disk")),
                },
                _ => match field {
                    "cdrom" => disk.cdrom = true,
                    "discard" => disk.discard = true,
                    "no-discard" => disk.discard = false,
                    "direct-io-safe" | "colo" | "no-colo" => {}
                    _ => {
                        match position {
                            0 => {
                                disk.target = old_target(field);
                                if field.contains("qcow2:/") {
                                    "qcow2".clone_into(&mut format);
                                }
                            }
                            1 if vdev_number(vdev_of(field)).is_some() => {
                                // The old form has no format.
                                vdev_of(field).clone_into(&mut disk.vdev);
                                disk.cdrom |= field.ends_with(":cdrom");
                                position += 1;
                            }
                            1 if !field.is_empty() => field.clone_into(&mut format),
                            2 => vdev_of(field).clone_into(&mut disk.vdev),
                            3 => disk.read_only = access(field)?,
                            _ => {}
                        }
                        position += 1;
                    }
                },
            }
            rest = after;
        }
        if disk.vdev.is_empty() {
            return Err("no name in the guest (vdev=xvda)".to_owned());
        }
        if vdev_number(&disk.vdev).is_none() {
            return Err(format!("\"{}\" is no name of a disk (xvda, hda1, sdb)", disk.vdev));
        }
        if disk.target.is_empty() && !disk.cdrom {
            return Err("no target".to_owned());
        }
        disk.format = match format.as_str() {
            "raw" | "" => Format::Raw,
            "qcow2" => Format::Qcow2,
            _ => return Err(format!("format {format} is not there: convert it to qcow2 or raw")),
        };
        // The kernel's knows raw ones only.
        let able = if disk.format == Format::Raw { BlockBackend::Phy } else { BlockBackend::Qdisk };
        disk.backend = backend.unwrap_or(able);
        if disk.format != Format::Raw && disk.backend == BlockBackend::Phy {
            return Err(format!("format {format}: it needs backendtype=qdisk (or none)"));
        }
        disk.read_only |= disk.cdrom;
        Ok(disk)
    }

    /// Its number in xenstore and for the guest.
    pub fn number(&self) -> u32 {
        vdev_number(&self.vdev).unwrap_or(0)
    }
}

fn vdev_of(field: &str) -> &str {
    field.split(':').next().unwrap_or(field)
}

/// Takes `phy:`, `file:`, `tap:aio:` and the like away.
fn old_target(text: &str) -> String {
    let mut text = text;
    for prefix in ["tap2:", "tap:", "aio:", "qcow2:", "raw:", "file:", "phy:"] {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    if text.is_empty() || text.starts_with('/') { text.to_owned() } else { format!("/dev/{text}") }
}

fn access(text: &str) -> Result<bool, String> {
    match text {
        "r" | "ro" => Ok(true),
        "w" | "rw" | "w!" => Ok(false),
        _ => Err(format!("access {text}: r or w is expected")),
    }
}

/// The number of a virtual block device (xen-vbd-interface): `xvda` is 51712.
pub fn vdev_number(name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    let (kind, rest) = ["xvd", "hd", "sd"].iter().find_map(|kind| Some((*kind, name.strip_prefix(kind)?)))?;
    let digits = rest.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let letters = rest.get(..rest.len() - digits.len())?;
    if letters.is_empty() || letters.len() > 2 {
        return None;
    }
    let disk = letters.bytes().fold(0u32, |n, c| n * 26 + u32::from(c - b'a') + 1) - 1;
    let partition = if digits.is_empty() { 0 } else { digits.parse().ok().filter(|n| (1..256).contains(n))? };
    match kind {
        "xvd" if disk < 16 && partition < 16 => Some(202 << 8 | disk << 4 | partition),
        "xvd" => Some(1 << 28 | disk << 8 | partition),
        "hd" if disk < 4 && partition < 64 => {
            let major = if disk < 2 { 3 } else { 22 };
            Some(major << 8 | (disk & 1) << 6 | partition)
        }
        "sd" if disk < 16 && partition < 16 => Some(8 << 8 | disk << 4 | partition),
        _ => None,
    }
}

/// A disk's name in its guest (xen-vbd-interface): 51712 is `xvda`. What has no `xvd` name keeps its number.
pub fn vdev_name(number: u32) -> String {
    let (disk, partition) = match (number >> 28, number >> 8) {
        (1, _) => ((number & 0x0fff_ffff) >> 8, number & 0xff),
        (0, 202) => ((number & 0xff) >> 4, number & 0xf),
        _ => return number.to_string(),
    };
    let mut letters = Vec::new();
    let mut left = disk.saturating_add(1);
    while left > 0 {
        left -= 1;
        letters.insert(0, char::from(b'a' + u8::try_from(left % 26).unwrap_or(0)));
        left /= 26;
    }
    let name: String = letters.into_iter().collect();
    if partition == 0 { format!("xvd{name}") } else { format!("xvd{name}{partition}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_have_the_numbers_of_xens_documentation() {
        let number = |name| vdev_number(name);
        assert_eq!([number("xvda"), number("xvda1"), number("xvdb")], [51712, 51713, 51728].map(Some));
        assert_eq!([number("hda"), number("hdc"), number("sda1")], [768, 5632, 2049].map(Some));
        assert_eq!(number("xvdq"), Some(1 << 28 | 16 << 8));
        assert_eq!(number("51712"), Some(51712));
        assert_eq!([number("vda"), number("xvd"), number("xvdA")], [None; 3]);
    }

    #[test]
    fn disks_have_the_names_that_their_guests_see() {
        for name in ["xvda", "xvda1", "xvdp15", "xvdq", "xvdz", "xvdaa", "xvdba3"] {
            assert_eq!(vdev_name(vdev_number(name).unwrap()), name);
        }
        assert_eq!([vdev_name(768), vdev_name(u32::MAX)], ["768".to_owned(), u32::MAX.to_string()]);
    }

    #[test]
    fn all_ways_to_write_a_disk_mean_the_same() {
        let plain = Disk::parse("/dev/vg/a,raw,xvda,rw").unwrap();
        assert_eq!((plain.target.as_str(), plain.vdev.as_str(), plain.read_only), ("/dev/vg/a", "xvda", false));
        for text in ["phy:/dev/vg/a,xvda,w", "vdev=xvda,format=raw,access=rw,target=/dev/vg/a", "phy:vg/a,xvda,w"] {
            assert_eq!(Disk::parse(text).as_ref(), Ok(&plain), "{text}");
        }
        let cd = Disk::parse("file:/srv/a.iso,hdc:cdrom,r").unwrap();
        assert!(cd.cdrom && cd.read_only && cd.target == "/srv/a.iso");
        assert!(Disk::parse("file:/srv/a.iso,hdc:cdrom,w").unwrap().read_only, "a CD cannot be written");
        assert!(Disk::parse("/dev/vg/a,raw,xvda,r").unwrap().read_only);
        assert_eq!(Disk::parse("access=r,vdev=xvdb,target=/srv/a,b=c").unwrap().target, "/srv/a,b=c");
    }

    #[test]
    fn what_the_kernel_cannot_serve_we_do() {
        let of = |text| Disk::parse(text).map(|disk| (disk.format, disk.backend)).unwrap();
        let qcow2 = (Format::Qcow2, BlockBackend::Qdisk);
        assert_eq!(of("format=qcow2, vdev=xvda, access=rw, target=/x.qcow2"), qcow2);
        assert_eq!(of("/x.qcow2,qcow2,xvda,w"), qcow2);
        assert_eq!(of("tap:qcow2:/x.qcow2,xvda,w"), qcow2);
        assert_eq!(of("/x,raw,xvda,w"), (Format::Raw, BlockBackend::Phy));
        assert_eq!(of("/x,raw,xvda,w,backendtype=qdisk"), (Format::Raw, BlockBackend::Qdisk));
    }

    #[test]
    fn a_wrong_disk_says_what_is_wrong() {
        assert_eq!(Disk::parse("/dev/a"), Err("no name in the guest (vdev=xvda)".into()));
        assert_eq!(Disk::parse("/dev/a,raw,vda,w"), Err("\"vda\" is no name of a disk (xvda, hda1, sdb)".into()));
        assert_eq!(Disk::parse("/a.vhd,vhd,xvda"), Err("format vhd is not there: convert it to qcow2 or raw".into()));
        let qcow2 = Disk::parse("format=qcow2,backendtype=phy,vdev=xvda,target=/a");
        assert_eq!(qcow2, Err("format qcow2: it needs backendtype=qdisk (or none)".into()));
        assert_eq!(Disk::parse("/a,raw,xvda,x"), Err("access x: r or w is expected".into()));
    }
}
