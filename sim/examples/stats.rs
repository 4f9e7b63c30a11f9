//! How often each action of random stories ended how: `cargo run -p ferroxen-sim --example stats [-- hypercalls]`.
use std::collections::BTreeMap;

fn main() {
    let hypercalls = std::env::args().nth(1).is_some_and(|arg| arg == "hypercalls");
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut x = 88172645463325252u64;
    for _ in 0..200 {
        let bytes: Vec<u8> = (0..3000)
            .map(|_| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                (x >> 24) as u8
            })
            .collect();
        let (_, results) = if hypercalls {
            ferroxen_sim::hypercalls::run_quietly(&bytes, u64::MAX, u64::MAX)
        } else {
            ferroxen_sim::paging::run_quietly(&bytes, u64::MAX)
        };
        for result in results {
            let Some((action, result)) = result.split_once(' ') else { continue };
            let action: u32 = action.parse().unwrap_or(0);
            let action = if hypercalls && action < 130 { 0 } else { action / 10 * 10 };
            // Of a list, only how many of its calls succeeded.
            let result = match result.split_once('[') {
                Some(("multicall Some(Ok(0)) ", list)) => {
                    let good = list.split(", ").filter(|word| word.len() < 12).count();
                    format!("multicall, {good} good")
                }
                _ => result.to_owned(),
            };
            *counts.entry(format!("{action:3} {result}")).or_default() += 1;
        }
    }
    for (line, count) in counts {
        if count > 10 {
            println!("{count:6} {line}");
        }
    }
}
