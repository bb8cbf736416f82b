//! The configuration file: clusters by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Saying, Value, What};
use crate::run::meant;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Configuration {
    #[serde(default)]
    clusters: BTreeMap<String, Profile>,
}

/// A cluster. Credentials stand in files of their own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    zk_cluster: Option<String>,
    zk_root_path: Option<String>,
    zk_cert_file: Option<PathBuf>,
    nameserver: Option<String>,
    auth_file: Option<PathBuf>,
}

/// What the file says of a cluster. Files that it names without a path from the root lie beside it.
///
/// # Errors
/// It is no such file, or has no such cluster, or does not say where that is: another source would name another one.
pub(super) fn cluster(text: &str, name: &str, file: &Path) -> Result<Vec<Saying>, String> {
    let place = file.display();
    let configuration: Configuration = match text.trim().is_empty() {
        true => Configuration { clusters: BTreeMap::new() },
        false => serde_yaml::from_str(text).map_err(|error| format!("{place}: {error}"))?,
    };
    let Some(profile) = configuration.clusters.get(name) else {
        let known: Vec<&str> = configuration.clusters.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let meant = meant(name, configuration.clusters.keys().map(String::as_str));
        let meant = meant.map_or(String::new(), |meant| format!("did you mean `{meant}`? "));
        return Err(format!("there is no cluster `{name}` in {place}; {meant}it has {known}"));
    };
    let beside = |path: &PathBuf| file.parent().unwrap_or(Path::new("")).join(path);
    let say = |what, key, value: Option<Value>| value.map(|value| Saying { what, value, key });
    let text = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty()).map(Value::Text);
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| Value::File(beside(path)));
    let sayings = [
        say(What::Servers, "zk_cluster", text(&profile.zk_cluster)),
        say(What::Root, "zk_root_path", text(&profile.zk_root_path)),
        say(What::Certificate, "zk_cert_file", path(&profile.zk_cert_file)),
        say(What::Nameserver, "nameserver", text(&profile.nameserver)),
        say(What::User, "auth_file", path(&profile.auth_file)),
    ];
    let sayings: Vec<Saying> = sayings.into_iter().flatten().collect();
    match sayings.iter().any(|saying| matches!(saying.what, What::Servers | What::Nameserver)) {
        true => Ok(sayings),
        false => Err(format!("cluster `{name}` in {place} has neither zk_cluster nor nameserver")),
    }
}
