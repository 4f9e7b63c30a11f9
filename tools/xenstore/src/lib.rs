//! XenStore client, synchronous.
//!
//! ```no_run
//! use xenstore::{Access as _, Xenstore};
//!
//! let mut xs = Xenstore::open()?;
//! let name = xs.read_string("/local/domain/1/name")?;
//! xs.transaction(|t| {
//!     let n: u32 = t.read_string("/tool/counter")?.parse().unwrap_or(0);
//!     t.write("/tool/counter", (n + 1).to_string().as_bytes())
//! })?;
//! # Ok::<(), xenstore::Error>(())
//! ```
#![forbid(unsafe_code)]

mod access;
mod connection;
mod error;

pub use access::Access;
pub use connection::{DEFAULT_SOCKET, Transaction, WatchEvent, Xenstore};
pub use error::Error;
pub use xen_wire::xenstore::{Access as Permission, Perm, XsError};

/// What a call gives.
pub type Result<T> = std::result::Result<T, Error>;
