//! Certificates that services show to their checks: each is told once when it is first seen, when it is due, and when it
//! has expired; also across a death of control.
//! Not here: seeing them (`probe`), whom it is told to (`alerts`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use supervisor_core::{CheckId, Event, ServiceName};
use supervisor_keeper::Request;

use crate::certificates::{Certificate, Standing, Validity, todo};
use crate::config::{Launch, ProbeHow};
use crate::control::probe::Probed;
use crate::control::run_loop::Control;
use crate::timestamp;

/// The keeper has what was told of each service below this.
const RECORD: &str = "certificate/";

/// What is known of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    validity: Validity,
    /// When it was seen last.
    standing: Standing,
    /// The worst that was told of it.
    told: Standing,
}

/// Those of one service, by the name that its checks ask for; an empty one for checks that say none.
type OfService = BTreeMap<String, Known>;

/// What the world may see: of each service the one that ends first.
pub(crate) type Shown = BTreeMap<ServiceName, (Validity, Certificate)>;

/// Those of all services.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    known: BTreeMap<ServiceName, OfService>,
    pub(crate) shown: Arc<Shown>,
}

/// Something to tell.
#[derive(Debug, PartialEq, Eq)]
struct News {
    certificate: Certificate,
    /// Whether the service has none now that is not good; `None`: this one is, another is not.
    passed: Option<bool>,
}

impl Certificates {
    /// What an earlier control knew.
    pub(crate) fn recovered(records: &BTreeMap<String, Vec<u8>>) -> Self {
        let known = records.iter().filter_map(|(key, value)| {
            let service = ServiceName::new(key.strip_prefix(RECORD)?).ok()?;
            Some((service, serde_json::from_slice(value).ok()?))
        });
        let mut all = Self { known: known.collect(), shown: Arc::default() };
        all.show();
        all
    }

    /// One was seen.
    fn see(&mut self, service: &ServiceName, host: &str, validity: Validity, now: i64) -> Option<News> {
        let all = self.known.entry(service.clone()).or_default();
        let standing = validity.standing(now);
        let before = all.get(host).filter(|known| known.validity == validity);
        let news = before.is_none_or(|known| standing > known.told || is_mended(*known, standing));
        let told = if news { standing } else { before.map_or(standing, |known| known.told) };
        all.insert(host.to_owned(), Known { validity, standing, told });
        let others_good = all.values().all(|known| known.standing == Standing::Good);
        self.show();
        let passed = if standing == Standing::Good { others_good.then_some(true) } else { Some(false) };
        news.then(|| News { certificate: Certificate::of(validity, standing, host), passed })
    }

    /// Of a service, only those for these names are looked at any more. `None`: nothing was forgotten; else whether
    /// nothing is left that is not good, while something was.
    fn keep(&mut self, service: &ServiceName, hosts: &BTreeSet<String>) -> Option<bool> {
        let all = self.known.get_mut(service)?;
        let troubled = |all: &OfService| all.values().any(|known| known.told > Standing::Good);
        let (count, before) = (all.len(), troubled(all));
        all.retain(|host, _| hosts.contains(host));
        if all.len() == count {
            return None;
        }
        let mended = before && !troubled(all);
        if all.is_empty() {
            self.known.remove(service);
        }
        self.show();
        Some(mended)
    }

    fn show(&mut self) {
        let first = |(service, all): (&ServiceName, &OfService)| {
            let (host, known) = all.iter().min_by_key(|(_, known)| known.validity.not_after)?;
            Some((service.clone(), (known.validity, Certificate::of(known.validity, known.standing, host))))
        };
        let shown: Shown = self.known.iter().filter_map(first).collect();
        if *self.shown != shown {
            self.shown = Arc::new(shown);
        }
    }
}

/// The clock was set back, by so much that nothing of what was told holds.
fn is_mended(known: Known, standing: Standing) -> bool {
    known.told > Standing::Good && standing == Standing::Good
}

impl Control {
    /// A check has answered.
    pub(crate) fn probed(&mut self, probed: Probed) {
        let Probed { run, check, began, outcome, certificate } = probed;
        self.note_probe(run, check, &outcome);
        if let Some(validity) = certificate {
            self.see_certificate(run, check, validity);
        }
        self.happen(Event::Probed { run, check, began, outcome });
    }

    fn see_certificate(&mut self, run: u64, check: CheckId, validity: Validity) {
        let Some(record) = self.runs.get(&run).map(|run| &run.record) else { return };
        let (service, generation) = (record.service.clone(), record.generation);
        // While generations follow each other, they may show different ones: that of the newest counts.
        let is_newer = |other: &crate::control::run::Run| {
            other.pid.is_some() && other.record.service == service && other.record.generation > generation
        };
        let how = self.of_run(run).and_then(|known| known.launch.probes.get(&check)).map(|probe| &probe.how);
        let Some(host) = how.and_then(host) else { return };
        if self.runs.values().any(is_newer) {
            return;
        }
        let now_ms = timestamp::now_ms();
        let before = self.certificates.known.get(&service).cloned();
        let news = self.certificates.see(&service, &host, validity, now_ms / 1000);
        if let Some(News { certificate, passed }) = news {
            let mut cause = certificate.in_words(now_ms);
            if certificate.state != Standing::Good {
                cause = format!("{cause}; {}", todo(service.as_str()));
            }
            self.history.certificate(&service, generation, certificate, passed, &cause);
        }
        if self.certificates.known.get(&service) != before.as_ref() {
            self.keep_certificates(&service);
        }
    }

    /// After a reload: checks may have gone, or ask for other names.
    pub(crate) fn forget_certificates(&mut self) {
        for service in self.certificates.known.keys().cloned().collect::<Vec<_>>() {
            let hosts = self.catalogue.current(&service).map(|known| hosts(&known.launch)).unwrap_or_default();
            let Some(mended) = self.certificates.keep(&service, &hosts) else { continue };
            if mended {
                self.history.no_certificate(&service);
            }
            self.keep_certificates(&service);
        }
    }

    /// So that another control does not tell it again.
    fn keep_certificates(&mut self, service: &ServiceName) {
        let key = format!("{RECORD}{service}");
        let request = match self.certificates.known.get(service).map(serde_json::to_vec) {
            Some(Ok(value)) => Request::Put { key, value },
            Some(Err(_)) | None => Request::Delete { key },
        };
        self.ask_keeper("keep what was told of a certificate", &request);
    }
}

/// The name that a check asks for, if it meets a certificate.
fn host(how: &ProbeHow) -> Option<String> {
    match how {
        ProbeHow::Http { tls: Some(_), host, .. } => Some(host.clone().unwrap_or_default()),
        ProbeHow::Http { tls: None, .. } | ProbeHow::Tcp | ProbeHow::Command(_) => None,
    }
}

fn hosts(launch: &Launch) -> BTreeSet<String> {
    launch.probes.values().filter_map(|probe| host(&probe.how)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    struct World {
        all: Certificates,
        service: ServiceName,
    }

    impl World {
        fn new() -> Self {
            Self { all: Certificates::default(), service: ServiceName::new("web").unwrap() }
        }

        /// One of 100 days that ends on that day.
        fn sees(&mut self, host: &str, end: i64, today: i64) -> Option<(Standing, Option<bool>)> {
            let validity = Validity { not_before: (end - 100) * DAY, not_after: end * DAY };
            let news = self.all.see(&self.service, host, validity, today * DAY)?;
            Some((news.certificate.state, news.passed))
        }

        fn dies_and_comes_again(&mut self) {
            let record = |all: &OfService| (format!("{RECORD}web"), serde_json::to_vec(all).unwrap());
            self.all = Certificates::recovered(&self.all.known.values().map(record).collect());
        }
    }

    #[test]
    fn each_standing_of_a_certificate_is_told_once_whoever_dies() {
        let mut world = World::new();
        let told: Vec<_> = (0..120)
            .filter_map(|today| {
                world.dies_and_comes_again();
                world.sees("", 100, today).map(|news| (today, news))
            })
            .collect();
        let expected = [
            (0, (Standing::Good, Some(true))),
            (87, (Standing::Due, Some(false))),
            (101, (Standing::Expired, Some(false))),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn another_certificate_is_news_and_ends_the_trouble_of_the_one_before() {
        let mut world = World::new();
        assert_eq!(world.sees("", 100, 101), Some((Standing::Expired, Some(false))));
        assert_eq!(world.sees("", 200, 102), Some((Standing::Good, Some(true))));
        assert_eq!(world.sees("", 200, 103), None);
        assert_eq!(world.sees("", 110, 104), Some((Standing::Due, Some(false))));
    }

    #[test]
    fn a_clock_that_jumps_tells_no_more_than_what_holds() {
        let mut world = World::new();
        assert_eq!(world.sees("", 100, 0), Some((Standing::Good, Some(true))));
        assert_eq!(world.sees("", 100, 5_000), Some((Standing::Expired, Some(false))));
        assert_eq!(world.sees("", 100, 90), None, "the worst was told");
        assert_eq!(world.all.shown[&world.service].1.state, Standing::Due, "but it is shown as it is");
        assert_eq!(world.sees("", 100, 101), None);
        assert_eq!(world.sees("", 100, 1), Some((Standing::Good, Some(true))));
        assert_eq!(world.sees("", 100, -20_000), None);
        assert_eq!(world.sees("", 100, 90), Some((Standing::Due, Some(false))));
    }

    #[test]
    fn a_service_is_well_when_none_of_its_certificates_is_bad() {
        let mut world = World::new();
        assert_eq!(world.sees("a", 100, 90), Some((Standing::Due, Some(false))));
        assert_eq!(world.sees("b", 190, 90), Some((Standing::Good, None)));
        assert_eq!(world.all.shown[&world.service].1.host.as_deref(), Some("a"));
        assert_eq!(world.sees("a", 200, 91), Some((Standing::Good, Some(true))));
        assert_eq!(world.all.shown[&world.service].1.host.as_deref(), Some("b"));
    }

    #[test]
    fn what_is_not_looked_at_any_more_is_no_trouble() {
        let mut world = World::new();
        let hosts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        world.sees("a", 100, 90);
        world.sees("b", 190, 90);
        assert_eq!(world.all.keep(&world.service, &hosts(&["a", "b"])), None);
        assert_eq!(world.all.keep(&world.service, &hosts(&["b", "c"])), Some(true));
        assert_eq!(world.all.keep(&world.service, &hosts(&[])), Some(false));
        assert!(world.all.shown.is_empty() && world.all.known.is_empty());
    }
}
