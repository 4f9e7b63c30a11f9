//! What was counted between two marks, as one line of JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::decode::{Event, Who};

/// Everything counted between two marks.
#[derive(Debug, Default, Clone)]
pub struct Counted {
    /// The operation's name.
    pub name: String,
    /// Operations between the marks.
    pub rounds: u64,
    /// Instructions, by [`Who`].
    pub instructions: [u64; 3],
    /// Events, by [`Event`] and [`Who`].
    pub events: Vec<[u64; 3]>,
    /// Writes to the interrupt command register: IPIs sent.
    pub ipis: u64,
    /// Entries of the handlers in the interrupt descriptor table, by vector.
    pub traps: BTreeMap<u64, u64>,
    /// `wrmsr`, by register.
    pub msrs: BTreeMap<u64, u64>,
    /// Hypercalls by number, and how many requests they carried where the ABI has a count.
    pub hypercalls: BTreeMap<u64, (u64, u64)>,
    /// Calls inside multicalls, by number.
    pub multicalls: BTreeMap<u64, u64>,
    /// Executions by address, if asked for.
    pub addresses: Vec<(u64, u64)>,
}

impl Counted {
    /// The line, without its end.
    pub fn json(&self) -> String {
        let mut text = String::new();
        let name: String = self.name.chars().filter(|char| !matches!(char, '"' | '\\') && !char.is_control()).collect();
        let _ = write!(text, "{{\"name\":\"{name}\",\"rounds\":{}", self.rounds);
        text += ",\"instructions\":{";
        list(&mut text, Who::ALL.iter().zip(&self.instructions).map(|(who, count)| (who.name().to_owned(), *count)));
        text += "},\"events\":{";
        let events = Event::ALL.iter().zip(&self.events).flat_map(|(event, counts)| {
            let named = move |(who, count): (&Who, &u64)| (format!("{} {}", who.name(), event.name()), *count);
            Who::ALL.iter().zip(counts).map(named)
        });
        list(&mut text, events.filter(|(_, count)| *count > 0));
        let _ = write!(text, "}},\"ipis\":{},\"traps\":{{", self.ipis);
        list(&mut text, self.traps.iter().map(|(vector, count)| (vector.to_string(), *count)));
        text += "},\"wrmsr\":{";
        list(&mut text, self.msrs.iter().map(|(msr, count)| (format!("{msr:#x}"), *count)));
        text += "},\"hypercalls\":{";
        list(&mut text, self.hypercalls.iter().map(|(number, (calls, _))| (number.to_string(), *calls)));
        text += "},\"requests\":{";
        let requests = self.hypercalls.iter().filter(|(_, (_, requests))| *requests > 0);
        list(&mut text, requests.map(|(number, (_, requests))| (number.to_string(), *requests)));
        text += "},\"multicalls\":{";
        list(&mut text, self.multicalls.iter().map(|(number, calls)| (number.to_string(), *calls)));
        text += "}";
        if !self.addresses.is_empty() {
            text += ",\"addresses\":{";
            list(&mut text, self.addresses.iter().map(|(address, count)| (format!("{address:x}"), *count)));
            text += "}";
        }
        text += "}";
        text
    }
}

fn list(text: &mut String, pairs: impl Iterator<Item = (String, u64)>) {
    for (number, (name, value)) in pairs.enumerate() {
        let comma = if number > 0 { "," } else { "" };
        let _ = write!(text, "{comma}\"{name}\":{value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_what_was_counted_and_nothing_that_was_not() {
        let mut events = vec![[0; 3]; Event::ALL.len()];
        events[Event::Syscall as usize] = [7, 0, 3];
        let counted = Counted {
            name: "fork\"-exit".to_owned(),
            rounds: 20,
            instructions: [1, 2, 3],
            events,
            traps: BTreeMap::from([(14, 5)]),
            hypercalls: BTreeMap::from([(1, (2, 64)), (23, (1, 0))]),
            addresses: vec![(0xffff_82d0_4020_0000, 9)],
            ..Counted::default()
        };
        assert_eq!(
            counted.json(),
            "{\"name\":\"fork-exit\",\"rounds\":20,\"instructions\":{\"user\":1,\"hypervisor\":2,\"kernel\":3},\
             \"events\":{\"user syscall\":7,\"kernel syscall\":3},\"ipis\":0,\"traps\":{\"14\":5},\"wrmsr\":{},\
             \"hypercalls\":{\"1\":2,\"23\":1},\"requests\":{\"1\":64},\"multicalls\":{},\
             \"addresses\":{\"ffff82d040200000\":9}}"
        );
    }
}
