//! YAML as a tree, and the way back from a place in the tree to a line and column. serde_yaml tells positions only of
//! errors, so a fault found in the tree is located by reading the text once more and failing at that place on purpose.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::error::{Position, Problem, shown};

/// Longest text, in bytes. The built-in playbooks have about 1,500.
pub(super) const LARGEST: usize = 64 * 1024;
/// Most nodes of a tree. Aliases can make a short text stand for a huge tree.
const MOST_NODES: usize = 10_000;

/// A YAML value. Keys are values too, in the order of the text, repeated ones included.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Null,
    Boolean(bool),
    /// A whole number from 0.
    Whole(u64),
    /// Any other number, as text.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    /// A value with a `!tag`, which the vocabulary never has.
    Tagged,
}

impl Node {
    /// Whether it is exactly that text.
    pub(super) fn is_text(&self, text: &str) -> bool {
        matches!(self, Self::Text(own) if own == text)
    }

    /// What it is, for a message.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Boolean(value) => format!("the boolean `{value}`"),
            Self::Whole(value) => format!("the number `{value}`"),
            Self::Number(value) => format!("the number `{value}`"),
            Self::Text(text) => format!("the text `{}`", shown(text)),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a mapping".to_owned(),
            Self::Tagged => "a tagged value".to_owned(),
        }
    }
}

/// A place in a tree: the way down from the top, each number an item of a list or an entry of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    way: Vec<usize>,
    /// Whether the last entry's key is meant rather than its value.
    key: bool,
}

impl Place {
    /// The whole document.
    pub(super) fn top() -> Self {
        Self { way: Vec::new(), key: false }
    }

    /// The value of the nth item or entry.
    pub(super) fn value(&self, nth: usize) -> Self {
        Self { way: self.way.iter().copied().chain([nth]).collect(), key: false }
    }

    /// The key of the nth entry.
    pub(super) fn key(&self, nth: usize) -> Self {
        Self { key: true, ..self.value(nth) }
    }
}

/// Reads YAML.
pub(super) fn parse(text: &str) -> Result<Node, (Option<Position>, Problem)> {
    if text.len() > LARGEST {
        return Err((None, Problem::TooLarge));
    }
    let left = Cell::new(MOST_NODES);
    match Tree(&left).deserialize(serde_yaml::Deserializer::from_str(text)) {
        Ok(Node::Null) => Err((None, Problem::Empty)),
        Ok(node) => Ok(node),
        Err(_) if left.get() == 0 => Err((None, Problem::TooLarge)),
        Err(error) => Err(not_yaml(&error)),
    }
}

/// serde_yaml's message, without the position it repeats.
fn not_yaml(error: &serde_yaml::Error) -> (Option<Position>, Problem) {
    let at = position(error);
    let said = error.to_string();
    let said = match at {
        Some(Position { line, column }) => said.replacen(&format!(" at line {line} column {column}"), "", 1),
        None => said,
    };
    let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if said == "EOF while parsing a value" { (None, Problem::Empty) } else { (at, Problem::NotYaml(said)) }
}

fn position(error: &serde_yaml::Error) -> Option<Position> {
    error.location().map(|at| Position { line: at.line(), column: at.column() })
}

/// The line and column of a place, in a text that [`parse`] has read.
pub(super) fn locate(text: &str, place: &Place) -> Option<Position> {
    let failed = Way { left: &place.way, key: place.key }.deserialize(serde_yaml::Deserializer::from_str(text));
    failed.err().as_ref().and_then(position)
}

/// Builds the tree; the cell says how many nodes it may still have.
#[derive(Clone, Copy)]
struct Tree<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Node;

    fn deserialize<D: de::Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        self.0.set(self.0.get().saturating_sub(1));
        if self.0.get() == 0 {
            return Err(de::Error::custom("too many values"));
        }
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Boolean(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Whole(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(u64::try_from(value).map_or_else(|_| Node::Number(value.to_string()), Node::Whole))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(format!("{value:?}")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry_seed(self, self)? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Node, A::Error> {
        let (IgnoredAny, content) = tagged.variant()?;
        content.newtype_variant::<IgnoredAny>()?;
        Ok(Node::Tagged)
    }
}

/// Goes down to a place and fails there.
struct Way<'a> {
    left: &'a [usize],
    key: bool,
}

impl<'de> DeserializeSeed<'de> for Way<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Way<'_> {
    type Value = ();

    // Whatever has no method of its own below fails with this, and so carries the position.
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("something else")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Some((nth, left)) = self.left.split_first() else { return Err(de::Error::custom("here")) };
        for _ in 0..*nth {
            list.next_element::<IgnoredAny>()?;
        }
        list.next_element_seed(Way { left, key: self.key })?;
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((nth, left)) = self.left.split_first() else { return Err(de::Error::custom("here")) };
        for _ in 0..*nth {
            map.next_entry::<IgnoredAny, IgnoredAny>()?;
        }
        if left.is_empty() && self.key {
            map.next_key_seed(Way { left: &[], key: false })?;
        } else {
            map.next_key::<IgnoredAny>()?;
            map.next_value_seed(Way { left, key: self.key })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, place: Place) -> Option<(usize, usize)> {
        locate(text, &place).map(|at| (at.line, at.column))
    }

    #[test]
    fn a_place_leads_back_to_line_and_column() {
        let text = "# a comment\nfirst: [1, {two: 2, drei: drei}]\nsecond:\n  - {}\n  - third: no\n    fourth: 4\n";
        let first = Place::top().value(0);
        let second = Place::top().value(1);
        assert_eq!(at(text, Place::top()), Some((2, 1)));
        assert_eq!(at(text, Place::top().key(1)), Some((3, 1)));
        assert_eq!(at(text, first.value(0)), Some((2, 9)));
        assert_eq!(at(text, first.value(1).key(1)), Some((2, 21)));
        assert_eq!(at(text, first.value(1).value(1)), Some((2, 27)));
        assert_eq!(at(text, second.value(0)), Some((4, 5)));
        assert_eq!(at(text, second.value(1).key(1)), Some((6, 5)));
        assert_eq!(at(text, second.value(1).value(1)), Some((6, 13)));
    }

    #[test]
    fn tags_numbers_and_repeated_keys_stay_visible() {
        let node = parse("a: !t {x: 1}\na: -1\nb: 99999999999999999999\nc: 1.5\n~: yes").unwrap();
        let text = |text: &str| Node::Text(text.to_owned());
        let number = |text: &str| Node::Number(text.to_owned());
        assert_eq!(
            node,
            Node::Map(vec![
                (text("a"), Node::Tagged),
                (text("a"), number("-1")),
                (text("b"), number("99999999999999999999")),
                (text("c"), number("1.5")),
                (Node::Null, text("yes")),
            ])
        );
    }

    #[test]
    fn a_short_text_that_stands_for_a_huge_tree_is_refused() {
        let wide = vec!["x"; 2000].join(",");
        let text = format!("a: &a [{wide}]\nb: [{}]\n", vec!["*a"; 50].join(","));
        assert_eq!(parse(&text), Err((None, Problem::TooLarge)));
    }
}
