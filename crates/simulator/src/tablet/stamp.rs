//! World time as OpenMLDB writes it into file names.

use super::Millis;

/// World time 0 in days since 1970: 2026-11-22, the day of the recordings.
const FIRST_DAY: u64 = 20_779;

/// The first `digits` digits of `yyyymmddHHMMSS`.
pub(super) fn stamp(now: Millis, digits: usize) -> String {
    let seconds = now / 1000;
    let (year, month, day) = civil(FIRST_DAY + seconds / 86_400);
    let of_day = seconds % 86_400;
    let mut text = format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60);
    text.truncate(digits);
    text
}

/// Year, month and day of a day counted from 1970 (the usual era arithmetic, years begun in March).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_starts_on_the_day_of_the_recordings_and_runs_into_the_next_year() {
        assert_eq!(stamp(0, 14), "20261122000000");
        assert_eq!(stamp(20 * 3_600_000 + 58 * 60_000 + 7_000, 12), "202611222058");
        assert_eq!(stamp(40 * 86_400_000 + 999, 14), "20270101000000");
    }
}
