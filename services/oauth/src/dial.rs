//! To which of a name's addresses a connection is made.
//! Not here: what is asked there (`fetch`).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// For one address while there are others: a network that loses what goes to one version must not use up the time for
/// the other. Two seconds are enough for a first packet that is lost and sent again after one (RFC 6298).
const ONE_ADDRESS: Duration = Duration::from_secs(2);

/// Connects to the first that answers. The last is waited for as long as the caller waits.
pub(crate) async fn dial(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut addresses = in_turns(addresses).into_iter().peekable();
    while let Some(address) = addresses.next() {
        let connecting = TcpStream::connect(address);
        if addresses.peek().is_none() {
            return connecting.await;
        }
        if let Ok(Ok(stream)) = timeout(ONE_ADDRESS, connecting).await {
            return Ok(stream);
        }
    }
    Err(io::Error::other("its name has no address"))
}

/// The two versions of addresses in turns, each in the order that the system prefers.
fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|it| it.is_ipv6() == first);
    let both = one.len().min(other.len());
    let (rest_of_one, rest_of_other) = (one.split_off(both), other.split_off(both));
    let pairs = one.into_iter().zip(other).flat_map(|(one, other)| [one, other]);
    pairs.chain(rest_of_one).chain(rest_of_other).collect()
}

/// Whether an address is of the open internet (RFC 6890): not loopback, private, link-local, multicast, reserved, nor
/// any of those wrapped into version 6.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99)
                || (a == 198 && (b == 18 || b == 19)))
        }
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            // Only 2000::/3 is given out, and of it not: 2001::/23 (Teredo and others), documentation, 6to4, 3fff::/20.
            (a & 0xe000) == 0x2000
                && !(a == 0x2001 && b < 0x0200)
                && !(a == 0x2001 && b == 0x0db8)
                && a != 0x2002
                && !(a == 0x3fff && b < 0x1000)
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[test]
    fn only_the_open_internet_is_public() {
        for ip in ["1.1.1.1", "172.32.0.1", "100.63.255.255", "2606:4700::1111", "2a00::1"] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "fc00::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn the_two_versions_take_turns() {
        let order = |hosts: &[u8]| {
            let address = |host: &u8| match *host {
                host @ ..9 => SocketAddr::from(([1, 1, 1, host], 443)),
                host => SocketAddr::from(([0x2606, 0, 0, 0, 0, 0, 0, u16::from(host)], 443)),
            };
            let order = in_turns(hosts.iter().map(address).collect());
            let last = |it: &SocketAddr| match it.ip() {
                IpAddr::V4(v4) => v4.octets()[3],
                IpAddr::V6(v6) => v6.octets()[15],
            };
            order.iter().map(last).collect::<Vec<_>>()
        };
        assert_eq!(order(&[11, 12, 13, 1, 2]), [11, 1, 12, 2, 13]);
        assert_eq!(order(&[1, 11, 12]), [1, 11, 12]);
        assert_eq!((order(&[1, 2]), order(&[])), (vec![1, 2], vec![]));
    }

    #[tokio::test]
    async fn an_address_that_swallows_everything_leaves_time_for_the_next() {
        let full = TcpSocket::new_v4().unwrap();
        full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = full.listen(1).unwrap();
        let (swallowing, mut waiting) = (full.local_addr().unwrap(), Vec::new());
        // Its queue takes a few; after that the kernel drops what comes.
        while let Ok(Ok(stream)) = timeout(Duration::from_millis(200), TcpStream::connect(swallowing)).await {
            waiting.push(stream);
            assert!(waiting.len() < 100, "the queue is never full");
        }
        let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = good.local_addr().unwrap();
        let reached = timeout(5 * ONE_ADDRESS, dial(vec![swallowing, good])).await.expect("in time").unwrap();
        assert_eq!(reached.peer_addr().unwrap(), good);
    }
}
