//! A guest's memory, and a disk, for tests.

use crate::disk::Disk;
use crate::pages::Grants;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use xen_wire::ring::RingMemory;

/// Memory that several hold.
#[derive(Clone, Debug)]
pub struct Page(pub Rc<RefCell<Vec<u8>>>);

impl Page {
    pub fn new(len: usize) -> Page {
        Page(Rc::new(RefCell::new(vec![0; len])))
    }
}

impl RingMemory for Page {
    fn load_u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.0.borrow()[offset..offset + 4].try_into().unwrap())
    }
    fn store_u32(&self, offset: usize, value: u32) {
        self.write(offset, &value.to_le_bytes());
    }
    fn read(&self, offset: usize, into: &mut [u8]) {
        into.copy_from_slice(&self.0.borrow()[offset..offset + into.len()]);
    }
    fn write(&self, offset: usize, from: &[u8]) {
        self.0.borrow_mut()[offset..offset + from.len()].copy_from_slice(from);
    }
}

/// What a guest grants: page N under reference N.
#[derive(Clone, Debug)]
pub struct Memory {
    pages: Rc<Vec<Page>>,
    mapped: Rc<Cell<usize>>,
    maps: Rc<Cell<usize>>,
}

impl Memory {
    pub fn new(pages: usize) -> Memory {
        let pages = (0..pages).map(|_| Page::new(4096)).collect();
        Memory { pages: Rc::new(pages), mapped: Rc::default(), maps: Rc::default() }
    }
    pub fn page(&self, n: u32) -> &Page {
        &self.pages[n as usize]
    }
    /// How many pages are mapped now.
    pub fn mapped(&self) -> usize {
        self.mapped.get()
    }
    /// How many mappings were ever made.
    pub fn maps(&self) -> usize {
        self.maps.get()
    }
}

#[derive(Debug)]
pub struct Map {
    pages: Vec<Page>,
    writable: bool,
    mapped: Rc<Cell<usize>>,
}

impl Drop for Map {
    fn drop(&mut self) {
        self.mapped.set(self.mapped.get() - self.pages.len());
    }
}

impl RingMemory for Map {
    fn load_u32(&self, offset: usize) -> u32 {
        self.pages[offset / 4096].load_u32(offset % 4096)
    }
    fn store_u32(&self, offset: usize, value: u32) {
        self.pages[offset / 4096].store_u32(offset % 4096, value);
    }
    fn read(&self, offset: usize, into: &mut [u8]) {
        self.pages[offset / 4096].read(offset % 4096, into);
    }
    fn write(&self, offset: usize, from: &[u8]) {
        assert!(self.writable, "a write to what is mapped to be read");
        self.pages[offset / 4096].write(offset % 4096, from);
    }
}

impl Grants for Memory {
    type Map = Map;
    fn map(&self, references: &[u32], writable: bool) -> io::Result<Map> {
        let pages: Option<Vec<Page>> = references.iter().map(|n| self.pages.get(*n as usize).cloned()).collect();
        let pages = pages.ok_or(io::ErrorKind::NotFound)?;
        self.mapped.set(self.mapped.get() + pages.len());
        self.maps.set(self.maps.get() + 1);
        Ok(Map { pages, writable, mapped: self.mapped.clone() })
    }
}

/// A disk in memory, which counts and fails on demand.
#[derive(Clone, Debug, Default)]
pub struct Plate {
    pub bytes: Rc<RefCell<Vec<u8>>>,
    /// What was done that matters for order: `w`rite, `d`iscard, `s`ettle, `S`ync.
    pub steps: Rc<RefCell<String>>,
    pub fails: Rc<Cell<bool>>,
    pub settle_fails: Rc<Cell<bool>>,
    /// There is room below this byte only.
    pub room: Rc<Cell<Option<u64>>>,
    /// There is none for what settles.
    pub settle_full: Rc<Cell<bool>>,
}

impl Plate {
    pub fn new(sectors: usize) -> Plate {
        Plate { bytes: Rc::new(RefCell::new(vec![0; sectors * 512])), ..Plate::default() }
    }
    fn step(&self, name: char) -> io::Result<()> {
        self.steps.borrow_mut().push(name);
        if self.fails.get() { Err(io::Error::other("it fails")) } else { Ok(()) }
    }
}

impl Disk for Plate {
    fn sectors(&self) -> u64 {
        self.bytes.borrow().len() as u64 / 512
    }
    fn read(&mut self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(at).unwrap();
        into.copy_from_slice(&self.bytes.borrow()[at..at + into.len()]);
        if self.fails.get() { Err(io::Error::other("it fails")) } else { Ok(()) }
    }
    fn write(&mut self, at: u64, from: &[u8]) -> io::Result<()> {
        if self.room.get().is_some_and(|room| at >= room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let at = usize::try_from(at).unwrap();
        self.bytes.borrow_mut()[at..at + from.len()].copy_from_slice(from);
        self.step('w')
    }
    fn discard(&mut self, at: u64, len: u64) -> io::Result<()> {
        let (at, len) = (usize::try_from(at).unwrap(), usize::try_from(len).unwrap());
        self.bytes.borrow_mut()[at..at + len].fill(0);
        self.step('d')
    }
    fn settle(&mut self) -> io::Result<()> {
        if self.settle_full.get() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.step('s')?;
        if self.settle_fails.get() { Err(io::Error::other("it fails")) } else { Ok(()) }
    }
    fn sync(&mut self) -> io::Result<()> {
        self.step('S')
    }
}
