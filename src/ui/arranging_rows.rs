//! How far an undertaking has come: as rows that fit a terminal, and as a line.

use std::time::Duration;

use crate::run::{Arranging, PartitionUnderWay};

use super::progress_rows::{SLOW_MS, bar, rate};
use super::words::{elapsed, one_line, roughly};

/// A row, and how much it matters: the smaller, the more.
type Row = (u8, String);

/// How many steps have to be done, and how long it has to have been at work, before the time left is told.
const ENOUGH: usize = 2;
const LEAST_MS: u64 = 10_000;
/// So many times as long as the steps before it took: something hangs.
const HANGS: f64 = 10.0;

/// The rows. `since` is how long ago it was told.
pub(super) fn rows(arranging: &Arranging, since: Duration, columns: usize) -> Vec<Row> {
    let Arranging { partitions, done, skipped, steps, steps_done, .. } = *arranging;
    let took = arranging.after_ms.saturating_add(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    let per_second = (steps_done >= ENOUGH && took > 0).then(|| steps_done as f64 / (took as f64 / 1000.0));
    let rate = if steps_done < steps { rate(per_second) } else { String::new() };
    let skipped = if skipped == 0 { String::new() } else { format!("{skipped} skipped") };
    let mut rows = vec![
        (0, bar("steps", steps_done, steps, &format!("{}{rate}", elapsed(took)), columns)),
        (0, bar("done", done, partitions, &skipped, columns)),
    ];
    rows.extend(left(arranging, took).map(|left| (1, left)));
    rows.extend(arranging.under_way.iter().map(|under_way| (3, under_way_text(under_way, since))));
    rows
}

/// How long the rest will take at the rate so far. What takes far longer than the steps before it says nothing of that rate.
fn left(arranging: &Arranging, took: u64) -> Option<String> {
    let Arranging { steps, steps_done, .. } = *arranging;
    if steps_done < ENOUGH || took < LEAST_MS || steps_done >= steps {
        return None;
    }
    let after = |took: u64| roughly((took as f64 / steps_done as f64 * (steps - steps_done) as f64) as u64);
    let longest = arranging.under_way.iter().map(|under_way| under_way.for_ms).max().unwrap_or(0);
    let before = took.saturating_sub(longest);
    let hangs = longest > SLOW_MS && longest as f64 > HANGS * before as f64 / steps_done as f64;
    Some(match hangs {
        true => format!("at least {} left, once what is slow has ended", after(before)),
        false => format!("about {} left at this rate", after(took)),
    })
}

fn under_way_text(PartitionUnderWay { partition, text, for_ms }: &PartitionUnderWay, since: Duration) -> String {
    let for_ms = for_ms.saturating_add(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    let slow = if for_ms > SLOW_MS { format!("SLOW > {}: ", roughly(SLOW_MS)) } else { String::new() };
    one_line(&format!("{slow}{partition} for {}: {text}", roughly(for_ms)))
}

/// How far it has come, in a line.
pub(super) fn said(arranging: &Arranging) -> String {
    let Arranging { after_ms, partitions, done, skipped, steps, steps_done, .. } = *arranging;
    let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
    let left = left(arranging, after_ms).map_or(String::new(), |left| format!("; {left}"));
    let slowest = arranging.under_way.iter().max_by_key(|under_way| under_way.for_ms);
    let slow = slowest.filter(|under_way| under_way.for_ms > SLOW_MS);
    let slow = slow.map_or(String::new(), |slow| format!("; {}", under_way_text(slow, Duration::ZERO)));
    let after = elapsed(after_ms);
    format!("after {after}: {steps_done} of {steps} steps, {done} of {partitions} partitions done{skipped}{left}{slow}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arranging(after_ms: u64, steps_done: usize, for_ms: u64) -> Arranging {
        let under_way = PartitionUnderWay {
            partition: "shop.orders/3".to_owned(),
            text: "migrate 10.0.0.1:10921 orders 3 10.0.0.4:10921: operation 7 is under way".to_owned(),
            for_ms,
        };
        Arranging { after_ms, partitions: 24, done: 3, skipped: 2, steps: 96, steps_done, under_way: vec![under_way] }
    }

    #[test]
    fn steps_what_is_under_way_and_since_when_are_shown() {
        let shown = |arranging: &Arranging| {
            let rows = rows(arranging, Duration::from_millis(1500), 79).into_iter().map(|(_, text)| text);
            rows.collect::<Vec<_>>()
        };
        assert_eq!(
            shown(&arranging(58_500, 12, 8_000)),
            [
                "    steps [=====>                                  ] 12/96  60.0 s, 0.2/s",
                "     done [=====>                                  ] 3/24  2 skipped",
                "about 7 min left at this rate",
                "shop.orders/3 for 9 s: migrate 10.0.0.1:10921 orders 3 10.0.0.4:10921: operation 7 is under way",
            ]
        );
        let slow = shown(&arranging(70_000, 0, 70_000));
        assert_eq!(slow.len(), 3, "nobody knows how long it takes: {slow:?}");
        assert!(slow[2].starts_with("SLOW > 60 s: shop.orders/3 for 71 s: migrate "), "{slow:?}");
        assert!(shown(&Arranging::default()).iter().take(2).all(|row| row.contains(" 0/0")), "nothing is not all");
    }

    #[test]
    fn the_same_is_said_in_a_line() {
        assert_eq!(
            said(&arranging(60_000, 12, 8_000)),
            "after 60.0 s: 12 of 96 steps, 3 of 24 partitions done, 2 skipped; about 7 min left at this rate"
        );
        let hangs = said(&arranging(400_000, 12, 340_000));
        assert!(hangs.contains("; at least 7 min left, once what is slow has ended; SLOW > 60 s: "), "{hangs}");
        let steady = said(&arranging(1_200_000, 12, 110_000));
        assert!(steady.contains("; about 2 h 20 min left at this rate; SLOW"), "each takes as long: {steady}");
        let slow = said(&arranging(70_000, 0, 70_000));
        assert!(slow.contains("; SLOW > 60 s: shop.orders/3 for 70 s: migrate"), "{slow}");
    }
}
