//! Reading one mapping or one value of the tree: known keys, allowed words, numbers and durations within their bounds.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::{Problem, shown};
use super::node::{Node, Place};
use super::{Word, span};

/// Something wrong, and where.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) place: Place,
    pub(super) problem: Problem,
}

/// A mapping whose keys are all known and stand once.
pub(super) struct Keys<'n> {
    of: &'static str,
    entries: &'n [(Node, Node)],
    place: Place,
}

impl<'n> Keys<'n> {
    /// `of` is what messages call the mapping.
    pub(super) fn of(of: &'static str, node: &'n Node, place: &Place, allowed: &[&str]) -> Result<Self, Fault> {
        let expected =
            if allowed.is_empty() { "`{}`".to_owned() } else { format!("a mapping of {}", allowed.join(", ")) };
        let Node::Map(entries) = node else { return Err(wrong_kind(place, of, &expected, node)) };
        for (nth, (key, _)) in entries.iter().enumerate() {
            let fault = |problem| Fault { place: place.key(nth), problem };
            if !allowed.iter().any(|allowed| key.is_text(allowed)) {
                let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
                return Err(fault(Problem::UnknownKey { found: spelling(key), allowed }));
            }
            if entries[..nth].iter().any(|(before, _)| before == key) {
                return Err(fault(Problem::RepeatedKey(spelling(key))));
            }
        }
        Ok(Self { of, entries, place: place.clone() })
    }

    /// The value under a key, the place of the key and the place of the value.
    pub(super) fn entry(&self, key: &'static str) -> Result<(&'n Node, Place, Place), Fault> {
        match self.entries.iter().position(|(found, _)| found.is_text(key)) {
            Some(nth) => Ok((&self.entries[nth].1, self.place.key(nth), self.place.value(nth))),
            None => {
                let problem = Problem::MissingKey { of: self.of, key };
                Err(Fault { place: self.place.clone(), problem })
            }
        }
    }

    /// The text under a key, with its place.
    pub(super) fn text(&self, key: &'static str, expected: &str) -> Result<(&'n str, Place), Fault> {
        match self.entry(key)? {
            (Node::Text(text), _, place) => Ok((text, place)),
            (other, _, place) => Err(wrong_kind(&place, key, expected, other)),
        }
    }

    /// One of the words of a kind.
    pub(super) fn word<W: Word>(&self, key: &'static str) -> Result<W, Fault> {
        let (node, _, place) = self.entry(key)?;
        word(node, &place, key, W::WORDS, &[])
    }

    /// One of some words of a kind: those that are allowed, and those that [`super::rules`] keeps for later.
    pub(super) fn one_of<W: Word>(&self, key: &'static str, allowed: &[W], later: &[W]) -> Result<W, Fault> {
        let (node, _, place) = self.entry(key)?;
        word(node, &place, key, &spelled(allowed), &spelled(later))
    }

    /// The words yes and no, which YAML 1.2 leaves to us.
    pub(super) fn yes_or_no(&self, key: &'static str) -> Result<bool, Fault> {
        let (node, _, place) = self.entry(key)?;
        word(node, &place, key, &[("yes", true), ("no", false)], &[])
    }

    /// A whole number.
    pub(super) fn whole(&self, key: &'static str, bounds: RangeInclusive<u64>) -> Result<u64, Fault> {
        let (node, _, place) = self.entry(key)?;
        match node {
            Node::Whole(value) if bounds.contains(value) => Ok(*value),
            other => {
                let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
                Err(wrong_kind(&place, key, &expected, other))
            }
        }
    }

    /// A whole number whose upper bound fits 32 bits.
    pub(super) fn small(&self, key: &'static str, bounds: RangeInclusive<u64>) -> Result<u32, Fault> {
        self.whole(key, bounds).map(|value| u32::try_from(value).unwrap_or(u32::MAX))
    }

    /// A whole number that has not to be said.
    pub(super) fn whole_or(
        &self,
        key: &'static str,
        bounds: RangeInclusive<u64>,
        otherwise: u64,
    ) -> Result<u64, Fault> {
        if self.is_said(key) { self.whole(key, bounds) } else { Ok(otherwise) }
    }

    fn is_said(&self, key: &'static str) -> bool {
        self.entries.iter().any(|(found, _)| found.is_text(key))
    }

    /// A duration that has not to be said.
    pub(super) fn duration_or(
        &self,
        key: &'static str,
        bounds: RangeInclusive<Duration>,
        otherwise: Duration,
    ) -> Result<Duration, Fault> {
        if self.is_said(key) { self.duration(key, bounds) } else { Ok(otherwise) }
    }

    /// A duration.
    pub(super) fn duration(&self, key: &'static str, bounds: RangeInclusive<Duration>) -> Result<Duration, Fault> {
        let (node, _, place) = self.entry(key)?;
        let read = match node {
            Node::Text(text) => span::read(text),
            _ => None,
        };
        let Some(duration) = read else {
            return Err(wrong_kind(&place, key, "a duration such as 500ms, 60s, 5m or 2h", node));
        };
        if bounds.contains(&duration) {
            return Ok(duration);
        }
        let problem = Problem::OutOfBounds { key, from: *bounds.start(), to: *bounds.end(), found: duration };
        Err(Fault { place, problem })
    }
}

fn spelled<W: Word>(words: &[W]) -> Vec<(&'static str, W)> {
    words.iter().map(|word| (word.word(), *word)).collect()
}

/// Reads one of the allowed words, or one that is kept for later and that messages do not offer.
pub(super) fn word<W: Copy>(
    node: &Node,
    place: &Place,
    key: &'static str,
    allowed: &[(&'static str, W)],
    later: &[(&'static str, W)],
) -> Result<W, Fault> {
    let names = || allowed.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    let problem = match node {
        Node::Text(text) => match allowed.iter().chain(later).find(|(word, _)| word == text) {
            Some((_, meaning)) => return Ok(*meaning),
            None => Problem::UnknownWord { found: shown(text), allowed: names() },
        },
        Node::Boolean(found) => Problem::Boolean { found: *found, allowed: names() },
        other => return Err(wrong_kind(place, key, &format!("a word ({})", names()), other)),
    };
    Err(Fault { place: place.clone(), problem })
}

pub(super) fn wrong_kind(place: &Place, key: &'static str, expected: &str, found: &Node) -> Fault {
    let problem = Problem::WrongKind { key, expected: expected.to_owned(), found: found.described() };
    Fault { place: place.clone(), problem }
}

/// A key as a message shows it.
pub(super) fn spelling(key: &Node) -> String {
    match key {
        Node::Text(text) => shown(text),
        Node::Boolean(value) => value.to_string(),
        Node::Whole(value) => value.to_string(),
        Node::Number(value) => value.clone(),
        other => other.described(),
    }
}
