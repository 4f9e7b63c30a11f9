//! UUIDs and MAC addresses.

/// Reads `01234567-89ab-…`, dashes optional.
pub fn parse(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u32> = text.chars().filter(|c| *c != '-').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    if digits.len() != 32 {
        return None;
    }
    let mut uuid = [0; 16];
    for (to, pair) in uuid.iter_mut().zip(digits.chunks_exact(2)) {
        *to = pair.iter().fold(0, |byte, digit| byte << 4 | u8::try_from(*digit).unwrap_or(0));
    }
    Some(uuid)
}

/// Writes it with dashes.
pub fn format(uuid: &[u8; 16]) -> String {
    let hex: Vec<String> = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().concat();
    format!("{}-{}-{}-{}-{}", part(0..4), part(4..6), part(6..8), part(8..10), part(10..16))
}

/// A random one (version 4).
pub fn random() -> [u8; 16] {
    let mut uuid = [0; 16];
    fill(&mut uuid);
    if let Some(byte) = uuid.get_mut(6) {
        *byte = *byte & 0x0f | 0x40;
    }
    if let Some(byte) = uuid.get_mut(8) {
        *byte = *byte & 0x3f | 0x80;
    }
    uuid
}

/// A random MAC address among Xen's (00:16:3e).
pub fn random_mac() -> String {
    let mut low = [0; 3];
    fill(&mut low);
    let [a, b, c] = low;
    format!("00:16:3e:{:02x}:{b:02x}:{c:02x}", a & 0x7f)
}

fn fill(bytes: &mut [u8]) {
    if getrandom::fill(bytes).is_err() {
        // Without a source of randomness, time is at least not the same twice.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
        bytes.iter_mut().zip(now.to_le_bytes()).for_each(|(to, from)| *to = from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_read_as_they_are_written() {
        let uuid = random();
        assert_eq!(parse(&format(&uuid)), Some(uuid));
        assert_eq!(format(&uuid).get(14..15), Some("4"));
        assert_eq!(parse("1234"), None);
        assert_eq!(parse("zz234567-89ab-cdef-0123-456789abcdef"), None);
    }
}
