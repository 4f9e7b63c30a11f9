//! One entry of `vif = [ … ]` (xl-network-configuration).

use serde::{Deserialize, Serialize};

/// A virtual network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Vif {
    /// Its address; chosen when the domain is created if there is none.
    pub mac: Option<String>,
    /// The bridge that it is in.
    pub bridge: Option<String>,
    /// Addresses that a script may let through.
    pub ip: Option<String>,
    /// Another hot-plug script than ours.
    pub script: Option<String>,
    /// The name of its interface in domain 0.
    pub vifname: Option<String>,
    /// Bytes per interval of so many microseconds that it may send.
    pub rate: Option<(u64, u64)>,
    /// The largest packet.
    pub mtu: Option<u32>,
}

/// The bridge of a card that names none.
pub const DEFAULT_BRIDGE: &str = "xenbr0";

impl Vif {
    /// Reads `key=value`s, separated by commas.
    pub fn parse(text: &str) -> Result<Vif, String> {
        let mut vif = Vif::default();
        for field in text.split(',').map(str::trim).filter(|field| !field.is_empty()) {
            let Some((key, value)) = field.split_once('=') else {
                return Err(format!("\"{field}\": key=value is expected"));
            };
            match key.trim() {
                "mac" => vif.mac = Some(mac(value).ok_or_else(|| format!("mac={value}: six bytes are expected"))?),
                "bridge" => vif.bridge = Some(value.to_owned()),
                "ip" => vif.ip = Some(value.to_owned()),
                "script" => vif.script = Some(value.to_owned()),
                "vifname" => vif.vifname = Some(value.to_owned()),
                "rate" => vif.rate = Some(rate(value).ok_or_else(|| format!("rate={value}: as 10Mb/s or 1MB/s@20ms"))?),
                "mtu" => vif.mtu = Some(value.parse().map_err(|_| format!("mtu={value} is no number"))?),
                "type" if value == "vif" => {}
                "backend" if matches!(value, "0" | "Domain-0") => {}
                // Of a device model, which PV domains have not.
                "model" | "trusted" | "gatewaydev" | "devid" => {}
                "type" | "backend" => return Err(format!("{field}: only vif in domain 0 is there")),
                other => return Err(format!("\"{other}\" is no key of a network card")),
            }
        }
        Ok(vif)
    }
}

/// A MAC address in Xen's way of writing it.
fn mac(text: &str) -> Option<String> {
    let bytes: Vec<u8> =
        text.split([':', '-']).map(|part| u8::from_str_radix(part, 16)).collect::<Result<_, _>>().ok()?;
    let [a, b, c, d, e, f] = bytes[..] else { return None };
    Some(format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"))
}

/// `10Mb/s`, `250KB/s`, `1MB/s@20ms`: bytes for each interval, and the interval in microseconds.
fn rate(text: &str) -> Option<(u64, u64)> {
    let (rate, interval) = text.split_once('@').unwrap_or((text, "50ms"));
    let rate = rate.strip_suffix("/s").unwrap_or(rate);
    let bits = rate.ends_with('b');
    let rate = rate.strip_suffix(['b', 'B'])?;
    let (digits, factor) = match rate.chars().last()? {
        'K' | 'k' => (rate.get(..rate.len() - 1)?, 1000),
        'M' | 'm' => (rate.get(..rate.len() - 1)?, 1_000_000),
        'G' | 'g' => (rate.get(..rate.len() - 1)?, 1_000_000_000),
        _ => (rate, 1),
    };
    let number: u64 = digits.parse().ok()?;
    let per_second = number.checked_mul(factor)? / if bits { 8 } else { 1 };
    let micros: u64 = if let Some(number) = interval.strip_suffix("us") {
        number.parse().ok()?
    } else if let Some(number) = interval.strip_suffix("ms") {
        number.parse::<u64>().ok()?.checked_mul(1000)?
    } else {
        interval.strip_suffix('s')?.parse::<u64>().ok()?.checked_mul(1_000_000)?
    };
    let bytes = u64::try_from(u128::from(per_second) * u128::from(micros) / 1_000_000).ok()?;
    (bytes > 0).then_some((bytes, micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_read_with_its_rate() {
        let vif = Vif::parse("mac=00:16:3E:00:00:0a, bridge=xenbr1,rate=10Mb/s").unwrap();
        assert_eq!(vif.mac.as_deref(), Some("00:16:3e:00:00:0a"));
        assert_eq!(vif.bridge.as_deref(), Some("xenbr1"));
        assert_eq!(vif.rate, Some((62_500, 50_000)));
        assert_eq!(Vif::parse("rate=1MB/s@20ms").unwrap().rate, Some((20_000, 20_000)));
        assert_eq!(Vif::parse(""), Ok(Vif::default()));
    }

    #[test]
    fn a_wrong_card_says_what_is_wrong() {
        assert_eq!(Vif::parse("mac=1:2"), Err("mac=1:2: six bytes are expected".into()));
        assert_eq!(Vif::parse("brigde=x"), Err("\"brigde\" is no key of a network card".into()));
    }
}
