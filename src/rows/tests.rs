//! What is left once replicas have shown what they hold.

use super::compare::EACH;
use super::*;
use crate::model::Row;

fn row(key: &str, time: u64, value: &str) -> Row {
    Row { key: key.as_bytes().to_vec(), time, value: value.as_bytes().to_vec() }
}

fn compared(sides: &[&[Row]]) -> Vec<OddRow> {
    let mut comparison = RowComparison::of(sides.len(), 1_000_000);
    for (side, rows) in sides.iter().enumerate() {
        comparison.take(side, rows.iter().cloned()).unwrap();
    }
    comparison.finish()
}

#[test]
fn equal_rows_leave_nothing_whatever_their_order() {
    let rows = [row("a", 1, "x"), row("a", 2, "y"), row("b", 1, "x"), row("b", 1, "x")];
    let mut other = rows.clone();
    other.reverse();
    assert_eq!(compared(&[&rows, &other, &rows]), []);
    assert_eq!(compared(&[&rows]), [], "alone");
    assert_eq!(compared(&[&[], &[]]), []);
}

#[test]
fn what_one_lacks_what_differs_and_what_is_there_twice_is_left() {
    let (a, b, c) = (row("a", 1, "x"), row("b", 1, "old"), row("b", 1, "new"));
    let odd = compared(&[&[a.clone(), b.clone(), a.clone()], &[a.clone(), c.clone()]]);
    let expected = [(a, [2, 1]), (c, [0, 1]), (b, [1, 0])];
    assert_eq!(odd, expected.map(|(row, held)| OddRow { row, held: held.to_vec() }));
}

#[test]
fn what_is_kept_is_bounded_and_forgotten_once_everybody_has_shown_it() {
    let many = |from: u64| (from..from + 1_000).map(|n| row(&format!("k{n}"), n, "0123456789"));
    let mut comparison = RowComparison::of(2, 400_000);
    for page in 0..20 {
        comparison.take(0, many(page * 1_000)).unwrap();
        comparison.take(1, many(page * 1_000)).unwrap();
    }
    assert_eq!(comparison.read()[0].rows, 20_000);
    comparison.take(0, many(1_000_000)).unwrap();
    assert_eq!(comparison.take(0, many(2_000_000)), Err(TooDifferent { limit_bytes: 400_000 }));
}

/// A table of rows is between seven sixteenths and seven eighths full, and an allocator gives at least 16 bytes.
#[test]
fn what_a_row_takes_beside_its_bytes_is_counted() {
    let entry = size_of::<(Row, Vec<u32>)>() as u64;
    assert!(EACH >= (entry + 1) * 16 / 7 + 3 * 16, "{entry}");
}

#[test]
fn whoever_is_behind_is_read_on() {
    let mut comparison = RowComparison::of(2, 1_000);
    comparison.take(0, [row("a", 1, "x")]).unwrap();
    assert_eq!(comparison.behind(|_| true), Some(1));
    assert_eq!(comparison.behind(|side| side == 0), Some(0));
    assert_eq!(comparison.behind(|_| false), None);
}

proptest::proptest! {
    /// The difference is that of the two multisets.
    #[test]
    fn the_difference_is_exact(one in proptest::collection::vec(0_u8..6, 0..40), other in proptest::collection::vec(0_u8..6, 0..40)) {
        let rows = |of: &[u8]| of.iter().map(|n| row(&n.to_string(), u64::from(*n), "v")).collect::<Vec<_>>();
        let odd = compared(&[&rows(&one), &rows(&other)]);
        let times = |of: &[u8], n: u8| of.iter().filter(|found| **found == n).count() as u32;
        let mut expected = Vec::new();
        for n in 0..6 {
            // What is left is what one side has shown more often, counted from when both had shown it equally often.
            if times(&one, n) != times(&other, n) {
                expected.push(n.to_string().into_bytes());
            }
        }
        let found: Vec<Vec<u8>> = odd.into_iter().map(|odd| odd.row.key).collect();
        proptest::prop_assert_eq!(found, expected);
    }
}
