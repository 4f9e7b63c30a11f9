//! Ports of three domains against a naive model: a table of what each port should be.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Op {
    Alloc { dom: u16, remote: u16 },
    Bind { dom: u16, remote: u16, port: u32 },
    Virq { dom: u16, virq: u32, vcpu: u32 },
    Ipi { dom: u16, vcpu: u32 },
    Pirq { dom: u16, pirq: u32 },
    Close { dom: u16, port: u32 },
    Send { dom: u16, port: u32 },
    Move { dom: u16, port: u32, vcpu: u32 },
    Take { dom: u16, port: u32 },
    Reset { dom: u16 },
}

fn op() -> impl Strategy<Value = Op> {
    let (d, r, p, v) = (0..3u16, 0..3u16, 0..8u32, 0..VCPUS + 1);
    prop_oneof![
        3 => (d.clone(), r.clone()).prop_map(|(dom, remote)| Op::Alloc { dom, remote }),
        4 => (d.clone(), r, p.clone()).prop_map(|(dom, remote, port)| Op::Bind { dom, remote, port }),
        1 => (d.clone(), 0..26u32, v.clone()).prop_map(|(dom, virq, vcpu)| Op::Virq { dom, virq, vcpu }),
        1 => (d.clone(), v.clone()).prop_map(|(dom, vcpu)| Op::Ipi { dom, vcpu }),
        1 => (d.clone(), 0..34u32).prop_map(|(dom, pirq)| Op::Pirq { dom, pirq }),
        3 => (d.clone(), p.clone()).prop_map(|(dom, port)| Op::Close { dom, port }),
        4 => (d.clone(), p.clone()).prop_map(|(dom, port)| Op::Send { dom, port }),
        1 => (d.clone(), p.clone(), v).prop_map(|(dom, port, vcpu)| Op::Move { dom, port, vcpu }),
        2 => (d.clone(), p).prop_map(|(dom, port)| Op::Take { dom, port }),
        1 => d.prop_map(|dom| Op::Reset { dom }),
    ]
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Entry {
    binding: Binding,
    vcpu: u32,
    pending: bool,
}

#[derive(Default)]
struct Model([BTreeMap<u32, Entry>; 3]);

impl Model {
    fn add(&mut self, dom: u16, binding: Binding, vcpu: u32, pending: bool) -> u32 {
        let ports = &mut self.0[usize::from(dom)];
        let port = (1..).find(|port| !ports.contains_key(port)).unwrap();
        ports.insert(port, Entry { binding, vcpu, pending });
        port
    }
    fn get(&self, dom: u16, port: u32) -> Option<Entry> {
        self.0[usize::from(dom)].get(&port).copied()
    }
    fn entry(&mut self, dom: u16, port: u32) -> &mut Entry {
        self.0[usize::from(dom)].get_mut(&port).unwrap()
    }
    fn bound(&self, dom: u16, binding: Binding, vcpu: Option<u32>) -> bool {
        self.0[usize::from(dom)].values().any(|e| e.binding == binding && vcpu.is_none_or(|vcpu| e.vcpu == vcpu))
    }
    fn close(&mut self, dom: u16, port: u32) {
        if let Some(Binding::Interdomain { remote, port: far }) = self.get(dom, port).map(|e| e.binding) {
            self.entry(remote.0, far).binding = Binding::Unbound { remote: DomId(dom) };
        }
        self.0[usize::from(dom)].remove(&port);
    }
}

fn run(hv: &World, model: &mut Model, op: &Op) {
    let d = |id: u16| dom(hv, id);
    match *op {
        Op::Alloc { dom, remote } => {
            let port = model.add(dom, Binding::Unbound { remote: DomId(remote) }, 0, false);
            assert_eq!(alloc_unbound(hv, &d(dom), DomId(remote)), Ok(port));
        }
        Op::Bind { dom, remote, port } => {
            let got = bind_interdomain(hv, &d(dom), &d(remote), port).map(|(port, _)| port);
            if model.get(remote, port).map(|e| e.binding) != Some(Binding::Unbound { remote: DomId(dom) }) {
                return assert_eq!(got, Err(Errno::EINVAL));
            }
            let near = model.add(dom, Binding::Interdomain { remote: DomId(remote), port }, 0, true);
            model.entry(remote, port).binding = Binding::Interdomain { remote: DomId(dom), port: near };
            assert_eq!(got, Ok(near));
        }
        Op::Virq { dom, virq, vcpu } => {
            let got = bind_virq(hv, &d(dom), virq, vcpu);
            let binding = Binding::Virq { virq };
            let owner = if is_global(virq) { None } else { Some(vcpu) };
            let expected = match () {
                () if virq >= 24 || (is_global(virq) && vcpu != 0) => Err(Errno::EINVAL),
                () if vcpu >= VCPUS => Err(Errno::ENOENT),
                () if model.bound(dom, binding, owner) => Err(Errno::EEXIST),
                () => Ok(model.add(dom, binding, vcpu, false)),
            };
            assert_eq!(got, expected);
        }
        Op::Ipi { dom, vcpu } => {
            let expected =
                if vcpu < VCPUS { Ok(model.add(dom, Binding::Ipi, vcpu, false)) } else { Err(Errno::ENOENT) };
            assert_eq!(bind_ipi(hv, &d(dom), vcpu), expected);
        }
        Op::Pirq { dom, pirq } => {
            let binding = Binding::Pirq { pirq };
            let expected = match () {
                () if pirq >= 32 => Err(Errno::EINVAL),
                () if model.bound(dom, binding, None) => Err(Errno::EEXIST),
                () => Ok(model.add(dom, binding, 0, false)),
            };
            assert_eq!(bind_pirq(hv, &d(dom), pirq, false).map(|(port, _)| port), expected);
        }
        Op::Close { dom, port } => {
            let expected = match model.get(dom, port).map(|e| e.binding) {
                None => Err(Errno::EINVAL),
                Some(Binding::Pirq { pirq }) => Ok(Some(PirqEffect::Unbind { pirq })),
                Some(_) => Ok(None),
            };
            model.close(dom, port);
            assert_eq!(close(hv, &d(dom), port), expected);
        }
        Op::Send { dom, port } => {
            let got = send(hv, &d(dom), port);
            match model.get(dom, port).map(|e| e.binding) {
                Some(Binding::Interdomain { remote, port }) => {
                    model.entry(remote.0, port).pending = true;
                    assert!(got.is_ok());
                }
                Some(Binding::Ipi) => {
                    model.entry(dom, port).pending = true;
                    assert!(got.is_ok());
                }
                Some(Binding::Unbound { .. }) => assert_eq!(got, Ok(Notify::NONE)),
                _ => assert_eq!(got, Err(Errno::EINVAL)),
            }
        }
        Op::Move { dom, port, vcpu } => {
            let got = bind_vcpu(&d(dom), port, vcpu);
            let movable = match model.get(dom, port).map(|e| e.binding) {
                None | Some(Binding::Ipi) => false,
                Some(Binding::Virq { virq }) => is_global(virq),
                Some(_) => true,
            };
            match (vcpu < VCPUS, movable) {
                (false, _) => assert_eq!(got, Err(Errno::ENOENT)),
                (true, false) => assert_eq!(got, Err(Errno::EINVAL)),
                (true, true) => {
                    assert!(got.is_ok());
                    model.entry(dom, port).vcpu = vcpu;
                }
            }
        }
        Op::Take { dom, port } => {
            hv.platform.page(mfn(dom, 0)).and_u64(offset_of!(SharedInfo, evtchn_pending), !(1 << port));
            if let Some(entry) = model.0[usize::from(dom)].get_mut(&port) {
                entry.pending = false;
            }
        }
        Op::Reset { dom } => {
            loop {
                match reset(hv, &d(dom), || true).unwrap() {
                    Progress::Done => break,
                    Progress::Preempted | Progress::Pirq(_) => {}
                }
            }
            let ports: Vec<_> = model.0[usize::from(dom)].keys().copied().collect();
            ports.into_iter().for_each(|port| model.close(dom, port));
        }
    }
}

fn check(hv: &World, model: &Model) {
    for id in 0..3u16 {
        let d = dom(hv, id);
        for port in 1..d.events.ports.valid() {
            let found = {
                let state = d.events.ports.get(port).unwrap().lock();
                (state.binding != Binding::Free).then_some((state.binding, state.vcpu))
            };
            let entry = model.get(id, port);
            assert_eq!(found, entry.map(|e| (e.binding, e.vcpu)), "d{id} port {port}");
            assert_eq!(
                is_pending(hv, &d, port).unwrap_or(false),
                entry.is_some_and(|e| e.pending),
                "d{id} port {port}"
            );
        }
        assert_eq!(d.events.control.lock().active as usize, model.0[usize::from(id)].len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn ports_are_what_a_naive_model_says(ops in proptest::collection::vec(op(), 1..60)) {
        let hv = world();
        let mut model = Model::default();
        for op in &ops {
            run(&hv, &mut model, op);
            check(&hv, &model);
        }
    }
}
