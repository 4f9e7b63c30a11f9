//! Paths: what a name may look like, and the pieces of one.

use super::XENSTORE_ABS_PATH_MAX;
use core::fmt;

/// Why a path is refused. On the wire it is always `EINVAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// Empty, or it does not start with `/`.
    NotAbsolute,
    /// It ends in `/`, or holds `//`.
    EmptyComponent,
    /// A byte outside `[A-Za-z0-9-/_@]`.
    BadByte(u8),
    /// Above [`XENSTORE_ABS_PATH_MAX`].
    TooLong,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathError::NotAbsolute => f.write_str("the path does not start with /"),
            PathError::EmptyComponent => f.write_str("the path ends in / or holds //"),
            PathError::BadByte(b) => write!(f, "the path holds byte {b:#04x}"),
            PathError::TooLong => write!(f, "the path is longer than {XENSTORE_ABS_PATH_MAX} bytes"),
        }
    }
}

impl core::error::Error for PathError {}

/// Whether this byte may stand in a path.
pub const fn is_path_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'/' | b'_' | b'@')
}

/// Judges an absolute path and returns it as text.
pub fn check(path: &[u8]) -> Result<&str, PathError> {
    if path.first() != Some(&b'/') {
        return Err(PathError::NotAbsolute);
    }
    if path.len() > XENSTORE_ABS_PATH_MAX {
        return Err(PathError::TooLong);
    }
    check_bytes(path)?;
    if path.len() > 1 && (path.last() == Some(&b'/') || path.windows(2).any(|w| w == b"//")) {
        return Err(PathError::EmptyComponent);
    }
    core::str::from_utf8(path).map_err(|_| PathError::BadByte(0x80))
}

/// Judges the bytes alone, as needed for relative paths and the names of special watches.
pub fn check_bytes(path: &[u8]) -> Result<(), PathError> {
    match path.iter().find(|&&b| !is_path_byte(b)) {
        Some(&b) => Err(PathError::BadByte(b)),
        None => Ok(()),
    }
}

/// The components of a checked absolute path, from the root down; none for `/`.
pub fn components(path: &str) -> impl DoubleEndedIterator<Item = &str> + Clone {
    path.split('/').filter(|c| !c.is_empty())
}

/// The parent of a checked absolute path; `/` is its own.
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(i) => path.get(..i).unwrap_or("/"),
    }
}

/// The last component; empty for `/`.
pub fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or("")
}

/// Whether `path` is `ancestor` or lies below it.
pub fn is_child(path: &str, ancestor: &str) -> bool {
    if ancestor == "/" {
        return path.starts_with('/');
    }
    match path.strip_prefix(ancestor) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

/// Every path from `path` itself up to `/`.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(path);
    core::iter::from_fn(move || {
        let this = next?;
        next = if this == "/" || this.is_empty() { None } else { Some(parent(this)) };
        Some(this)
    })
}
