//! `HYPERVISOR_hypfs_op` (hypfs.h): a tree of what the hypervisor is and of its settings, to read and to write.

#[cfg(test)]
mod tests;
mod tree;

use crate::access;
use crate::addr::Vaddr;
use crate::ctx::Ctx;
use crate::domain::Hypervisor;
use crate::hypercall::{HypercallResult, Stop};
use crate::platform::Platform;
use alloc::vec::Vec;
use tree::{Content, Dir, MOST_WRITTEN, Node};
use xen_abi::Errno;
use xen_abi::hypfs::*;
use zerocopy::IntoBytes;

/// Bytes of an entry's description.
const HEAD: u64 = size_of::<XenHypfsDirentry>() as u64;
/// Where in an entry of a directory its name begins: behind `off_next`, in what C pads.
const NAME: usize = core::mem::offset_of!(XenHypfsDirlistentry, _pad0);

/// `HYPERVISOR_hypfs_op(cmd, path, path_len, buffer, buffer_len)`.
///
/// # Errors
/// `EPERM` without privilege; `EINVAL`: a path that is none, a value that is none; `ENOENT`; `ENOBUFS`: the entry is described, its
/// content does not fit; `ENOMEM`; of a write also `EACCES`, `EBUSY`, `EDOM` (no text), `ENOSPC` (more than fits); `EFAULT`,
/// `EOPNOTSUPP`.
pub fn hypfs_op<P: Platform>(
    ctx: &Ctx<'_, P>,
    cmd: u32,
    path: Vaddr,
    path_len: u64,
    buffer: Vaddr,
    buffer_len: u64,
) -> HypercallResult {
    access::control(ctx)?;
    if cmd == XEN_HYPFS_OP_get_version {
        let unused = (path.0, path_len, buffer.0, buffer_len) == (0, 0, 0, 0);
        return if unused { Ok(XEN_HYPFS_VERSION.into()) } else { Err(Errno::EINVAL.into()) };
    }
    let node = node(ctx, path, path_len)?;
    match cmd {
        XEN_HYPFS_OP_read => read(ctx, node, buffer, buffer_len),
        XEN_HYPFS_OP_write_contents => write(ctx, node, buffer, buffer_len),
        _ => Err(Errno::EOPNOTSUPP.into()),
    }
}

fn node<P: Platform>(ctx: &Ctx<'_, P>, path: Vaddr, len: u64) -> Result<Node, Stop> {
    let mut bytes = [0; XEN_HYPFS_MAX_PATHLEN];
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    let path_bytes = bytes.get_mut(..len).filter(|bytes| !bytes.is_empty()).ok_or(Errno::EINVAL)?;
    ctx.read_bytes(path, path_bytes)?;
    Ok(tree::find(terminated(path_bytes)?)?)
}

/// The text before the one terminator, which is the last byte.
fn terminated(bytes: &[u8]) -> Result<&str, Errno> {
    match bytes.split_last() {
        Some((0, text)) if !text.contains(&0) => str::from_utf8(text).map_err(|_| Errno::EINVAL),
        _ => Err(Errno::EINVAL),
    }
}

/// What an entry is, and its content.
fn entry<P: Platform>(hv: &Hypervisor<P>, node: Node) -> Result<(XenHypfsDirentry, Vec<u8>), Errno> {
    let (kind, room, content) = match node {
        Node::Dir(dir) => (XEN_HYPFS_TYPE_DIR, 0, list(hv, dir)?),
        Node::Leaf(leaf) => {
            let mut bytes = Vec::new();
            match leaf.content(hv) {
                Content::Number(number) => put(&mut bytes, number.as_bytes())?,
                Content::Text(text) => put_text(&mut bytes, text.as_bytes())?,
                Content::Short(text) => put_text(&mut bytes, text.as_bytes())?,
            }
            (leaf.kind(), leaf.room(), bytes)
        }
    };
    let content_len = u32::try_from(content.len()).map_err(|_| Errno::EINVAL)?;
    Ok((describe(kind, content_len, room), content))
}

fn describe(kind: u8, content_len: u32, max_write_len: u32) -> XenHypfsDirentry {
    XenHypfsDirentry { r#type: kind, encoding: XEN_HYPFS_ENC_PLAIN, content_len, max_write_len, ..Default::default() }
}

fn put(to: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Errno> {
    to.try_reserve(bytes.len()).map_err(|_| Errno::ENOMEM)?;
    to.extend_from_slice(bytes);
    Ok(())
}

fn put_text(to: &mut Vec<u8>, text: &[u8]) -> Result<(), Errno> {
    put(to, text)?;
    put(to, &[0])
}

/// The entries of a directory, each with its name, on multiples of four bytes.
fn list<P: Platform>(hv: &Hypervisor<P>, dir: Dir) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    let mut children = tree::children(dir).peekable();
    while let Some((name, node)) = children.next() {
        let (e, _) = match node {
            // Its own content would be its whole subtree's.
            Node::Dir(dir) => (describe(XEN_HYPFS_TYPE_DIR, list_len(dir), 0), Vec::new()),
            leaf => entry(hv, leaf)?,
        };
        let len = item_len(name);
        let off_next = if children.peek().is_some() { len as u16 } else { 0 };
        let head = XenHypfsDirlistentry { e, off_next, ..Default::default() };
        let end = bytes.len().wrapping_add(len);
        put(&mut bytes, head.as_bytes().get(..NAME).unwrap_or(&[]))?;
        put_text(&mut bytes, name.as_bytes())?;
        while bytes.len() < end {
            put(&mut bytes, &[0])?;
        }
    }
    Ok(bytes)
}

/// Bytes of an entry of a directory.
fn item_len(name: &str) -> usize {
    (NAME + name.len() + 1).next_multiple_of(align_of::<XenHypfsDirlistentry>())
}

fn list_len(dir: Dir) -> u32 {
    tree::children(dir).map(|(name, _)| item_len(name) as u32).sum()
}

fn read<P: Platform>(ctx: &Ctx<'_, P>, node: Node, buffer: Vaddr, len: u64) -> HypercallResult {
    let (head, content) = entry(ctx.hv, node)?;
    let room = len.checked_sub(HEAD).ok_or(Errno::EINVAL)?;
    ctx.write(buffer, &head)?;
    if room < u64::from(head.content_len) {
        return Err(Errno::ENOBUFS.into());
    }
    ctx.write_bytes(Vaddr(buffer.0.wrapping_add(HEAD)), &content)?;
    Ok(0)
}

fn write<P: Platform>(ctx: &Ctx<'_, P>, node: Node, buffer: Vaddr, len: u64) -> HypercallResult {
    let leaf = match node {
        Node::Dir(_) => return Err(Errno::EACCES.into()),
        Node::Leaf(leaf) => leaf,
    };
    if leaf.room() == 0 {
        return Err(Errno::EACCES.into());
    }
    let (too_long, no_text) = leaf.misfits();
    let mut bytes = [0; MOST_WRITTEN];
    let len = usize::try_from(len).map_err(|_| too_long)?;
    if len > leaf.room() as usize {
        return Err(too_long.into());
    }
    let written = bytes.get_mut(..len).ok_or(too_long)?;
    ctx.read_bytes(buffer, written)?;
    leaf.set(ctx.hv, terminated(written).map_err(|_| no_text)?)?;
    Ok(0)
}
