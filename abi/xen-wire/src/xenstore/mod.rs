//! The xenstore protocol: messages ([`Header`], [`Request`], [`XsError`]), paths, permissions, and the ring
//! page (`struct xenstore_domain_interface`).

mod error;
mod header;
mod kind;
pub mod path;
mod perms;
mod request;
pub mod ring;
mod strings;

pub use error::XsError;
pub use header::{Header, Split, TooLong, split_message};
pub use kind::MsgType;
pub use perms::{Access, Perm, PermError, PermList};
pub use request::Request;
pub use strings::Strings;

/// Bytes of a message header (`struct xsd_sockmsg`).
pub const HEADER_SIZE: usize = 16;
/// Most bytes of payload in one message, either direction. A longer one kills the connection.
pub const XENSTORE_PAYLOAD_MAX: usize = 4096;
/// Most bytes of an absolute path.
pub const XENSTORE_ABS_PATH_MAX: usize = 3072;
/// Most bytes of a relative path, and of the part of an absolute path that a domain chooses.
pub const XENSTORE_REL_PATH_MAX: usize = 2048;
