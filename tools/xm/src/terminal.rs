//! Our terminal and a guest's: what is typed goes there, what is printed comes here, until Ctrl-].

use crate::failure::Failure;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios};
use std::os::fd::AsFd as _;

/// Leaves the console.
const ESCAPE: u8 = 0x1d;

/// Puts the terminal back as it was.
struct Raw(Option<Termios>);

impl Raw {
    fn new() -> Raw {
        let stdin = rustix::stdio::stdin();
        let Ok(before) = rustix::termios::tcgetattr(stdin) else { return Raw(None) };
        let mut raw = before.clone();
        raw.make_raw();
        let _ = rustix::termios::tcsetattr(stdin, OptionalActions::Now, &raw);
        Raw(Some(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Connects to the terminal at `path`, then does `first`. Ends when the terminal is gone, or with Ctrl-].
pub fn connect(path: &str, first: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let guest = rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| Failure::failed(format!("console {path}: {error}")))?;
    first()?;
    let _raw = Raw::new();
    let mut input = true;
    let mut buffer = [0; 4096];
    loop {
        let stdin = rustix::stdio::stdin();
        let mut fds = vec![PollFd::from_borrowed_fd(guest.as_fd(), PollFlags::IN)];
        if input {
            fds.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Failure::failed(format!("console {path}: {error}"))),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready.first() == Some(&true) {
            match rustix::io::read(&guest, &mut buffer) {
                Ok(0) | Err(Errno::IO) => return Ok(()),
                Ok(len) => write_all(rustix::stdio::stdout(), buffer.get(..len).unwrap_or_default()),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(Failure::failed(format!("console {path}: {error}"))),
            }
        }
        if ready.get(1) == Some(&true) {
            match rustix::io::read(stdin, &mut buffer) {
                Ok(0) | Err(Errno::IO) => input = false,
                Ok(len) => {
                    let typed = buffer.get(..len).unwrap_or_default();
                    let end = typed.iter().position(|byte| *byte == ESCAPE);
                    write_all(guest.as_fd(), typed.get(..end.unwrap_or(len)).unwrap_or_default());
                    if end.is_some() {
                        return Ok(());
                    }
                }
                Err(_) => {}
            }
        }
    }
}

fn write_all(to: std::os::fd::BorrowedFd<'_>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
