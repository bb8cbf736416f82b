//! A look at ZooKeeper's ports with plain sockets, to tell an operator what is wrong with them.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;

use super::DiscoveryError;

/// How long a name may take to resolve, a port to answer, a ZooKeeper to say something about itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// A ZooKeeper's port, where the list of servers names none.
const DEFAULT_PORT: u16 = 2181;

/// The servers of a list, `host:port` each. What follows the first slash is a path, not a server.
pub(super) fn addresses(servers: &str) -> Result<Vec<String>, DiscoveryError> {
    let bad = |why: String| DiscoveryError::BadServers { servers: servers.to_owned(), why };
    let hosts = servers.split_once('/').map_or(servers, |(hosts, _)| hosts);
    hosts
        .split(',')
        .map(|server| {
            let (host, port) = match server.rsplit_once(':') {
                // The colons of a bare IPv6 address in brackets.
                Some((_, rest)) if rest.ends_with(']') => (server, DEFAULT_PORT),
                Some((host, port)) => (host, port.parse().map_err(|_| bad(format!("\"{port}\" is not a port")))?),
                None => (server, DEFAULT_PORT),
            };
            match host.is_empty() || host.contains(char::is_whitespace) {
                true => Err(bad(format!("\"{host}\" is not a host"))),
                false => Ok(format!("{host}:{port}")),
            }
        })
        .collect()
}

/// What a look at one port showed.
enum Port {
    Open,
    Unknown(String),
    Closed(String),
}

/// Whether at least one of the ports is open.
pub(super) async fn listens(addresses: &[String]) -> Result<(), DiscoveryError> {
    let mut looks: JoinSet<(String, Port)> = JoinSet::new();
    for address in addresses.iter().cloned() {
        looks.spawn(async move {
            let port = look(&address).await;
            (address, port)
        });
    }
    let (mut unknown, mut closed) = (Vec::new(), Vec::new());
    while let Some(look) = looks.join_next().await {
        match look {
            Ok((_, Port::Open)) => return Ok(()),
            Ok((address, Port::Unknown(seen))) => unknown.push(format!("{address}: {seen}")),
            Ok((address, Port::Closed(seen))) => closed.push(format!("{address}: {seen}")),
            Err(error) => closed.push(error.to_string()),
        }
    }
    if closed.is_empty() {
        unknown.sort_unstable();
        return Err(DiscoveryError::UnknownHost { seen: unknown.join("; ") });
    }
    closed.append(&mut unknown);
    closed.sort_unstable();
    Err(DiscoveryError::NothingListens { seen: closed.join("; ") })
}

async fn look(address: &str) -> Port {
    let resolved = match tokio::time::timeout(PATIENCE, lookup_host(address)).await {
        Ok(Ok(resolved)) => resolved.collect::<Vec<_>>(),
        Ok(Err(error)) => return Port::Unknown(error.to_string()),
        Err(_) => return Port::Unknown(format!("the resolver did not answer within {PATIENCE:?}")),
    };
    match tokio::time::timeout(PATIENCE, TcpStream::connect(resolved.as_slice())).await {
        Ok(Ok(_)) => Port::Open,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            Port::Closed("connection refused".to_owned())
        }
        Ok(Err(error)) => Port::Closed(error.to_string()),
        Err(_) => Port::Closed(format!("no answer to the attempt to connect within {PATIENCE:?}")),
    }
}

/// Why servers that listen gave no session: asks each what a ZooKeeper is always willing to tell.
pub(super) async fn why_no_session(
    servers: &str,
    addresses: &[String],
    waited: Duration,
    error: &str,
) -> DiscoveryError {
    for address in addresses {
        if let Ok(Ok(says)) = tokio::time::timeout(PATIENCE, introduce(address)).await
            && is_zookeeper(&says)
        {
            let line = says.lines().next().unwrap_or_default();
            let seen = format!("\"{line}\" ({error})");
            return DiscoveryError::NoSession { servers: servers.to_owned(), waited, seen };
        }
    }
    DiscoveryError::NoZooKeeper { servers: servers.to_owned(), waited }
}

/// The answer to `srvr`, the one command every ZooKeeper answers unless told otherwise.
async fn introduce(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"srvr").await?;
    let mut says = Vec::new();
    stream.take(1024).read_to_end(&mut says).await?;
    Ok(String::from_utf8_lossy(&says).into_owned())
}

/// Its version, that it has no quorum, or that it was told not to answer.
fn is_zookeeper(says: &str) -> bool {
    ["Zookeeper version", "This ZooKeeper instance", "srvr is not executed"].iter().any(|start| says.starts_with(start))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_servers_is_read_as_openmldb_reads_it() {
        assert_eq!(addresses("zk1:2181,zk2:2182").unwrap(), ["zk1:2181", "zk2:2182"]);
        assert_eq!(addresses("zk1").unwrap(), ["zk1:2181"]);
        assert_eq!(addresses("zk1:2181,zk2:2181/chroot").unwrap(), ["zk1:2181", "zk2:2181"]);
        assert_eq!(addresses("[::1]:2181,[::1]").unwrap(), ["[::1]:2181", "[::1]:2181"]);
    }

    #[test]
    fn a_malformed_list_says_where() {
        let error = |servers: &str| addresses(servers).unwrap_err().to_string();
        assert_eq!(
            error("zk1:21x1"),
            "\"zk1:21x1\" is not a list of ZooKeeper servers: \"21x1\" is not a port; write host:port[,host:port...]"
        );
        assert!(error("").contains("\"\" is not a host"));
        assert!(error("zk1:2181, zk2:2181").contains("\" zk2\" is not a host"));
        assert!(error("zk1:2181,").contains("\"\" is not a host"));
    }
}
