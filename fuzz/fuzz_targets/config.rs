//! A domain's configuration: whatever the text is, no panic and no hang, every place in a message is in the text, and what
//! is understood is a domain that can be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toolstack::config::{DomainConfig, Message, name_problem, parse};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The last line as if it stood on the command line.
    let (text, more) = text.rsplit_once('\0').map_or((text, vec![]), |(text, more)| (text, vec![more.to_owned()]));
    let lines = text.split('\n').count() as u32;
    let placed = |message: &Message| {
        if let Some(at) = message.at {
            assert!(!more.is_empty() || (1..=lines).contains(&at.line), "{message:?}");
            assert!(at.column >= 1);
        }
        assert!(!message.what.is_empty());
    };
    match parse(text, &more) {
        Ok((config, warnings)) => {
            warnings.iter().for_each(placed);
            assert_eq!(name_problem(&config.name), None);
            assert!(1 <= config.vcpus && config.vcpus <= config.max_vcpus, "{config:?}");
            assert!(0 < config.memory_kib && config.memory_kib <= config.max_memory_kib, "{config:?}");
            // What `xm list --long` shows is what it was made from.
            let shown = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<DomainConfig>(&shown).unwrap(), config);
        }
        Err(message) => placed(&message),
    }
});
