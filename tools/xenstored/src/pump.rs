//! Bytes between a socket and the engine, so that none is lost or doubled if the daemon is killed between any
//! two instructions.
//!
//! After a `read` that nobody noted, nobody knows whether it happened: the client may have sent more. So bytes
//! go through a pipe that the supervisor keeps and that only we fill and empty. What the pipe holds, together
//! with the notes in the journal's header, tells after a restart what the kernel had done already.

use crate::durable::Durable;
use crate::journal::{CHUNK_MAX, OutStage};
use crate::state::ConnId;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::pipe::{PipeFlags, SpliceFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Where a test lets the daemon die; nothing in a real one.
#[cfg(not(test))]
#[inline]
#[allow(clippy::unnecessary_wraps)]
const fn point() -> io::Result<()> {
    Ok(())
}
#[cfg(test)]
use tests::point;

/// A pipe.
#[derive(Debug)]
pub struct Pipe {
    /// The end that is read.
    pub reader: OwnedFd,
    /// The end that is written.
    pub writer: OwnedFd,
}

impl Pipe {
    /// A new one, as large as it may be.
    pub fn new() -> io::Result<Pipe> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // More room saves calls where clients send many small messages; the default works as well.
        let _ = rustix::pipe::fcntl_setpipe_size(&writer, 1 << 20);
        Ok(Pipe { reader, writer })
    }

    fn held(&self) -> io::Result<usize> {
        usize::try_from(rustix::io::ioctl_fionread(&self.reader)?).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    fn drain(&self) -> io::Result<()> {
        let mut scratch = [0; 4096];
        loop {
            match rustix::io::read(&self.reader, &mut scratch) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn read_exact(&self, mut into: &mut [u8]) -> io::Result<()> {
        while !into.is_empty() {
            match rustix::io::read(&self.reader, &mut *into) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => into = into.get_mut(n..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

/// What came of taking input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    /// So many bytes; there may be more.
    Some(usize),
    /// Nothing now.
    Nothing,
    /// The client is gone.
    Gone,
}

/// What came of delivering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gave {
    /// Everything that waited.
    All,
    /// Not everything: the socket is full.
    Full,
    /// The client is gone.
    Gone,
}

/// Moves bytes.
#[derive(Debug)]
pub enum Pump {
    /// Straight. Connections die with the daemon, so nothing on them can be lost.
    Direct,
    /// Through pipes that outlive the daemon, as the connections do: input and output.
    Piped(Pipe, Pipe),
}

impl Pump {
    /// Takes what a socket holds, at most `max` bytes, and runs it. The caller made sure of room in the journal.
    pub fn take(&self, d: &mut Durable, id: ConnId, socket: BorrowedFd<'_>, max: usize) -> io::Result<Took> {
        let max = max.min(CHUNK_MAX);
        match self {
            Pump::Direct => match rustix::net::recv(socket, d.input_space(max), RecvFlags::DONTWAIT) {
                Ok((0, _)) => Ok(Took::Gone),
                Ok((n, _)) => {
                    d.input(id, n);
                    Ok(Took::Some(n))
                }
                Err(e) => took_error(e),
            },
            Pump::Piped(pipe, _) => {
                point()?;
                d.journal().in_begin(id);
                point()?;
                let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                match rustix::pipe::splice(socket, None, &pipe.writer, None, max, flags) {
                    Ok(0) => Ok(Took::Gone),
                    Ok(n) => {
                        point()?;
                        d.journal().in_filled(n);
                        point()?;
                        pipe.read_exact(d.input_space(n))?;
                        point()?;
                        d.input(id, n);
                        point()?;
                        Ok(Took::Some(n))
                    }
                    Err(e) => took_error(e),
                }
            }
        }
    }

    /// Delivers what waits for a connection.
    pub fn give(&self, d: &mut Durable, id: ConnId, socket: BorrowedFd<'_>) -> io::Result<Gave> {
        loop {
            let Some(out) = d.engine().out(id).filter(|o| !o.is_empty()) else { return Ok(Gave::All) };
            let (pos, all) = (out.sent(), out.waiting());
            let chunk = all.get(..all.len().min(CHUNK_MAX)).unwrap_or_default();
            let want = chunk.len();
            let (sent, ended) = match self {
                Pump::Direct => match rustix::net::send(socket, chunk, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                    Ok(n) => (n, None),
                    Err(e) => (0, Some(e)),
                },
                Pump::Piped(_, pipe) => {
                    point()?;
                    d.journal().out_begin(id, pos, want);
                    point()?;
                    let filled = rustix::io::write(&pipe.writer, chunk)?;
                    point()?;
                    if filled < want {
                        d.journal().out_begin(id, pos, filled);
                    }
                    d.journal().out_stage(OutStage::Draining);
                    point()?;
                    let (sent, ended) = empty_into(&pipe.reader, socket, filled);
                    (sent, if filled < want && ended.is_none() { Some(Errno::INTR) } else { ended })
                }
            };
            point()?;
            if sent > 0 {
                d.delivered(id, pos + sent as u64);
            }
            if let Pump::Piped(_, pipe) = self {
                point()?;
                if sent < want {
                    d.journal().out_stage(OutStage::Discarding);
                    point()?;
                    pipe.drain()?;
                    point()?;
                }
                d.journal().out_stage(OutStage::Idle);
            }
            match ended {
                None | Some(Errno::INTR) => {}
                Some(Errno::AGAIN) => return Ok(Gave::Full),
                Some(_) => return Ok(Gave::Gone),
            }
        }
    }

    /// After a restart: finds out what was under way when the last daemon died, and finishes or undoes it. Of a connection
    /// that is not `ours`, the pipes know nothing: they are new, and it ended with the old ones.
    pub fn settle(&self, d: &mut Durable, ours: impl Fn(ConnId) -> bool) -> io::Result<()> {
        let Pump::Piped(input, output) = self else { return Ok(()) };
        let held = input.held()?;
        if let Some((id, noted)) = d.journal().in_note().filter(|(id, _)| ours(*id)) {
            // What is not in the pipe any more was copied to the journal's end already.
            let total = noted.unwrap_or(held);
            let copied = total.saturating_sub(held);
            if total > 0 {
                // For a restart that is killed in its turn.
                d.journal().in_filled(total);
                point()?;
                let space = d.input_space(total);
                input.read_exact(space.get_mut(copied..).unwrap_or_default())?;
                point()?;
                d.input(id, total);
                point()?;
            }
        }
        input.drain()?;
        let note = d.journal().out_note();
        if note.stage == OutStage::Draining && ours(note.conn) {
            let left = output.held()? as u64;
            point()?;
            d.delivered(note.conn, note.pos + note.len.saturating_sub(left));
            point()?;
        }
        if note.stage != OutStage::Idle {
            d.journal().out_stage(OutStage::Discarding);
        }
        point()?;
        output.drain()?;
        point()?;
        d.journal().out_stage(OutStage::Idle);
        Ok(())
    }
}

fn took_error(e: Errno) -> io::Result<Took> {
    match e {
        Errno::AGAIN | Errno::INTR => Ok(Took::Nothing),
        Errno::CONNRESET | Errno::PIPE => Ok(Took::Gone),
        e => Err(e.into()),
    }
}

/// Moves `len` bytes from the pipe to the socket; how many went, and why not all.
fn empty_into(pipe: impl AsFd, socket: BorrowedFd<'_>, len: usize) -> (usize, Option<Errno>) {
    let mut sent = 0;
    while sent < len {
        match rustix::pipe::splice(&pipe, None, socket, None, len - sent, SpliceFlags::NONBLOCK) {
            Ok(0) => return (sent, Some(Errno::PIPE)),
            Ok(n) => sent += n,
            Err(Errno::INTR) => {}
            Err(e) => return (sent, Some(e)),
        }
    }
    (sent, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Happening;
    use crate::state::{Peer, Quotas};
    use std::cell::Cell;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use xen_wire::xenstore::{MsgType, Request, split_message};

    thread_local! {
        /// Points until death.
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// Counts down, then fails: everything unwinds, and only files, pipes and sockets remain.
    pub(super) fn point() -> io::Result<()> {
        LEFT.with(|left| match left.get() {
            Some(0) => Err(io::Error::other("killed")),
            n => {
                left.set(n.map(|n| n - 1));
                Ok(())
            }
        })
    }

    const CLIENT: ConnId = ConnId(1);

    /// What the supervisor keeps, and a client.
    struct World {
        dir: tempfile::TempDir,
        pump: Pump,
        ours: UnixStream,
        client: UnixStream,
    }

    impl World {
        fn new() -> World {
            let (ours, client) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            client.set_nonblocking(true).unwrap();
            // So that big replies do not fit at once.
            rustix::net::sockopt::set_socket_send_buffer_size(&ours, 8192).unwrap();
            let dir = tempfile::tempdir().unwrap();
            World { dir, pump: Pump::Piped(Pipe::new().unwrap(), Pipe::new().unwrap()), ours, client }
        }

        fn start(&self) -> io::Result<Durable> {
            let mut d = Durable::open(self.dir.path(), &Quotas::default()).unwrap();
            self.pump.settle(&mut d, |_| true)?;
            if !d.engine().state().connected(CLIENT) {
                d.happened(&Happening::Connected(CLIENT, Peer { domid: 0, read_only: false })).unwrap();
            }
            Ok(d)
        }

        /// One life of the daemon: until nothing is left to do, or death.
        fn live(&mut self, received: &mut Vec<u8>) -> io::Result<()> {
            let mut d = self.start()?;
            loop {
                let took = self.pump.take(&mut d, CLIENT, self.ours.as_fd(), 700)?;
                let gave = self.pump.give(&mut d, CLIENT, self.ours.as_fd())?;
                let done = took == Took::Nothing && gave == Gave::All;
                let mut buf = [0; 5000];
                loop {
                    match self.client.read(&mut buf) {
                        Ok(n) => received.extend_from_slice(&buf[..n]),
                        Err(e) => {
                            assert_eq!(e.kind(), io::ErrorKind::WouldBlock);
                            break;
                        }
                    }
                    if !done {
                        break;
                    }
                }
                if done {
                    return Ok(());
                }
            }
        }
    }

    /// Dies at the `first` point, and after that at every `every`-th again. Returns whether it died at all.
    fn run(first: u32, every: Option<u32>) -> bool {
        let mut world = World::new();
        let mut requests = Vec::new();
        let mut expected = Vec::new();
        for n in 0..40u32 {
            let value = vec![b'a' + (n % 26) as u8; if n % 4 == 0 { 3500 } else { 10 }];
            Request::Write(b"/a", &value).encode(2 * n, 0, &mut requests).unwrap();
            Request::Read(b"/a").encode(2 * n + 1, 0, &mut requests).unwrap();
            expected.push((2 * n, b"OK\0".to_vec()));
            expected.push((2 * n + 1, value));
        }
        world.client.write_all(&requests).unwrap();
        let (mut received, mut died, mut next) = (Vec::new(), false, Some(first));
        loop {
            LEFT.set(next);
            match world.live(&mut received) {
                Ok(()) => break,
                Err(e) => {
                    assert_eq!(e.to_string(), "killed");
                    died = true;
                    next = every;
                }
            }
        }
        LEFT.set(None);
        let mut rest = received.as_slice();
        for (id, payload) in &expected {
            let (header, got, after) = split_message(rest).unwrap().expect("every reply comes");
            assert_eq!((header.req_id, got), (*id, payload.as_slice()), "dying at point {first}, {every:?}");
            assert_ne!(header.kind, MsgType::Error.as_u32());
            rest = after;
        }
        assert!(rest.is_empty(), "a reply came twice");
        died
    }

    #[test]
    fn dying_at_any_point_loses_and_doubles_nothing() {
        let mut n = 0;
        while run(n, None) {
            n += 1;
        }
        assert!(n > 100, "only {n} points");
    }

    #[test]
    fn dying_again_and_again_even_while_recovering_loses_and_doubles_nothing() {
        // Fewer than three points a life might never finish recovering.
        for every in [11, 13, 17, 23, 40] {
            for first in 0..25 {
                assert!(run(first, Some(every)));
            }
        }
    }
}
