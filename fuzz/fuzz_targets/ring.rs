//! The rings of xenstore and of the console, with an other side that writes anything anywhere between two steps: nothing
//! outside the page is touched, nothing outside the ring's own half is written, and while the other side is honest, what
//! goes in comes out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::collections::VecDeque;
use xen_wire::console;
use xen_wire::ring::{RingLayout, RingMemory};
use xen_wire::xenstore::ring::{REQ, RSP};

struct Page(RefCell<[u8; 4096]>);

impl RingMemory for Page {
    fn load_u32(&self, offset: usize) -> u32 {
        assert_eq!(offset % 4, 0);
        u32::from_le_bytes(self.0.borrow()[offset..offset + 4].try_into().unwrap())
    }
    fn store_u32(&self, offset: usize, value: u32) {
        assert_eq!(offset % 4, 0);
        self.0.borrow_mut()[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }
    fn read(&self, offset: usize, into: &mut [u8]) {
        into.copy_from_slice(&self.0.borrow()[offset..offset + into.len()]);
    }
    fn write(&self, offset: usize, from: &[u8]) {
        self.0.borrow_mut()[offset..offset + from.len()].copy_from_slice(from);
    }
}

const LAYOUTS: [RingLayout; 4] = [REQ, RSP, console::IN, console::OUT];

fuzz_target!(|data: &[u8]| {
    let [which, at, rest @ ..] = data else { return };
    let layout = LAYOUTS[usize::from(*which) % LAYOUTS.len()];
    let page = Page(RefCell::new([0x5a; 4096]));
    // Where both begin: near the end of the numbers, so that they wrap.
    let begin = u32::from(*at).wrapping_sub(128).wrapping_mul(8);
    page.store_u32(layout.cons, begin);
    page.store_u32(layout.prod, begin);
    let mut inside: Option<VecDeque<u8>> = Some(VecDeque::new());
    let mut rest = rest;
    while let [step, len, after @ ..] = rest {
        rest = after;
        let before = *page.0.borrow();
        let mut may_change = vec![];
        match step % 4 {
            0 => {
                let from: Vec<u8> = (0..usize::from(*len) * 9).map(|n| n as u8 ^ *step).collect();
                if let Ok((count, prod)) = layout.fill(&page, &from) {
                    assert!(count <= from.len() && count <= layout.size as usize);
                    layout.produce_to(&page, prod);
                    if let Some(inside) = &mut inside {
                        inside.extend(&from[..count]);
                        assert!(inside.len() <= layout.size as usize);
                        assert!(count == from.len() || inside.len() == layout.size as usize, "room was left");
                    }
                } else {
                    assert!(inside.is_none(), "honest indices are judged impossible");
                }
                may_change = vec![layout.data..layout.data + layout.size as usize, layout.prod..layout.prod + 4];
            }
            1 => {
                let mut into = vec![0; usize::from(*len) * 9];
                if let Ok((count, cons)) = layout.peek(&page, &mut into) {
                    assert!(count <= into.len() && count <= layout.size as usize);
                    layout.consume_to(&page, cons);
                    if let Some(inside) = &mut inside {
                        assert_eq!(count, into.len().min(inside.len()));
                        assert!(inside.drain(..count).eq(into[..count].iter().copied()), "other bytes come out");
                    }
                } else {
                    assert!(inside.is_none(), "honest indices are judged impossible");
                }
                may_change = vec![layout.cons..layout.cons + 4];
            }
            2 => {
                let (readable, writable) = (layout.readable(&page), layout.writable(&page));
                assert_eq!(readable.is_ok(), writable.is_ok());
                if let (Ok(readable), Ok(writable)) = (readable, writable) {
                    assert_eq!(readable + writable, layout.size);
                    assert!(inside.as_ref().is_none_or(|inside| inside.len() == readable as usize));
                }
            }
            // The other side lies.
            _ => {
                let [a, b, c, d, after @ ..] = rest else { return };
                rest = after;
                let word = u32::from_le_bytes([*a, *b, *c, *d]);
                let at = [layout.cons, layout.prod, usize::from(*len) * 16][usize::from(step >> 2) % 3];
                page.store_u32(at, word);
                inside = None;
                continue;
            }
        }
        for (at, (was, is)) in before.iter().zip(page.0.borrow().iter()).enumerate() {
            assert!(was == is || may_change.iter().any(|range| range.contains(&at)), "byte {at} changed");
        }
    }
});
