//! Permissions: a list of entries `n0`, `r3`, `w3`, `b3`. The first names the owner and what everybody else
//! may do; the others name a domain and what it may do.

use alloc::vec::Vec;
use core::fmt;

/// What a domain may do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// `n`
    None,
    /// `r`
    Read,
    /// `w`
    Write,
    /// `b`
    Both,
}

impl Access {
    /// Whether it includes reading.
    pub const fn can_read(self) -> bool {
        matches!(self, Access::Read | Access::Both)
    }

    /// Whether it includes writing.
    pub const fn can_write(self) -> bool {
        matches!(self, Access::Write | Access::Both)
    }

    /// The letter on the wire.
    pub const fn letter(self) -> char {
        match self {
            Access::None => 'n',
            Access::Read => 'r',
            Access::Write => 'w',
            Access::Both => 'b',
        }
    }
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Perm {
    /// What is allowed.
    pub access: Access,
    /// To which domain.
    pub domid: u16,
}

/// A permission entry that is not a letter and a decimal domid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PermError;

impl fmt::Display for PermError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a permission is one of n, r, w, b followed by a domid")
    }
}

impl core::error::Error for PermError {}

impl Perm {
    /// An entry.
    pub const fn new(access: Access, domid: u16) -> Self {
        Perm { access, domid }
    }

    /// Parses `r5`.
    pub fn parse(text: &[u8]) -> Result<Perm, PermError> {
        let (letter, digits) = text.split_first().ok_or(PermError)?;
        let access = match letter {
            b'n' => Access::None,
            b'r' => Access::Read,
            b'w' => Access::Write,
            b'b' => Access::Both,
            _ => return Err(PermError),
        };
        let domid = super::request::decimal(digits).and_then(|d| u16::try_from(d).ok()).ok_or(PermError)?;
        Ok(Perm { access, domid })
    }
}

impl fmt::Display for Perm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.access.letter(), self.domid)
    }
}

/// A node's permissions, as owned data: at least one entry.
pub type PermList = Vec<Perm>;
