//! Extended state: which components a guest may enable, and how large its save area is.

use super::Leaf;
use super::features::{AVX, AVX512F, FeatureSet, XSAVE, XSAVEC};

/// XCR0 and IA32_XSS components that are ever described.
pub(super) const COMPONENTS: usize = 63;

const X87: u64 = 1 << 0;
const SSE: u64 = 1 << 1;
const YMM: u64 = 1 << 2;
const AVX512: u64 = 7 << 5;

/// Bytes of the legacy area and of the XSAVE header.
const HEADER_END: u32 = 512 + 64;

/// XCR0 bits that a domain with these features may set.
pub(super) fn allowed(features: &FeatureSet, host: u64) -> u64 {
    if !features.has(XSAVE) {
        return 0;
    }
    let mut mask = X87 | SSE;
    if features.has(AVX) {
        mask |= YMM;
    }
    if features.has(AVX512F) {
        mask |= AVX512;
    }
    mask & host
}

/// Whether `value` can be loaded into XCR0 under this mask: x87 always, each part with what it builds on.
pub(super) fn valid(value: u64, allowed: u64) -> bool {
    value & X87 != 0
        && value & !allowed == 0
        && (value & YMM == 0 || value & SSE != 0)
        && (value & AVX512 == 0 || value & AVX512 == AVX512 && value & YMM != 0)
}

/// Bytes of the standard-format save area of these components. `components`: leaf 0xd of the machine by subleaf.
pub(super) fn size(components: &[Leaf; COMPONENTS], xcr0: u64) -> u32 {
    present(components, xcr0).map(|[size, offset, ..]| size.saturating_add(*offset)).fold(HEADER_END, u32::max)
}

/// Bytes of the compacted save area.
pub(super) fn compacted_size(components: &[Leaf; COMPONENTS], xcr0: u64) -> u32 {
    present(components, xcr0).fold(HEADER_END, |end, [size, _, flags, _]| {
        let start = if flags & 2 != 0 { end.saturating_add(63) & !63 } else { end };
        start.saturating_add(*size)
    })
}

fn present(components: &[Leaf; COMPONENTS], xcr0: u64) -> impl Iterator<Item = &Leaf> {
    (0u32..).zip(components).filter(move |(n, _)| *n >= 2 && xcr0 >> n & 1 != 0).map(|(_, leaf)| leaf)
}

/// Leaf 0xd as the guest sees it.
pub(super) fn leaf(
    components: &[Leaf; COMPONENTS],
    features: &FeatureSet,
    allowed: u64,
    subleaf: u32,
    xcr0: u64,
) -> Leaf {
    if !features.has(XSAVE) {
        return [0; 4];
    }
    match subleaf {
        0 => {
            let enabled = if xcr0 == 0 { X87 } else { xcr0 };
            [allowed as u32, size(components, enabled), size(components, allowed), (allowed >> 32) as u32]
        }
        1 => {
            let compacted = if features.has(XSAVEC) { compacted_size(components, xcr0) } else { 0 };
            [features.word(4), compacted, 0, 0]
        }
        n if n < 63 && allowed >> n & 1 != 0 => components.get(n as usize).copied().unwrap_or_default(),
        _ => [0; 4],
    }
}
