//! Whole subtrees: `ls` and `chmod -r`.

use super::escape;
use std::io::{self, Write};
use xenstore::{Access, Error, Perm, Result, Xenstore};

fn join(path: &str, name: &str) -> String {
    if path == "/" { format!("/{name}") } else { format!("{path}/{name}") }
}

/// Shows a subtree as Xen's `xenstore-ls` does. A node that goes away meanwhile, or that may not be read, is
/// left out; only the first must be there.
pub(super) fn ls(
    xs: &mut Xenstore,
    out: &mut impl Write,
    path: &str,
    full: bool,
    perms: bool,
) -> std::result::Result<(), super::Failure> {
    // Names still to be shown: path, name, level. Depth is somebody else's choice, so no recursion.
    let mut stack: Vec<(String, String, usize)> = Vec::new();
    let push = |stack: &mut Vec<_>, at: &str, level: usize, names: Vec<String>| {
        stack.extend(names.into_iter().rev().map(|n| (join(at, &n), n, level)));
    };
    let top = xs.list(path)?;
    push(&mut stack, path, 0, top);
    while let Some((at, name, level)) = stack.pop() {
        let value = match xs.read(&at) {
            Ok(value) => value,
            Err(e) if e.refused().is_some() => continue,
            Err(e) => return Err(e.into()),
        };
        if full {
            write!(out, "{at} = \"{}\"", escape(&value))?;
        } else {
            write!(out, "{:level$}{name} = \"{}\"", "", escape(&value))?;
        }
        if perms {
            show_perms(out, &xs.perms(&at).unwrap_or_default())?;
        }
        writeln!(out)?;
        match xs.list(&at) {
            Ok(names) => push(&mut stack, &at, level + 1, names),
            Err(e) if e.refused().is_some() => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// The ancestors of `path` from the nearest up, without the root.
pub(super) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rsplit_once('/'), |(above, _)| above.rsplit_once('/'))
        .map(|(above, _)| above)
        .take_while(|above| !above.is_empty())
}

fn show_perms(out: &mut impl Write, perms: &[Perm]) -> io::Result<()> {
    let list: Vec<String> = perms.iter().map(Perm::to_string).collect();
    write!(out, "   ({})", list.join(","))
}

/// Sets permissions of a node, of its subtree, of its ancestors.
pub(super) fn chmod<A: Access>(xs: &mut A, path: &str, perms: &[Perm], recurse: bool, upto: bool) -> Result<()> {
    let owner = xs.perms(path)?.first().map(|p| p.domid);
    xs.set_perms(path, perms)?;
    let mut stack = if recurse { vec![path.to_owned()] } else { Vec::new() };
    while let Some(at) = stack.pop() {
        for name in xs.list(&at)? {
            let child = join(&at, &name);
            xs.set_perms(&child, perms)?;
            stack.push(child);
        }
    }
    for at in ancestors(path).take_while(|_| upto) {
        match xs.perms(at) {
            Ok(list) if list.first().map(|p| p.domid) == owner => xs.set_perms(at, perms)?,
            Ok(_) | Err(Error::Refused { .. }) => break,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
