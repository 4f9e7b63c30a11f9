//! Between the daemon and the keeper of its file descriptors: messages over a socket pair, each with the
//! descriptors that it talks about.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// From the keeper to the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToDaemon {
    /// Four descriptors: reader and writer of the input pipe, reader and writer of the output pipe; and the number of
    /// the supervisor's session, which is the upper half of its clients' numbers.
    Pipes(u32),
    /// A listening socket, for a daemon whose keeper dies; and whether it is the read-only one.
    Listener(bool),
    /// A client's connection: number, read-only.
    Client(u64, bool),
    /// A descriptor that an earlier daemon stored under this name.
    Stored(String),
    /// That was all; from here on only new clients.
    Ready,
    /// The program that the keeper would start now.
    Program(String),
    /// How the update went that the daemon before this one was asked for (why not).
    Outcome(Result<(), String>),
    /// To a new keeper: the highest number that a client ever had.
    LastClient(u64),
}

/// From the daemon to the keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToKeeper {
    /// This client's connection is over.
    Forget(u64),
    /// Keep this descriptor under this name (instead of one with the same name).
    Store(String),
    /// Forget this name.
    Unstore(String),
    /// This daemon serves.
    Serving,
    /// This daemon ends, all its state is in its snapshot: start this program.
    HandOver(String),
}

/// Sends a message.
pub fn send<M: Serialize>(to: impl AsFd, message: &M, fds: &[BorrowedFd<'_>], flags: SendFlags) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("more than four descriptors in one message"));
    }
    rustix::net::sendmsg(to, &[IoSlice::new(&bytes)], &mut ancillary, flags | SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives a message; `None` if the other side is gone.
pub fn receive<M: DeserializeOwned>(from: impl AsFd, flags: RecvFlags) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut bytes = [0; 8192];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let got = loop {
        match rustix::net::recvmsg(&from, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags) {
            // Reset: the other side died with something unread. What it sent before is still to come, then the end.
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => {}
            Err(e) => return Err(e.into()),
            Ok(got) => break got.bytes,
        }
    };
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if got == 0 {
        return Ok(None);
    }
    let message = postcard::from_bytes(bytes.get(..got).unwrap_or_default()).map_err(io::Error::other)?;
    Ok(Some((message, fds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[test]
    fn what_somebody_said_before_its_death_is_heard_although_it_left_something_unread() {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        send(&ours, &ToDaemon::Ready, &[], SendFlags::empty()).unwrap();
        for message in [ToKeeper::Forget(7), ToKeeper::Serving] {
            send(&theirs, &message, &[], SendFlags::empty()).unwrap();
        }
        drop(theirs);
        let hear = || receive::<ToKeeper>(&ours, RecvFlags::DONTWAIT).unwrap().map(|(message, _)| message);
        assert_eq!([(); 3].map(|()| hear()), [Some(ToKeeper::Forget(7)), Some(ToKeeper::Serving), None]);
    }
}
