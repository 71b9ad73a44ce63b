//! What only all services together can show to be wrong: dependencies and ports.
//! Not here: a single service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use supervisor_core::{Condition, Fleet, GraphError, Kind, Policy, ServiceName, Settings};

use super::model::Listen;
use super::nearest::nearest;
use super::service::Built;
use super::source::{Problems, Sources, Span};

pub(super) struct Across<'a> {
    pub(super) services: &'a [Built],
    pub(super) listen: Listen,
    pub(super) sources: &'a Sources,
}

impl Across<'_> {
    pub(super) fn check(&self, problems: &mut Problems) {
        self.check_dependencies(problems);
        self.check_ports(problems);
    }

    fn check_dependencies(&self, problems: &mut Problems) {
        let by_name: BTreeMap<&str, &Built> =
            self.services.iter().map(|built| (built.service.spec.name.as_str(), built)).collect();
        let mut all_known = true;
        for (built, dependency, span) in self.dependencies() {
            let on = dependency.on.as_str();
            let Some(target) = by_name.get(on) else {
                all_known = false;
                let unknown = GraphError::UnknownDependency {
                    service: built.service.spec.name.clone(),
                    on: dependency.on.clone(),
                };
                let meant = if problems.has_room() { nearest(on, by_name.keys().copied()) } else { None };
                match meant {
                    Some(meant) => {
                        problems.add_with_help(span, unknown.to_string(), format!("did you mean `{meant}`?"));
                    }
                    None => problems.add(span, unknown.to_string()),
                }
                continue;
            };
            let target = &target.service.spec;
            let never = target.kind == Kind::Service && target.restart.policy == Policy::Always;
            if dependency.condition == Condition::Completed && never {
                let help = format!("give `{on}` `type = \"oneshot\"`, or wait until it is `ready`");
                problems.add_with_help(span, format!("`{on}` is always restarted, so it never completes"), help);
            }
        }
        if all_known {
            self.check_cycles(problems);
        }
    }

    fn check_cycles(&self, problems: &mut Problems) {
        let specs = self.services.iter().map(|built| built.service.spec.clone()).collect();
        let Err(error) = Fleet::new(Settings { max_parallel_starts: 1, max_parallel_launches: 1, seed: 0 }, specs)
        else {
            return;
        };
        let first = match &error {
            GraphError::Cycle(path) => path.first().zip(path.get(1)),
            GraphError::UnknownDependency { service, on } => Some((service, on)),
        };
        let edge = first.and_then(|(service, on)| self.edge(service, on));
        if let Some(span) = edge.or_else(|| self.services.first().map(|built| built.at)) {
            problems.add(span, error.to_string());
        }
    }

    fn edge(&self, service: &ServiceName, on: &ServiceName) -> Option<Span> {
        let edge = self
            .dependencies()
            .find(|(built, dependency, _)| built.service.spec.name == *service && dependency.on == *on);
        edge.map(|(_, _, span)| span)
    }

    fn dependencies(&self) -> impl Iterator<Item = (&Built, &supervisor_core::Dependency, Span)> {
        let of = |built| std::iter::repeat(built);
        self.services.iter().flat_map(move |built: &Built| {
            of(built).zip(&built.dependencies).map(|(built, (dependency, span))| (built, dependency, *span))
        })
    }

    fn check_ports(&self, problems: &mut Problems) {
        let mut taken: BTreeMap<u16, Vec<(IpAddr, String, Option<Span>)>> = BTreeMap::new();
        if let Listen::At(address) = self.listen {
            taken.entry(address.port()).or_default().push((address.ip(), "`http.listen`".to_owned(), None));
        }
        for built in self.services {
            let launch = &built.service.launch;
            for (port, span) in &built.ports {
                let users = taken.entry(*port).or_default();
                if let Some((_, user, place)) = users.iter().find(|(ip, _, _)| overlap(*ip, launch.bind)) {
                    let help = place.map(|place| format!("it is in {}", self.sources.place(place)));
                    let message = format!("port {port} of `{}` is also that of {user}", launch.name);
                    match help.filter(|_| problems.has_room()) {
                        Some(help) => problems.add_with_help(*span, message, help),
                        None => problems.add(*span, message),
                    }
                    continue;
                }
                users.push((launch.bind, format!("`{}`", launch.name), Some(*span)));
            }
        }
    }
}

/// Would two listeners of one port be in each other's way? `::` takes IPv4 too.
pub(crate) fn overlap(a: IpAddr, b: IpAddr) -> bool {
    let all = |ip: IpAddr| ip.is_ipv6() && ip.is_unspecified();
    let covers = |a: IpAddr, b: IpAddr| a.is_unspecified() && a.is_ipv4() == b.is_ipv4();
    a == b || all(a) || all(b) || covers(a, b) || covers(b, a)
}

/// Services by name, each name once: a further one becomes a problem.
pub(super) fn first_of_each<'t>(
    declared: Vec<super::service::Declared<'t>>,
    sources: &Sources,
    problems: &mut Problems,
) -> Vec<super::service::Declared<'t>> {
    let mut seen: BTreeMap<ServiceName, Span> = BTreeMap::new();
    let mut told = BTreeSet::new();
    let mut kept = Vec::new();
    for service in declared {
        match seen.get(&service.name) {
            Some(first) if told.insert(service.at) => {
                let message = format!("a second service `{}`", service.name);
                let first = if problems.has_room() { sources.place(*first) } else { String::new() };
                problems.add_with_help(service.at, message, format!("the first is in {first}"));
            }
            Some(_) => {}
            None => {
                seen.insert(service.name.clone(), service.at);
                kept.push(service);
            }
        }
    }
    kept
}
