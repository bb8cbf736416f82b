//! Numbers with their nouns and verbs: the only place where a plural is made.

use std::fmt::Display;

/// `1 partition`, `2 partitions`; for nouns that take an s, and `entry`.
pub fn counted<N: Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    match (number == N::from(1), noun.strip_suffix("ry")) {
        (true, _) => format!("1 {noun}"),
        (false, Some(stem)) => format!("{number} {stem}ries"),
        (false, None) => format!("{number} {noun}s"),
    }
}

/// A size with its unit, rounded down: `1.5 GiB`.
pub fn in_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// Bytes in hexadecimal, two lower-case digits each.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `1 operation is`, `2 operations are`.
pub fn counted_that<N: Display + PartialEq + From<u8> + Copy>(number: N, noun: &str, verb: Verb) -> String {
    format!("{} {}", counted(number, noun), verb.after(number))
}

/// A verb that follows a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// is, are
    Be,
    /// has, have
    Have,
    /// does, do
    Do,
    /// Any that takes an s: `serve`.
    Regular(&'static str),
}

impl Verb {
    /// The form that agrees with the number.
    pub fn after<N: PartialEq + From<u8>>(self, number: N) -> String {
        let one = number == N::from(1);
        match self {
            Self::Be => if one { "is" } else { "are" }.to_owned(),
            Self::Have => if one { "has" } else { "have" }.to_owned(),
            Self::Do => if one { "does" } else { "do" }.to_owned(),
            Self::Regular(verb) => format!("{verb}{}", if one { "s" } else { "" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Verb, counted, counted_that};

    #[test]
    fn nouns_and_verbs_agree_with_their_number() {
        assert_eq!(counted(0_usize, "partition"), "0 partitions");
        assert_eq!(counted(1_u64, "partition"), "1 partition");
        assert_eq!(counted(1_u64, "entry"), "1 entry");
        assert_eq!(counted(12_u64, "entry"), "12 entries");
        assert_eq!(counted_that(1_usize, "operation", Verb::Be), "1 operation is");
        assert_eq!(counted_that(2_usize, "operation", Verb::Be), "2 operations are");
        assert_eq!(counted_that(1_usize, "replica", Verb::Have), "1 replica has");
        assert_eq!(counted_that(0_usize, "partition", Verb::Do), "0 partitions do");
        assert_eq!(counted_that(1_usize, "partition", Verb::Regular("serve")), "1 partition serves");
        assert_eq!(counted_that(3_usize, "partition", Verb::Regular("serve")), "3 partitions serve");
    }
}
