//! Services and new plans by chance.
//! Not here: what happens to them (see `properties`).

use proptest::prelude::*;
use supervisor_core::{Condition, Dependency, Kind, Liveness, Policy, RolloutPolicy, ServiceSpec, Sign};

use crate::desk::{check, name, service};

pub(crate) const SERVICES: usize = 5;

/// What a new plan does to one service, if it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edit {
    Keep,
    Update,
    Replace,
    Remove,
}

/// Every way of saying so.
pub(crate) const SIGNS: [Sign; 3] = [Sign::Notify, Sign::Line, Sign::Newline];

pub(crate) fn sign() -> impl Strategy<Value = Sign> + Clone {
    prop::sample::select(&SIGNS)
}

pub(crate) fn edits() -> impl Strategy<Value = Vec<(Edit, ServiceSpec)>> {
    let edit = || prop_oneof![4 => Just(Edit::Keep), 2 => Just(Edit::Update), 2 => Just(Edit::Replace), 2 => Just(Edit::Remove)];
    let edits = prop::collection::vec(edit(), SERVICES);
    (edits, specs()).prop_map(|(edits, specs)| edits.into_iter().zip(specs).collect())
}

fn spec(place: usize) -> impl Strategy<Value = ServiceSpec> {
    let policy = prop_oneof![Just(Policy::Always), Just(Policy::OnFailure), Just(Policy::No)];
    let condition =
        prop_oneof![2 => Just(Condition::Ready), 1 => Just(Condition::Started), 1 => Just(Condition::Completed)];
    let below = prop::collection::vec(prop::option::weighted(0.3, condition), place);
    let gates = (prop::collection::btree_set(sign(), 0..3), prop::option::of(0..3_000_u64), 0..3_u8);
    let live = prop::option::of((0..2_u8, prop::option::of(1_000..20_000_u64)));
    let restart = (policy, prop_oneof![Just(0_u64), Just(500)], 0..4_u32, 0..4_u32);
    let span = || prop_oneof![Just(0_u64), Just(3_000)];
    let rollout = (prop::bool::weighted(0.7), prop::option::of(Just(12)), span(), span(), span(), 1..4_u32);
    (any::<bool>(), below, gates, live, restart, prop_oneof![Just(0_u64), Just(10_000)], rollout).prop_map(
        move |(
            oneshot,
            below,
            (signs, delay, gates),
            live,
            (policy, delay_of_restart, loops, max),
            timeout,
            rollout,
        )| {
            let mut spec = service(&format!("s{place}"));
            spec.kind = if oneshot { Kind::Oneshot } else { Kind::Service };
            spec.autostart = max != 1;
            spec.depends_on = (0..)
                .zip(below)
                .filter_map(|(on, condition)| Some(Dependency { on: name(&format!("s{on}")), condition: condition? }))
                .collect();
            spec.ready.signs = signs.into_iter().map(|sign| (sign, "no sign".to_owned())).collect();
            spec.ready.delay = delay;
            spec.ready.checks = (0..gates).map(|id| check(id, "gate")).collect();
            spec.live = live.map(|(checks, watchdog)| Liveness {
                checks: (0..checks).map(|id| check(10 + id, "vital")).collect(),
                interval: 1_000,
                failures: 2,
                watchdog,
            });
            spec.restart.policy = policy;
            spec.restart.delay = delay_of_restart;
            spec.restart.jitter = 0.5;
            spec.restart.crash_loop = loops;
            spec.restart.max_restarts = max;
            spec.stop.timeout = timeout;
            let (overlap, drain_signal, bake, warm, drain, instances) = rollout;
            spec.rollout = RolloutPolicy { overlap: overlap && !oneshot, drain_signal, bake, warm, drain };
            spec.instances = instances;
            spec
        },
    )
}

/// Dependencies point to lower places only; the order of the specs is the reverse.
pub(crate) fn specs() -> impl Strategy<Value = Vec<ServiceSpec>> {
    (spec(0), spec(1), spec(2), spec(3), spec(4)).prop_map(|(a, b, c, d, e)| vec![e, d, c, b, a])
}
