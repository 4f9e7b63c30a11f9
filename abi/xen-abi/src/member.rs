//! Members of a union, which this crate keeps as its bytes.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Reads the union's bytes as its member `T`: `let arg: XenDomctlMaxMem = member::get(&op.u);`.
///
/// Any bytes are some `T`; whether `T` is meant, `cmd` says. A `T` larger than the union does not compile.
#[must_use]
pub fn get<T: FromBytes, const N: usize>(union: &[u8; N]) -> T {
    const { assert!(size_of::<T>() <= N, "the union has no such member") }
    match T::read_from_prefix(union) {
        Ok((member, _rest)) => member,
        Err(_) => T::new_zeroed(),
    }
}

/// Writes `member` over the union's first bytes, and leaves the rest of them as they are.
pub fn put<T: IntoBytes + Immutable, const N: usize>(union: &mut [u8; N], member: &T) {
    const { assert!(size_of::<T>() <= N, "the union has no such member") }
    for (to, from) in union.iter_mut().zip(member.as_bytes()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use crate::domctl::{XenDomctl, XenDomctlGetvcpuinfo, XenDomctlMaxMem};

    #[test]
    fn a_member_put_into_a_domctl_is_read_back_and_leaves_the_rest() {
        let mut op = XenDomctl { u: [0xff; 128], ..Default::default() };
        super::put(&mut op.u, &XenDomctlMaxMem { max_memkb: 0x1234 });
        assert_eq!(super::get::<XenDomctlMaxMem, 128>(&op.u).max_memkb, 0x1234);
        assert_eq!(op.u.get(8), Some(&0xff));
        let other: XenDomctlGetvcpuinfo = super::get(&op.u);
        assert_eq!((other.vcpu, other.cpu_time), (0x1234, u64::MAX));
    }
}
