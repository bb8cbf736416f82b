//! Tablets as one nameserver process has seen them come and go (docs/openmldb/nameserver.md#which-tablets-it-knows).

use std::collections::BTreeMap;

use super::Millis;

/// The tablets one nameserver process knows. Entries are never removed while the process lives.
#[derive(Debug, Default, Clone)]
pub(super) struct Members {
    tablets: BTreeMap<String, Member>,
    /// Tablets seen to go, and when, until they are dealt with on their return.
    went_offline: BTreeMap<String, Millis>,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    healthy: bool,
    /// When that last changed (`ctime`).
    since: Millis,
}

/// What a tablet's registration meant to a nameserver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Never seen before: nothing is recovered, whatever it held.
    New,
    /// It had been seen to go.
    Back,
    /// It was there all the time.
    Known,
}

impl Members {
    pub(super) fn arrive(&mut self, endpoint: &str, now: Millis) -> Arrival {
        match self.tablets.get_mut(endpoint) {
            None => {
                self.tablets.insert(endpoint.to_owned(), Member { healthy: true, since: now });
                Arrival::New
            }
            Some(member) if member.healthy => Arrival::Known,
            Some(member) => {
                *member = Member { healthy: true, since: now };
                Arrival::Back
            }
        }
    }

    /// Notes that a tablet went; false if it was not there.
    pub(super) fn leave(&mut self, endpoint: &str, now: Millis) -> bool {
        match self.tablets.get_mut(endpoint) {
            Some(member) if member.healthy => {
                *member = Member { healthy: false, since: now };
                self.went_offline.insert(endpoint.to_owned(), now);
                true
            }
            _ => false,
        }
    }

    pub(super) fn is_known(&self, endpoint: &str) -> bool {
        self.tablets.contains_key(endpoint)
    }

    pub(super) fn is_healthy(&self, endpoint: &str) -> bool {
        self.tablets.get(endpoint).is_some_and(|member| member.healthy)
    }

    pub(super) fn healthy(&self) -> impl Iterator<Item = &str> {
        self.tablets.iter().filter(|(_, member)| member.healthy).map(|(endpoint, _)| endpoint.as_str())
    }

    /// Tablets that are away, and since when.
    pub(super) fn offline(&self) -> impl Iterator<Item = (&str, Millis)> {
        self.tablets.iter().filter(|(_, member)| !member.healthy).map(|(name, member)| (name.as_str(), member.since))
    }

    pub(super) fn offline_since(&self, endpoint: &str) -> Option<Millis> {
        self.tablets.get(endpoint).filter(|member| !member.healthy).map(|member| member.since)
    }

    /// Endpoint, health and time of the last change of every tablet.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, bool, Millis)> {
        self.tablets.iter().map(|(endpoint, member)| (endpoint.as_str(), member.healthy, member.since))
    }

    /// When a tablet was seen to go, if its return was not dealt with yet.
    pub(super) fn went_offline(&self, endpoint: &str) -> Option<Millis> {
        self.went_offline.get(endpoint).copied()
    }

    pub(super) fn forget_offline(&mut self, endpoint: &str) {
        self.went_offline.remove(endpoint);
    }

    /// What a nameserver that becomes leader remembers of absences: those that last.
    pub(super) fn recount_offline(&mut self) {
        let away = self.offline().map(|(endpoint, since)| (endpoint.to_owned(), since)).collect();
        self.went_offline = away;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tablet_seen_to_go_comes_back() {
        let mut members = Members::default();
        assert_eq!(members.arrive("t", 5), Arrival::New);
        assert_eq!(members.arrive("t", 6), Arrival::Known);
        assert!(members.leave("t", 7));
        assert!(!members.leave("t", 8), "it is away already");
        assert_eq!(members.offline_since("t"), Some(7));
        assert_eq!(members.arrive("t", 9), Arrival::Back);
        assert_eq!(members.went_offline("t"), Some(7), "until its return is dealt with");
        assert!(!members.leave("other", 9));
    }
}
