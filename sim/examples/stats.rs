//! How often each action of random stories ended how.
use std::collections::BTreeMap;
fn main() {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut x = 88172645463325252u64;
    for _ in 0..200 {
        let bytes: Vec<u8> = (0..2000)
            .map(|_| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                (x >> 24) as u8
            })
            .collect();
        let (_, results) = ferroxen_sim::paging::run_quietly(&bytes, u64::MAX);
        for r in results {
            let (a, b) = r.split_once(' ').unwrap();
            let a: u32 = a.parse().unwrap();
            *counts.entry(format!("{:3} {b}", a / 10 * 10)).or_default() += 1;
        }
    }
    for (k, v) in counts {
        if v > 10 {
            println!("{v:6} {k}");
        }
    }
}
