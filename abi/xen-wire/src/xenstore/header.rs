//! Message headers and the cutting of a byte stream into messages.

use super::{HEADER_SIZE, XENSTORE_PAYLOAD_MAX};
use core::fmt;

/// `struct xsd_sockmsg`. Little-endian on the wire (the header says native; Xen's hosts here are x86).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Message type; a number, because an unknown one still deserves a reply with the same ids.
    pub kind: u32,
    /// Chosen by the client, echoed in the reply.
    pub req_id: u32,
    /// Transaction, 0 for none.
    pub tx_id: u32,
    /// Bytes of payload that follow.
    pub len: u32,
}

/// A payload above [`XENSTORE_PAYLOAD_MAX`]: the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The length that was claimed, in bytes.
    pub len: u32,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message of {} bytes; {} are allowed", self.len, XENSTORE_PAYLOAD_MAX)
    }
}

impl core::error::Error for TooLong {}

impl Header {
    /// The bytes on the wire.
    pub fn to_bytes(self) -> [u8; HEADER_SIZE] {
        let mut b = [0; HEADER_SIZE];
        for (chunk, word) in b.chunks_exact_mut(4).zip([self.kind, self.req_id, self.tx_id, self.len]) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        b
    }

    /// Decodes a header; judges nothing.
    pub fn from_bytes(b: &[u8; HEADER_SIZE]) -> Header {
        let [k0, k1, k2, k3, r0, r1, r2, r3, t0, t1, t2, t3, l0, l1, l2, l3] = *b;
        Header {
            kind: u32::from_le_bytes([k0, k1, k2, k3]),
            req_id: u32::from_le_bytes([r0, r1, r2, r3]),
            tx_id: u32::from_le_bytes([t0, t1, t2, t3]),
            len: u32::from_le_bytes([l0, l1, l2, l3]),
        }
    }
}

/// A message at the start of a stream: its header, its payload, and the rest of the stream.
pub type Split<'a> = (Header, &'a [u8], &'a [u8]);

/// Splits the first whole message off `stream`: its header, its payload, and the rest of the stream.
/// `Ok(None)` means that more bytes are needed.
pub fn split_message(stream: &[u8]) -> Result<Option<Split<'_>>, TooLong> {
    let Some((head, rest)) = stream.split_first_chunk::<HEADER_SIZE>() else { return Ok(None) };
    let header = Header::from_bytes(head);
    let len = header.len as usize;
    if len > XENSTORE_PAYLOAD_MAX {
        return Err(TooLong { len: header.len });
    }
    Ok(rest.split_at_checked(len).map(|(payload, rest)| (header, payload, rest)))
}
