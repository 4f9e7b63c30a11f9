//! One domain's console: its ring on one side, a terminal and a log on the other.

use crate::backlog::Backlog;
use crate::log::Log;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::OptionalActions;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use tracing::warn;
use xen_wire::console::{IN, OUT, OUT_SIZE};
use xen_wire::ring::RingMemory;

/// What waits for a reader at most, as Xen's daemon keeps.
const BACKLOG: usize = 1 << 20;
/// A guest may print so much in a [`WINDOW`]; then it waits.
const SHARE: usize = 256 << 10;
const WINDOW: Duration = Duration::from_millis(200);

/// A terminal pair: we hold both ends, so that it is there without a reader.
#[derive(Debug)]
pub struct Terminal {
    master: OwnedFd,
    slave: OwnedFd,
    /// The node for readers.
    pub path: String,
}

impl Terminal {
    /// A new one, raw.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new() -> rustix::io::Result<Terminal> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags)?;
        rustix::pty::grantpt(&master)?;
        rustix::pty::unlockpt(&master)?;
        let path = rustix::pty::ptsname(&master, Vec::new())?.to_string_lossy().into_owned();
        let slave = rustix::fs::open(path.as_str(), OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let mut modes = rustix::termios::tcgetattr(&slave)?;
        modes.make_raw();
        rustix::termios::tcsetattr(&slave, OptionalActions::Now, &modes)?;
        rustix::io::ioctl_fionbio(&master, true)?;
        Ok(Terminal { master, slave, path })
    }

    /// Whether bytes wait for a reader.
    fn is_unread(&self) -> bool {
        rustix::io::ioctl_fionread(&self.slave).is_ok_and(|len| len > 0)
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

/// A console.
#[derive(Debug)]
pub struct Console<M: RingMemory> {
    ring: M,
    /// Its terminal.
    pub terminal: Terminal,
    log: Option<Log>,
    backlog: Backlog,
    printed: usize,
    window: Instant,
    broken: bool,
}

impl<M: RingMemory> Console<M> {
    /// Over a mapped ring.
    ///
    /// # Errors
    /// There is no terminal.
    pub fn new(ring: M, log: Option<Log>) -> rustix::io::Result<Console<M>> {
        Ok(Console {
            ring,
            terminal: Terminal::new()?,
            log,
            backlog: Backlog::new(BACKLOG),
            printed: 0,
            window: Instant::now(),
            broken: false,
        })
    }

    /// How long a guest that printed more than its share has to wait.
    pub fn must_wait(&mut self) -> Option<Duration> {
        let since = self.window.elapsed();
        if since >= WINDOW {
            self.window = Instant::now();
            self.printed = 0;
        }
        (self.printed >= SHARE).then(|| WINDOW.saturating_sub(since))
    }

    /// Takes what the guest printed. Gives whether it is to be notified.
    pub fn take(&mut self) -> bool {
        let mut bytes = [0; OUT_SIZE as usize];
        match OUT.peek(&self.ring, &mut bytes) {
            Ok((0, _)) => false,
            Ok((len, consumed)) => {
                OUT.consume_to(&self.ring, consumed);
                let bytes = bytes.get(..len).unwrap_or_default();
                self.printed += len;
                if let Some(log) = &mut self.log
                    && let Err(error) = log.write(bytes)
                {
                    warn!("a console's log: {error}; it goes on when that is over");
                }
                self.backlog.push(bytes);
                true
            }
            Err(bad) => {
                if !self.broken {
                    warn!("a console's ring is broken: {bad}");
                    self.broken = true;
                    // So that the guest can print again, if it means to.
                    OUT.consume_to(&self.ring, bad.prod);
                }
                false
            }
        }
    }

    /// Gives the terminal what it takes.
    pub fn show(&mut self) {
        while !self.backlog.is_empty() {
            match rustix::io::write(&self.terminal.master, self.backlog.front()) {
                Ok(len) => self.backlog.consume(len),
                Err(Errno::INTR) => {}
                // Nobody reads: it waits.
                Err(_) => return,
            }
        }
    }

    /// Whether bytes wait for the terminal.
    pub fn has_output(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Ends it. Its terminal stays with what nobody has read yet, for a while: closing it would throw that away.
    pub fn close(mut self) -> Farewell {
        while self.take() {}
        self.show();
        let now = Instant::now();
        Farewell { terminal: self.terminal, backlog: self.backlog, least: now + LEAST, until: now + FAREWELL }
    }

    /// Whether the guest can take what is typed.
    pub fn has_room(&self) -> bool {
        IN.writable(&self.ring).is_ok_and(|room| room > 0)
    }

    /// Gives the guest what was typed. Gives whether it is to be notified.
    pub fn type_in(&mut self) -> bool {
        let Ok(room) = IN.writable(&self.ring) else { return false };
        let mut bytes = vec![0; room as usize];
        let Ok(len) = rustix::io::read(&self.terminal.master, &mut bytes) else { return false };
        match IN.fill(&self.ring, bytes.get(..len).unwrap_or_default()) {
            Ok((0, _)) | Err(_) => false,
            Ok((_, produced)) => {
                IN.produce_to(&self.ring, produced);
                true
            }
        }
    }
}

/// How long a terminal outlives its guest at most.
const FAREWELL: Duration = Duration::from_secs(3);
/// And at least: what was written just now is on its way to where it counts as unread.
const LEAST: Duration = Duration::from_millis(500);

/// The terminal of a guest that is gone, with its last words.
#[derive(Debug)]
pub struct Farewell {
    terminal: Terminal,
    backlog: Backlog,
    least: Instant,
    until: Instant,
}

impl Farewell {
    /// Gives the terminal what it takes; whether to come again.
    pub fn go_on(&mut self) -> bool {
        while !self.backlog.is_empty() {
            match rustix::io::write(&self.terminal.master, self.backlog.front()) {
                Ok(len) => self.backlog.consume(len),
                Err(_) => break,
            }
        }
        let unread = !self.backlog.is_empty() || self.terminal.is_unread();
        let now = Instant::now();
        now < self.least || unread && now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    struct Page(RefCell<[u8; 4096]>);

    impl RingMemory for Page {
        fn load_u32(&self, offset: usize) -> u32 {
            u32::from_le_bytes(self.0.borrow()[offset..offset + 4].try_into().unwrap())
        }
        fn store_u32(&self, offset: usize, value: u32) {
            self.0.borrow_mut()[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        }
        fn read(&self, offset: usize, into: &mut [u8]) {
            into.copy_from_slice(&self.0.borrow()[offset..offset + into.len()]);
        }
        fn write(&self, offset: usize, from: &[u8]) {
            self.0.borrow_mut()[offset..offset + from.len()].copy_from_slice(from);
        }
    }

    fn console(dir: &tempfile::TempDir) -> Console<Page> {
        let log = Log::new(&dir.path().join("guest.log"), 1 << 20, 1);
        Console::new(Page(RefCell::new([0; 4096])), Some(log)).unwrap()
    }

    fn print(console: &Console<Page>, text: &[u8]) {
        let (len, at) = OUT.fill(&console.ring, text).unwrap();
        assert_eq!(len, text.len());
        OUT.produce_to(&console.ring, at);
    }

    #[test]
    fn what_the_guest_prints_reaches_log_and_terminal_and_what_is_typed_reaches_the_guest() {
        let dir = tempfile::tempdir().unwrap();
        let mut console = console(&dir);
        print(&console, b"hello\n");
        assert!(console.take() && !console.take());
        console.show();
        assert!(!console.has_output());
        assert_eq!(std::fs::read(dir.path().join("guest.log")).unwrap(), b"hello\n");
        let reader =
            rustix::fs::open(console.terminal.path.as_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let mut bytes = [0; 100];
        let len = rustix::io::read(&reader, &mut bytes).unwrap();
        assert_eq!(&bytes[..len], b"hello\n");
        rustix::io::write(&reader, b"ls\r").unwrap();
        assert!(console.type_in());
        let (len, _) = IN.peek(&console.ring, &mut bytes).unwrap();
        assert_eq!(&bytes[..len], b"ls\r");
    }

    #[test]
    fn garbage_in_the_ring_costs_the_guest_its_output_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut console = console(&dir);
        console.ring.store_u32(OUT.prod, 0x8000_0000);
        assert!(!console.take());
        print(&console, b"again");
        assert!(console.take());
    }

    #[test]
    fn a_guest_that_prints_without_end_has_to_wait() {
        let dir = tempfile::tempdir().unwrap();
        let mut console = console(&dir);
        for _ in 0..SHARE / 2048 {
            assert_eq!(console.must_wait(), None);
            print(&console, &[b'x'; 2048]);
            console.take();
        }
        assert!(console.must_wait().is_some());
    }

    #[test]
    fn the_last_words_of_a_guest_wait_for_their_reader() {
        let dir = tempfile::tempdir().unwrap();
        let console = console(&dir);
        print(&console, b"goodbye");
        let reader =
            rustix::fs::open(console.terminal.path.as_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let mut farewell = console.close();
        assert!(farewell.go_on());
        let mut bytes = [0; 100];
        let len = rustix::io::read(&reader, &mut bytes).unwrap();
        assert_eq!(&bytes[..len], b"goodbye");
        std::thread::sleep(LEAST);
        assert!(!farewell.go_on());
    }
}
