//! The bits of the 2-level layout.

use super::*;

fn bit(hv: &World, domid: u16, at: usize, port: u32) -> bool {
    hv.platform.page(mfn(domid, 0)).load_u64(at + port as usize / 64 * 8) >> (port % 64) & 1 == 1
}

#[test]
fn an_event_sets_pending_then_selector_then_upcall() {
    let hv = world();
    let d1 = dom(&hv, 1);
    for _ in 0..70 {
        bind_ipi(&hv, &d1, 1).unwrap();
    }
    assert_eq!(told(send(&hv, &d1, 70).unwrap()), [(1, 1)]);
    assert!(bit(&hv, 1, offset_of!(SharedInfo, evtchn_pending), 70));
    let (page, at) = info(&hv, 1, 1);
    assert_eq!(page.load_u64(at + offset_of!(VcpuInfo, evtchn_pending_sel)), 1 << (70 / 64));
    assert!(take_upcall(&hv, 1, 1));
    assert!(!take_upcall(&hv, 1, 0));
    assert_eq!(send(&hv, &d1, 69), Ok(Notify::NONE), "the selector bit was set: the guest will see it");
    assert!(bit(&hv, 1, offset_of!(SharedInfo, evtchn_pending), 69));
}

#[test]
fn a_masked_event_waits_for_unmask() {
    let hv = world();
    let d1 = dom(&hv, 1);
    let port = bind_ipi(&hv, &d1, 2).unwrap();
    let mask = offset_of!(SharedInfo, evtchn_mask);
    hv.platform.page(mfn(1, 0)).or_u64(mask, 1 << port);
    assert_eq!(send(&hv, &d1, port), Ok(Notify::NONE));
    assert!(!take_upcall(&hv, 1, 2));
    assert_eq!(told(unmask(&hv, &d1, port).unwrap()), [(1, 2)]);
    assert!(!bit(&hv, 1, mask, port));
    assert!(take_upcall(&hv, 1, 2));
    assert_eq!(unmask(&hv, &d1, port), Ok(Notify::NONE), "was not masked");
}

#[test]
fn unmask_tells_only_of_a_port_that_was_masked_and_pending() {
    let hv = world();
    let d1 = dom(&hv, 1);
    let port = (0..130).map(|_| bind_ipi(&hv, &d1, 1).unwrap()).last().unwrap();
    let word = port as usize / 64 * 8;
    let (page, at) = info(&hv, 1, 1);
    let (pending, mask) = (offset_of!(SharedInfo, evtchn_pending) + word, offset_of!(SharedInfo, evtchn_mask) + word);
    let bit = 1 << (port % 64);
    for (is_pending, is_masked) in [(false, false), (false, true), (true, false), (true, true)] {
        // The other ports of the word are the opposite.
        page.store_u64(pending, if is_pending { bit } else { !bit });
        page.store_u64(mask, if is_masked { bit } else { !bit });
        page.store_u64(at + offset_of!(VcpuInfo, evtchn_pending_sel), 0);
        take_upcall(&hv, 1, 1);
        let expected: &[_] = if is_pending && is_masked { &[(1, 1)] } else { &[] };
        assert_eq!(told(unmask(&hv, &d1, port).unwrap()), expected, "{is_pending} {is_masked}");
        assert_eq!(take_upcall(&hv, 1, 1), is_pending && is_masked);
        assert_eq!(page.load_u64(mask), if is_masked { 0 } else { !bit });
    }
}

#[test]
fn a_domain_without_shared_info_or_a_vcpu_without_info_loses_events_quietly() {
    let hv = world();
    let d1 = dom(&hv, 1);
    let port = bind_ipi(&hv, &d1, 0).unwrap();
    d1.vcpu(0).unwrap().set_info(Maddr(0));
    assert_eq!(send(&hv, &d1, port), Ok(Notify::NONE));
    assert_eq!(is_pending(&hv, &d1, port), Ok(true));
    d1.shared_info.store(0, Ordering::Relaxed);
    assert_eq!(send(&hv, &d1, port), Ok(Notify::NONE));
    assert_eq!(unmask(&hv, &d1, port), Ok(Notify::NONE));
    assert_eq!(is_pending(&hv, &d1, port), Ok(false));
    assert_eq!(close(&hv, &d1, port), Ok(None));
}

#[test]
fn priorities_need_the_other_layout() {
    let hv = world();
    let d1 = dom(&hv, 1);
    let port = bind_ipi(&hv, &d1, 0).unwrap();
    assert_eq!(set_priority(&d1, port, 3), Err(Errno::ENOSYS));
    assert_eq!(expand_array(&hv, &d1, || hold(&hv, 1, 1)), Err(Errno::EOPNOTSUPP));
}
