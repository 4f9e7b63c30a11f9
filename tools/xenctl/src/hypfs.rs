//! The hypervisor's tree of settings (`hypfs.h`): what it is, and what can be changed while it runs.

use crate::{Error, Result, Xen};
use xen_abi::Errno;
use xen_abi::hypfs::*;
use xen_abi::xen::__HYPERVISOR_hypfs_op;
use xen_call::{Buffer as _, Hypercalls};
use zerocopy::{FromZeros as _, IntoBytes as _};

/// Bytes for one entry: the longest, the build's configuration, has a few KiB.
const ROOM: usize = 64 << 10;
const HEAD: usize = size_of::<XenHypfsDirentry>();

/// What an entry holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The names in a directory.
    Directory(Vec<String>),
    /// A text, a number or a truth value, as a person writes it.
    Value(String),
    /// Bytes, perhaps packed.
    Bytes(Vec<u8>),
}

impl<H: Hypercalls> Xen<H> {
    fn hypfs(&self, what: &'static str, op: u32, path: &str, buffer: &H::Buffer, len: usize) -> Result<()> {
        let error = |errno| Error { what, domid: None, errno };
        if path.len() >= XEN_HYPFS_MAX_PATHLEN || path.contains('\0') {
            return Err(error(Errno::ENOENT));
        }
        let name = self.buffer(path.len() + 1)?;
        name.write(0, path.as_bytes());
        let args = [op.into(), name.addr(), path.len() as u64 + 1, buffer.addr(), len as u64];
        self.hypercalls().call(__HYPERVISOR_hypfs_op, args).map_err(error)?;
        Ok(())
    }

    fn entry(&self, what: &'static str, path: &str) -> Result<(XenHypfsDirentry, Vec<u8>)> {
        let buffer = self.buffer(ROOM)?;
        self.hypfs(what, XEN_HYPFS_OP_read, path, &buffer, ROOM)?;
        let mut head = XenHypfsDirentry::new_zeroed();
        buffer.read(0, head.as_mut_bytes());
        let mut content = vec![0; (head.content_len as usize).min(ROOM - HEAD)];
        buffer.read(HEAD, &mut content);
        Ok((head, content))
    }

    /// What is at an absolute path.
    ///
    /// # Errors
    /// `ENOENT`: nothing; `ENOBUFS`: more than 64 KiB; `ENOSYS`: this hypervisor has no such tree.
    pub fn setting(&self, path: &str) -> Result<Setting> {
        let (head, content) = self.entry("read a setting", path)?;
        let word = |signed: bool| {
            let mut bytes = [if signed && content.last().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 }; 8];
            bytes.iter_mut().zip(&content).for_each(|(to, from)| *to = *from);
            u64::from_le_bytes(bytes)
        };
        Ok(match head.r#type {
            _ if head.encoding != XEN_HYPFS_ENC_PLAIN => Setting::Bytes(content),
            XEN_HYPFS_TYPE_DIR => Setting::Directory(names(&content)),
            XEN_HYPFS_TYPE_STRING => Setting::Value(text(&content)),
            XEN_HYPFS_TYPE_UINT => Setting::Value(word(false).to_string()),
            XEN_HYPFS_TYPE_INT => Setting::Value(word(true).cast_signed().to_string()),
            XEN_HYPFS_TYPE_BOOL => Setting::Value(u8::from(word(false) != 0).to_string()),
            _ => Setting::Bytes(content),
        })
    }

    /// Sets what is at an absolute path to what `value` says, in the entry's own type.
    ///
    /// # Errors
    /// `ENOENT`: nothing is there; `EACCES`: it cannot be changed; `EINVAL`: that is no value of it; `EBUSY`: not now.
    pub fn set_setting(&self, path: &str, value: &str) -> Result<()> {
        let what = "change the setting";
        let (head, content) = self.entry(what, path)?;
        let bytes =
            encode(head.r#type, content.len(), value).ok_or(Error { what, domid: None, errno: Errno::EINVAL })?;
        let buffer = self.buffer(bytes.len().max(1))?;
        buffer.write(0, &bytes);
        self.hypfs(what, XEN_HYPFS_OP_write_contents, path, &buffer, bytes.len())
    }
}

/// A value as bytes of an entry's type, `len` long if it is a number.
fn encode(kind: u8, len: usize, value: &str) -> Option<Vec<u8>> {
    let number = |wide: [u8; 8], fits: bool| (fits && len <= 8).then(|| wide[..len].to_vec());
    let bits = 8 * len as u32;
    match kind {
        XEN_HYPFS_TYPE_STRING => Some(value.bytes().chain([0]).collect()),
        XEN_HYPFS_TYPE_UINT => {
            let n: u64 = value.parse().ok()?;
            number(n.to_le_bytes(), bits >= 64 || n >> bits == 0)
        }
        XEN_HYPFS_TYPE_INT => {
            let n: i64 = value.parse().ok()?;
            let most = 1i64.checked_shl(bits.checked_sub(1)?).unwrap_or(i64::MIN);
            number(n.to_le_bytes(), bits >= 64 || (-most..most).contains(&n))
        }
        XEN_HYPFS_TYPE_BOOL => match value {
            "1" | "yes" | "on" | "true" | "enable" => number(1u64.to_le_bytes(), true),
            "0" | "no" | "off" | "false" | "disable" => number([0; 8], true),
            _ => None,
        },
        _ => None,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

/// The names in the content of a directory.
fn names(content: &[u8]) -> Vec<String> {
    const NAME: usize = core::mem::offset_of!(XenHypfsDirlistentry, _pad0);
    let mut names = Vec::new();
    let mut rest = content;
    while let Some((head, name)) = rest.split_at_checked(NAME) {
        names.push(text(name));
        let next = u16::from_le_bytes([head[NAME - 2], head[NAME - 1]]);
        match rest.get(next.into()..) {
            Some(after) if next != 0 => rest = after,
            _ => break,
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_the_type_of_its_entry() {
        assert_eq!(encode(XEN_HYPFS_TYPE_STRING, 3, "all"), Some(b"all\0".to_vec()));
        assert_eq!(encode(XEN_HYPFS_TYPE_UINT, 4, "258"), Some(vec![2, 1, 0, 0]));
        assert_eq!(encode(XEN_HYPFS_TYPE_UINT, 1, "256"), None);
        assert_eq!(encode(XEN_HYPFS_TYPE_UINT, 8, "18446744073709551615"), Some(vec![255; 8]));
        assert_eq!(encode(XEN_HYPFS_TYPE_UINT, 4, "-1"), None);
        assert_eq!(encode(XEN_HYPFS_TYPE_INT, 2, "-2"), Some(vec![0xfe, 0xff]));
        assert_eq!(encode(XEN_HYPFS_TYPE_INT, 1, "128"), None);
        assert_eq!(encode(XEN_HYPFS_TYPE_INT, 8, "-9223372036854775808"), Some(i64::MIN.to_le_bytes().to_vec()));
        assert_eq!(encode(XEN_HYPFS_TYPE_BOOL, 1, "on"), Some(vec![1]));
        assert_eq!(encode(XEN_HYPFS_TYPE_BOOL, 1, "perhaps"), None);
        assert_eq!(encode(XEN_HYPFS_TYPE_DIR, 0, "x"), None);
    }

    #[test]
    fn a_directory_that_is_cut_off_gives_what_is_there() {
        let mut content = vec![0; 14];
        content[12] = 20;
        content.extend(b"first\0");
        content.extend([0; 14]);
        content.extend(b"second\0");
        assert_eq!(names(&content), ["first", "second"]);
        assert_eq!(names(&content[..25]), ["first"]);
        content[12] = 0;
        assert_eq!(names(&content), ["first"]);
        assert_eq!(names(&[]), [""; 0]);
    }
}
