//! An interrupt controller and two PCI functions.

use crate::addr::Maddr;
use crate::evtchn::Notify;
use crate::physdev::{Function, InterruptMachine, Message};
use std::collections::BTreeMap;

/// Lines of the one IO-APIC.
pub const LINES: u32 = 24;
/// Its address.
pub const IOAPIC: u64 = 0xfec0_0000;
/// A function with MSI (8 messages, maskable, 64-bit) at 0x50 and MSI-X (4 entries, BAR 4, offset 0x2000) at 0x70.
pub const CARD: Function = Function::on_bus(3, 0x10);
/// A function whose list of capabilities is a loop.
pub const LOOP: Function = Function::on_bus(0, 8);
/// Where the card's BAR 4 is.
pub const BAR: u64 = 0x12_fe00_0000;

/// Where messages are written to.
pub const ADDRESS: u64 = 0x9_fee0_1000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Route {
    pub vector: u8,
    pub level: bool,
    pub low: bool,
    pub masked: bool,
}

/// See the module.
pub struct TestIrqs {
    pub routes: BTreeMap<u32, Route>,
    pub vectors: BTreeMap<u8, (u32, bool)>,
    pub free: u8,
    pub config: BTreeMap<(Function, u16), u32>,
    pub entries: BTreeMap<u64, (Message, bool)>,
    pub told: Vec<Notify>,
}

impl Default for TestIrqs {
    fn default() -> Self {
        let mut config = BTreeMap::new();
        let mut set = |function, values: &[(u16, u32)]| {
            values.iter().for_each(|&(register, value)| {
                config.insert((function, register), value);
            });
        };
        set(
            CARD,
            &[(0, 0x1234_8086), (4, 0x0010_0006), (0x20, BAR as u32 | 4), (0x24, (BAR >> 32) as u32), (0x34, 0x50)],
        );
        set(CARD, &[(0x50, 0x0186_7005), (0x70, 0x8003_0011), (0x74, 0x2004)]);
        set(LOOP, &[(0, 0x1234_8086), (4, 0x0010_0006), (0x34, 0x50), (0x50, 0x5001)]);
        TestIrqs {
            routes: BTreeMap::new(),
            vectors: BTreeMap::new(),
            free: 0x30,
            config,
            entries: BTreeMap::new(),
            told: Vec::new(),
        }
    }
}

impl InterruptMachine for TestIrqs {
    fn gsi_count(&self) -> u32 {
        LINES
    }
    fn ioapic_read(&mut self, base: Maddr, register: u32) -> Option<u32> {
        (base.0 == IOAPIC).then_some(register ^ 0x5a00)
    }
    fn ioapic_lines(&self, base: Maddr) -> Option<(u32, u32)> {
        (base.0 == IOAPIC).then_some((0, LINES))
    }
    fn allocate_vectors(&mut self, pirq: u32, count: u32, level: bool) -> Option<u8> {
        let first = u32::from(self.free).next_multiple_of(count);
        let end = first + count;
        self.free = u8::try_from(end).ok().filter(|&end| end < 0xf0)?;
        (0..count).for_each(|n| assert_eq!(self.vectors.insert((first + n) as u8, (pirq + n, level)), None));
        Some(first as u8)
    }
    fn free_vectors(&mut self, first: u8, count: u32) {
        (0..count).for_each(|n| assert!(self.vectors.remove(&(first + n as u8)).is_some(), "freed twice"));
    }
    fn route(&mut self, gsi: u32, vector: u8, level: bool, low: bool) -> bool {
        assert!(self.vectors.contains_key(&vector));
        gsi < LINES && self.routes.insert(gsi, Route { vector, level, low, masked: true }).is_none_or(|_| true)
    }
    fn mask(&mut self, gsi: u32, masked: bool) {
        self.routes.get_mut(&gsi).unwrap().masked = masked;
    }
    fn message(&self, vector: u8) -> Message {
        Message { address: ADDRESS, data: vector.into() }
    }
    fn config_read(&mut self, function: Function, register: u16) -> u32 {
        assert_eq!(register % 4, 0);
        let there = self.config.contains_key(&(function, 0));
        self.config.get(&(function, register)).copied().unwrap_or(if there { 0 } else { u32::MAX })
    }
    fn config_write(&mut self, function: Function, register: u16, value: u32) {
        assert!(register.is_multiple_of(4) && register < 0x100);
        let message = function == CARD && (0x54..0x60).contains(&register);
        assert!(!message || self.config[&(CARD, 0x50)] >> 16 & 1 == 0, "a message changes while it may be sent");
        self.config.insert((function, register), value);
    }
    fn config_write16(&mut self, function: Function, register: u16, value: u16) {
        let shift = register % 4 * 8;
        let old = self.config_read(function, register & !3);
        self.config_write(function, register & !3, old & !(0xffff << shift) | u32::from(value) << shift);
    }
    fn msix_write(&mut self, entry: Maddr, message: Message) -> bool {
        self.entries.entry(entry.0).or_insert((message, true)).0 = message;
        true
    }
    fn msix_mask(&mut self, entry: Maddr, masked: bool) {
        self.entries.entry(entry.0).or_insert((Message::default(), true)).1 = masked;
    }
    fn notify(&mut self, notify: Notify) {
        self.told.push(notify);
    }
}
