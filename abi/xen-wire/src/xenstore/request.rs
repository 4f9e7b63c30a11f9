//! Requests, decoded from a payload and encoded into one.

use super::{Header, MsgType, Perm, PermList, Strings, TooLong, XENSTORE_PAYLOAD_MAX, XsError};
use alloc::vec::Vec;
use core::fmt::Write as _;

/// A request. Paths are as sent: absolute, relative to the sender's home, or special (`@…`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// A command for the daemon and its parameters.
    Control(Strings<'a>),
    /// List children.
    Directory(&'a [u8]),
    /// List children from byte `offset` of the whole list.
    DirectoryPart(&'a [u8], u64),
    /// Read a value.
    Read(&'a [u8]),
    /// Read permissions.
    GetPerms(&'a [u8]),
    /// Watch a path; `depth` limits how many levels below it count (0: the path alone).
    Watch {
        /// What to watch.
        path: &'a [u8],
        /// Comes back with each event.
        token: &'a [u8],
        /// Levels below `path`; `None` is no limit.
        depth: Option<u32>,
    },
    /// Remove the watch with this path and token.
    Unwatch(&'a [u8], &'a [u8]),
    /// Start a transaction.
    TransactionStart,
    /// Commit (`true`) or drop.
    TransactionEnd(bool),
    /// Connect a domain.
    Introduce {
        /// Whom.
        domid: u16,
        /// Frame of the ring page (a signed decimal on the wire; unused where a grant is used).
        gfn: u64,
        /// The domain's unbound event channel.
        port: u32,
    },
    /// Disconnect a domain.
    Release(u16),
    /// A domain's home.
    GetDomainPath(u16),
    /// Write a value.
    Write(&'a [u8], &'a [u8]),
    /// Make a node.
    Mkdir(&'a [u8]),
    /// Remove a subtree.
    Rm(&'a [u8]),
    /// Replace permissions.
    SetPerms(&'a [u8], PermList),
    /// Is a domain connected?
    IsDomainIntroduced(u16),
    /// Rearm a domain's shutdown event.
    Resume(u16),
    /// Give `.0` the rights of `.1`.
    SetTarget(u16, u16),
    /// Drop all watches and transactions.
    ResetWatches,
}

/// Parses unsigned decimal digits, nothing else, without overflow.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |n, &d| {
        let d = d.checked_sub(b'0').filter(|d| *d < 10)?;
        n.checked_mul(10)?.checked_add(u64::from(d))
    })
}

/// As [`decimal`], with an optional sign; a negative number wraps, as frame numbers are sent.
fn signed_decimal(digits: &[u8]) -> Option<u64> {
    match digits.split_first() {
        Some((b'-', rest)) => decimal(rest).map(u64::wrapping_neg),
        _ => decimal(digits),
    }
}

fn domid(text: &[u8]) -> Result<u16, XsError> {
    decimal(text).and_then(|d| u16::try_from(d).ok()).ok_or(XsError::EINVAL)
}

/// Exactly one string and nothing behind it.
fn only(payload: &[u8]) -> Result<&[u8], XsError> {
    let mut s = Strings::new(payload);
    let one = s.next().ok_or(XsError::EINVAL)?;
    if s.rest().is_empty() { Ok(one) } else { Err(XsError::EINVAL) }
}

/// At least the first two strings.
fn two(payload: &[u8]) -> Result<(&[u8], &[u8], Strings<'_>), XsError> {
    let mut s = Strings::new(payload);
    match (s.next(), s.next()) {
        (Some(a), Some(b)) => Ok((a, b, s)),
        _ => Err(XsError::EINVAL),
    }
}

impl<'a> Request<'a> {
    /// Decodes a payload. `EINVAL` for a malformed one, `ENOSYS` for a type that is no request.
    pub fn parse(kind: MsgType, payload: &'a [u8]) -> Result<Request<'a>, XsError> {
        Ok(match kind {
            MsgType::Control => Request::Control(Strings::new(payload)),
            MsgType::Directory => Request::Directory(only(payload)?),
            MsgType::Read => Request::Read(only(payload)?),
            MsgType::GetPerms => Request::GetPerms(only(payload)?),
            MsgType::Mkdir => Request::Mkdir(only(payload)?),
            MsgType::Rm => Request::Rm(only(payload)?),
            MsgType::DirectoryPart => {
                let (path, offset, _) = two(payload)?;
                Request::DirectoryPart(path, decimal(offset).ok_or(XsError::EINVAL)?)
            }
            MsgType::Watch => {
                let (path, token, mut more) = two(payload)?;
                let depth = match more.next() {
                    None | Some([]) => None,
                    Some(d) => Some(decimal(d).and_then(|d| u32::try_from(d).ok()).ok_or(XsError::EINVAL)?),
                };
                Request::Watch { path, token, depth }
            }
            MsgType::Unwatch => {
                let (path, token, _) = two(payload)?;
                Request::Unwatch(path, token)
            }
            MsgType::TransactionStart => Request::TransactionStart,
            MsgType::TransactionEnd => match only(payload)? {
                b"T" => Request::TransactionEnd(true),
                b"F" => Request::TransactionEnd(false),
                _ => return Err(XsError::EINVAL),
            },
            MsgType::Introduce => {
                let (who, gfn, mut more) = two(payload)?;
                let port = more.next().and_then(decimal).and_then(|p| u32::try_from(p).ok());
                Request::Introduce {
                    domid: domid(who)?,
                    gfn: signed_decimal(gfn).ok_or(XsError::EINVAL)?,
                    port: port.filter(|p| *p != 0).ok_or(XsError::EINVAL)?,
                }
            }
            MsgType::Release => Request::Release(domid(only(payload)?)?),
            MsgType::GetDomainPath => Request::GetDomainPath(domid(only(payload)?)?),
            MsgType::IsDomainIntroduced => Request::IsDomainIntroduced(domid(only(payload)?)?),
            MsgType::Resume => Request::Resume(domid(only(payload)?)?),
            MsgType::SetTarget => {
                let (who, target, _) = two(payload)?;
                Request::SetTarget(domid(who)?, domid(target)?)
            }
            MsgType::Write => {
                let mut s = Strings::new(payload);
                let path = s.next().ok_or(XsError::EINVAL)?;
                Request::Write(path, s.rest())
            }
            MsgType::SetPerms => {
                let mut s = Strings::new(payload);
                let path = s.next().ok_or(XsError::EINVAL)?;
                // Xen's own clients may leave a reserved unterminated tail; it is ignored.
                let perms: Result<PermList, _> = s.map(Perm::parse).collect();
                let perms = perms.map_err(|_| XsError::EINVAL)?;
                if perms.is_empty() {
                    return Err(XsError::EINVAL);
                }
                Request::SetPerms(path, perms)
            }
            MsgType::ResetWatches => Request::ResetWatches,
            MsgType::WatchEvent | MsgType::Error => return Err(XsError::ENOSYS),
        })
    }

    /// The type of the message that carries it.
    pub const fn kind(&self) -> MsgType {
        match self {
            Request::Control(_) => MsgType::Control,
            Request::Directory(_) => MsgType::Directory,
            Request::DirectoryPart(..) => MsgType::DirectoryPart,
            Request::Read(_) => MsgType::Read,
            Request::GetPerms(_) => MsgType::GetPerms,
            Request::Watch { .. } => MsgType::Watch,
            Request::Unwatch(..) => MsgType::Unwatch,
            Request::TransactionStart => MsgType::TransactionStart,
            Request::TransactionEnd(_) => MsgType::TransactionEnd,
            Request::Introduce { .. } => MsgType::Introduce,
            Request::Release(_) => MsgType::Release,
            Request::GetDomainPath(_) => MsgType::GetDomainPath,
            Request::Write(..) => MsgType::Write,
            Request::Mkdir(_) => MsgType::Mkdir,
            Request::Rm(_) => MsgType::Rm,
            Request::SetPerms(..) => MsgType::SetPerms,
            Request::IsDomainIntroduced(_) => MsgType::IsDomainIntroduced,
            Request::Resume(_) => MsgType::Resume,
            Request::SetTarget(..) => MsgType::SetTarget,
            Request::ResetWatches => MsgType::ResetWatches,
        }
    }

    /// Appends the whole message to `out`; `out` is unchanged if the payload would be too long.
    pub fn encode(&self, req_id: u32, tx_id: u32, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let start = out.len();
        out.extend_from_slice(&Header { kind: self.kind().as_u32(), req_id, tx_id, len: 0 }.to_bytes());
        let body = out.len();
        self.payload(out);
        let len = out.len() - body;
        let len32 = u32::try_from(len).unwrap_or(u32::MAX);
        if len > XENSTORE_PAYLOAD_MAX {
            out.truncate(start);
            return Err(TooLong { len: len32 });
        }
        if let Some(field) = out.get_mut(body - 4..body) {
            field.copy_from_slice(&len32.to_le_bytes());
        }
        Ok(())
    }

    fn payload(&self, out: &mut Vec<u8>) {
        let mut s = Payload(out);
        match self {
            Request::Control(args) => out.extend_from_slice(args.rest()),
            Request::Directory(p) | Request::Read(p) | Request::GetPerms(p) | Request::Mkdir(p) | Request::Rm(p) => {
                s.string(p)
            }
            Request::DirectoryPart(p, offset) => {
                s.string(p);
                s.number(*offset);
            }
            Request::Watch { path, token, depth } => {
                s.string(path);
                s.string(token);
                if let Some(d) = depth {
                    s.number(u64::from(*d));
                }
            }
            Request::Unwatch(path, token) => {
                s.string(path);
                s.string(token);
            }
            Request::TransactionStart | Request::ResetWatches => s.string(b""),
            Request::TransactionEnd(commit) => s.string(if *commit { b"T" } else { b"F" }),
            Request::Introduce { domid, gfn, port } => {
                s.number(u64::from(*domid));
                s.number(*gfn);
                s.number(u64::from(*port));
            }
            Request::Release(d) | Request::GetDomainPath(d) | Request::IsDomainIntroduced(d) | Request::Resume(d) => {
                s.number(u64::from(*d))
            }
            Request::Write(path, value) => {
                s.string(path);
                out.extend_from_slice(value);
            }
            Request::SetPerms(path, perms) => {
                s.string(path);
                for p in perms {
                    s.display(p);
                }
            }
            Request::SetTarget(d, t) => {
                s.number(u64::from(*d));
                s.number(u64::from(*t));
            }
        }
    }
}

/// Appends NUL-terminated strings.
struct Payload<'v>(&'v mut Vec<u8>);

impl Payload<'_> {
    fn string(&mut self, s: &[u8]) {
        self.0.extend_from_slice(s);
        self.0.push(0);
    }

    fn number(&mut self, n: u64) {
        self.display(&n);
    }

    fn display(&mut self, value: &dyn core::fmt::Display) {
        // Writing into a Vec cannot fail.
        let _ = write!(self, "{value}");
        self.0.push(0);
    }
}

impl core::fmt::Write for Payload<'_> {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        self.0.extend_from_slice(s.as_bytes());
        Ok(())
    }
}
