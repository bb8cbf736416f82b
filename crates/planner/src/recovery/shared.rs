//! What a memory is made of: there are as many of them as partitions, each is looked at through a new view again and again, and most
//! of it seldom changes. So it takes the room that it needs, and a copy is made only when one of two is changed.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use openmldb_model::Endpoint;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value whose copies are one until one of them is changed.
#[derive(PartialEq, Eq, Default)]
pub struct Shared<T>(Arc<T>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

/// Something of each replica of a partition, in the order of their endpoints. There are few: a node of a BTreeMap has room for
/// eleven.
#[derive(Clone, PartialEq, Eq)]
pub struct ByEndpoint<T>(Vec<(Endpoint, T)>);

impl<T> Default for ByEndpoint<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: fmt::Debug> fmt::Debug for ByEndpoint<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<T> ByEndpoint<T> {
    fn place(&self, endpoint: &Endpoint) -> Result<usize, usize> {
        self.0.binary_search_by(|(at, _)| at.cmp(endpoint))
    }

    /// What is at an endpoint.
    pub fn get(&self, endpoint: &Endpoint) -> Option<&T> {
        self.place(endpoint).ok().map(|at| &self.0[at].1)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, endpoint: &Endpoint) -> Option<&mut T> {
        self.place(endpoint).ok().map(|at| &mut self.0[at].1)
    }

    /// The same; what is missing is made.
    pub fn get_or_insert_with(&mut self, endpoint: &Endpoint, make: impl FnOnce() -> T) -> &mut T {
        let at = self.place(endpoint).unwrap_or_else(|at| {
            self.0.reserve_exact(1);
            self.0.insert(at, (endpoint.clone(), make()));
            at
        });
        &mut self.0[at].1
    }

    /// Puts something at an endpoint, in place of what was there.
    pub fn insert(&mut self, endpoint: Endpoint, value: T) {
        match self.place(&endpoint) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (endpoint, value));
            }
        }
    }

    /// All of it.
    pub fn iter(&self) -> impl Iterator<Item = (&Endpoint, &T)> {
        self.0.iter().map(|(endpoint, value)| (endpoint, value))
    }

    /// All of it, without the endpoints.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    /// The same, to change it.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// The endpoints.
    pub fn keys(&self) -> impl Iterator<Item = &Endpoint> {
        self.0.iter().map(|(endpoint, _)| endpoint)
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for ByEndpoint<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ByEndpoint<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(|all: BTreeMap<Endpoint, T>| all.into_iter().collect())
    }
}

impl<T, const N: usize> From<[(Endpoint, T); N]> for ByEndpoint<T> {
    fn from(all: [(Endpoint, T); N]) -> Self {
        all.into_iter().collect()
    }
}

impl<T> FromIterator<(Endpoint, T)> for ByEndpoint<T> {
    fn from_iter<I: IntoIterator<Item = (Endpoint, T)>>(all: I) -> Self {
        let sorted: BTreeMap<Endpoint, T> = all.into_iter().collect();
        Self(sorted.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_by_endpoint_and_the_last_one_counts() {
        let mut all: ByEndpoint<u32> = [("b", 1), ("a", 2), ("b", 3)].map(|(at, n)| (at.into(), n)).into();
        *all.get_or_insert_with(&"c".into(), || 7) += 1;
        all.insert("a".into(), 9);
        let seen: Vec<(&str, u32)> = all.iter().map(|(at, n)| (at.as_str(), *n)).collect();
        assert_eq!(seen, [("a", 9), ("b", 3), ("c", 8)]);
        assert_eq!(all.get(&"d".into()), None);
    }

    #[test]
    fn what_is_shared_is_copied_when_one_of_two_changes() {
        let one = Shared::from(vec![1]);
        let mut other = one.clone();
        other.push(2);
        assert_eq!((&*one, &*other), (&vec![1], &vec![1, 2]));
    }
}
