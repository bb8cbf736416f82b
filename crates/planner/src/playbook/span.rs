//! Durations as playbooks spell them: a whole number and a unit, `500ms`, `60s`, `5m`, `2h`.

use std::time::Duration;

/// Longest duration a playbook may name: a week. Longer than any load seen, short enough to catch a slipped zero.
pub(super) const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// Shortest poll interval: a tablet answers in about a millisecond (docs/openmldb/timings.md#measured), and polling
/// should cost it nothing.
pub(super) const SHORTEST_POLL: Duration = Duration::from_millis(10);

/// Units with their length in milliseconds, largest first.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration; none if the text is none.
pub(super) fn read(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*millis).map(Duration::from_millis)
}

/// Writes a duration in the largest unit that divides it. Exact to the millisecond, as [`read`] is.
pub(super) fn written(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (unit, length) =
        UNITS.into_iter().find(|(_, length)| millis > 0 && millis.is_multiple_of(*length)).unwrap_or(("ms", 1));
    format!("{}{unit}", millis / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_number_and_unit() {
        assert_eq!(read("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(read("60s"), Some(Duration::from_secs(60)));
        assert_eq!(read("5m"), Some(Duration::from_secs(300)));
        assert_eq!(read("2h"), Some(Duration::from_secs(7200)));
    }

    #[test]
    fn refuses_anything_else() {
        for text in [
            "",
            "60",
            "s",
            "1.5s",
            "-1s",
            " 1s",
            "1 s",
            "1d",
            "1S",
            "1s1s",
            "99999999999999999999s",
            "9999999999999999h",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn writes_the_largest_unit_that_fits() {
        for text in ["500ms", "1500ms", "1s", "90s", "1m", "90m", "2h", "168h"] {
            assert_eq!(written(read(text).unwrap()), text);
        }
        assert_eq!(written(Duration::from_secs(60)), "1m");
        assert_eq!(written(Duration::ZERO), "0ms");
    }
}
