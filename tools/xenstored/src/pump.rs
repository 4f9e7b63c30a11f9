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
                d.journal().in_begin(id);
                let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                match rustix::pipe::splice(socket, None, &pipe.writer, None, max, flags) {
                    Ok(0) => Ok(Took::Gone),
                    Ok(n) => {
                        d.journal().in_filled(n);
                        pipe.read_exact(d.input_space(n))?;
                        d.input(id, n);
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
                Pump::Direct => {
                    match rustix::net::send(socket, chunk, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                        Ok(n) => (n, None),
                        Err(e) => (0, Some(e)),
                    }
                }
                Pump::Piped(_, pipe) => {
                    d.journal().out_begin(id, pos, want);
                    let filled = rustix::io::write(&pipe.writer, chunk)?;
                    if filled < want {
                        d.journal().out_begin(id, pos, filled);
                    }
                    d.journal().out_stage(OutStage::Draining);
                    let (sent, ended) = empty_into(&pipe.reader, socket, filled);
                    (sent, if filled < want && ended.is_none() { Some(Errno::INTR) } else { ended })
                }
            };
            if sent > 0 {
                d.delivered(id, pos + sent as u64);
            }
            if let Pump::Piped(_, pipe) = self {
                if sent < want {
                    d.journal().out_stage(OutStage::Discarding);
                    pipe.drain()?;
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

    /// After a restart: finds out what was under way when the last daemon died, and finishes or undoes it.
    pub fn settle(&self, d: &mut Durable) -> io::Result<()> {
        let Pump::Piped(input, output) = self else { return Ok(()) };
        let held = input.held()?;
        if let Some((id, noted)) = d.journal().in_note() {
            // What is not in the pipe any more was copied to the journal's end already.
            let total = noted.unwrap_or(held);
            let copied = total.saturating_sub(held);
            if total > 0 {
                // For a restart that is killed in its turn.
                d.journal().in_filled(total);
                let space = d.input_space(total);
                input.read_exact(space.get_mut(copied..).unwrap_or_default())?;
                d.input(id, total);
            }
        }
        input.drain()?;
        let note = d.journal().out_note();
        if note.stage == OutStage::Draining {
            let left = output.held()? as u64;
            d.delivered(note.conn, note.pos + note.len.saturating_sub(left));
        }
        if note.stage != OutStage::Idle {
            d.journal().out_stage(OutStage::Discarding);
        }
        output.drain()?;
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
