//! `xm mem-set`, `xm mem-max`.

use super::working_host;
use crate::failure::{Failure, Outcome};
use crate::table::Args;

/// MiB, or with a unit: `64k`, `512m`, `1g`; in KiB.
fn kib(text: &str) -> Result<u64, Failure> {
    let wrong = || Failure::usage(format!("{text}: memory is expected as 512, 512m, 1g or 65536k"));
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (digits, unit) = match lower.strip_suffix(['k', 'm', 'g', 't']) {
        Some(digits) => (digits, lower.chars().last().unwrap_or('m')),
        None => (lower, 'm'),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let factor = match unit {
        'k' => 1,
        'g' => 1 << 20,
        't' => 1 << 30,
        _ => 1 << 10,
    };
    number.checked_mul(factor).filter(|kib| *kib > 0 && *kib < 1 << 40).ok_or_else(wrong)
}

pub fn set(args: &Args<'_>) -> Outcome {
    let kib = kib(args.one("memory"))?;
    let mut host = working_host()?;
    let domain = host.find(args.one("domain"))?;
    Ok(host.set_memory(domain.info.domid, kib)?)
}

pub fn max(args: &Args<'_>) -> Outcome {
    let kib = kib(args.one("memory"))?;
    let mut host = working_host()?;
    let domain = host.find(args.one("domain"))?;
    Ok(host.set_max_memory(domain.info.domid, kib)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_has_units() {
        let kib = |text: &str| super::kib(text).ok();
        assert_eq!([kib("512"), kib("1g"), kib("64k"), kib("2MB")], [512 << 10, 1 << 20, 64, 2 << 10].map(Some));
        assert_eq!([kib(""), kib("-1"), kib("x"), kib("0")], [None; 4]);
    }
}
