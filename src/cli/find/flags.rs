//! A file of flags, as OpenMLDB's servers read it (`--flagfile`): a flag a line, the last one of a name counts.

use super::{Saying, Value, What};
use crate::cluster::Secret;

/// A flag's value: that of the last line that sets it. A line that begins with `#` is a comment.
fn flag<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let of = |line: &'a str| {
        let line = line.trim();
        let flag = line.strip_prefix("--").or_else(|| line.strip_prefix('-'))?;
        let (found, value) = flag.split_once('=')?;
        (found.trim() == name).then_some(value.trim())
    };
    text.lines().filter_map(of).next_back().filter(|value| !value.is_empty())
}

/// Where a server finds its cluster, as its flags say.
pub(super) fn of_a_server(text: &str) -> Vec<Saying> {
    let say = |what, value, key| Saying { what, value, key };
    let text_of = |name| flag(text, name).map(|value| Value::Text(value.to_owned()));
    let certificate = flag(text, "zk_cert").map(|pair| Value::Secret(Secret::new(pair)));
    let sayings = [
        text_of("zk_cluster").map(|value| say(What::Servers, value, "--zk_cluster")),
        text_of("zk_root_path").map(|value| say(What::Root, value, "--zk_root_path")),
        certificate.map(|value| say(What::Certificate, value, "--zk_cert")),
    ];
    sayings.into_iter().flatten().collect()
}

/// The same, and as whom a client is to speak.
pub(super) fn of_a_client(text: &str) -> Vec<Saying> {
    let mut sayings = of_a_server(text);
    if let Some(user) = flag(text, "user") {
        let pair = Secret::new(format!("{user}:{}", flag(text, "password").unwrap_or_default()));
        sayings.push(Saying { what: What::User, value: Value::Secret(pair), key: "--user" });
    }
    sayings
}
