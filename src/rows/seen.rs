//! Comparing what replicas hold where a decision about the partition rests on it: all indexes, each replica read once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::cluster::{CallError, CallErrorKind, Cluster};
use crate::model::{Endpoint, Held, Offset, PartitionId, Row, Schema, TableName, counted};
use crate::recovery::{Lack, Read, RowsSeen};

use super::compare::OddRow;
use super::read::{ASKED_AGAIN, CompareError, Compared, Limits, compare_rows, shows_newer, still_odd};

/// Bytes a second that are read of each replica: clients are served beside it.
pub const BYTES_PER_SECOND: u64 = 64 << 20;
/// kTableIsLoading: a status may show a replica as loaded before it is, as that of an aggregate that is written to meanwhile does.
const IS_LOADING: i32 = 104;
/// How often comparing is begun at most, where answers make no sense.
const TRIES: u32 = 5;
/// How often what seems to differ is asked about again while somebody writes, ...
const LOOKS: u32 = 3;
/// ... for so many rows, since each is asked for by itself, ...
const FEW: usize = 256;
/// ... and after which pause: as long as a connected follower mostly needs to get what its leader has.
const PAUSE: Duration = Duration::from_millis(300);
/// Where somebody wrote while replicas were read that differ, and show no more bytes than this together, they are read again at once, ...
const SOON_READ: u64 = 16 << 20;
/// ... so often at most: between two writes there is time to read them all, and only then it is known how many of the rows that one counts
/// it does not show, because they were deleted.
const READINGS: u32 = 10;

/// Compares the loaded replicas of a partition on these tablets, if none holds more than `up_to` rows. That they could not be
/// compared is an answer, too. Asks, and changes nothing.
pub async fn rows_seen(
    cluster: &Cluster,
    table: &TableName,
    partition: PartitionId,
    replicas: &[Endpoint],
    up_to: u64,
) -> RowsSeen {
    let mut tries = 0;
    loop {
        tries += 1;
        match read(cluster, table, partition, replicas, up_to).await {
            Ok(seen) => return seen,
            // One answer that makes no sense is no reason to believe counts, nor is a load that has not quite ended.
            Err(Unseen::Garbled(_) | Unseen::Loading(_)) if tries < TRIES => tokio::time::sleep(PAUSE).await,
            Err(Unseen::Loading(why) | Unseen::Passing(why)) => return RowsSeen::failed(replicas.iter().cloned(), why),
            Err(Unseen::Garbled(why) | Unseen::Other(why)) => {
                return RowsSeen::unknown(replicas.iter().cloned(), why);
            }
        }
    }
}

/// Why rows were not compared.
enum Unseen {
    /// A server answered with something that makes no sense, or closed the connection: the next answer may make sense.
    Garbled(String),
    /// A replica that showed as loaded is still loading: it can be read a little later.
    Loading(String),
    /// A server did not answer, or lost what it held. It is not asked again here: the caller first checks whether it is
    /// there.
    Passing(String),
    /// Anything else.
    Other(String),
}

impl From<CallError> for Unseen {
    fn from(error: CallError) -> Self {
        match error.kind {
            CallErrorKind::Garbage { .. } | CallErrorKind::HungUp { .. } => Self::Garbled(error.to_string()),
            CallErrorKind::Refused { code: IS_LOADING, .. } => Self::Loading(error.to_string()),
            _ if error.is_passing() => Self::Passing(error.to_string()),
            _ => Self::Other(error.to_string()),
        }
    }
}

impl From<CompareError> for Unseen {
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::Call(error) => error.into(),
            CompareError::TooDifferent(_) | CompareError::Lost(_) => Self::Other(error.to_string()),
        }
    }
}

async fn read(
    cluster: &Cluster,
    table: &TableName,
    partition: PartitionId,
    replicas: &[Endpoint],
    up_to: u64,
) -> Result<RowsSeen, Unseen> {
    let first = loaded(cluster, partition, replicas).await?;
    not_too_many(first.values(), up_to).map_err(Unseen::Other)?;
    let schema = cluster.schema(table).await?;
    let schema = schema.ok_or_else(|| Unseen::Other(format!("the nameserver does not show {table} any more")))?;
    let Reading { before, mut odd, shown, after } = read_in_quiet(cluster, &schema, partition, replicas, first).await?;
    let mut asked = before.clone();
    let end = ends(&after);
    let looks = match (ends(&before) != end, schema.indexes.iter().any(|index| index.has_ttl)) {
        // So many are not on their way: one that is not connected lacks all that clients write.
        _ if odd.values().map(Vec::len).sum::<usize>() > FEW => 0,
        // What was written meanwhile may not have come to all of them yet, ...
        (true, _) => LOOKS,
        // ... and one may have been read before a row expired. Else what differs differs.
        (false, true) => 1,
        (false, false) => 0,
    };
    for look in 0..looks {
        let have_all = || ends(&asked).iter().all(|asked| end.iter().all(|end| asked >= end));
        if odd.values().all(Vec::is_empty) || look > 0 && have_all() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        asked = loaded(cluster, partition, replicas).await?;
        for (index, rows) in &mut odd {
            let again = still_odd(cluster, partition, index, replicas, std::mem::take(rows)).await;
            *rows = again?;
        }
    }
    let mut read: BTreeMap<Endpoint, Read> = BTreeMap::new();
    for (endpoint, held) in before {
        let offset = |of: &BTreeMap<Endpoint, Held>| of.get(&endpoint).map_or(Offset(0), |held| held.offset);
        let (asked, to) = (offset(&asked), offset(&after));
        if to < held.offset || asked < held.offset {
            let why = format!("{endpoint} was at offset {}, and is at {}", held.offset, to.min(asked));
            return Err(Unseen::Passing(why));
        }
        // Disk tables estimate what they count.
        let shown = shown.get(&endpoint).copied().filter(|_| !held.index_rows.is_empty());
        let hidden = shown.map_or(0, |shown| held.record_cnt.saturating_sub(shown));
        read.insert(endpoint, Read { asked, to, hidden });
    }
    let mut all = Vec::new();
    for (index, odd) in odd {
        let keeps_newest = schema.indexes.iter().find(|found| found.name == index).and_then(|found| found.keeps_newest);
        let superseded = match keeps_newest {
            Some(newest) => superseded_in(cluster, partition, (&index, newest), replicas, &odd).await?,
            None => Superseded::new(),
        };
        all.push((odd, superseded));
    }
    Ok(RowsSeen::compared(read, lacking(replicas, &all)))
}

/// Whether none of these replicas holds more rows than that.
///
/// # Errors
/// How many one holds.
pub fn not_too_many<'a>(replicas: impl Iterator<Item = &'a Held>, up_to: u64) -> Result<(), String> {
    let most = replicas.map(|held| held.record_cnt).max().unwrap_or_default();
    if most > up_to {
        let rows = counted(most, "row");
        return Err(format!("{rows} are more than the {up_to} that are compared (--compare-rows-up-to)"));
    }
    Ok(())
}

fn ends(of: &BTreeMap<Endpoint, Held>) -> Vec<Offset> {
    of.values().map(|held| held.offset).collect()
}

/// What was read of replicas between two looks at how far they are.
struct Reading {
    before: BTreeMap<Endpoint, Held>,
    /// By index, the rows that not all hold equally often.
    odd: BTreeMap<String, Vec<OddRow>>,
    /// How many rows each has shown in the first index, which is the one that is counted.
    shown: BTreeMap<Endpoint, u64>,
    after: BTreeMap<Endpoint, Held>,
}

/// Reads them until nobody writes meanwhile, if that is to be hoped for.
async fn read_in_quiet(
    cluster: &Cluster,
    schema: &Schema,
    partition: PartitionId,
    replicas: &[Endpoint],
    mut before: BTreeMap<Endpoint, Held>,
) -> Result<Reading, Unseen> {
    let mut readings = 0;
    loop {
        readings += 1;
        let (odd, shown, bytes) = compared(cluster, schema, partition, replicas).await?;
        let after = loaded(cluster, partition, replicas).await?;
        let is_clear = ends(&before) == ends(&after) || odd.values().all(Vec::is_empty);
        if is_clear || bytes > SOON_READ || readings == READINGS {
            return Ok(Reading { before, odd, shown, after });
        }
        before = after;
    }
}

/// By index, the rows that not all hold equally often; how many rows each has shown in the first one; and how many bytes were read.
async fn compared(
    cluster: &Cluster,
    schema: &Schema,
    partition: PartitionId,
    replicas: &[Endpoint],
) -> Result<(BTreeMap<String, Vec<OddRow>>, BTreeMap<Endpoint, u64>, u64), Unseen> {
    let (mut all, mut shown, mut bytes) = (BTreeMap::new(), BTreeMap::new(), 0);
    for index in &schema.indexes {
        let limits = Limits { bytes_per_second: Some(BYTES_PER_SECOND), looks: 0, ..Limits::default() };
        let compared = compare_rows(cluster, partition, Some(&index.name), replicas, &limits, |_| {}).await;
        let Compared { read, odd } = compared?;
        if shown.is_empty() {
            shown.extend(replicas.iter().cloned().zip(read.iter().map(|read| read.rows)));
        }
        bytes += read.iter().map(|read| read.bytes).sum::<u64>();
        all.insert(index.name.clone(), odd);
    }
    Ok((all, shown, bytes))
}

/// What each lacks of each other in any index: the same row may be missing in all of them.
fn lacking(replicas: &[Endpoint], odd: &[(Vec<OddRow>, Superseded)]) -> Lacking {
    let mut lacking = Lacking::new();
    for (pair, lack) in odd.iter().flat_map(|(odd, superseded)| lacking_in(replicas, odd, superseded)) {
        let most = lacking.entry(pair).or_default();
        let keys = |lack: &Lack| lack.keys.saturating_sub(lack.overwritten + lack.superseded_keys);
        let weight = |lack: &Lack| (keys(lack), lack.rows - lack.superseded, lack.rows);
        if weight(&lack) > weight(most) {
            *most = lack;
        }
    }
    lacking
}

/// What replicas of a pair lack of each other.
type Lacking = BTreeMap<(Endpoint, Endpoint), Lack>;

/// What the tablets hold of it, all of them.
async fn loaded(
    cluster: &Cluster,
    partition: PartitionId,
    replicas: &[Endpoint],
) -> Result<BTreeMap<Endpoint, Held>, Unseen> {
    let mut all = BTreeMap::new();
    for at in replicas {
        let held = cluster.replica_status_once(at, partition).await?.filter(|held| held.state.is_loaded());
        let held = held.ok_or_else(|| Unseen::Passing(format!("{at} does not have it loaded")))?;
        all.insert(at.clone(), held);
    }
    Ok(all)
}

/// What the first of a pair lacks that the second holds.
fn lacking_in(replicas: &[Endpoint], odd: &[OddRow], superseded: &Superseded) -> Lacking {
    let mut lacking = BTreeMap::new();
    for (one, x) in replicas.iter().enumerate() {
        for (other, y) in replicas.iter().enumerate() {
            let lacked = |odd: &&OddRow| odd.held[other] > odd.held[one];
            let rows = odd.iter().filter(lacked).map(|odd| u64::from(odd.held[other] - odd.held[one])).sum();
            let keys = |of: &mut dyn Iterator<Item = &OddRow>| {
                of.map(|odd| odd.row.key.clone()).collect::<BTreeSet<Vec<u8>>>().len() as u64
            };
            let instead: BTreeSet<(&[u8], u64)> = odd
                .iter()
                .filter(|odd| odd.held[one] > odd.held[other])
                .map(|odd| (odd.row.key.as_slice(), odd.row.time))
                .collect();
            let is_gone = |odd: &&OddRow| !instead.contains(&(odd.row.key.as_slice(), odd.row.time));
            let all = keys(&mut odd.iter().filter(lacked));
            let gone = keys(&mut odd.iter().filter(lacked).filter(is_gone));
            if rows > 0 {
                let (superseded, superseded_keys) = superseded.get(&(one, other)).copied().unwrap_or_default();
                let lack = Lack { rows, keys: all, overwritten: all - gone, superseded, superseded_keys };
                lacking.insert((x.clone(), y.clone()), lack);
            }
        }
    }
    lacking
}

/// By replicas, by their places, how many of the rows that the first lacks of the second have expired because newer ones of their keys
/// were put, and how many keys these have.
type Superseded = BTreeMap<(usize, usize), (u64, u64)>;

/// In an index that keeps so many of the newest rows of a key: whoever shows as many newer ones than the newest that it lacks has let all
/// of these expire.
async fn superseded_in(
    cluster: &Cluster,
    partition: PartitionId,
    (index, keeps): (&str, u64),
    replicas: &[Endpoint],
    odd: &[OddRow],
) -> Result<Superseded, Unseen> {
    let (mut superseded, mut asked) = (Superseded::new(), 0);
    for (one, at) in replicas.iter().enumerate() {
        for other in (0..replicas.len()).filter(|other| *other != one) {
            for (newest, rows) in replaced(odd, one, other) {
                asked += 1;
                // Of so many nobody knows.
                if asked > ASKED_AGAIN {
                    continue;
                }
                if shows_newer(cluster, at, partition, index, newest, keeps).await? {
                    let gone = superseded.entry((one, other)).or_default();
                    (gone.0, gone.1) = (gone.0 + rows, gone.1 + 1);
                }
            }
        }
    }
    Ok(superseded)
}

/// By key, the newest of the rows that one lacks of the other, and how many it lacks; of keys of which it holds a newer one instead.
fn replaced(odd: &[OddRow], one: usize, other: usize) -> Vec<(&Row, u64)> {
    let mut lacked: BTreeMap<&[u8], (&Row, u64)> = BTreeMap::new();
    for OddRow { row, held } in odd.iter().filter(|odd| odd.held[other] > odd.held[one]) {
        let (newest, rows) = lacked.entry(&row.key).or_insert((row, 0));
        *rows += u64::from(held[other] - held[one]);
        *newest = if row.time > newest.time { row } else { *newest };
    }
    let more = odd.iter().filter(|odd| odd.held[one] > odd.held[other]);
    let is_newer = |row: &&Row| lacked.get(row.key.as_slice()).is_some_and(|(newest, _)| row.time > newest.time);
    let replaced: BTreeSet<&[u8]> = more.map(|odd| &odd.row).filter(is_newer).map(|row| row.key.as_slice()).collect();
    lacked.retain(|key, _| replaced.contains(key));
    lacked.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odd(key: &str, time: u64, held: [u32; 2]) -> OddRow {
        OddRow { row: Row { key: key.into(), time, value: Vec::new() }, held: held.to_vec() }
    }

    #[test]
    fn each_newer_row_of_a_key_may_let_an_older_one_of_it_expire() {
        let of = |rows: &[OddRow]| replaced(rows, 0, 1).into_iter().map(|(_, rows)| rows).sum::<u64>();
        assert_eq!(of(&[odd("a", 1, [0, 1]), odd("a", 5, [1, 0])]), 1);
        assert_eq!(of(&[odd("a", 1, [0, 1]), odd("a", 2, [0, 1]), odd("a", 5, [1, 0])]), 2);
        assert_eq!(of(&[odd("a", 1, [0, 1]), odd("b", 5, [1, 0])]), 0, "of another key");
        assert_eq!(of(&[odd("a", 5, [0, 1]), odd("a", 1, [1, 0])]), 0, "an older one");
        assert_eq!(of(&[odd("a", 1, [1, 0]), odd("a", 5, [1, 0])]), 0, "nothing is lacked");
    }
}
