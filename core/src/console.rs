//! The hypervisor's console: the ring that `xl dmesg` reads, and input on its way to the control domain.

use crate::options::Conswitch;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use ferroxen_sync::{Lock, rank};
use xen_abi::Errno;

/// Bytes of input that wait for the control domain (Xen's SERIAL_RXBUFSZ).
pub const INPUT_BYTES: u32 = 128;
/// Pressed this often in a row, Ctrl with a letter switches input between the control domain and the hypervisor.
const SWITCH_COUNT: u8 = 3;

/// What stands before each line of the hypervisor's.
const MARK: &str = "(XEN) ";
/// The longest line that is handed out whole.
const LINE: usize = 512;

/// Hands a text out line by line, each with a mark before it: whole, so that lines of several CPUs do not mix, but for
/// very long ones, which come in pieces.
struct Lines<F: FnMut(&str)> {
    out: F,
    bytes: [u8; LINE],
    len: usize,
    /// Something of the line, if only its mark, was collected.
    begun: bool,
}

/// Hands out `text`, which may be of several lines, as lines that each begin with `(XEN)` and end with a newline.
pub fn lines(text: fmt::Arguments<'_>, out: impl FnMut(&str)) {
    let mut lines = Lines { out, bytes: [0; LINE], len: 0, begun: false };
    lines.begin();
    // It never fails; a part of the text that does is left out.
    let _ = lines.write_fmt(text);
    if lines.begun {
        lines.end();
    }
}

impl<F: FnMut(&str)> Lines<F> {
    fn begin(&mut self) {
        self.begun = true;
        self.push(MARK);
    }
    fn end(&mut self) {
        self.push("\n");
        self.hand_out();
        self.begun = false;
    }
    fn hand_out(&mut self) {
        if let Some(Ok(text)) = self.bytes.get(..self.len).map(str::from_utf8) {
            (self.out)(text);
        }
        self.len = 0;
    }
    fn push(&mut self, text: &str) {
        for char in text.chars() {
            if self.len + char.len_utf8() > LINE {
                self.hand_out();
            }
            let end = self.len + char.len_utf8();
            if let Some(room) = self.bytes.get_mut(self.len..end) {
                char.encode_utf8(room);
                self.len = end;
            }
        }
    }
}

impl<F: FnMut(&str)> Write for Lines<F> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive('\n') {
            if !self.begun {
                self.begin();
            }
            self.push(part.trim_end_matches('\n'));
            if part.ends_with('\n') {
                self.end();
            }
        }
        Ok(())
    }
}

/// Ring and input.
#[derive(Default)]
pub struct Console {
    ring: Lock<rank::Console, Ring>,
    input: Lock<rank::Console, Input>,
    /// What the control domain writes goes into the ring, too (`console_to_ring`).
    pub guest_to_ring: bool,
}

/// Positions count every byte ever written, and wrap.
#[derive(Default)]
struct Ring {
    bytes: Vec<u8>,
    /// Bytes up to here were read and cleared.
    start: u32,
    end: u32,
}

struct Input {
    bytes: [u8; INPUT_BYTES as usize],
    start: u32,
    end: u32,
    /// Input goes to the hypervisor's keys.
    ours: bool,
    /// What switches.
    conswitch: Conswitch,
    switches: u8,
}

impl Default for Input {
    fn default() -> Self {
        Input {
            bytes: [0; INPUT_BYTES as usize],
            start: 0,
            end: 0,
            ours: false,
            conswitch: Conswitch::default(),
            switches: 0,
        }
    }
}

/// What became of a byte from the console's device.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// It waits for the control domain: raise VIRQ_CONSOLE.
    ForGuest,
    /// The buffer is full; it is lost.
    Lost,
    /// A debug key for the hypervisor.
    Key(u8),
    /// Input goes to the hypervisor from now on, or (`false`) to the control domain.
    Switched(bool),
    /// Part of a switch.
    Nothing,
}

impl Console {
    /// A console with a ring of at least `bytes` (a power of two is made of it, 4 KiB to 16 MiB).
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn try_new(bytes: usize) -> Result<Self, Errno> {
        let size = bytes.clamp(1 << 12, 1 << 24).next_power_of_two();
        let mut ring = Vec::new();
        ring.try_reserve_exact(size).map_err(|_| Errno::ENOMEM)?;
        ring.resize(size, 0);
        Ok(Console { ring: Lock::new(Ring { bytes: ring, start: 0, end: 0 }), ..Console::default() })
    }

    /// Puts text into the ring, over the oldest.
    pub fn put(&self, text: &[u8]) {
        let mut ring = self.ring.lock();
        let Some(mask) = ring.mask() else { return };
        for &byte in text {
            let at = (ring.end & mask) as usize;
            if let Some(slot) = ring.bytes.get_mut(at) {
                *slot = byte;
            }
            ring.end = ring.end.wrapping_add(1);
        }
        let size = mask.wrapping_add(1);
        if ring.end.wrapping_sub(ring.start) > size {
            ring.start = ring.end.wrapping_sub(size);
        }
    }

    /// The position to read from: the oldest byte, or with `after` (from an earlier read) that one if it is younger.
    pub fn first(&self, after: Option<u32>) -> u32 {
        let ring = self.ring.lock();
        match after {
            Some(index) if index.wrapping_sub(ring.start) <= ring.end.wrapping_sub(ring.start) => index,
            _ => ring.start,
        }
    }

    /// Copies out text from position `at` on; gives where it really began (text from `at` may be gone) and how many
    /// bytes there were.
    pub fn read(&self, at: u32, to: &mut [u8]) -> (u32, usize) {
        let ring = self.ring.lock();
        let Some(mask) = ring.mask() else { return (at, 0) };
        let held = ring.end.wrapping_sub(ring.start);
        let at = if at.wrapping_sub(ring.start) <= held { at } else { ring.start };
        let mut count = 0;
        for (slot, position) in to.iter_mut().zip(0..ring.end.wrapping_sub(at)) {
            let index = (at.wrapping_add(position) & mask) as usize;
            *slot = ring.bytes.get(index).copied().unwrap_or(0);
            count += 1;
        }
        (at, count)
    }

    /// Forgets the text before position `end`.
    pub fn clear(&self, end: u32) {
        let mut ring = self.ring.lock();
        if end.wrapping_sub(ring.start) <= ring.end.wrapping_sub(ring.start) {
            ring.start = end;
        }
    }

    /// A byte came from the console's device.
    pub fn receive(&self, byte: u8) -> Received {
        let mut input = self.input.lock();
        let key = input.conswitch.letter & 0x1f;
        if byte == key {
            input.switches += 1;
            if input.switches < SWITCH_COUNT {
                return Received::Nothing;
            }
            input.switches = 0;
            input.ours = !input.ours;
            return Received::Switched(input.ours);
        }
        // Less than a switch was meant for the guest.
        let held_back = core::mem::take(&mut input.switches);
        if input.ours {
            return Received::Key(byte);
        }
        let mut queued = false;
        for byte in core::iter::repeat_n(key, held_back.into()).chain([byte]) {
            if input.end.wrapping_sub(input.start) < INPUT_BYTES {
                let at = (input.end % INPUT_BYTES) as usize;
                if let Some(slot) = input.bytes.get_mut(at) {
                    *slot = byte;
                }
                input.end = input.end.wrapping_add(1);
                queued = true;
            }
        }
        if queued { Received::ForGuest } else { Received::Lost }
    }

    /// Which key switches input.
    pub fn conswitch(&self) -> Conswitch {
        self.input.lock().conswitch
    }

    /// Chooses the key that switches input.
    pub fn set_conswitch(&self, conswitch: Conswitch) {
        let mut input = self.input.lock();
        input.conswitch = conswitch;
        input.switches = 0;
    }

    /// At boot: who has input first.
    pub fn start_input(&self, conswitch: Conswitch) {
        self.set_conswitch(conswitch);
        self.input.lock().ours = conswitch.ours_first;
    }

    /// Takes input out; gives how many bytes.
    pub fn take_input(&self, to: &mut [u8]) -> usize {
        let mut input = self.input.lock();
        let mut count = 0;
        for slot in to {
            if input.start == input.end {
                break;
            }
            *slot = input.bytes.get((input.start % INPUT_BYTES) as usize).copied().unwrap_or(0);
            input.start = input.start.wrapping_add(1);
            count += 1;
        }
        count
    }
}

impl Ring {
    fn mask(&self) -> Option<u32> {
        u32::try_from(self.bytes.len()).ok()?.checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(console: &Console, from: u32) -> (u32, String) {
        let mut buffer = [0; 8192];
        let (at, count) = console.read(from, &mut buffer);
        (at, String::from_utf8_lossy(&buffer[..count]).into_owned())
    }

    #[test]
    fn every_line_of_a_text_has_its_mark_and_comes_whole() {
        let collect = |text: fmt::Arguments<'_>| {
            let mut all: Vec<alloc::string::String> = Vec::new();
            lines(text, |line| all.push(line.into()));
            all
        };
        assert_eq!(collect(format_args!("one {}", 1)), ["(XEN) one 1\n"]);
        assert_eq!(collect(format_args!("")), ["(XEN) \n"]);
        assert_eq!(collect(format_args!("a\n\n{}\n", "b\nc")), ["(XEN) a\n", "(XEN) \n", "(XEN) b\n", "(XEN) c\n"]);
        // Longer than what is collected: in pieces, and nothing of it is lost.
        let long = "é".repeat(700);
        let pieces = collect(format_args!("{long}\nend"));
        assert!(pieces.iter().all(|piece| piece.len() <= LINE));
        assert_eq!(pieces.concat(), alloc::format!("(XEN) {long}\n(XEN) end\n"));
        // The longest one that is whole, and one more.
        for (more, lens) in [(0, &[LINE][..]), (1, &[LINE, 1])] {
            let text = "a".repeat(LINE - MARK.len() - 1 + more);
            assert_eq!(collect(format_args!("{text}")).iter().map(|piece| piece.len()).collect::<Vec<_>>(), lens);
        }
    }

    #[test]
    fn the_ring_keeps_the_newest_text() {
        let console = Console::try_new(1).unwrap();
        console.put(&[b'a'; 4096]);
        console.put(b"xyz");
        let (at, kept) = text(&console, 0);
        assert_eq!((at, kept.len()), (3, 4096));
        assert!(kept.ends_with("axyz"));
    }

    #[test]
    fn an_incremental_read_goes_on_where_the_last_ended() {
        let console = Console::try_new(1).unwrap();
        console.put(b"one");
        let (at, first) = text(&console, console.first(None));
        let next = at + first.len() as u32;
        console.put(b"two");
        assert_eq!(text(&console, console.first(Some(next))), (3, "two".into()));
        assert_eq!(console.first(Some(77)), 0, "an index from nowhere reads everything");
        console.clear(next);
        assert_eq!(text(&console, console.first(None)), (3, "two".into()));
        console.clear(1);
        assert_eq!(console.first(None), 3, "what was cleared stays so");
    }

    #[test]
    fn positions_wrap() {
        let console = Console::try_new(1).unwrap();
        (console.ring.lock().start, console.ring.lock().end) = (u32::MAX - 1, u32::MAX - 1);
        console.put(b"abcd");
        assert_eq!(text(&console, u32::MAX), (u32::MAX, "bcd".into()));
        assert_eq!(console.first(Some(2)), 2);
    }

    #[test]
    fn a_console_without_a_ring_forgets_everything() {
        let console = Console::default();
        console.put(b"text");
        assert_eq!(text(&console, 0).1, "");
    }

    #[test]
    fn three_times_ctrl_a_switches_and_fewer_are_for_the_guest() {
        let console = Console::default();
        assert_eq!(console.receive(b'x'), Received::ForGuest);
        assert_eq!([1, 1].map(|key| console.receive(key)), [Received::Nothing; 2]);
        assert_eq!(console.receive(b'y'), Received::ForGuest);
        let mut buffer = [0; 16];
        assert_eq!(console.take_input(&mut buffer), 4);
        assert_eq!(buffer[..4], [b'x', 1, 1, b'y']);
        assert_eq!([1, 1, 1].map(|key| console.receive(key))[2], Received::Switched(true));
        assert_eq!(console.receive(b'h'), Received::Key(b'h'));
        assert_eq!([1, 1, 1].map(|key| console.receive(key))[2], Received::Switched(false));
        assert_eq!(console.take_input(&mut buffer), 0);
    }

    #[test]
    fn whoever_has_input_at_boot_has_it_first() {
        let console = Console::default();
        for ours_first in [true, false] {
            console.start_input(Conswitch { ours_first, ..Conswitch::default() });
            let to = if ours_first { Received::Key(b'x') } else { Received::ForGuest };
            assert_eq!((console.conswitch().ours_first, console.receive(b'x')), (ours_first, to));
        }
    }

    #[test]
    fn input_that_nobody_reads_is_lost() {
        let console = Console::default();
        for _ in 0..INPUT_BYTES {
            assert_eq!(console.receive(b'.'), Received::ForGuest);
        }
        assert_eq!(console.receive(b'.'), Received::Lost);
        let mut buffer = [0; 100];
        assert_eq!((console.take_input(&mut buffer), console.take_input(&mut buffer)), (100, 28));
    }
}
