//! Where the cluster is. Every source is heard, in this order: the command line, the environment, a file of flags, a profile by
//! its name, servers and root path in one word, and what OpenMLDB's own files say below the working directory and OPENMLDB_HOME.
//! The first that names a cluster decides. Pure, but for [`read`].

mod deployment;
mod flags;
mod profile;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

pub use read::heard;

use crate::cluster::{Pair, Secret};

/// The root path of a cluster of which nobody says another one.
pub const DEFAULT_ROOT: &str = "/openmldb";

/// Who says something about where the cluster is, the first to be heard first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Options.
    CommandLine,
    /// Variables.
    Environment,
    /// `--flagfile`.
    FlagFile(PathBuf),
    /// `--cluster NAME`.
    Profile {
        /// Its name.
        name: String,
        /// The configuration file.
        file: PathBuf,
    },
    /// `--cluster SERVERS/ROOT`.
    Word,
    /// A file that OpenMLDB's servers or scripts read.
    Deployment(PathBuf),
}

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// ZooKeeper's servers.
    Servers,
    /// The root path.
    Root,
    /// The leading nameserver's address.
    Nameserver,
    /// ZooKeeper's digest credentials.
    Certificate,
    /// OpenMLDB's user.
    User,
}

/// A setting's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Anybody may read it.
    Text(String),
    /// Nobody may.
    Secret(Secret),
    /// The file with it.
    File(PathBuf),
}

/// A value, and what its source calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saying {
    /// Which setting it is about.
    pub what: What,
    /// The value.
    pub value: Value,
    /// An option, a variable, a flag, a heading.
    pub key: &'static str,
}

/// All that one source says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Who.
    pub source: Source,
    /// What.
    pub sayings: Vec<Saying>,
    /// Why it is not known what it says.
    pub unreadable: Option<String>,
}

/// A value, and who said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The value.
    pub saying: Saying,
    /// Who.
    pub source: Source,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// What counts; no servers and no nameserver if no source names a cluster.
    pub taken: Vec<Told>,
    /// What other sources say: the same, or something else.
    pub besides: Vec<Besides>,
}

/// What a source says that is not heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Besides {
    /// What it says.
    pub told: Told,
    /// Whether that is another cluster, or another way of reaching it, than was taken.
    pub differs: bool,
}

/// Why nobody knows which cluster is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// A source that comes before the one that names the cluster cannot be read: it may name another.
    #[error("{by} may say where the cluster is, but cannot be read: {why}")]
    Unreadable {
        /// Which source.
        by: Source,
        /// Why.
        why: String,
    },
    /// A file was typed that names no cluster, and what happens to lie below the working directory names one.
    #[error("{typed} has no --zk_cluster, and the cluster that {other} names may be another one")]
    Unnamed {
        /// The file.
        typed: Source,
        /// What names one.
        other: Source,
    },
}

impl Said {
    /// All of a source that could be read.
    pub fn by(source: Source, sayings: Vec<Saying>) -> Self {
        Self { source, sayings, unreadable: None }
    }

    fn get(&self, what: What) -> Option<&Saying> {
        self.sayings.iter().find(|saying| saying.what == what)
    }

    /// What it takes for the cluster: naming one nameserver is more specific than naming the ZooKeeper.
    fn names(&self) -> Option<&Saying> {
        self.get(What::Nameserver).or_else(|| self.get(What::Servers))
    }

    /// Whether somebody has typed it for this very command.
    fn is_typed(&self) -> bool {
        !matches!(self.source, Source::Environment | Source::Deployment(_))
    }

    /// Whether its root path and credentials are those of the cluster that was named by another source: credentials go to no
    /// servers that they were not meant for.
    fn is_about(&self, cluster: &Saying) -> bool {
        match (&self.source, self.get(What::Servers), self.get(What::Nameserver)) {
            (Source::CommandLine | Source::Environment, ..) => true,
            (_, Some(servers), _) => cluster.what == What::Servers && same_servers(&servers.value, &cluster.value),
            (_, None, Some(nameserver)) => cluster.what == What::Nameserver && nameserver.value == cluster.value,
            (Source::Deployment(_), None, None) => false,
            (_, None, None) => true,
        }
    }
}

/// What counts of what was said.
///
/// # Errors
/// A source that may name the cluster cannot be read, or one that was typed names none.
pub fn find(said: &[Said]) -> Result<Found, FindError> {
    let decides = said.iter().position(|said| said.names().is_some());
    let before = &said[..decides.unwrap_or(said.len())];
    if let Some((said, why)) = before.iter().find_map(|said| said.unreadable.clone().map(|why| (said, why))) {
        return Err(FindError::Unreadable { by: said.source.clone(), why });
    }
    let Some((by, cluster)) = decides.and_then(|at| said[at].names().map(|names| (&said[at], names))) else {
        return Ok(Found::default());
    };
    let is_file = |said: &&Said| matches!(said.source, Source::FlagFile(_));
    if let (Source::Deployment(_), Some(file)) = (&by.source, before.iter().find(is_file)) {
        return Err(FindError::Unnamed { typed: file.source.clone(), other: by.source.clone() });
    }
    let told = |saying: &Saying, said: &Said| Told { saying: saying.clone(), source: said.source.clone() };
    let mut taken = vec![told(cluster, by)];
    let wanted: &[What] = match cluster.what {
        What::Nameserver => &[What::User],
        _ => &[What::Root, What::Certificate, What::User],
    };
    for what in wanted {
        let mut about = said.iter().filter(|said| std::ptr::eq(*said, by) || said.is_about(cluster));
        taken.extend(about.find_map(|said| said.get(*what).map(|saying| told(saying, said))));
    }
    let every = said.iter().flat_map(|said| said.sayings.iter().map(move |saying| told(saying, said)));
    let besides =
        every.filter(|told| !taken.contains(told)).map(|told| Besides { differs: differs(&told, &taken), told });
    let besides = besides.collect();
    Ok(Found { taken, besides })
}

fn differs(told: &Told, taken: &[Told]) -> bool {
    let same = |other: &&Told| other.saying.what == told.saying.what;
    match taken.iter().find(same) {
        Some(other) if told.saying.what == What::Servers => !same_servers(&told.saying.value, &other.saying.value),
        Some(other) => told.saying.value != other.saying.value,
        // A root path of which nobody says another is the usual one.
        None if told.saying.what == What::Root => told.saying.value != Value::Text(DEFAULT_ROOT.to_owned()),
        None => true,
    }
}

/// Whether two lists are of one ZooKeeper: one server of it may be all that somebody names.
fn same_servers(one: &Value, other: &Value) -> bool {
    let (Value::Text(one), Value::Text(other)) = (one, other) else { return false };
    one.split(',').any(|server| other.split(',').any(|other| server.trim() == other.trim()))
}

impl Found {
    /// What counts of a setting.
    pub fn get(&self, what: What) -> Option<&Told> {
        self.taken.iter().find(|told| told.saying.what == what)
    }

    /// A setting as text; none if nobody says it, or it is none.
    pub fn text(&self, what: What) -> Option<&str> {
        match &self.get(what)?.saying.value {
            Value::Text(text) => Some(text),
            Value::Secret(_) | Value::File(_) => None,
        }
    }

    /// A setting as a `user:password`.
    pub fn pair(&self, what: What) -> Option<Pair> {
        let told = self.get(what)?;
        match &told.saying.value {
            Value::File(path) => Some(Pair::File(path.clone())),
            Value::Secret(pair) => Some(Pair::Clear { pair: pair.clone(), place: told.place() }),
            Value::Text(_) => None,
        }
    }

    /// What to say before anything is done: where the cluster was found, if nobody has typed or set it, and whose word does not count
    /// although it was typed.
    pub fn notes(&self, said: &[Said]) -> Vec<String> {
        let Some(cluster) = self.taken.first() else { return Vec::new() };
        let mut notes = Vec::new();
        let typed = |besides: &&Besides| {
            let what = besides.told.saying.what;
            let is_typed = said.iter().any(|said| said.source == besides.told.source && said.is_typed());
            besides.differs && is_typed && matches!(what, What::Servers | What::Nameserver)
        };
        if let Some(other) = self.besides.iter().find(typed) {
            notes.push(format!(
                "using cluster {} from {}, which takes precedence over {} from {}",
                cluster.saying.value,
                cluster.place(),
                other.told.saying.value,
                other.told.place()
            ));
        } else if matches!(cluster.source, Source::Deployment(_)) {
            notes.push(format!("using cluster {} from {}", cluster.saying.value, cluster.place()));
        }
        notes
    }
}

impl Told {
    /// Where it stands, for a message.
    pub fn place(&self) -> String {
        match &self.source {
            Source::CommandLine | Source::Word => self.saying.key.to_owned(),
            Source::Environment => format!("{} in the environment", self.saying.key),
            source => format!("{} in {source}", self.saying.key),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine | Self::Word => f.write_str("the command line"),
            Self::Environment => f.write_str("the environment"),
            Self::FlagFile(file) | Self::Deployment(file) => write!(f, "{}", file.display()),
            Self::Profile { name, file } => write!(f, "profile {name} of {}", file.display()),
        }
    }
}

impl fmt::Display for Value {
    /// Secrets are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Secret(_) => f.write_str("(not shown)"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}
