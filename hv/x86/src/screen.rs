//! The screen: VGA text, or a linear framebuffer on which text is drawn.

use crate::bootinfo::{Framebuffer, Screen};
use font8x8::legacy::BASIC_LEGACY;

/// The most columns that are used.
const MAX_COLUMNS: usize = 240;
/// The most rows that are used.
const MAX_ROWS: usize = 100;
const GLYPH_WIDTH: u32 = 8;
/// Glyphs of eight rows, each drawn twice.
const GLYPH_HEIGHT: u32 = 16;
/// Light grey on black.
const ATTRIBUTE: u16 = 0x0700;
/// VGA's text memory.
pub const TEXT_MEMORY: u64 = 0xb_8000;

/// Where characters appear.
#[derive(Clone, Copy)]
enum Device {
    Off,
    Text,
    Pixels(Framebuffer),
}

/// Writes lines to a screen. What is shown is kept, so that scrolling reads no device memory and draws only what changes.
pub struct Console {
    device: Device,
    at: u64,
    columns: usize,
    rows: usize,
    column: usize,
    row: usize,
    cells: [u8; MAX_COLUMNS * MAX_ROWS],
}

impl Console {
    /// One that shows nothing. (It is large: it stays where it is made.)
    pub const fn off() -> Console {
        let cells = [0; MAX_COLUMNS * MAX_ROWS];
        Console { device: Device::Off, at: 0, columns: 0, rows: 0, column: 0, row: 0, cells }
    }

    /// Clears the screen, whose memory is mapped at `at`, and writes there from now on. False: this kind cannot be
    /// drawn on.
    ///
    /// # Safety
    /// The screen's memory is mapped at `at`, and nobody else uses it.
    pub unsafe fn start(&mut self, screen: Screen, at: u64) -> bool {
        let (device, columns, rows) = match screen {
            Screen::Text { columns, rows } => (Device::Text, columns.into(), rows.into()),
            Screen::Pixels(fb) if matches!(fb.depth, 15 | 16 | 24 | 32) => {
                (Device::Pixels(fb), (fb.width / GLYPH_WIDTH) as usize, (fb.height / GLYPH_HEIGHT) as usize)
            }
            Screen::Pixels(_) => return false,
        };
        (self.columns, self.rows) = (columns.min(MAX_COLUMNS), rows.min(MAX_ROWS));
        if self.columns == 0 || self.rows == 0 {
            return false;
        }
        (self.device, self.at, self.column, self.row) = (device, at, 0, 0);
        self.clear();
        true
    }

    /// Leaves the screen as it is.
    pub fn stop(&mut self) {
        self.device = Device::Off;
    }

    /// Whether it writes to a screen.
    pub fn is_on(&self) -> bool {
        !matches!(self.device, Device::Off)
    }

    /// The memory is mapped elsewhere from now on.
    ///
    /// # Safety
    /// As for [`Console::start`].
    pub unsafe fn move_to(&mut self, at: u64) {
        self.at = at;
    }

    /// Where the next character goes: column and row.
    pub fn cursor(&self) -> (u16, u16) {
        (self.column as u16, self.row as u16)
    }

    fn clear(&mut self) {
        if let Device::Pixels(fb) = self.device {
            for y in 0..fb.height {
                for x in 0..fb.width {
                    self.pixel(fb, x, y, 0);
                }
            }
        }
        for row in 0..self.rows {
            for column in 0..self.columns {
                self.show(column, row, b' ');
            }
        }
    }

    /// Writes text; what is not ASCII becomes a question mark.
    pub fn write(&mut self, text: &[u8]) {
        if !self.is_on() {
            return;
        }
        for &byte in text {
            match byte {
                b'\n' => self.new_line(),
                b'\r' => self.column = 0,
                // The rest of a UTF-8 character: its first byte was shown.
                0x80..=0xbf => {}
                _ => {
                    if self.column == self.columns {
                        self.new_line();
                    }
                    self.show(self.column, self.row, if (0x20..0x7f).contains(&byte) { byte } else { b'?' });
                    self.column += 1;
                }
            }
        }
    }

    fn new_line(&mut self) {
        self.column = 0;
        if self.row + 1 < self.rows {
            self.row += 1;
            return;
        }
        for row in 0..self.rows {
            for column in 0..self.columns {
                let below = if row + 1 < self.rows { self.cells[(row + 1) * MAX_COLUMNS + column] } else { b' ' };
                if self.cells[row * MAX_COLUMNS + column] != below {
                    self.show(column, row, below);
                }
            }
        }
    }

    fn show(&mut self, column: usize, row: usize, byte: u8) {
        self.cells[row * MAX_COLUMNS + column] = byte;
        match self.device {
            Device::Off => {}
            Device::Text => {
                let cell = (self.at as *mut u16).wrapping_add(row * self.columns + column);
                // SAFETY: inside the text memory, by the columns and rows that the loader told.
                unsafe { cell.write_volatile(ATTRIBUTE | u16::from(byte)) };
            }
            Device::Pixels(fb) => {
                let glyph = BASIC_LEGACY.get(usize::from(byte)).copied().unwrap_or([0; 8]);
                for y in 0..GLYPH_HEIGHT {
                    for x in 0..GLYPH_WIDTH {
                        let on = glyph[y as usize / 2] >> x & 1 == 1;
                        let (x, y) = (column as u32 * GLYPH_WIDTH + x, row as u32 * GLYPH_HEIGHT + y);
                        self.pixel(fb, x, y, if on { grey(&fb) } else { 0 });
                    }
                }
            }
        }
    }

    fn pixel(&self, fb: Framebuffer, x: u32, y: u32, colour: u32) {
        let bytes = u32::from(fb.depth).div_ceil(8);
        let at = self.at + u64::from(y) * u64::from(fb.pitch) + u64::from(x * bytes);
        match bytes {
            // SAFETY: inside the framebuffer: `x` and `y` are below its width and height.
            4 => unsafe { (at as *mut u32).write_volatile(colour) },
            // SAFETY: as above.
            2 => unsafe { (at as *mut u16).write_volatile(colour as u16) },
            _ => {
                for n in 0..bytes {
                    // SAFETY: as above.
                    unsafe { ((at + u64::from(n)) as *mut u8).write_volatile((colour >> (8 * n)) as u8) };
                }
            }
        }
    }
}

/// Two thirds of each colour.
fn grey(fb: &Framebuffer) -> u32 {
    fb.colours.iter().fold(0, |all, &(position, bits)| {
        let full = (1u64 << bits.min(16)) - 1;
        all | ((full * 2 / 3) << position.min(31)) as u32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(memory: &mut [u16], columns: u16, rows: u16) -> Console {
        let mut console = Console::off();
        // SAFETY: the test's own memory.
        assert!(unsafe { console.start(Screen::Text { columns, rows }, memory.as_mut_ptr() as u64) });
        console
    }
    fn shown(memory: &[u16], columns: usize) -> Vec<String> {
        memory.chunks(columns).map(|row| row.iter().map(|&cell| cell as u8 as char).collect()).collect()
    }

    #[test]
    fn a_full_screen_scrolls_and_long_lines_wrap() {
        let mut memory = [0x1234; 15];
        let mut console = text(&mut memory, 5, 3);
        console.write(b"one\ntwo\n1234567\nx\xc3\xa4y");
        assert_eq!(console.cursor(), (3, 2));
        assert_eq!(shown(&memory, 5), ["12345", "67   ", "x?y  "]);
        assert!(memory.iter().all(|cell| cell & 0xff00 == ATTRIBUTE));
    }

    #[test]
    fn letters_are_drawn_in_pixels_of_each_depth() {
        for (depth, bytes) in [(32u8, 4usize), (24, 3), (16, 2)] {
            let pitch = 24 * bytes;
            let mut memory = vec![0xffu8; pitch * 32];
            let colours = if depth == 16 { [(11, 5), (5, 6), (0, 5)] } else { [(16, 8), (8, 8), (0, 8)] };
            let fb = Framebuffer { base: 0, pitch: pitch as u32, width: 24, height: 32, depth, colours };
            let mut console = Console::off();
            // SAFETY: the test's own memory.
            assert!(unsafe { console.start(Screen::Pixels(fb), memory.as_mut_ptr() as u64) });
            assert!(memory.iter().all(|&byte| byte == 0));
            console.write(b"\n A");
            let lit = |x: usize, y: usize| memory[y * pitch + x * bytes..][..bytes].iter().any(|&byte| byte != 0);
            assert!(!(0..8).any(|x| (0..32).any(|y| lit(x, y))), "only the second column");
            assert!((8..16).any(|x| lit(x, 16)) && lit(11, 16) == lit(11, 17), "rows are doubled");
            assert!(!(0..24).any(|x| lit(x, 15)));
        }
    }
}
