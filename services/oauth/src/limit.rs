//! How often one client address may ask, and what its address is behind a proxy.
//! Not here: limits on what is stored; those are beside the statements.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use service_kit::{ConfigError, Env, Peer};

/// Addresses that are remembered; beyond it the strangers share one allowance.
const MOST: usize = 10_000;

/// Between two looks for addresses that can be forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// Requests per minute and address; 0: no limit. A quiet client may use a minute's worth at once.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// `POST /register`. 10.
    pub register: u32,
    /// `/authorize` and the callback. 60.
    pub authorize: u32,
    /// `/token` and `/revoke`. 120.
    pub token: u32,
}

impl Rates {
    /// Reads them.
    ///
    /// # Errors
    /// When one is no number.
    pub fn read(env: &Env) -> Result<Self, ConfigError> {
        let rate = |name: &str, usual| {
            env.number(name, "a number of requests per minute (0: no limit)").map(|given| given.unwrap_or(usual))
        };
        Ok(Self {
            register: rate("OAUTH_RATE_REGISTER", 10)?,
            authorize: rate("OAUTH_RATE_AUTHORIZE", 60)?,
            token: rate("OAUTH_RATE_TOKEN", 120)?,
        })
    }
}

/// Whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proxies {
    /// Nobody's.
    None,
    /// That of programs of this machine, as a proxy in front usually is one.
    Loopback,
    /// That of these.
    These(Vec<IpAddr>),
}

impl Proxies {
    fn trusts(&self, ip: IpAddr) -> bool {
        match self {
            Self::None => false,
            Self::Loopback => ip.is_loopback(),
            Self::These(addresses) => addresses.contains(&ip),
        }
    }

    /// Who asks: the last address of `X-Forwarded-For` that no trusted proxy has. What is left of it anybody can
    /// write.
    #[must_use]
    pub fn client(&self, peer: Peer, headers: &HeaderMap) -> Option<IpAddr> {
        let mut client = peer.0.map(|ip| ip.to_canonical())?;
        let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let hops: Vec<&str> = forwarded.flat_map(|value| value.split(',')).collect();
        for hop in hops.into_iter().rev() {
            if !self.trusts(client) {
                break;
            }
            // Some proxies write the port, too.
            let with_port = || hop.trim().parse::<SocketAddr>().map(|address| address.ip());
            match hop.trim().parse::<IpAddr>().or_else(|_| with_port()) {
                Ok(ip) => client = ip.to_canonical(),
                Err(_) => break,
            }
        }
        Some(client)
    }
}

/// Allowances of one kind of request. A limit is not truth: each process has its own, and forgets it when it ends.
pub struct Gate {
    per_minute: u32,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    buckets: HashMap<Option<IpAddr>, Bucket>,
    /// When those that are full again were last forgotten: looking through all of them for each stranger would help a
    /// flood.
    tidied: Option<Instant>,
}

struct Bucket {
    left: f64,
    at: Instant,
}

/// How long to wait, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany(pub u64);

impl Gate {
    /// So many per minute.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        Self { per_minute, seen: Mutex::default() }
    }

    /// Lets a request pass.
    ///
    /// # Errors
    /// When its sender has asked too often.
    pub fn pass(&self, client: Option<IpAddr>, now: Instant) -> Result<(), TooMany> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let most = f64::from(self.per_minute);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut client = client.map(network);
        if seen.buckets.len() >= MOST && !seen.buckets.contains_key(&client) {
            if seen.tidied.is_none_or(|at| now.saturating_duration_since(at) >= TIDY_EVERY) {
                seen.buckets.retain(|_, bucket| bucket.refilled(now, most) < most);
                seen.tidied = Some(now);
            }
            if seen.buckets.len() >= MOST {
                client = None;
            }
        }
        let bucket = seen.buckets.entry(client).or_insert(Bucket { left: most, at: now });
        let left = bucket.refilled(now, most);
        if left < 1.0 {
            let wait = Duration::from_secs_f64((1.0 - left) * 60.0 / most);
            return Err(TooMany(wait.as_secs() + 1));
        }
        *bucket = Bucket { left: left - 1.0, at: now };
        Ok(())
    }
}

impl Bucket {
    fn refilled(&self, now: Instant, most: f64) -> f64 {
        let minutes = now.saturating_duration_since(self.at).as_secs_f64() / 60.0;
        (self.left + minutes * most).min(most)
    }
}

/// A household has many addresses of version 6; what it cannot change is the first half.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_minutes_worth_passes_at_once_and_then_one_at_a_time() {
        let (gate, now) = (Gate::new(10), Instant::now());
        for _ in 0..10 {
            gate.pass(ip("1.2.3.4"), now).unwrap();
        }
        assert_eq!(gate.pass(ip("1.2.3.4"), now), Err(TooMany(7)));
        gate.pass(ip("1.2.3.5"), now).unwrap();
        gate.pass(ip("1.2.3.4"), now + Duration::from_secs(6)).unwrap();
        assert!(gate.pass(ip("1.2.3.4"), now + Duration::from_secs(6)).is_err());
    }

    #[test]
    fn one_network_of_version_6_is_one_client() {
        let (gate, now) = (Gate::new(1), Instant::now());
        gate.pass(ip("2001:db8::1"), now).unwrap();
        assert!(gate.pass(ip("2001:db8::2"), now).is_err());
        gate.pass(ip("2001:db8:0:1::1"), now).unwrap();
    }

    #[test]
    fn what_is_remembered_has_a_limit() {
        let (gate, now) = (Gate::new(2), Instant::now());
        for n in 0..u32::try_from(MOST).unwrap() + 1000 {
            let _ = gate.pass(Some(IpAddr::from(n.to_be_bytes())), now);
        }
        assert!(gate.seen.lock().unwrap().buckets.len() <= MOST + 1);
        gate.pass(ip("9.9.9.9"), now + Duration::from_secs(120)).unwrap();
        assert_eq!(gate.seen.lock().unwrap().buckets.len(), 1, "who has been quiet is forgotten");
    }

    #[test]
    fn only_a_trusted_proxy_says_who_the_client_is_and_only_its_own_word_counts() {
        let client = |proxies: &Proxies, peer: &str, forwarded: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", forwarded.parse().unwrap());
            proxies.client(Peer(ip(peer)), &headers)
        };
        let inner = Proxies::These(vec![ip("10.0.0.1").unwrap(), ip("10.0.0.2").unwrap()]);
        assert_eq!(client(&Proxies::Loopback, "127.0.0.1", "6.6.6.6, 1.2.3.4"), ip("1.2.3.4"));
        assert_eq!(client(&Proxies::Loopback, "5.5.5.5", "1.2.3.4"), ip("5.5.5.5"));
        assert_eq!(client(&Proxies::None, "127.0.0.1", "1.2.3.4"), ip("127.0.0.1"));
        assert_eq!(client(&inner, "10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2"), ip("1.2.3.4"));
        assert_eq!(client(&inner, "10.0.0.1", "nonsense"), ip("10.0.0.1"));
        assert_eq!(client(&inner, "10.0.0.1", "6.6.6.6, 1.2.3.4:4711"), ip("1.2.3.4"));
        assert_eq!(client(&inner, "10.0.0.1", "[2001:db8::1]:4711"), ip("2001:db8::1"));
    }
}
