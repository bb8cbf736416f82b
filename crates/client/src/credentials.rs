//! What we prove who we are with, kept out of every message.

use std::fmt;
use std::path::PathBuf;

use openmldb_model::hex;
use sha2::{Digest, Sha256};

/// A text that no message may show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the wire and nothing else.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Credentials that cannot be used as they are. Never says what they hold.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file with them cannot be read.
    #[error("the credentials file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// They are not of the form `user:password`.
    #[error("the credentials in {place} are not of the form user:password")]
    NotAPair {
        /// The file or the environment variable.
        place: String,
    },
    /// They are not plain ASCII, which HTTP headers demand of a user name.
    #[error("the user name in {place} contains characters that cannot be sent (only printable ASCII can)")]
    NotAscii {
        /// The file or the environment variable.
        place: String,
    },
}

/// The environment variable with ZooKeeper's digest credentials, `user:password` (OpenMLDB's flag zk_cert).
pub const ZK_CERT_ENV: &str = "OPENMLDB_ZK_CERT";
/// The environment variable with OpenMLDB's own credentials, `user:password`.
pub const AUTH_ENV: &str = "OPENMLDB_AUTH";

/// A `user:password`, as somebody gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pair {
    /// In the first line of a file.
    File(PathBuf),
    /// In clear.
    Clear {
        /// The pair.
        pair: Secret,
        /// Where it stands, for messages.
        place: String,
    },
}

impl Pair {
    /// The pair, and where it stands.
    fn read(&self) -> Result<(Secret, String), CredentialsError> {
        let (text, place) = match self {
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| CredentialsError::Unreadable { path: path.clone(), source })?;
                (text, path.display().to_string())
            }
            Self::Clear { pair, place } => (pair.reveal().to_owned(), place.clone()),
        };
        Ok((Secret::new(text.lines().next().unwrap_or_default()), place))
    }
}

/// ZooKeeper's digest credentials. As there, an empty password is one: ZooKeeper takes its digest like any other's.
///
/// # Errors
/// The file cannot be read, or what was found is no `user:password`.
pub fn zookeeper_credentials(pair: &Pair) -> Result<Secret, CredentialsError> {
    let (pair, place) = pair.read()?;
    split(pair.reveal(), &place)?;
    Ok(pair)
}

/// What OpenMLDB's servers are told about who calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// The service token every OpenMLDB server and tool sends, `sdefault`: works in every mode
    /// (docs/openmldb/clients.md#credentials).
    #[default]
    Service,
    /// A user with a password.
    User {
        /// The user's name.
        name: String,
        /// The password in clear; only its hash is sent.
        password: Secret,
    },
}

impl Credentials {
    /// A user with a password.
    ///
    /// # Errors
    /// The file cannot be read, what was found is no `user:password`, or the name cannot be sent.
    pub fn user(pair: &Pair) -> Result<Self, CredentialsError> {
        let (pair, place) = pair.read()?;
        let (name, password) = split(pair.reveal(), &place)?;
        if !name.chars().all(|c| c.is_ascii_graphic()) {
            return Err(CredentialsError::NotAscii { place });
        }
        Ok(Self::User { name: name.to_owned(), password: Secret::new(password) })
    }

    /// The value of the `authorization` header (docs/openmldb/clients.md#credentials): `sdefault`, or `u<user>:1<hex
    /// sha256 of the password>`.
    pub(super) fn header(&self) -> Secret {
        match self {
            Self::Service => Secret::new("sdefault"),
            Self::User { name, password } => {
                let hash = Sha256::digest(password.reveal().as_bytes());
                Secret::new(format!("u{name}:1{}", hex(&hash)))
            }
        }
    }
}

fn split<'a>(pair: &'a str, place: &str) -> Result<(&'a str, &'a str), CredentialsError> {
    match pair.split_once(':') {
        // The root of a new cluster has an empty password (auth.md).
        Some((name, password)) if !name.is_empty() => Ok((name, password)),
        _ => Err(CredentialsError::NotAPair { place: place.to_owned() }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_service_token_is_what_openmldb_sends() {
        assert_eq!(Credentials::default().header().reveal(), "sdefault");
    }

    #[test]
    fn a_password_is_sent_as_one_and_its_sha256() {
        let user = Credentials::User { name: "root".into(), password: Secret::new("123456") };
        assert_eq!(user.header().reveal(), "uroot:18d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92");
    }

    #[test]
    fn nothing_shows_a_secret() {
        let user = Credentials::User { name: "root".into(), password: Secret::new("hunter2") };
        let shown = format!("{user:?} {} {:?}", Secret::new("hunter2"), Secret::new("hunter2"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_file_is_read_up_to_its_first_line_end() {
        let path = std::env::temp_dir().join(format!("openmldb-ops-credentials-{}", std::process::id()));
        std::fs::write(&path, "root:a:b\nsecond line\n").unwrap();
        let pair = Pair::File(path.clone());
        let read = (Credentials::user(&pair).unwrap(), zookeeper_credentials(&pair).unwrap());
        std::fs::write(&path, "no pair").unwrap();
        let refused = zookeeper_credentials(&pair).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read.0, Credentials::User { name: "root".into(), password: Secret::new("a:b") });
        assert_eq!(read.1, Secret::new("root:a:b"));
        assert!(refused.ends_with("are not of the form user:password") && !refused.contains("no pair"), "{refused}");
    }

    #[test]
    fn an_empty_password_is_a_credential() {
        assert_eq!(split("root:", "here").unwrap(), ("root", ""));
        let user = Credentials::User { name: "root".into(), password: Secret::new("") };
        // What a new nameserver puts into its table of users for root (docs/openmldb/clients.md#credentials).
        assert_eq!(user.header().reveal(), "uroot:1e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for malformed in ["root", ":password", ":", ""] {
            assert!(split(malformed, "here").is_err(), "{malformed}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = zookeeper_credentials(&Pair::File("/nonexistent/cert".into())).unwrap_err().to_string();
        assert!(error.starts_with("the credentials file /nonexistent/cert cannot be read: "), "{error}");
    }
}
