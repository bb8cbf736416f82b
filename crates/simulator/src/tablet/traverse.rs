//! Traverse: every row of a loaded replica, page by page, whatever its role. Equal replicas give equal pages
//! (docs/openmldb/tablet.md#reading-rows).

use std::cmp::Reverse;

use super::aggregate;
use super::expiry::rows_now;
use super::load::id_of;
use super::refusal::{Refusal, TABLE_IS_LOADING, code_and_msg};
use super::{RowId, Tablets};
use openmldb_wire::api;

const NO_SUCH_INDEX: Refusal = Refusal { code: 108, msg: "idx name not found" };
/// Made up: nobody asks on from a key that no answer gave.
const NO_SUCH_KEY: Refusal = Refusal { code: 109, msg: "key not found" };

/// What a deployment writes down of pre-aggregate tables.
const AGGREGATIONS: &str = "PRE_AGG_META_INFO";

/// A number as text, left aligned: these are in the order of the keys that end with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Digits([u8; 20]);

impl Digits {
    fn of(number: u64) -> Self {
        let mut digits = [0; 20];
        let count = number.checked_ilog10().map_or(1, |log| log as usize + 1);
        let mut rest = number;
        for digit in digits[..count].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Self(digits)
    }
}

/// A key that clients put rows under: one row's own, or one that rows share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Own(u64),
    Shared(u64),
}

impl Key {
    fn parse(key: &[u8]) -> Option<Self> {
        let key = std::str::from_utf8(key).ok()?;
        let own = || key.strip_prefix("key")?.parse().ok().map(Self::Own);
        key.strip_prefix("card").and_then(|number| number.parse().ok()).map(Self::Shared).or_else(own)
    }

    /// Where its rows stand among all: in one of 8 segments (`seg_cnt`), there by key. The real segment comes from another hash.
    fn place(self) -> (u64, bool, Digits) {
        let (Self::Own(number) | Self::Shared(number)) = self;
        (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61, matches!(self, Self::Own(_)), Digits::of(number))
    }
}

impl RowId {
    /// The key clients put the row under.
    pub fn key(self) -> String {
        match self.under() {
            Key::Own(number) => format!("key{number}"),
            Key::Shared(number) => format!("card{number}"),
        }
    }

    fn under(self) -> Key {
        self.key_number().map_or(Key::Own(self.0), Key::Shared)
    }
}

impl Tablets {
    pub(super) fn traverse(&self, at: usize, request: &api::TraverseRequest) -> api::TraverseResponse {
        match self.try_traverse(at, request) {
            Ok(answer) => answer,
            Err(refusal) => {
                let (code, msg) = code_and_msg(Err(refusal));
                api::TraverseResponse { code, msg, ..Default::default() }
            }
        }
    }

    /// All rows of the table that says what pre-aggregate tables are made of, where there are any; then clients write nothing else to it
    /// here.
    fn written_down(&self) -> Option<api::TraverseResponse> {
        let (code, _) = code_and_msg(Ok(""));
        let (mut pairs, rows) = (Vec::new(), self.aggregations());
        if rows.is_empty() {
            return None;
        }
        rows.iter().for_each(|row| encode(&mut pairs, b"aggregate", 0, row));
        let count = u32::try_from(rows.len()).ok();
        Some(api::TraverseResponse { pairs: Some(pairs), code, count, is_finish: Some(true), ..Default::default() })
    }

    fn try_traverse(&self, at: usize, request: &api::TraverseRequest) -> Result<api::TraverseResponse, Refusal> {
        let replica = self.machines[at].replica(id_of(request.tid, request.pid))?;
        if replica.is_loading() {
            return Err(TABLE_IS_LOADING);
        }
        let index = request.idx_name();
        if !index.is_empty() && !replica.schema.indexes.iter().any(|name| name == index) {
            return Err(NO_SUCH_INDEX);
        }
        let written_down = (replica.schema.name == AGGREGATIONS).then(|| self.written_down());
        if let Some(written_down) = written_down.flatten() {
            return Ok(written_down);
        }
        let rows = rows_now(&replica.rows, &replica.schema, self.now);
        let mut rows: Vec<RowId> = rows.into_iter().map(|entry| entry.row).collect();
        // By key, the newest row of each first.
        rows.sort_by_cached_key(|row| (row.under().place(), Reverse(*row)));
        let mut behind = 0;
        if !request.pk().is_empty() {
            let Some(key) = Key::parse(request.pk()) else { return Err(NO_SUCH_KEY) };
            // Where the row that was asked on from would be: it may be gone by now.
            let from = (key.place(), Reverse(RowId(request.ts())));
            let first = rows.partition_point(|row| (row.under().place(), Reverse(*row)) < from);
            let same = rows[first..].iter().take_while(|row| row.0 == request.ts()).count();
            let seen = if request.ts_pos.is_some() { request.ts_pos() as usize } else { 1 };
            behind = first + seen.min(same);
        }
        let limit = request.limit() as usize;
        let page = &rows[behind.min(rows.len())..];
        let page = &page[..limit.min(page.len())];
        let (last, seen) = match page.last() {
            Some(last) => {
                (Some(*last), rows[..behind + page.len()].iter().rev().take_while(|row| *row == last).count())
            }
            None => (None, 0),
        };
        let mut pairs = Vec::new();
        for row in page {
            let value = aggregate::base_offset(*row).map(|offset| aggregate::encoded(*row, offset));
            encode(&mut pairs, row.key().as_bytes(), row.0, &value.unwrap_or_else(|| row.to_value()));
        }
        let (code, _) = code_and_msg(Ok(""));
        Ok(api::TraverseResponse {
            pairs: Some(pairs),
            code,
            msg: None,
            count: u32::try_from(page.len()).ok(),
            pk: Some(last.map_or_else(|| request.pk().to_vec(), |row| row.key().into_bytes())),
            ts: Some(last.map_or(request.ts(), |row| row.0)),
            is_finish: Some(page.len() < limit),
            snapshot_id: None,
            ts_pos: u32::try_from(seen).ok(),
        })
    }
}

fn encode(pairs: &mut Vec<u8>, key: &[u8], time: u64, value: &[u8]) {
    let length = 8 + key.len() + value.len();
    pairs.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    pairs.extend(u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
    pairs.extend(time.to_le_bytes());
    pairs.extend(key);
    pairs.extend(value);
}
