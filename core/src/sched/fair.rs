//! A fair, work-conserving scheduler: the runnable vcpu that used least runs next, on any CPU.
//!
//! One queue for all CPUs, ordered by use. A vcpu that slept comes back with at most one slice of credit, so that it
//! runs soon but cannot starve others. SEDF, credit and rt come behind the same trait.

use super::{Decision, Scheduler};
use crate::cpu::{CpuId, CpuMask};
use crate::domain::Vcpu;
use crate::platform::Platform;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use ferroxen_sync::{Lock, Shared, rank};

/// How long a vcpu runs when others wait, in nanoseconds.
pub const SLICE: u64 = 10_000_000;
/// A waking vcpu preempts one that used this much more.
const PREEMPT: u64 = 1_000_000;

/// A turn that neither waits nor yields lasts at least so long, so that what a vcpu sends to another is found there
/// together: a switch for each packet costs more than the packet. A MiB of TCP to a guest takes 1.13 of the instructions
/// under Xen with 0.5 ms, 1.07 with 1 ms, 0.98 with this. (Xen's `sched_ratelimit_us` is half of it, but its credit
/// makes who is woken wait longer.)
const TURN: u64 = 2_000_000;

struct State<P: Platform> {
    queue: Vec<Shared<Vcpu<P>>>,
    /// Vcpus for which the queue has room.
    room: usize,
    online: CpuMask,
    idle: CpuMask,
    /// Use of the vcpu that was chosen last: newcomers begin there.
    floor: u64,
}

/// See the module.
pub struct Fair<P: Platform>(Lock<rank::RunQueue, State<P>>);

impl<P: Platform> Default for Fair<P> {
    fn default() -> Self {
        Fair(Lock::new(State { queue: Vec::new(), room: 0, online: CpuMask::EMPTY, idle: CpuMask::EMPTY, floor: 0 }))
    }
}

impl<P: Platform> State<P> {
    /// Queues a runnable vcpu that is neither queued nor running. Room was reserved when it was created.
    fn enqueue(&mut self, vcpu: &Shared<Vcpu<P>>) {
        self.limit_credit(vcpu);
        if self.queue.len() < self.queue.capacity() {
            self.queue.push(vcpu.clone());
        }
    }

    /// One that slept comes back with at most one slice of credit.
    fn limit_credit(&self, vcpu: &Vcpu<P>) {
        vcpu.sched.used.fetch_max(self.floor.saturating_sub(SLICE), Ordering::Relaxed);
    }

    fn queued(&self, vcpu: &Shared<Vcpu<P>>) -> bool {
        self.queue.iter().any(|other| Shared::same(other, vcpu))
    }

    /// The one that used least, of those that `cpu` may run (`None`: of all).
    fn least(&self, cpu: Option<CpuId>) -> Option<(usize, u64)> {
        let queue = self.queue.iter().enumerate();
        let allowed = queue.filter(|(_, vcpu)| cpu.is_none_or(|cpu| vcpu.sched.may_run_on(cpu)));
        allowed.map(|(at, vcpu)| (at, vcpu.sched.used.load(Ordering::Relaxed))).min_by_key(|&(_, used)| used)
    }
}

fn charge<P: Platform>(vcpu: &Vcpu<P>, now: u64) {
    // Nothing while it waited: that is in the future.
    let since = vcpu.sched.since.swap(now, Ordering::Relaxed);
    vcpu.sched.used.fetch_add(now.saturating_sub(since), Ordering::Relaxed);
}

/// For a while, nobody who is woken takes its place.
fn begin_turn<P: Platform>(vcpu: &Vcpu<P>, now: u64) {
    vcpu.sched.turn_end.store(now.saturating_add(TURN), Ordering::Relaxed);
}

fn turn_end<P: Platform>(vcpu: &Vcpu<P>) -> u64 {
    vcpu.sched.turn_end.load(Ordering::Relaxed)
}

impl<P: Platform> Scheduler<P> for Fair<P> {
    fn name(&self) -> &'static str {
        "fair"
    }

    fn add_cpu(&self, cpu: CpuId) {
        self.0.lock().online.set(cpu);
    }

    fn reserve(&self) -> Result<(), ()> {
        let mut state = self.0.lock();
        let room = state.room.checked_add(1).ok_or(())?;
        let more = room.saturating_sub(state.queue.len());
        state.queue.try_reserve(more).map_err(|_| ())?;
        state.room = room;
        Ok(())
    }

    fn release(&self, vcpus: usize) {
        let mut state = self.0.lock();
        state.room = state.room.saturating_sub(vcpus);
    }

    fn wake(&self, vcpu: &Shared<Vcpu<P>>, now: u64) -> Option<CpuId> {
        let mut state = self.0.lock();
        if state.queued(vcpu) || !vcpu.sched.runnable() {
            return None;
        }
        if let Some(cpu) = vcpu.sched.running_on() {
            // Either that CPU is about to ask, or it sleeps with the vcpu loaded. Only then a turn begins: else two vcpus
            // that wake each other in time would keep a third from the CPU.
            let sleeps = state.idle.has(cpu);
            if sleeps {
                begin_turn(vcpu, now);
            }
            state.idle.clear(cpu);
            return sleeps.then_some(cpu);
        }
        state.enqueue(vcpu);
        let last = vcpu.sched.last_cpu();
        let allowed = vcpu.sched.hard.load_or_all();
        let idle = state.idle.and(&allowed);
        let chosen = if idle.has(last) { Some(last) } else { idle.iter().next() };
        if let Some(cpu) = chosen {
            state.idle.clear(cpu);
            return Some(cpu);
        }
        let _ = now;
        // Everybody is busy: the CPU that ran it last compares when it decides.
        let busy = state.online.and(&allowed);
        if busy.has(last) { Some(last) } else { busy.iter().next() }
    }

    fn decide(&self, cpu: CpuId, current: Option<&Shared<Vcpu<P>>>, now: u64) -> Decision<P> {
        let mut state = self.0.lock();
        state.idle.clear(cpu);
        // What stopped being runnable while it waited leaves the queue here.
        state.queue.retain(|vcpu| vcpu.sched.runnable());
        if let Some(vcpu) = current {
            charge(vcpu, now);
            state.limit_credit(vcpu);
        }
        let loaded = current;
        let current = current.filter(|vcpu| vcpu.sched.runnable() && vcpu.sched.may_run_on(cpu));
        let least = state.least(Some(cpu));
        let mut until = now.saturating_add(SLICE);
        let chosen = match (current, least) {
            (Some(vcpu), None) => vcpu.clone(),
            (Some(vcpu), Some((_, used)))
                if vcpu.sched.used.load(Ordering::Relaxed) <= used.saturating_add(PREEMPT) =>
            {
                vcpu.clone()
            }
            (Some(vcpu), Some(_)) if now < turn_end(vcpu) => {
                until = turn_end(vcpu);
                vcpu.clone()
            }
            (_, Some((at, _))) => state.queue.swap_remove(at),
            (None, None) => {
                state.idle.set(cpu);
                if let Some(vcpu) = loaded {
                    vcpu.sched.since.store(u64::MAX, Ordering::Relaxed);
                }
                return Decision { vcpu: None, until: u64::MAX };
            }
        };
        let used = chosen.sched.used.load(Ordering::Relaxed);
        state.floor = state.floor.max(used);
        chosen.sched.since.store(now, Ordering::Relaxed);
        chosen.sched.set_running(Some(cpu));
        // What it takes the place of waits from when it is saved.
        let other = loaded.is_none_or(|old| !Shared::same(old, &chosen));
        if other {
            begin_turn(&chosen, now);
        }
        let displaces = other && loaded.is_some_and(|old| old.sched.runnable());
        let until = if state.queue.is_empty() && !displaces { u64::MAX } else { until };
        Decision { vcpu: Some(chosen), until }
    }

    fn saved(&self, cpu: CpuId, vcpu: &Shared<Vcpu<P>>, _now: u64) -> Option<CpuId> {
        let mut state = self.0.lock();
        vcpu.sched.set_running(None);
        if !vcpu.sched.runnable() || state.queued(vcpu) {
            return None;
        }
        state.enqueue(vcpu);
        let allowed = vcpu.sched.hard.load_or_all();
        let mut other = state.idle.and(&allowed).iter().find(|&other| other != cpu);
        if other.is_none() && !allowed.has(cpu) {
            // It may not stay here: a busy CPU has to look at the queue.
            other = state.online.and(&allowed).iter().next();
        }
        if let Some(other) = other {
            state.idle.clear(other);
        }
        other
    }

    fn yield_now(&self, vcpu: &Vcpu<P>, now: u64) {
        let state = self.0.lock();
        charge(vcpu, now);
        vcpu.sched.turn_end.store(0, Ordering::Relaxed);
        if let Some((_, used)) = state.least(None) {
            vcpu.sched.used.fetch_max(used.saturating_add(PREEMPT).saturating_add(1), Ordering::Relaxed);
        }
    }

    fn idle(&self) -> CpuMask {
        self.0.lock().idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DomId;
    use crate::sched::{BLOCKED, PAUSED, UP};
    use crate::testing::TestPlatform;

    fn vcpu(sched: &Fair<TestPlatform>, id: u32) -> Shared<Vcpu<TestPlatform>> {
        sched.reserve().unwrap();
        let vcpu = Shared::try_new(Vcpu::new(id, DomId(1))).ok().unwrap();
        vcpu.sched.set(UP);
        vcpu
    }

    #[test]
    fn two_vcpus_on_one_cpu_get_equal_shares() {
        let sched = Fair::<TestPlatform>::default();
        sched.add_cpu(CpuId(0));
        let vcpus = [vcpu(&sched, 0), vcpu(&sched, 1)];
        vcpus.iter().for_each(|vcpu| {
            sched.wake(vcpu, 0);
        });
        let (mut now, mut ran, mut current) = (0u64, [0u64; 2], None::<Shared<Vcpu<TestPlatform>>>);
        while now < 2_000_000_000 {
            let decision = sched.decide(CpuId(0), current.as_ref(), now);
            let next = decision.vcpu.unwrap();
            if let Some(old) = current.take().filter(|old| !Shared::same(old, &next)) {
                sched.saved(CpuId(0), &old, now);
            }
            let until = decision.until.min(now + SLICE);
            ran[next.id as usize] += until - now;
            now = until;
            current = Some(next);
        }
        assert!(ran[0].abs_diff(ran[1]) <= 2 * SLICE, "{ran:?}");
    }

    #[test]
    fn no_cpu_idles_while_a_vcpu_waits() {
        let sched = Fair::<TestPlatform>::default();
        (0..2).for_each(|cpu| sched.add_cpu(CpuId(cpu)));
        assert!((0..2).all(|cpu| sched.decide(CpuId(cpu), None, 0).vcpu.is_none()));
        let vcpus = [vcpu(&sched, 0), vcpu(&sched, 1)];
        let kicked: Vec<_> = vcpus.iter().map(|vcpu| sched.wake(vcpu, 0).unwrap()).collect();
        assert_ne!(kicked[0], kicked[1]);
        assert!(kicked.into_iter().all(|cpu| sched.decide(cpu, None, 1).vcpu.is_some()));
    }

    #[test]
    fn a_wake_up_between_the_decision_and_the_save_is_not_lost() {
        let sched = Fair::<TestPlatform>::default();
        sched.add_cpu(CpuId(0));
        let vcpu = vcpu(&sched, 0);
        sched.wake(&vcpu, 0);
        let running = sched.decide(CpuId(0), None, 0).vcpu.unwrap();
        vcpu.sched.set(BLOCKED);
        assert!(sched.decide(CpuId(0), Some(&running), 1).vcpu.is_none());
        // The event arrives now: the vcpu still counts as running here, and the CPU is told to ask again.
        vcpu.sched.clear(BLOCKED);
        assert_eq!(sched.wake(&vcpu, 2), Some(CpuId(0)));
        sched.saved(CpuId(0), &running, 3);
        // The caller asks again before it sleeps.
        assert!(sched.decide(CpuId(0), None, 4).vcpu.is_some());
    }

    #[test]
    fn a_vcpu_that_waits_goes_on_where_it_is_loaded_and_pays_for_no_sleep() {
        let sched = Fair::<TestPlatform>::default();
        (0..2).for_each(|cpu| sched.add_cpu(CpuId(cpu)));
        let [sleeper, other] = [vcpu(&sched, 0), vcpu(&sched, 1)];
        sched.wake(&sleeper, 0);
        sched.wake(&other, 0);
        assert!(Shared::same(&sched.decide(CpuId(1), None, 0).vcpu.unwrap(), &sleeper));
        assert!(Shared::same(&sched.decide(CpuId(0), None, 0).vcpu.unwrap(), &other));
        sleeper.sched.set(BLOCKED);
        assert!(sched.decide(CpuId(1), Some(&sleeper), 5 * SLICE).vcpu.is_none());
        assert!(sleeper.sched.may_wait_on(CpuId(1)) && !sleeper.sched.running());
        sleeper.sched.set(PAUSED);
        assert!(!sleeper.sched.may_wait_on(CpuId(1)));
        sleeper.sched.clear(PAUSED);
        assert!(Shared::same(&sched.decide(CpuId(0), Some(&other), 100 * SLICE).vcpu.unwrap(), &other));
        sleeper.sched.clear(BLOCKED);
        // CPU 1 sleeps with it loaded: it is the one to wake, once.
        assert_eq!((sched.wake(&sleeper, 100 * SLICE), sched.wake(&sleeper, 100 * SLICE)), (Some(CpuId(1)), None));
        assert!(Shared::same(&sched.decide(CpuId(1), Some(&sleeper), 100 * SLICE).vcpu.unwrap(), &sleeper));
        // Its 95 slices of sleep are neither charged nor a credit beyond one slice.
        assert_eq!(sleeper.sched.used.load(Ordering::Relaxed), 99 * SLICE);
    }

    #[test]
    fn a_vcpu_that_waits_makes_room_for_another_and_may_run_elsewhere_then() {
        let sched = Fair::<TestPlatform>::default();
        sched.add_cpu(CpuId(0));
        let [sleeper, other] = [vcpu(&sched, 0), vcpu(&sched, 1)];
        sched.wake(&sleeper, 0);
        let loaded = sched.decide(CpuId(0), None, 0).vcpu.unwrap();
        sleeper.sched.set(BLOCKED);
        assert!(sched.decide(CpuId(0), Some(&loaded), 1).vcpu.is_none());
        assert_eq!(sched.wake(&other, 2), Some(CpuId(0)));
        assert!(Shared::same(&sched.decide(CpuId(0), Some(&loaded), 2).vcpu.unwrap(), &other));
        // Woken before it is saved: nobody needs to be told, it is queued when it is.
        sleeper.sched.clear(BLOCKED);
        assert_eq!(sched.wake(&sleeper, 3), None);
        sched.saved(CpuId(0), &loaded, 3);
        assert_eq!((sleeper.sched.running_on(), sched.0.lock().queue.len()), (None, 1));
    }

    #[test]
    fn a_turn_ends_when_the_one_before_waits_for_the_next() {
        let sched = Fair::<TestPlatform>::default();
        sched.add_cpu(CpuId(0));
        let vcpus = [vcpu(&sched, 0), vcpu(&sched, 1)];
        sched.wake(&vcpus[0], 0);
        let first = sched.decide(CpuId(0), None, 0);
        assert_eq!(first.until, u64::MAX);
        sched.wake(&vcpus[1], 1);
        sched.yield_now(&vcpus[0], 2);
        // The first one is in no queue until its state is saved.
        let second = sched.decide(CpuId(0), first.vcpu.as_ref(), 2);
        assert!(Shared::same(&second.vcpu.unwrap(), &vcpus[1]));
        assert_eq!(second.until, 2 + SLICE);
    }

    #[test]
    fn who_wakes_waits_for_the_end_of_a_short_turn() {
        let sched = Fair::<TestPlatform>::default();
        sched.add_cpu(CpuId(0));
        let [sender, receiver] = [vcpu(&sched, 0), vcpu(&sched, 1)];
        sender.sched.used.store(5 * SLICE, Ordering::Relaxed);
        let start = 7 * SLICE;
        sched.wake(&sender, start);
        let running = sched.decide(CpuId(0), None, start).vcpu.unwrap();
        // The receiver has used far less, and yet the sender sends on.
        sched.wake(&receiver, start + 1);
        let decision = sched.decide(CpuId(0), Some(&running), start + 1);
        assert!(Shared::same(&decision.vcpu.unwrap(), &sender));
        assert_eq!(decision.until, start + TURN);
        let decision = sched.decide(CpuId(0), Some(&running), start + TURN);
        assert!(Shared::same(&decision.vcpu.unwrap(), &receiver));
        sched.saved(CpuId(0), &running, start + TURN);
    }

    #[test]
    fn a_wake_before_the_cpu_has_asked_begins_no_turn() {
        let sched = Fair::<TestPlatform>::default();
        sched.add_cpu(CpuId(0));
        let [restless, other] = [vcpu(&sched, 0), vcpu(&sched, 1)];
        restless.sched.used.store(5 * SLICE, Ordering::Relaxed);
        let start = 7 * SLICE;
        sched.wake(&restless, start);
        let running = sched.decide(CpuId(0), None, start).vcpu.unwrap();
        sched.wake(&other, start + 1);
        restless.sched.set(BLOCKED);
        restless.sched.clear(BLOCKED);
        sched.wake(&restless, start + TURN);
        let decision = sched.decide(CpuId(0), Some(&running), start + TURN);
        assert!(Shared::same(&decision.vcpu.unwrap(), &other));
        sched.saved(CpuId(0), &running, start + TURN);
    }

    #[test]
    fn room_is_given_back() {
        let sched = Fair::<TestPlatform>::default();
        for _ in 0..1000 {
            sched.reserve().unwrap();
            sched.release(1);
        }
        assert_eq!(sched.0.lock().room, 0);
    }

    fn fair(cpus: u16) -> Fair<TestPlatform> {
        let sched = Fair::default();
        (0..cpus).for_each(|cpu| sched.add_cpu(CpuId(cpu)));
        sched
    }

    fn mask(cpus: &[u16]) -> CpuMask {
        let mut mask = CpuMask::EMPTY;
        cpus.iter().for_each(|&cpu| mask.set(CpuId(cpu)));
        mask
    }

    fn idle_all(sched: &Fair<TestPlatform>, cpus: u16) {
        assert!((0..cpus).all(|cpu| sched.decide(CpuId(cpu), None, 0).vcpu.is_none()));
    }

    #[test]
    fn who_wakes_goes_to_its_last_cpu_else_to_an_idle_one_that_may_run_it() {
        for (last, hard, idle, expected) in [
            (2, &[][..], &[0, 1, 2][..], Some(2)),
            (2, &[], &[0, 1], Some(0)),
            (2, &[1], &[0, 1, 2], Some(1)),
            (2, &[1, 2], &[0], Some(2)),
            (0, &[1, 2], &[0], Some(1)),
            (2, &[], &[], Some(2)),
            (3, &[], &[], Some(0)),
            (0, &[3], &[0, 1, 2], None),
        ] {
            let sched = fair(3);
            let sleeper = vcpu(&sched, 0);
            sleeper.sched.set_running(Some(CpuId(last)));
            sleeper.sched.set_running(None);
            sleeper.sched.hard.store(&mask(hard));
            sched.0.lock().idle = mask(idle);
            assert_eq!(sched.wake(&sleeper, 0), expected.map(CpuId), "{last} {hard:?} {idle:?}");
            let mut left = mask(idle);
            expected.into_iter().for_each(|cpu| left.clear(CpuId(cpu)));
            assert_eq!(sched.idle(), left, "who was told is idle no more");
            assert_eq!((sched.wake(&sleeper, 0), sched.0.lock().queue.len()), (None, 1), "it is queued once");
        }
    }

    #[test]
    fn who_is_blocked_paused_or_down_is_not_queued() {
        let sched = fair(1);
        let asleep = vcpu(&sched, 0);
        for flag in [BLOCKED, PAUSED] {
            asleep.sched.set(flag);
            assert_eq!(sched.wake(&asleep, 0), None);
            asleep.sched.clear(flag);
        }
        asleep.sched.clear(UP);
        assert_eq!((sched.wake(&asleep, 0), sched.0.lock().queue.len()), (None, 0));
    }

    #[test]
    fn the_one_that_used_least_of_those_that_may_run_here_is_next() {
        let sched = fair(2);
        let vcpus = [0, 1, 2].map(|id| vcpu(&sched, id));
        for (vcpu, used) in vcpus.iter().zip([7, 5, 6]) {
            vcpu.sched.used.store(used, Ordering::Relaxed);
            sched.wake(vcpu, 0);
        }
        vcpus[1].sched.hard.store(&mask(&[1]));
        let next = |cpu| sched.decide(CpuId(cpu), None, 0).vcpu.map(|vcpu| vcpu.id);
        assert_eq!([next(0), next(1), next(0), next(0)], [Some(2), Some(1), Some(0), None]);
        assert_eq!(vcpus.each_ref().map(|vcpu| vcpu.sched.running_on()), [0, 1, 0].map(|cpu| Some(CpuId(cpu))));
        assert_eq!(sched.idle(), mask(&[0]));
    }

    #[test]
    fn the_current_one_stays_until_another_has_used_much_less_and_its_turn_is_over() {
        for (ahead, ran, stays, until) in [
            (PREEMPT, TURN, true, TURN + SLICE),
            (PREEMPT + 1, TURN, false, TURN + SLICE),
            (PREEMPT + 1, TURN - 1, true, TURN),
            (9 * PREEMPT, TURN, false, TURN + SLICE),
        ] {
            let sched = fair(1);
            let [current, other] = [vcpu(&sched, 0), vcpu(&sched, 1)];
            sched.wake(&current, 0);
            let loaded = sched.decide(CpuId(0), None, 0).vcpu.unwrap();
            sched.wake(&other, 0);
            other.sched.used.store(SLICE, Ordering::Relaxed);
            current.sched.used.store(SLICE + ahead - ran, Ordering::Relaxed);
            let decision = sched.decide(CpuId(0), Some(&loaded), ran);
            assert_eq!(Shared::same(&decision.vcpu.unwrap(), &current), stays, "{ahead} after {ran}");
            assert_eq!(decision.until, until, "{ahead} after {ran}");
            assert_eq!(current.sched.used.load(Ordering::Relaxed), SLICE + ahead, "its time is charged");
        }
    }

    #[test]
    fn alone_one_runs_for_ever_and_beside_another_for_a_slice() {
        let sched = fair(1);
        let [current, other] = [vcpu(&sched, 0), vcpu(&sched, 1)];
        sched.wake(&current, 0);
        let loaded = sched.decide(CpuId(0), None, 0);
        assert_eq!(loaded.until, u64::MAX);
        let loaded = loaded.vcpu.unwrap();
        assert_eq!(sched.decide(CpuId(0), Some(&loaded), 1).until, u64::MAX);
        sched.wake(&other, 2);
        assert_eq!(sched.decide(CpuId(0), Some(&loaded), 2).until, 2 + SLICE);
        // One that may not run here makes way, and is waited for by nobody.
        current.sched.hard.store(&mask(&[1]));
        let decision = sched.decide(CpuId(0), Some(&loaded), 3);
        assert!(Shared::same(&decision.vcpu.unwrap(), &other));
    }

    #[test]
    fn a_saved_vcpu_is_offered_to_an_idle_cpu_else_to_one_that_may_run_it() {
        for (hard, idle, expected) in [
            (&[][..], &[][..], None),
            (&[], &[1, 2], Some(1)),
            (&[0, 2], &[1, 2], Some(2)),
            (&[0], &[1, 2], None),
            (&[], &[0], None),
            (&[2], &[1], Some(2)),
            (&[1, 2], &[], Some(1)),
            (&[3], &[1], None),
        ] {
            let sched = fair(3);
            let old = vcpu(&sched, 0);
            old.sched.set_running(Some(CpuId(0)));
            old.sched.hard.store(&mask(hard));
            sched.0.lock().idle = mask(idle);
            assert_eq!(sched.saved(CpuId(0), &old, 0), expected.map(CpuId), "{hard:?} {idle:?}");
            let mut left = mask(idle);
            expected.into_iter().for_each(|cpu| left.clear(CpuId(cpu)));
            assert_eq!((sched.idle(), old.sched.running_on()), (left, None));
            assert_eq!((sched.saved(CpuId(0), &old, 0), sched.0.lock().queue.len()), (None, 1), "it is queued once");
        }
        let sched = fair(2);
        let asleep = vcpu(&sched, 0);
        asleep.sched.set(BLOCKED);
        sched.0.lock().idle = mask(&[1]);
        assert_eq!((sched.saved(CpuId(0), &asleep, 0), sched.0.lock().queue.len()), (None, 0));
    }

    #[test]
    fn who_yields_falls_just_behind_who_used_least() {
        for (least, own, after) in [(5, 0, 5 + PREEMPT + 1), (5, 9 * PREEMPT, 9 * PREEMPT)] {
            let sched = fair(1);
            let [current, other] = [vcpu(&sched, 0), vcpu(&sched, 1)];
            other.sched.used.store(least, Ordering::Relaxed);
            sched.wake(&other, 0);
            current.sched.used.store(own, Ordering::Relaxed);
            current.sched.turn_end.store(u64::MAX, Ordering::Relaxed);
            sched.yield_now(&current, 0);
            assert_eq!((current.sched.used.load(Ordering::Relaxed), turn_end(&current)), (after, 0));
        }
        let sched = fair(1);
        let alone = vcpu(&sched, 0);
        alone.sched.since.store(10, Ordering::Relaxed);
        sched.yield_now(&alone, 30);
        assert_eq!(alone.sched.used.load(Ordering::Relaxed), 20, "with nobody else, it only pays for what it used");
    }

    #[test]
    fn newcomers_begin_a_slice_before_who_ran_last() {
        let sched = fair(1);
        idle_all(&sched, 1);
        let [old, new] = [vcpu(&sched, 0), vcpu(&sched, 1)];
        old.sched.used.store(50 * SLICE, Ordering::Relaxed);
        sched.wake(&old, 0);
        sched.decide(CpuId(0), None, 0).vcpu.unwrap();
        sched.wake(&new, 0);
        assert_eq!(new.sched.used.load(Ordering::Relaxed), 49 * SLICE);
        // Who used less runs, and the floor stays.
        let next = sched.decide(CpuId(0), Some(&old), TURN).vcpu.unwrap();
        assert!(Shared::same(&next, &new));
        assert_eq!(sched.0.lock().floor, 50 * SLICE);
    }

    #[test]
    fn there_is_room_for_every_vcpu_that_was_reserved() {
        let sched = fair(1);
        let vcpus: Vec<_> = (0..100).map(|id| vcpu(&sched, id)).collect();
        vcpus.iter().for_each(|vcpu| _ = sched.wake(vcpu, 0));
        assert_eq!(sched.0.lock().queue.len(), 100);
        sched.release(40);
        assert_eq!(sched.0.lock().room, 60);
        assert_eq!(Scheduler::<TestPlatform>::name(&sched), "fair");
    }
}
