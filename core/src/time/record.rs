//! `struct vcpu_time_info` and the wall clock in the shared-info page (xen.h).

use crate::addr::Maddr;
use crate::platform::Platform;
use core::mem::offset_of;
use xen_abi::xen::{SharedInfo, VcpuInfo, VcpuTimeInfo};

/// How a CPU's TSC becomes system time: `ns = system + ((tsc - stamp) << shift) * mul >> 32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TscScale {
    /// TSC at the reference.
    pub stamp: u64,
    /// System time at the reference, in nanoseconds.
    pub system: u64,
    /// 32.32 multiplier.
    pub mul: u32,
    /// Left shift (negative: right) before multiplying.
    pub shift: i8,
}

impl TscScale {
    /// For a TSC of `hz` ticks per second (at least 1 MHz), with the reference at 0.
    pub fn from_hz(hz: u64) -> TscScale {
        const SECOND: u64 = 1_000_000_000;
        let mut hz = hz.max(1_000_000);
        let mut shift = 0i8;
        while hz > SECOND.saturating_mul(2) {
            hz >>= 1;
            shift = shift.saturating_sub(1);
        }
        while hz <= SECOND {
            hz = hz.saturating_mul(2);
            shift = shift.saturating_add(1);
        }
        // 10^9 < hz <= 2 * 10^9: the quotient is below 2^32.
        let mul = u32::try_from((u128::from(SECOND) << 32).checked_div(hz.into()).unwrap_or(0)).unwrap_or(u32::MAX);
        TscScale { stamp: 0, system: 0, mul, shift }
    }

    /// Ticks since the reference, in nanoseconds.
    #[inline(always)]
    pub fn scale(&self, ticks: u64) -> u64 {
        let shifted = if self.shift < 0 {
            ticks >> self.shift.unsigned_abs()
        } else {
            ticks.checked_shl(self.shift.unsigned_abs().into()).unwrap_or(0)
        };
        ((u128::from(shifted) * u128::from(self.mul)) >> 32) as u64
    }

    /// System time at this TSC value.
    #[inline(always)]
    pub fn time(&self, tsc: u64) -> u64 {
        self.system.wrapping_add(self.scale(tsc.saturating_sub(self.stamp)))
    }

    /// The same line with its reference moved to `tsc`.
    pub fn rebase(&self, tsc: u64) -> TscScale {
        TscScale { stamp: tsc, system: self.time(tsc), ..*self }
    }
}

const TIME: usize = offset_of!(VcpuInfo, time);

/// Writes a vcpu's time record: version odd while it changes (xen.h, `struct vcpu_time_info`).
pub fn write_record<P: Platform>(platform: &P, info: Maddr, scale: &TscScale, stable: bool) {
    let page = platform.page(info.mfn());
    let at = info.offset() + TIME;
    let version = page.load_u32(at);
    page.store_u32(at, version | 1);
    page.store_u64(at + 8, scale.stamp);
    page.store_u64(at + 16, scale.system);
    page.store_u32(at + 24, scale.mul);
    page.store_u8(at + 28, scale.shift.cast_unsigned());
    page.store_u8(at + 29, u8::from(stable)); // XEN_PVCLOCK_TSC_STABLE_BIT
    page.store_u32(at, (version | 1).wrapping_add(1));
}

/// The same as a value, for the second place at which a guest may want it (VCPUOP_register_vcpu_time_memory_area).
pub fn record(scale: &TscScale, stable: bool, version: u32) -> VcpuTimeInfo {
    VcpuTimeInfo {
        version,
        tsc_timestamp: scale.stamp,
        system_time: scale.system,
        tsc_to_system_mul: scale.mul,
        tsc_shift: scale.shift,
        flags: u8::from(stable),
        ..VcpuTimeInfo::default()
    }
}

/// Wall clock at system time 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallClock {
    /// Seconds since 1970.
    pub sec: u64,
    /// Nanoseconds.
    pub nsec: u32,
}

/// wc_version, then sec, nsec, and the upper half of sec.
const WC: usize = offset_of!(SharedInfo, wc_version);

impl WallClock {
    /// From a time of day at a system time, both in nanoseconds.
    pub fn from_now(unix_ns: u64, system: u64) -> WallClock {
        let at_zero = unix_ns.saturating_sub(system);
        WallClock { sec: at_zero / 1_000_000_000, nsec: (at_zero % 1_000_000_000) as u32 }
    }

    /// Writes it into a shared-info page.
    pub fn write<P: Platform>(&self, platform: &P, shared_info: Maddr) {
        let page = platform.page(shared_info.mfn());
        let version = page.load_u32(WC);
        page.store_u32(WC, version | 1);
        page.store_u32(WC + 4, self.sec as u32);
        page.store_u32(WC + 8, self.nsec);
        page.store_u32(WC + 12, (self.sec >> 32) as u32);
        page.store_u32(WC, (version | 1).wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Mfn;
    use crate::testing::TestPlatform;
    use zerocopy::IntoBytes;

    const PAGE: Mfn = Mfn(1);

    #[test]
    fn a_tick_of_a_whole_number_of_nanoseconds_is_scaled_exactly() {
        const GHZ: u64 = 1_000_000_000;
        const HALF: u32 = 1 << 31;
        for (hz, shift, ns) in
            [(GHZ, 1, 10), (2 * GHZ, 0, 5), (4 * GHZ, -1, 2), (GHZ / 2, 2, 20), (GHZ / 1000, 10, 10_000)]
        {
            let scale = TscScale::from_hz(hz);
            assert_eq!((scale.stamp, scale.system, scale.shift), (0, 0, shift), "{hz}");
            assert!(shift > 2 || scale.mul == HALF);
            assert!(scale.scale(10).abs_diff(ns) <= 1, "{hz}: {}", scale.scale(10));
        }
        assert_eq!(TscScale::from_hz(2 * GHZ + 2).shift, -1);
        assert_eq!(TscScale::from_hz(0), TscScale::from_hz(1_000_000), "nothing is slower");
        assert_eq!(TscScale { shift: 64, ..TscScale::from_hz(GHZ) }.scale(1), 0);
    }

    #[test]
    fn time_stands_still_before_its_reference() {
        let scale = TscScale { stamp: 1000, system: 50, mul: 1 << 31, shift: 1 };
        assert_eq!([0, 999, 1000, 1007].map(|tsc| scale.time(tsc)), [50, 50, 50, 57]);
        assert_eq!(scale.rebase(1010), TscScale { stamp: 1010, system: 60, ..scale });
    }

    #[test]
    fn a_record_is_in_its_place_and_has_an_even_version_that_grows() {
        let platform = TestPlatform::new(2, 0);
        let info = Maddr(PAGE.maddr().0 + 64);
        let scale = TscScale { stamp: 1 << 40 | 1, system: 1 << 41 | 2, mul: 3, shift: -4 };
        for (before, after) in [(0, 2), (2, 4), (5, 6), (u32::MAX, 0)] {
            for stable in [false, true] {
                platform.page(PAGE).store_u32(64 + TIME, before);
                write_record(&platform, info, &scale, stable);
                let mut bytes = [0; size_of::<VcpuTimeInfo>()];
                platform.page(PAGE).read(64 + TIME, &mut bytes);
                let expected = VcpuTimeInfo {
                    version: after,
                    tsc_timestamp: 1 << 40 | 1,
                    system_time: 1 << 41 | 2,
                    tsc_to_system_mul: 3,
                    tsc_shift: -4,
                    flags: u8::from(stable),
                    ..Default::default()
                };
                assert_eq!(bytes, expected.as_bytes());
                assert_eq!(record(&scale, stable, after), expected);
            }
        }
    }

    #[test]
    fn a_wall_clock_tells_when_the_machine_was_started() {
        let clock = WallClock::from_now(5_000_000_000_000_000_123, 20);
        assert_eq!(clock, WallClock { sec: 5_000_000_000, nsec: 103 });
        assert_eq!(WallClock::from_now(10, 20), WallClock::default());
        let platform = TestPlatform::new(2, 0);
        let page = platform.page(PAGE);
        for (before, after) in [(0, 2), (2, 4), (5, 6)] {
            page.store_u32(WC, before);
            clock.write(&platform, PAGE.maddr());
            let words = [0, 4, 8, 12].map(|at| page.load_u32(WC + at));
            assert_eq!(words, [after, 5_000_000_000u64 as u32, 103, 1]);
        }
    }

    #[test]
    fn a_second_of_ticks_is_a_second() {
        for hz in [1_000_000u64, 999_999_999, 1_000_000_000, 1_000_000_001, 2_400_000_000, 5_200_000_000] {
            let scale = TscScale::from_hz(hz);
            let ns = scale.scale(hz);
            assert!(ns.abs_diff(1_000_000_000) <= 8, "{hz}: {ns}");
        }
    }

    #[test]
    fn rebasing_does_not_move_time() {
        let scale = TscScale::from_hz(2_893_201_000);
        let later = scale.rebase(9_999_999_999);
        for tsc in [10_000_000_000u64, 123_456_789_012] {
            assert!(scale.time(tsc).abs_diff(later.time(tsc)) <= 2); // one shifted tick and two roundings
        }
    }
}
