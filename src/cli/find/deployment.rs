//! What OpenMLDB's scripts (`sbin`) read: `conf/hosts` and `conf/openmldb-env.sh`, as `sbin/init.sh` makes a cluster of them.

use std::collections::BTreeMap;

use super::{Saying, Value, What};

/// ZooKeeper's port where no other one is said.
const PORT: &str = "2181";

/// The cluster that the two files describe; `outside` is the environment in which the scripts run.
pub(super) fn cluster(hosts: &str, variables: &str, outside: impl Fn(&str) -> Option<String>) -> Vec<Saying> {
    let set = assignments(variables, &outside);
    let variable = |name: &str| set.get(name).filter(|value| !value.is_empty()).cloned();
    if variable("OPENMLDB_MODE").is_some_and(|mode| mode != "cluster") {
        return Vec::new();
    }
    let in_hosts = || {
        // A ZooKeeper that is not theirs is named by the variable, or not at all.
        let is_theirs = variable("OPENMLDB_USE_EXISTING_ZK_CLUSTER").is_none_or(|value| value != "true");
        let port = variable("OPENMLDB_ZK_CLUSTER_CLIENT_PORT").unwrap_or_else(|| PORT.to_owned());
        let servers = zookeepers(hosts, &port);
        (is_theirs && !servers.is_empty()).then(|| servers.join(","))
    };
    let say = |what, key| move |text: String| Saying { what, value: Value::Text(text), key };
    let servers = variable("OPENMLDB_ZK_CLUSTER").map(say(What::Servers, "OPENMLDB_ZK_CLUSTER"));
    let servers = servers.or_else(|| in_hosts().map(say(What::Servers, "[zookeeper]")));
    let is_in_hosts = servers.as_ref().is_some_and(|servers| servers.key == "[zookeeper]");
    let root_key = if is_in_hosts { "OPENMLDB_ZK_ROOT_PATH (openmldb-env.sh)" } else { "OPENMLDB_ZK_ROOT_PATH" };
    let root = variable("OPENMLDB_ZK_ROOT_PATH").map(say(What::Root, root_key));
    servers.into_iter().flat_map(|servers| [Some(servers), root.clone()]).flatten().collect()
}

/// The servers below `[zookeeper]`: HOST[:PORT[:PEER_PORT:ELECTION_PORT]] [DIRECTORY].
fn zookeepers(hosts: &str, port: &str) -> Vec<String> {
    let mut is_in = false;
    let mut servers = Vec::new();
    for line in hosts.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('[') {
            is_in = line == "[zookeeper]";
        } else if is_in {
            let place = line.split_whitespace().next().unwrap_or_default();
            let mut parts = place.split(':');
            let host = parts.next().unwrap_or_default();
            let port = parts.next().filter(|port| !port.is_empty()).unwrap_or(port);
            servers.push(format!("{host}:{port}"));
        }
    }
    servers
}

/// What a file of `export NAME=VALUE` sets, the last line of a name counting. What a shell would have to be asked for is left out.
fn assignments(text: &str, outside: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let mut set: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let Some((name, value)) = line.split_once('=') else { continue };
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let value = expanded(value, |name| set.get(name).cloned().or_else(|| outside(name)));
        if let (true, Some(value)) = (is_name, value) {
            set.insert(name.to_owned(), value);
        }
    }
    set
}

/// A word as a shell reads it: quotes, `$NAME`, `${NAME}`, `${NAME:-WORD}` and `${NAME:=WORD}` as a whole word; none for anything else.
fn expanded(word: &str, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let word = word.trim();
    let (quoted, literal) = match word.chars().next() {
        Some(quote @ ('"' | '\'')) => (word[1..].split_once(quote)?.0, quote == '\''),
        _ => (word.split_whitespace().next().unwrap_or_default(), false),
    };
    let Some(reference) = quoted.strip_prefix('$').filter(|_| !literal) else {
        return (literal || !quoted.contains(['$', '`', '\\'])).then(|| quoted.to_owned());
    };
    let Some(inner) = reference.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        let is_name = reference.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        return is_name.then(|| variable(reference).unwrap_or_default());
    };
    let (name, default) = inner.split_once(":=").or_else(|| inner.split_once(":-")).unwrap_or((inner, ""));
    Some(variable(name).filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned()))
}
