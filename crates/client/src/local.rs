//! Addresses that only their own host can use, and whether a server is on this host.

use std::net::IpAddr;
use std::time::Duration;

use tokio::net::TcpStream;

/// How long a port may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether an address `host:port` means whatever host it is used on. A name that happens to resolve to such an address here does
/// not: a host may well call itself so.
pub(super) fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip.is_unspecified(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Whether servers that answer at these addresses are all on other hosts. One that is reached over a connection with the same
/// address at both ends is on this one. Where nobody answers, nobody knows, and it is not said.
pub(super) async fn all_on_other_hosts(addresses: &[String]) -> bool {
    let mut any = false;
    for address in addresses {
        let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await else { continue };
        match (stream.local_addr(), stream.peer_addr()) {
            (Ok(here), Ok(there)) if here.ip() == there.ip() => return false,
            (Ok(_), Ok(_)) => any = true,
            _ => {}
        }
    }
    any
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_only_their_own_host_can_use_are_told() {
        for own in ["127.0.0.1:10921", "127.0.1.1:1", "localhost:10921", "LOCALHOST:1", "[::1]:10921", "0.0.0.0:10921"]
        {
            assert!(is_loopback(own), "{own}");
        }
        for others in ["10.0.0.1:10921", "t1:10921", "localhost.example.org:1", "[fe80::1]:1", "7353896297468489728"] {
            assert!(!is_loopback(others), "{others}");
        }
    }

    #[tokio::test]
    async fn a_server_behind_an_address_of_this_host_is_on_it() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert!(!all_on_other_hosts(std::slice::from_ref(&address)).await);
        drop(listener);
        assert!(!all_on_other_hosts(&[address]).await, "nobody answers");
    }
}
