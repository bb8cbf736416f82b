//! Reading the sources, each file once.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::super::args::shared::Where;
use super::super::environment::variable;
use super::super::failure::Failure;
use super::{Said, Saying, Source, Value, What, deployment, flags, profile};
use crate::cluster::{AUTH_ENV, Secret, ZK_CERT_ENV};

/// What a file has: none if there is none.
type Text = Result<Option<String>, String>;

/// What every source says, the first to be heard first.
///
/// # Errors
/// What was typed names a file or a cluster that cannot be had.
pub fn heard(at: &Where) -> Result<Vec<Said>, Failure> {
    let mut said = vec![Said::by(Source::CommandLine, typed(at)), Said::by(Source::Environment, environment())];
    if let Some(file) = &at.flagfile {
        let unreadable =
            |why: String| Failure::usage(anyhow!("the flag file {} cannot be read: {why}", file.display()));
        let text = text(file).and_then(|text| text.ok_or_else(|| "no such file".to_owned())).map_err(unreadable)?;
        said.push(Said::by(Source::FlagFile(file.clone()), flags::of_a_client(&text)));
    }
    match at.cluster.as_deref() {
        // No name of a profile has a colon: every list of servers has one.
        Some(word) if word.contains(':') => said.push(Said::by(Source::Word, one_word(word))),
        Some(name) => said.push(by_name(name)?),
        None => {}
    }
    said.extend(below(Path::new("conf")));
    let home = variable("OPENMLDB_HOME").map(PathBuf::from);
    let is_here = |home: &PathBuf| std::fs::canonicalize(home).ok() == std::env::current_dir().ok();
    said.extend(home.filter(|home| !is_here(home)).iter().flat_map(|home| below(&home.join("conf"))));
    Ok(said)
}

fn text(file: &Path) -> Text {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn typed(at: &Where) -> Vec<Saying> {
    let words = [
        (What::Servers, &at.zk_cluster, "--zk-cluster"),
        (What::Root, &at.zk_root_path, "--zk-root-path"),
        (What::Nameserver, &at.nameserver, "--nameserver"),
    ];
    let files = [(What::Certificate, &at.zk_cert_file, "--zk-cert-file"), (What::User, &at.auth_file, "--auth-file")];
    let say = |what, value, key| Saying { what, value, key };
    let words = words.into_iter().filter_map(|(what, word, key)| Some(say(what, Value::Text(word.clone()?), key)));
    let files = files.into_iter().filter_map(|(what, file, key)| Some(say(what, Value::File(file.clone()?), key)));
    words.chain(files).collect()
}

fn environment() -> Vec<Saying> {
    let say = |what, key: &'static str, value: fn(String) -> Value| {
        variable(key).map(|text| Saying { what, value: value(text), key })
    };
    let file = |text: String| Value::File(text.into());
    let secret = |text: String| Value::Secret(Secret::new(text));
    let sayings = [
        say(What::Nameserver, "OPENMLDB_NAMESERVER", Value::Text),
        say(What::Servers, "OPENMLDB_ZK_CLUSTER", Value::Text),
        say(What::Root, "OPENMLDB_ZK_ROOT_PATH", Value::Text),
        say(What::Certificate, "OPENMLDB_ZK_CERT_FILE", file),
        say(What::Certificate, ZK_CERT_ENV, secret),
        say(What::User, "OPENMLDB_AUTH_FILE", file),
        say(What::User, AUTH_ENV, secret),
    ];
    sayings.into_iter().flatten().collect()
}

/// `SERVERS/ROOT`.
fn one_word(word: &str) -> Vec<Saying> {
    let key = "--cluster";
    let (servers, root) = match word.find('/') {
        Some(at) => (&word[..at], Some(&word[at..])),
        None => (word, None),
    };
    let say = |what, text: &str| Saying { what, value: Value::Text(text.to_owned()), key };
    let root = root.map(|root| say(What::Root, root));
    [Some(say(What::Servers, servers)), root].into_iter().flatten().collect()
}

fn by_name(name: &str) -> Result<Said, Failure> {
    let hint = "name it there, or write SERVERS/ROOT, as in -c zk:2181/openmldb";
    let file =
        configuration().ok_or_else(|| Failure::usage(anyhow!("there is no home directory to look for clusters in")))?;
    let missing = || format!("there is no {}, where clusters have names", file.display());
    let text = text(&file).map_err(|why| format!("{} cannot be read: {why}", file.display()));
    let told = text.and_then(|text| profile::cluster(&text.ok_or_else(missing)?, name, &file));
    let sayings = told.map_err(|why| Failure::usage(anyhow!(why)).hint(hint))?;
    Ok(Said::by(Source::Profile { name: name.to_owned(), file }, sayings))
}

/// Where clusters have names.
fn configuration() -> Option<PathBuf> {
    let of = |name: &str| variable(name).map(PathBuf::from);
    of("OPENMLDB_OPS_CONFIG").or_else(|| {
        let configurations = of("XDG_CONFIG_HOME").or_else(|| of("HOME").map(|home| home.join(".config")))?;
        Some(configurations.join("openmldb-ops/config.yaml"))
    })
}

/// What OpenMLDB's own files say.
fn below(conf: &Path) -> Vec<Said> {
    let of_server = |name: &str| {
        let file = conf.join(name);
        said(text(&file), Source::Deployment(file), flags::of_a_server)
    };
    let (hosts, variables) = (conf.join("hosts"), conf.join("openmldb-env.sh"));
    let of_scripts = match (text(&hosts), text(&variables)) {
        (Ok(None), Ok(None)) => None,
        (Err(why), _) => said(Err(why), Source::Deployment(hosts), |_| Vec::new()),
        (_, Err(why)) => said(Err(why), Source::Deployment(variables), |_| Vec::new()),
        (Ok(hosts_say), Ok(variables_say)) => {
            let (hosts_say, variables_say) = (hosts_say.unwrap_or_default(), variables_say.unwrap_or_default());
            let sayings = deployment::cluster(&hosts_say, &variables_say, variable);
            let file = if sayings.iter().any(|saying| saying.key == "[zookeeper]") { hosts } else { variables };
            (!sayings.is_empty()).then(|| Said::by(Source::Deployment(file), sayings))
        }
    };
    [of_server("nameserver.flags"), of_server("tablet.flags"), of_scripts].into_iter().flatten().collect()
}

fn said(text: Text, source: Source, read: fn(&str) -> Vec<Saying>) -> Option<Said> {
    match text {
        Ok(text) => text.map(|text| Said::by(source, read(&text))),
        Err(why) => Some(Said { source, sayings: Vec::new(), unreadable: Some(why) }),
    }
}
