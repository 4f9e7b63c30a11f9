//! CRC32 (gzip, XZ), CRC64 (XZ) and bzip2's CRC32, from tables made at compile time.

#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated at compile time")]
const fn reflected_tables() -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut value = i as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 != 0 { (value >> 1) ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        tables[0][i] = value;
        i += 1;
    }
    let mut slice = 1;
    while slice < 8 {
        let mut i = 0;
        while i < 256 {
            let before = tables[slice - 1][i];
            tables[slice][i] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            i += 1;
        }
        slice += 1;
    }
    tables
}

#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated at compile time")]
const fn table64() -> [u64; 256] {
    let mut table = [0u64; 256];
    let mut i = 0;
    while i < 256 {
        let mut value = i as u64;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 != 0 { (value >> 1) ^ 0xc96c_5795_d787_0f42 } else { value >> 1 };
            bit += 1;
        }
        table[i] = value;
        i += 1;
    }
    table
}

#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated at compile time")]
const fn table_msb_first() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut value = (i as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            value = if value >> 31 != 0 { (value << 1) ^ 0x04c1_1db7 } else { value << 1 };
            bit += 1;
        }
        table[i] = value;
        i += 1;
    }
    table
}

static CRC32: [[u32; 256]; 8] = reflected_tables();
static CRC64: [u64; 256] = table64();
static CRC32_MSB: [u32; 256] = table_msb_first();

/// CRC32 of IEEE 802.3, eight bytes a step.
#[expect(clippy::indexing_slicing, reason = "every index is a byte")]
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &CRC32;
    let mut crc = u32::MAX;
    let (chunks, tail) = bytes.as_chunks::<8>();
    for chunk in chunks {
        let word = u64::from_le_bytes(*chunk) ^ u64::from(crc);
        let [a, b, c, d, e, f, g, h] = word.to_le_bytes().map(usize::from);
        crc = t7[a] ^ t6[b] ^ t5[c] ^ t4[d] ^ t3[e] ^ t2[f] ^ t1[g] ^ t0[h];
    }
    for byte in tail {
        crc = (crc >> 8) ^ t0[usize::from(crc.to_le_bytes()[0] ^ byte)];
    }
    !crc
}

/// CRC64 of ECMA-182.
#[expect(clippy::indexing_slicing, reason = "every index is a byte")]
pub(super) fn crc64(bytes: &[u8]) -> u64 {
    let mut crc = u64::MAX;
    for byte in bytes {
        crc = (crc >> 8) ^ CRC64[usize::from(crc.to_le_bytes()[0] ^ byte)];
    }
    !crc
}

/// bzip2's CRC32: the same polynomial as IEEE's, most significant bit first.
#[expect(clippy::indexing_slicing, reason = "every index is a byte")]
pub(super) fn crc32_msb(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc = (crc << 8) ^ CRC32_MSB[usize::from(crc.to_be_bytes()[0] ^ byte)];
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_values_of_the_catalogue() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc64(b"123456789"), 0x995d_c9bb_df19_39fa);
        assert_eq!(crc32_msb(b"123456789"), 0xfc89_1918);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn eight_bytes_a_step_equal_one_byte_a_step() {
        let bytes: [u8; 61] = core::array::from_fn(|i| (i * 37) as u8);
        for len in 0..bytes.len() {
            let mut crc = u32::MAX;
            for byte in &bytes[..len] {
                crc = (crc >> 8) ^ CRC32[0][usize::from(crc as u8 ^ byte)];
            }
            assert_eq!(crc32(&bytes[..len]), !crc, "{len} bytes");
        }
    }
}
