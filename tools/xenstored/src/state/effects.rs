//! What a step of the state machine wants done. The caller performs it.

use super::{ConnId, QuotaKind};
use std::ops::Range;
use xen_wire::xenstore::{Header, MsgType, XENSTORE_PAYLOAD_MAX, XsError};

/// One thing to do. Ranges point into [`Effects::bytes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Queue a whole reply message for a connection.
    Reply(ConnId, Range<usize>),
    /// Queue a whole watch event for a connection.
    Event(ConnId, Range<usize>),
    /// Map a domain's ring and bind its event channel, then tell the state machine how it went
    /// ([`super::State::ring_connected`]). The requester's connection takes no further request until then.
    ConnectRing {
        /// Who asked.
        requester: ConnId,
        /// Whose ring.
        domid: u16,
        /// Frame of the ring page.
        gfn: u64,
        /// The domain's unbound event channel.
        port: u32,
    },
    /// Unmap a domain's ring and close its event channel, and forget what is queued for it.
    DisconnectRing(u16),
    /// A domain ran into a quota.
    QuotaHit {
        /// Who.
        domid: u16,
        /// Which quota.
        quota: QuotaKind,
        /// Its value.
        limit: u64,
    },
    /// A transaction of somebody else failed because of a write by this domain.
    Blame(u16),
    /// Write a line to the daemon's log.
    Log(String),
    /// Switch the log of requests on or off.
    Trace(bool),
    /// Go over to another version of the daemon's program, then tell the state machine how it went
    /// ([`super::State::updated`]). The requester's connection takes no further request until then.
    Update {
        /// Who asked.
        requester: ConnId,
        /// The program; `None`: what now stands in the present one's file.
        program: Option<String>,
    },
}

/// The effects of one step. Reused from step to step.
#[derive(Debug, Default)]
pub struct Effects {
    /// The messages that the effects point to.
    pub bytes: Vec<u8>,
    /// What to do, in order.
    pub list: Vec<Effect>,
}

impl Effects {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.list.clear();
    }

    /// The bytes of a message.
    pub fn message(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    fn message_with(
        &mut self,
        kind: MsgType,
        req_id: u32,
        tx_id: u32,
        body: impl FnOnce(&mut Vec<u8>),
    ) -> Range<usize> {
        let start = self.bytes.len();
        let header = Header { kind: kind.as_u32(), req_id, tx_id, len: 0 };
        self.bytes.extend_from_slice(&header.to_bytes());
        let payload = self.bytes.len();
        body(&mut self.bytes);
        let len = u32::try_from(self.bytes.len() - payload).unwrap_or(u32::MAX);
        if let Some(field) = self.bytes.get_mut(payload - 4..payload) {
            field.copy_from_slice(&len.to_le_bytes());
        }
        start..self.bytes.len()
    }

    /// Queues a reply whose payload `body` appends; `E2BIG` instead if that is above the protocol's limit.
    pub(super) fn reply(&mut self, to: &Ticket, body: impl FnOnce(&mut Vec<u8>)) {
        let range = self.message_with(to.kind, to.req_id, to.tx_id, body);
        if range.len() > XENSTORE_PAYLOAD_MAX + xen_wire::xenstore::HEADER_SIZE {
            self.bytes.truncate(range.start);
            self.error(to, XsError::E2BIG);
        } else {
            self.list.push(Effect::Reply(to.conn, range));
        }
    }

    /// Queues `OK`.
    pub(super) fn ok(&mut self, to: &Ticket) {
        self.reply(to, |out| out.extend_from_slice(b"OK\0"));
    }

    /// Queues an error reply.
    pub(super) fn error(&mut self, to: &Ticket, error: XsError) {
        let range = self.message_with(MsgType::Error, to.req_id, to.tx_id, |out| {
            out.extend_from_slice(error.name().as_bytes());
            out.push(0);
        });
        self.list.push(Effect::Reply(to.conn, range));
    }

    /// Queues a watch event.
    pub(super) fn event(&mut self, conn: ConnId, path: &[&str], token: &[u8]) {
        let range = self.message_with(MsgType::WatchEvent, 0, 0, |out| {
            for part in path {
                out.extend_from_slice(part.as_bytes());
            }
            out.push(0);
            out.extend_from_slice(token);
            out.push(0);
        });
        self.list.push(Effect::Event(conn, range));
    }
}

/// Where a reply goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ticket {
    /// The connection.
    pub conn: ConnId,
    /// The request's type, as a reply carries it.
    #[serde(with = "kind_as_number")]
    pub kind: MsgType,
    /// The request's id.
    pub req_id: u32,
    /// The request's transaction.
    pub tx_id: u32,
}

mod kind_as_number {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use xen_wire::xenstore::MsgType;

    pub(super) fn serialize<S: Serializer>(kind: &MsgType, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u32(kind.as_u32())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<MsgType, D::Error> {
        MsgType::from_u32(u32::deserialize(d)?).ok_or_else(|| D::Error::custom("no such message type"))
    }
}
