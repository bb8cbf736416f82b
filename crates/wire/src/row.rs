//! A row's bytes as OpenMLDB encodes them (docs/openmldb/tablet.md#how-a-row-is-encoded): two bytes of version, four of length, a bit
//! for each column that is null, the columns of fixed width, where each text begins, the texts. Little-endian.

use openmldb_model::{Column, ColumnKind, Schema};

/// A column's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// None.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer of any width.
    Int(i64),
    /// A number of any width.
    Number(f64),
    /// A day: year, month, day.
    Date(i32, u8, u8),
    /// Milliseconds since 1970.
    Timestamp(i64),
    /// Text, if it is UTF-8.
    Text(String),
}

/// Versions, then the length of the whole row.
const HEADER: usize = 6;

/// The values of a row, by column; none if the bytes do not fit the schema (or the table is compressed, or has columns that are
/// not read here).
pub fn values(row: &[u8], schema: &Schema) -> Option<Vec<Value>> {
    let columns = schema.columns_of(*row.get(1)?);
    let size = usize::try_from(u32::from_le_bytes(*row.get(2..HEADER)?.first_chunk()?)).ok()?;
    if size != row.len() || columns.iter().any(|column| column.kind == ColumnKind::Other) {
        return None;
    }
    let nulls = row.get(HEADER..HEADER + columns.len().div_ceil(8))?;
    let texts = columns.iter().filter(|column| column.kind == ColumnKind::Text).count();
    let fixed: usize = columns.iter().map(|column| width(column.kind)).sum();
    let starts = HEADER + nulls.len() + fixed;
    let texts = Texts { row, starts, count: texts, width: offset_width(size) };
    let (mut at, mut text, mut values) = (HEADER + nulls.len(), 0, Vec::with_capacity(columns.len()));
    for (number, Column { kind, .. }) in columns.iter().enumerate() {
        let is_null = nulls[number / 8] >> (number % 8) & 1 == 1;
        let value = match kind {
            ColumnKind::Text => {
                text += 1;
                if is_null { Value::Null } else { Value::Text(texts.get(text - 1)?) }
            }
            _ if is_null => Value::Null,
            _ => fixed_value(*kind, row.get(at..at + width(*kind))?)?,
        };
        at += width(*kind);
        values.push(value);
    }
    Some(values)
}

/// Bytes among the columns of fixed width.
fn width(kind: ColumnKind) -> usize {
    match kind {
        ColumnKind::Bool => 1,
        ColumnKind::SmallInt => 2,
        ColumnKind::Int | ColumnKind::Float | ColumnKind::Date => 4,
        ColumnKind::BigInt | ColumnKind::Double | ColumnKind::Timestamp => 8,
        ColumnKind::Text | ColumnKind::Other => 0,
    }
}

fn fixed_value(kind: ColumnKind, bytes: &[u8]) -> Option<Value> {
    Some(match kind {
        ColumnKind::Bool => Value::Bool(bytes[0] != 0),
        ColumnKind::SmallInt => Value::Int(i16::from_le_bytes(*bytes.first_chunk()?).into()),
        ColumnKind::Int => Value::Int(i32::from_le_bytes(*bytes.first_chunk()?).into()),
        ColumnKind::BigInt => Value::Int(i64::from_le_bytes(*bytes.first_chunk()?)),
        ColumnKind::Float => Value::Number(f32::from_le_bytes(*bytes.first_chunk()?).into()),
        ColumnKind::Double => Value::Number(f64::from_le_bytes(*bytes.first_chunk()?)),
        ColumnKind::Timestamp => Value::Timestamp(i64::from_le_bytes(*bytes.first_chunk()?)),
        ColumnKind::Date => {
            let [day, month, years, more] = *bytes.first_chunk()?;
            Value::Date(1900 + i32::from(u16::from_le_bytes([years, more])), month.checked_add(1)?, day)
        }
        ColumnKind::Text | ColumnKind::Other => return None,
    })
}

/// How many bytes tell where a text begins, by the length of the row.
fn offset_width(size: usize) -> usize {
    match size {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xff_ffff => 3,
        _ => 4,
    }
}

/// A row's texts: each ends where the next one begins, the last one with the row.
struct Texts<'a> {
    row: &'a [u8],
    starts: usize,
    count: usize,
    width: usize,
}

impl Texts<'_> {
    fn get(&self, number: usize) -> Option<String> {
        let end = if number + 1 < self.count { self.start(number + 1)? } else { self.row.len() };
        let bytes = self.row.get(self.start(number)?..end)?;
        String::from_utf8(bytes.to_vec()).ok()
    }

    fn start(&self, number: usize) -> Option<usize> {
        let at = self.starts + number * self.width;
        let bytes = self.row.get(at..at + self.width)?;
        let of = |sum: usize, byte: &u8| sum << 8 | usize::from(*byte);
        // Three bytes are the other way round.
        Some(if self.width == 3 { bytes.iter().fold(0, of) } else { bytes.iter().rev().fold(0, of) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(kinds: &[ColumnKind]) -> Schema {
        let columns = kinds.iter().enumerate();
        let columns = columns.map(|(number, kind)| Column { name: format!("c{number}"), kind: *kind }).collect();
        Schema { columns, versions: vec![(1, 3)], indexes: Vec::new() }
    }

    /// What a client of the recorded clusters put: card, amount, time.
    fn put(card: &[u8], amount: f64, time: i64) -> Vec<u8> {
        let fixed = [amount.to_le_bytes().as_slice(), &time.to_le_bytes()].concat();
        let starts = HEADER + 1 + fixed.len();
        let size = u32::try_from(starts + 1 + card.len()).unwrap();
        let start = u8::try_from(starts + 1).unwrap();
        [&[1, 1], size.to_le_bytes().as_slice(), &[0], &fixed, &[start], card].concat()
    }

    const CARD: [ColumnKind; 3] = [ColumnKind::Text, ColumnKind::Double, ColumnKind::Timestamp];

    #[test]
    fn a_row_as_clients_put_it() {
        let found = values(&put(b"card000007", 1.5, 1_700_000_000_000), &schema(&CARD)).unwrap();
        let text = Value::Text("card000007".to_owned());
        assert_eq!(found, [text, Value::Number(1.5), Value::Timestamp(1_700_000_000_000)]);
    }

    #[test]
    fn every_kind_and_nulls() {
        use ColumnKind::*;
        let kinds = [Bool, SmallInt, Int, BigInt, Float, Date, Text, Text, Text];
        let schema = Schema { versions: Vec::new(), ..schema(&kinds) };
        let mut row = vec![1, 1, 0, 0, 0, 0, 0b1000_1000, 0];
        row.extend([1]);
        row.extend((-2_i16).to_le_bytes());
        row.extend(3_i32.to_le_bytes());
        row.extend(0_i64.to_le_bytes());
        row.extend(0.5_f32.to_le_bytes());
        row.extend([29, 10, 126, 0]);
        let starts = row.len() as u8 + 3;
        row.extend([starts, starts + 2, starts + 2]);
        row.extend(b"abc");
        let size = row.len() as u32;
        row[2..6].copy_from_slice(&size.to_le_bytes());
        let (a, c) = (Value::Text("ab".to_owned()), Value::Text("c".to_owned()));
        let date = Value::Date(2026, 11, 29);
        let expected = [Value::Bool(true), Value::Int(-2), Value::Int(3), Value::Null, Value::Number(0.5), date];
        assert_eq!(values(&row, &schema).unwrap(), [&expected[..], &[a, Value::Null, c]].concat());
    }

    #[test]
    fn long_rows_tell_where_texts_begin_in_more_bytes() {
        for (length, width) in [(10, 1), (1_000, 2), (100_000, 3), (20_000_000, 4)] {
            let schema = Schema { versions: Vec::new(), ..schema(&[ColumnKind::Text, ColumnKind::Text]) };
            let text = "x".repeat(length);
            let size = HEADER + 1 + 2 * width + length + 1;
            assert_eq!(offset_width(size), width);
            let mut row = vec![1, 1];
            row.extend(u32::try_from(size).unwrap().to_le_bytes());
            row.push(0);
            for start in [HEADER + 1 + 2 * width, size - 1] {
                let bytes = start.to_le_bytes();
                let mut bytes = bytes[..width].to_vec();
                if width == 3 {
                    bytes.reverse();
                }
                row.extend(bytes);
            }
            row.extend(text.as_bytes());
            row.push(b'y');
            assert_eq!(values(&row, &schema).unwrap(), [Value::Text(text), Value::Text("y".to_owned())]);
        }
    }

    #[test]
    fn older_rows_have_fewer_columns() {
        let mut wider = schema(&CARD);
        wider.columns.push(Column { name: "added".to_owned(), kind: ColumnKind::Int });
        assert_eq!(values(&put(b"a", 0.0, 0), &wider).unwrap().len(), 3);
    }

    #[test]
    fn what_is_cut_short_or_longer_or_no_row_gives_nothing() {
        let row = put(b"card", 1.0, 2);
        for length in 0..row.len() {
            assert_eq!(values(&row[..length], &schema(&CARD)), None, "{length}");
        }
        assert_eq!(values(&[&row[..], &[0]].concat(), &schema(&CARD)), None);
        assert_eq!(values(&row, &schema(&[ColumnKind::Text, ColumnKind::Text, ColumnKind::Double])), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(row: Vec<u8>) {
            let _ = values(&row, &schema(&CARD));
        }
    }
}
