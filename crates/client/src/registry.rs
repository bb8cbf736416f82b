//! Which address a server's name stands for, and whether anybody may be called there in that name.
//!
//! ZooKeeper's `map/names` holds what a server wrote when it last registered, and keeps it when the server goes. Its address may
//! be given to another server meanwhile (a container that is started anew), and whoever then calls it by the old name reaches
//! that one: what it holds would be taken for the other's, and what is sent would be done to it.

use std::collections::{BTreeMap, BTreeSet};

use openmldb_model::Endpoint;

use super::CallErrorKind;

/// Names with their addresses, and who is registered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registry {
    addresses: BTreeMap<Endpoint, String>,
    /// None where nobody could be asked.
    registered: Option<BTreeSet<Endpoint>>,
}

/// Why nobody is called in a server's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAddress {
    /// Its name stands for no address.
    Unknown,
    /// Its address is that of a server which is registered, and it is not.
    Taken {
        /// The address.
        address: String,
        /// Who is there.
        by: Endpoint,
    },
    /// Its address is that of other servers too, and it is unclear which of them is there.
    Shared {
        /// The address.
        address: String,
        /// Who may be there, too.
        with: Vec<Endpoint>,
    },
    /// It is not registered, so its address is what it once was.
    Unregistered {
        /// The address.
        address: String,
    },
    /// Its address is one that only its own host can use, which is another one.
    OnOtherHost {
        /// The address.
        address: String,
    },
}

impl Registry {
    /// Of these names and addresses, and of those who are registered. An empty address is none of its own: the name is the address
    /// (docs/openmldb/metadata-in-zookeeper.md#server-names).
    pub fn new(
        names: impl IntoIterator<Item = (Endpoint, String)>,
        registered: Option<impl IntoIterator<Item = Endpoint>>,
    ) -> Self {
        let addresses = names.into_iter().map(|(name, address)| {
            let address = if address.is_empty() { name.to_string() } else { address };
            (name, address)
        });
        Self { addresses: addresses.collect(), registered: registered.map(|all| all.into_iter().collect()) }
    }

    /// Whether any server goes by a name that is not its address.
    pub(super) fn has_names(&self) -> bool {
        self.addresses.iter().any(|(name, address)| name.as_str() != address)
    }

    /// The address that a name maps to, whichever server is there now; none if it is its own.
    pub(super) fn named(&self, endpoint: &Endpoint) -> Option<&str> {
        self.addresses.get(endpoint).map(String::as_str).filter(|address| *address != endpoint.as_str())
    }

    /// Who is registered, sorted; none where nobody could be asked.
    pub(super) fn registered(&self) -> Option<Vec<Endpoint>> {
        self.registered.as_ref().map(|all| all.iter().cloned().collect())
    }

    /// Where a server may be called.
    ///
    /// # Errors
    /// Nobody may be called in its name.
    pub fn address(&self, endpoint: &Endpoint) -> Result<String, NoAddress> {
        let address = match self.addresses.get(endpoint) {
            Some(address) => address.clone(),
            None => endpoint.to_string(),
        };
        if !address.contains(':') {
            return Err(NoAddress::Unknown);
        }
        let named = self.addresses.iter().filter(|(_, at)| **at == address).map(|(name, _)| name);
        // An address that metadata names may be a server's own, from before servers had names.
        let of_itself = self.registered.iter().flatten().filter(|at| at.as_str() == address);
        let with: BTreeSet<Endpoint> = named.chain(of_itself).filter(|other| *other != endpoint).cloned().collect();
        let is_registered = |at: &Endpoint| self.registered.as_ref().map(|all| all.contains(at));
        let there: Vec<&Endpoint> = with.iter().filter(|other| is_registered(other) == Some(true)).collect();
        match (is_registered(endpoint), there.as_slice()) {
            (Some(true), []) => Ok(address),
            (Some(false), [by]) => Err(NoAddress::Taken { address, by: (*by).clone() }),
            (_, []) if with.is_empty() && address == endpoint.as_str() => Ok(address),
            (None, []) if with.is_empty() => Ok(address),
            (_, []) if with.is_empty() => Err(NoAddress::Unregistered { address }),
            _ => Err(NoAddress::Shared { address, with: with.into_iter().collect() }),
        }
    }
}

impl From<NoAddress> for CallErrorKind {
    fn from(why: NoAddress) -> Self {
        let seen = why.text();
        match why {
            NoAddress::Unknown => Self::Unreachable { seen },
            _ => Self::NotCalled { seen },
        }
    }
}

impl NoAddress {
    /// What was seen, for an operator.
    fn text(&self) -> String {
        match self {
            Self::Unknown => {
                "no address is known for this server name, neither in ZooKeeper's map/names nor from ShowTablet"
                    .to_owned()
            }
            Self::Taken { address, by } => format!(
                "its last address {address} is that of {by}, which is registered while it is not; nothing is sent there in its name"
            ),
            Self::Shared { address, with } => {
                let with: Vec<&str> = with.iter().map(Endpoint::as_str).collect();
                format!(
                    "its address {address} is that of {} too, and it is unclear which of them is there; nothing is \
                     sent there",
                    with.join(", ")
                )
            }
            Self::OnOtherHost { address } => format!(
                "it is registered as {address}, an address that only its own host can use, and this is another host"
            ),
            Self::Unregistered { address } => format!(
                "it is not registered, and its last address {address} may be another server's by now; nothing is sent there"
            ),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str) -> Endpoint {
        text.into()
    }

    fn registry(names: &[(&str, &str)], registered: Option<&[&str]>) -> Registry {
        let names = names.iter().map(|(name, address)| (at(name), (*address).to_owned()));
        Registry::new(names, registered.map(|all| all.iter().map(|one| at(one)).collect::<Vec<_>>()))
    }

    #[test]
    fn a_name_stands_for_its_address_and_an_empty_one_for_itself() {
        let names = [("t1", "10.0.0.1:10921"), ("10.0.0.2:10921", "")];
        let found = registry(&names, Some(&["t1", "10.0.0.2:10921"]));
        assert_eq!(found.address(&at("t1")), Ok("10.0.0.1:10921".to_owned()));
        assert_eq!(found.address(&at("10.0.0.2:10921")), Ok("10.0.0.2:10921".to_owned()));
        assert_eq!(found.address(&at("10.0.0.3:10921")), Ok("10.0.0.3:10921".to_owned()), "no name at all");
        assert_eq!((found.named(&at("t1")), found.named(&at("10.0.0.2:10921"))), (Some("10.0.0.1:10921"), None));
        assert!(found.has_names() && !registry(&names[1..], None).has_names());
    }

    #[test]
    fn a_name_without_an_address_is_nobody() {
        assert_eq!(registry(&[("t1", "")], None).address(&at("t1")), Err(NoAddress::Unknown));
        assert_eq!(registry(&[], None).address(&at("t1")), Err(NoAddress::Unknown));
    }

    #[test]
    fn of_two_names_with_one_address_only_the_registered_one_is_called() {
        let names = [("t1", "10.0.0.2:10921"), ("t2", "10.0.0.2:10921"), ("t3", "10.0.0.3:10921")];
        let found = registry(&names, Some(&["t2", "t3"]));
        assert_eq!(found.address(&at("t2")), Ok("10.0.0.2:10921".to_owned()));
        let taken = NoAddress::Taken { address: "10.0.0.2:10921".to_owned(), by: at("t2") };
        assert_eq!(found.address(&at("t1")), Err(taken));
        for unclear in [Some(&["t1", "t2"][..]), Some(&["t3"][..]), None] {
            let found = registry(&names, unclear);
            for name in ["t1", "t2"] {
                let error = found.address(&at(name)).unwrap_err();
                assert!(matches!(&error, NoAddress::Shared { with, .. } if with.len() == 1), "{error:?}");
            }
            // A third one at the same time has nothing to do with it.
            assert_eq!(found.address(&at("t3")).is_ok(), unclear != Some(&["t1", "t2"][..]));
        }
    }

    #[test]
    fn a_named_server_that_is_not_registered_is_not_called_at_its_last_address() {
        let found = registry(&[("t1", "10.0.0.1:10921")], Some(&["t2"]));
        let address = "10.0.0.1:10921".to_owned();
        assert_eq!(found.address(&at("t1")), Err(NoAddress::Unregistered { address: address.clone() }));
        // Where nobody could be asked who is registered, what was known holds.
        assert_eq!(registry(&[("t1", "10.0.0.1:10921")], None).address(&at("t1")), Ok(address));
        // An address that is a server's own name is nobody else's.
        let own = registry(&[("10.0.0.3:10921", "")], Some(&["t2"]));
        assert_eq!(own.address(&at("10.0.0.3:10921")), Ok("10.0.0.3:10921".to_owned()));
    }

    #[test]
    fn an_address_in_metadata_from_before_servers_had_names_is_its_new_owners() {
        let found = registry(&[("t2", "10.0.0.2:10921")], Some(&["t2"]));
        let taken = NoAddress::Taken { address: "10.0.0.2:10921".to_owned(), by: at("t2") };
        assert_eq!(found.address(&at("10.0.0.2:10921")), Err(taken));
        assert_eq!(found.address(&at("t2")), Ok("10.0.0.2:10921".to_owned()));
    }
}
