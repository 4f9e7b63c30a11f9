//! Several CPUs at once. The ranks of the locks are checked in all of it.

use super::*;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

#[test]
fn no_fifo_event_is_lost_between_senders_and_the_guest() {
    const ROUNDS: u32 = 2000;
    let hv = Arc::new(world());
    super::fifo::enable(&hv, 1);
    let connections: Vec<_> = (0..4).map(|_| connect(&hv, 0, 1)).collect();
    let mut guest = super::fifo::Guest::default();
    guest.consume(&hv, 1, 0);
    take_upcall(&hv, 1, 0);
    let done = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = connections
        .iter()
        .map(|&(near, _)| {
            let hv = hv.clone();
            std::thread::spawn(move || {
                let d0 = dom(&hv, 0);
                (0..ROUNDS).for_each(|_| assert!(send(&hv, &d0, near).is_ok()));
            })
        })
        .collect();
    let mover = {
        let (hv, done, far) = (hv.clone(), done.clone(), connections[0].1);
        std::thread::spawn(move || {
            let d1 = dom(&hv, 1);
            let mut vcpu = 0;
            while !done.load(Ordering::SeqCst) {
                vcpu = (vcpu + 1) % VCPUS;
                bind_vcpu(&d1, far, vcpu).map(|_| ()).unwrap();
                set_priority(&d1, far, vcpu * 5).unwrap();
                std::thread::yield_now();
            }
        })
    };
    let mut seen = 0;
    while !senders.iter().all(|sender| sender.is_finished()) {
        seen += (0..VCPUS).map(|vcpu| guest.consume(&hv, 1, vcpu).len()).sum::<usize>();
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    done.store(true, Ordering::SeqCst);
    mover.join().unwrap();
    seen += (0..VCPUS).map(|vcpu| guest.consume(&hv, 1, vcpu).len()).sum::<usize>();
    assert!(seen >= 4);
    for (_, far) in connections {
        assert_eq!(is_pending(&hv, &dom(&hv, 1), far), Ok(false), "port {far} pending, but in no queue");
    }
}

#[test]
fn connections_made_broken_and_used_from_both_sides_stay_consistent() {
    let hv = Arc::new(world());
    let threads: Vec<_> = [(0u16, 1u16), (1, 0), (1, 2), (2, 1)]
        .into_iter()
        .map(|(a, b)| {
            let hv = hv.clone();
            std::thread::spawn(move || {
                let (da, db) = (dom(&hv, a), dom(&hv, b));
                for _ in 0..500 {
                    let far = alloc_unbound(&hv, &db, DomId(a)).unwrap();
                    let (near, _) = bind_interdomain(&hv, &da, &db, far).unwrap();
                    assert!(send(&hv, &da, near).is_ok());
                    assert!(send(&hv, &db, far).is_ok());
                    close(&hv, &db, far).map(|_| ()).unwrap();
                    close(&hv, &da, near).map(|_| ()).unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    for id in 0..3 {
        assert_eq!(dom(&hv, id).events.control.lock().active, 0);
    }
}
