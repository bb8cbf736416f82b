//! Reading the same index of several replicas side by side, and asking again about what seems to differ: clients may write
//! meanwhile, and a server that skips what has expired may skip a row with it.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::{CallError, Cluster};
use crate::model::{Endpoint, PartitionId, Row, RowCursor, RowPage};

use super::compare::{OddRow, RowComparison, RowsRead, TooDifferent};

/// How much is read and kept at a time.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rows a page: 5,000. A tablet gives up on a page after 50,000 entries, expired ones included
    /// (docs/openmldb/tablet.md#reading-rows).
    pub page: u32,
    /// Bytes of memory for rows that differ and are kept: 64 MiB, since several partitions are compared at a time.
    pub kept_bytes: u64,
    /// Bytes a second that are read of each replica at most; none for as many as it gives.
    pub bytes_per_second: Option<u64>,
    /// How often what seems to differ is asked about again: 5 times.
    pub looks: u32,
    /// Between these: 1 s, half of what a lagging follower usually needs.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let pause = Duration::from_secs(1);
        Self { page: 5_000, kept_bytes: 64 << 20, bytes_per_second: None, looks: 5, pause }
    }
}

/// The same where somebody is to be shown all that differs, of one partition: 256 MiB.
pub const SHOWN_BYTES: u64 = 256 << 20;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// What was read of each replica, in the order they were given.
    pub read: Vec<RowsRead>,
    /// The rows that not every replica holds equally often, in the order of keys.
    pub odd: Vec<OddRow>,
}

/// Why replicas could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// One does not answer, or does not have it loaded.
    #[error(transparent)]
    Call(#[from] CallError),
    /// They differ in too much.
    #[error(transparent)]
    TooDifferent(#[from] TooDifferent),
    /// A task of ours was lost, which is a bug.
    #[error("reading {0} hit an internal error")]
    Lost(String),
}

/// Compares what replicas of a partition hold in an index; none means the first one. `told` hears how far it is.
///
/// # Errors
/// See [`CompareError`].
pub async fn compare_rows(
    cluster: &Cluster,
    partition: PartitionId,
    index: Option<&str>,
    replicas: &[Endpoint],
    limits: &Limits,
    told: impl Fn(&[RowsRead]),
) -> Result<Compared, CompareError> {
    let reader = Reader { cluster, partition, index, replicas, limits };
    let mut comparison = RowComparison::of(replicas.len(), limits.kept_bytes);
    // Where each replica is to be read on; none behind its end.
    let mut places: Vec<Option<Option<RowCursor>>> = vec![Some(None); replicas.len()];
    let began = Instant::now();
    while let Some(behind) = comparison.behind(|side| places[side].is_some()) {
        // Whoever is not a whole page ahead of that one is read on beside it.
        let near = comparison.read()[behind].rows + u64::from(limits.page);
        let due = (0..replicas.len()).filter(|side| places[*side].is_some() && comparison.read()[*side].rows < near);
        let mut buffer = JoinSet::new();
        for side in due {
            let after = places[side].clone().flatten();
            let (cluster, at, index, limit) =
                (cluster.clone(), replicas[side].clone(), index.map(str::to_owned), limits.page);
            buffer.spawn(
                async move { (side, cluster.rows(&at, partition, index.as_deref(), after.as_ref(), limit).await) },
            );
        }
        while let Some(page) = buffer.join_next().await {
            let (side, page) = page.map_err(|_| CompareError::Lost(partition.to_string()))?;
            let RowPage { rows, next } = page?;
            comparison.take(side, rows)?;
            // A page that leads nowhere would be asked for for ever.
            let goes_on = next.is_some() && next.as_ref() != places[side].as_ref().and_then(Option::as_ref);
            places[side] = goes_on.then_some(next);
        }
        told(comparison.read());
        reader.rest(comparison.read(), began).await;
    }
    let read = comparison.read().to_vec();
    let mut odd = comparison.finish();
    for look in 0..limits.looks {
        if odd.is_empty() {
            break;
        }
        if look > 0 {
            tokio::time::sleep(limits.pause).await;
        }
        odd = reader.ask_again(odd).await?;
    }
    Ok(Compared { read, odd })
}

/// Asks once more for rows that replicas do not hold equally often: those that they still do not.
///
/// # Errors
/// See [`CompareError`].
pub(super) async fn still_odd(
    cluster: &Cluster,
    partition: PartitionId,
    index: &str,
    replicas: &[Endpoint],
    odd: Vec<OddRow>,
) -> Result<Vec<OddRow>, CompareError> {
    let reader = Reader { cluster, partition, index: Some(index), replicas, limits: &Limits::default() };
    reader.ask_again(odd).await
}

/// Whether a replica shows so many rows of this one's key that are newer.
///
/// # Errors
/// See [`CallError`].
pub(super) async fn shows_newer(
    cluster: &Cluster,
    at: &Endpoint,
    partition: PartitionId,
    index: &str,
    row: &Row,
    wanted: u64,
) -> Result<bool, CallError> {
    let mut after = Some(RowCursor { key: row.key.clone(), time: u64::MAX, seen: 0 });
    let mut newer = 0;
    while let Some(cursor) = after {
        let page = cluster.rows(at, partition, Some(index), Some(&cursor), ROWS_OF_A_KEY).await?;
        let found = page.rows.iter().take_while(|found| found.key == row.key && found.time > row.time).count();
        newer += found as u64;
        if newer >= wanted {
            return Ok(true);
        }
        let more = found == page.rows.len() && found > 0;
        after = page.next.filter(|next| more && *next != cursor);
    }
    Ok(false)
}

struct Reader<'a> {
    cluster: &'a Cluster,
    partition: PartitionId,
    index: Option<&'a str>,
    replicas: &'a [Endpoint],
    limits: &'a Limits,
}

impl Reader<'_> {
    /// Waits until no more has been read of any replica than the limit allows.
    async fn rest(&self, read: &[RowsRead], began: Instant) {
        let Some(per_second) = self.limits.bytes_per_second.filter(|limit| *limit > 0) else { return };
        let most = read.iter().map(|read| read.bytes).max().unwrap_or_default();
        let allowed = Duration::from_secs_f64(most as f64 / per_second as f64);
        tokio::time::sleep_until(began + allowed).await;
    }

    /// Rows that replicas still do not hold equally often, each asked for by itself, several at a time. Of very many the first
    /// ones; the others stay as they were seen.
    async fn ask_again(&self, odd: Vec<OddRow>) -> Result<Vec<OddRow>, CompareError> {
        let mut rest = odd.into_iter();
        let mut still = Vec::new();
        for _ in 0..ASKED_AGAIN / AT_A_TIME {
            let mut asked = JoinSet::new();
            for OddRow { row, .. } in rest.by_ref().take(AT_A_TIME) {
                let index = self.index.map(str::to_owned);
                let (cluster, replicas, partition) = (self.cluster.clone(), self.replicas.to_vec(), self.partition);
                asked.spawn(async move {
                    let mut held = Vec::with_capacity(replicas.len());
                    for at in &replicas {
                        held.push(times(&cluster, at, partition, index.as_deref(), &row).await?);
                    }
                    Ok::<_, CallError>(OddRow { row, held })
                });
            }
            while let Some(answer) = asked.join_next().await {
                let odd = answer.map_err(|_| CompareError::Lost(self.partition.to_string()))??;
                if odd.held.iter().any(|times| *times != odd.held[0]) {
                    still.push(odd);
                }
            }
        }
        still.extend(rest);
        still.sort_by(|one, other| one.row.cmp(&other.row));
        Ok(still)
    }
}

/// How often a replica holds a row.
async fn times(
    cluster: &Cluster,
    at: &Endpoint,
    partition: PartitionId,
    index: Option<&str>,
    row: &Row,
) -> Result<u32, CallError> {
    let mut after = Some(RowCursor { key: row.key.clone(), time: row.time, seen: 0 });
    let mut times = 0;
    while let Some(cursor) = after {
        let page = cluster.rows(at, partition, index, Some(&cursor), ROWS_OF_A_KEY).await?;
        let mut count = 0;
        for found in page.rows.iter().take_while(|found| found.key == row.key && found.time == row.time) {
            count += 1;
            times += u32::from(found == row);
        }
        let more = count == page.rows.len() && count > 0;
        after = page.next.filter(|next| more && *next != cursor);
    }
    Ok(times)
}

/// Rows that seem to differ and are asked for again at most, ...
pub(super) const ASKED_AGAIN: usize = 4_096;
/// ... and so many at a time.
const AT_A_TIME: usize = 32;
/// Rows of one key and time are few.
const ROWS_OF_A_KEY: u32 = 100;
