//! Errors.

use std::path::PathBuf;
use xen_wire::xenstore::{MsgType, XsError};

/// A call that did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The daemon cannot be reached.
    #[error("xenstored cannot be reached at {path}: {source}; is it running?")]
    Unreachable {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("the connection to xenstored broke: {0}")]
    Broken(#[from] std::io::Error),
    /// The daemon refused.
    #[error("{} {what}: {error}", op.name())]
    Refused {
        /// Which operation.
        op: MsgType,
        /// On what.
        what: String,
        /// Why.
        error: XsError,
    },
    /// The request does not fit into a message.
    #[error("{} {what}: {len} bytes do not fit into a message", op.name())]
    TooLong {
        /// Which operation.
        op: MsgType,
        /// On what.
        what: String,
        /// Bytes of payload.
        len: u32,
    },
    /// The daemon does not keep to the protocol.
    #[error("xenstored does not keep to the protocol: {0}")]
    Protocol(&'static str),
    /// A transaction conflicted again and again.
    #[error("the transaction conflicted with other changes {0} times")]
    Conflicts(u32),
    /// Nothing happened in time.
    #[error("nothing happened in time")]
    TimedOut,
}

impl Error {
    /// The protocol's error, if the daemon refused.
    pub const fn refused(&self) -> Option<XsError> {
        match self {
            Error::Refused { error, .. } => Some(*error),
            _ => None,
        }
    }

    /// Whether there is no such node (or watch, or domain).
    pub fn is_not_found(&self) -> bool {
        self.refused() == Some(XsError::ENOENT)
    }
}
