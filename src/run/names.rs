//! Names as they are typed: a database, a table, a partition or several, and names that are nearly those that there are.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::model::Pid;

/// At most so many partitions are named at once.
const MOST: usize = 10_000;

/// A name, and what follows it. In backticks a name may have dots and slashes: `` `a.b`.t ``.
fn first_name(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = match text.strip_prefix('`') {
        Some(quoted) => quoted.split_once('`')?,
        None => text.split_at(text.find('.').unwrap_or(text.len())),
    };
    (!name.contains('`')).then_some((name, rest))
}

/// One name and nothing more.
pub(super) fn whole_name(text: &str) -> Option<&str> {
    match text.strip_prefix('`') {
        Some(quoted) => quoted.strip_suffix('`').filter(|name| !name.contains('`')),
        None => Some(text),
    }
}

/// `DATABASE.TABLE`.
pub(super) fn database_and_table(text: &str) -> Option<(&str, &str)> {
    let (db, rest) = first_name(text)?;
    let table = whole_name(rest.strip_prefix('.')?)?;
    (!table.is_empty()).then_some((db, table))
}

/// Whether a text has a dot that parts a database from a table.
pub fn names_a_table(text: &str) -> bool {
    first_name(text).is_some_and(|(_, rest)| rest.starts_with('.'))
}

/// `1,3,5-9`: each once, in the order in which they are named.
pub(super) fn pids(text: &str) -> Option<Vec<Pid>> {
    let mut pids = Vec::new();
    let mut known = BTreeSet::new();
    for part in text.split(',') {
        let range = range(part)?;
        if usize::try_from(range.end() - range.start()).is_ok_and(|more| more >= MOST - pids.len()) {
            return None;
        }
        pids.extend(range.filter(|pid| known.insert(*pid)).map(Pid));
    }
    Some(pids)
}

fn range(part: &str) -> Option<RangeInclusive<u32>> {
    let number = |text: &str| text.chars().all(|c| c.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
    let (first, last) = match part.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(part)?, number(part)?),
    };
    (first <= last).then_some(first..=last)
}

/// The one of these names that was meant, if one is so near that it may have been mistyped.
pub fn meant<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = (typed.chars().count() / 4).max(1);
    let distance = |name: &'a str| (strsim::osa_distance(typed, name), name);
    names.into_iter().map(distance).filter(|(distance, _)| *distance <= near).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TableName;

    fn numbers(text: &str) -> Option<Vec<u32>> {
        pids(text).map(|pids| pids.into_iter().map(|pid| pid.0).collect())
    }

    #[test]
    fn partitions_are_named_one_by_one_and_in_ranges() {
        assert_eq!(numbers("1,3,5-9"), Some(vec![1, 3, 5, 6, 7, 8, 9]));
        assert_eq!(numbers("7"), Some(vec![7]));
        assert_eq!(numbers("2-3,0-2"), Some(vec![2, 3, 0, 1]), "each once");
        for malformed in
            ["", "1,", "5-", "-5", "9-5", "1-2-3", "+1", "a", "1 ,2", "0-4294967295", "0-10000", "4294967296"]
        {
            assert_eq!(numbers(malformed), None, "{malformed}");
        }
        assert_eq!(numbers("0-9999").map(|pids| pids.len()), Some(10_000));
        assert_eq!(numbers("0-9999,10000"), None);
    }

    #[test]
    fn names_with_dots_are_written_in_backticks() {
        assert_eq!(database_and_table("shop.orders"), Some(("shop", "orders")));
        assert_eq!(database_and_table("`a.b`.t"), Some(("a.b", "t")));
        assert_eq!(database_and_table("`a/b`.`c.d/e`"), Some(("a/b", "c.d/e")));
        assert_eq!(database_and_table("a.b.c"), Some(("a", "b.c")), "a database's name has no dot");
        for malformed in ["shop", "shop.", "`a.b`t", "`a.b", "a`b.c", "`a`.`b", "`a`.`b`c", "`a`", ""] {
            assert_eq!(database_and_table(malformed), None, "{malformed}");
        }
        assert!(names_a_table("`a.b`.t") && !names_a_table("`a.b`") && !names_a_table("shop"));
    }

    #[test]
    fn names_are_written_as_they_are_typed() {
        for (db, table) in [("shop", "orders"), ("a.b", "t"), ("a", "b.c"), ("a/b", "c/d")] {
            let name = TableName { db: db.to_owned(), table: table.to_owned() };
            assert_eq!(database_and_table(&name.to_string()), Some((db, table)), "{name}");
        }
    }

    #[test]
    fn only_what_is_near_may_have_been_meant() {
        let names = ["orders", "clicks", "audit"];
        assert_eq!(meant("order", names), Some("orders"));
        assert_eq!(meant("Clicsk", names), None, "names are case-sensitive, and two letters are too many of six");
        assert_eq!(meant("clicsk", names), Some("clicks"));
        assert_eq!(meant("warehouse", names), None);
        assert_eq!(meant("", names), None);
    }
}
