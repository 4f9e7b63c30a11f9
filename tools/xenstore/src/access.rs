//! Operations on nodes, the same in a transaction and outside.

use crate::{Error, Result};
use xen_wire::xenstore::{MsgType, Perm, Request, XsError};

/// Reading and writing nodes.
pub trait Access {
    /// Sends a request and returns the reply's payload.
    fn call(&mut self, request: &Request<'_>) -> Result<Vec<u8>>;

    /// A node's value.
    fn read(&mut self, path: &str) -> Result<Vec<u8>> {
        self.call(&Request::Read(path.as_bytes()))
    }

    /// A node's value as text; what is not UTF-8 is replaced.
    fn read_string(&mut self, path: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.read(path)?).into_owned())
    }

    /// A node's value, `None` if there is no such node.
    fn read_if_there(&mut self, path: &str) -> Result<Option<Vec<u8>>> {
        match self.read(path) {
            Err(e) if e.is_not_found() => Ok(None),
            other => other.map(Some),
        }
    }

    /// Whether a node exists.
    fn exists(&mut self, path: &str) -> Result<bool> {
        Ok(self.read_if_there(path)?.is_some())
    }

    /// Writes a value; makes the node and its ancestors if they are missing.
    fn write(&mut self, path: &str, value: &[u8]) -> Result<()> {
        self.call(&Request::Write(path.as_bytes(), value)).map(drop)
    }

    /// Makes a node, if it is missing.
    fn mkdir(&mut self, path: &str) -> Result<()> {
        self.call(&Request::Mkdir(path.as_bytes())).map(drop)
    }

    /// Removes a node and all below it.
    fn rm(&mut self, path: &str) -> Result<()> {
        self.call(&Request::Rm(path.as_bytes())).map(drop)
    }

    /// The names of a node's children, however many there are.
    fn list(&mut self, path: &str) -> Result<Vec<String>> {
        let whole = match self.call(&Request::Directory(path.as_bytes())) {
            Err(e) if e.refused() == Some(XsError::E2BIG) => list_in_parts(self, path)?,
            other => other?,
        };
        Ok(strings(&whole))
    }

    /// A node's permissions.
    fn perms(&mut self, path: &str) -> Result<Vec<Perm>> {
        let reply = self.call(&Request::GetPerms(path.as_bytes()))?;
        let perms: std::result::Result<Vec<_>, _> =
            reply.split(|b| *b == 0).filter(|p| !p.is_empty()).map(Perm::parse).collect();
        perms.map_err(|_| Error::Protocol("permissions that are none"))
    }

    /// Replaces a node's permissions; the first entry names the owner.
    fn set_perms(&mut self, path: &str, perms: &[Perm]) -> Result<()> {
        self.call(&Request::SetPerms(path.as_bytes(), perms.to_vec())).map(drop)
    }
}

fn strings(list: &[u8]) -> Vec<String> {
    list.split(|b| *b == 0).filter(|s| !s.is_empty()).map(|s| String::from_utf8_lossy(s).into_owned()).collect()
}

/// A list above 4 KiB, part by part; begins again when the node changes meanwhile.
fn list_in_parts<A: Access + ?Sized>(xs: &mut A, path: &str) -> Result<Vec<u8>> {
    'again: for _ in 0..100 {
        let mut whole: Vec<u8> = Vec::new();
        let mut generation = None;
        loop {
            let part = xs.call(&Request::DirectoryPart(path.as_bytes(), whole.len() as u64))?;
            let cut = part.iter().position(|b| *b == 0).ok_or(Error::Protocol("a list without a generation"))?;
            let (number, names) = part.split_at(cut + 1);
            match &generation {
                None => generation = Some(number.to_vec()),
                Some(g) if *g != number => continue 'again,
                Some(_) => {}
            }
            // An empty name ends the list.
            if let Some(names) = names.strip_suffix(b"\0\0").filter(|n| !n.is_empty()) {
                whole.extend_from_slice(names);
                whole.push(0);
                return Ok(whole);
            }
            if names == b"\0" {
                return Ok(whole);
            }
            if names.is_empty() {
                return Err(Error::Protocol("a part of a list with nothing in it"));
            }
            whole.extend_from_slice(names);
        }
    }
    Err(Error::Refused { op: MsgType::DirectoryPart, what: path.to_owned(), error: XsError::EAGAIN })
}
