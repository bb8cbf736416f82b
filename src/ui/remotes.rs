//! Clusters that follow the one that is looked at, or that it follows, in text.

use std::collections::BTreeMap;

use crate::model::{Zone, counted};
use crate::run::{PartitionStatus, Status};

use super::color::{Paint, Tone};
use super::named::named;
use super::words::one_line;

/// That a cluster follows another one; nothing of others.
pub(super) fn follows_text(zone: &Zone) -> String {
    let Zone::Follows { leader, alias } = zone else { return String::new() };
    let known = |name: &Option<String>| name.as_deref().filter(|name| !name.is_empty()).map(one_line);
    let leader = known(leader).unwrap_or_else(|| "another cluster".to_owned());
    let alias = known(alias).map_or(String::new(), |alias| format!(", as {alias}"));
    format!(
        "It follows {leader}{alias}: its leaders take that one's entries, and nothing from clients. Where logs here have lost their \
         end, that one's leaders have to let go first: docs/openmldb/remote-clusters.md.\n"
    )
}

/// Which partitions are replicated to other clusters, and which are not although they should be. Nothing without other clusters.
pub(super) fn followed_text(status: &Status, paint: Paint) -> String {
    let mut by_alias: BTreeMap<&str, Vec<(&PartitionStatus, Option<bool>)>> = BTreeMap::new();
    for partition in &status.partitions {
        for remote in &partition.remotes {
            by_alias.entry(&remote.alias).or_default().push((partition, remote.attached));
        }
    }
    let mut out = String::new();
    for (alias, of) in by_alias {
        let how_many = |wanted| of.iter().filter(|(_, attached)| *attached == wanted).count();
        let (attached, unknown) = (how_many(Some(true)), how_many(None));
        let detached: Vec<_> = of.iter().filter(|(_, attached)| *attached == Some(false)).collect();
        out += &format!(
            "The cluster {} follows this one: {attached} of {} replicated to it",
            one_line(alias),
            counted(of.len(), "partition")
        );
        if unknown > 0 {
            out += &format!(", {unknown} without a leader that says so");
        }
        out += ".\n";
        let ahead =
            |partition: &&PartitionStatus| partition.remotes.iter().any(|remote| remote.alias == alias && remote.ahead);
        let ahead: Vec<_> = of.iter().map(|(partition, _)| *partition).filter(ahead).collect();
        if !ahead.is_empty() {
            let names = named(ahead.iter().map(|partition| (&partition.table, partition.pid)));
            out += &paint.tone(Tone::Bad, &format!("It holds more than the leaders here of: {names}."));
            out += " What is written here in these places is passed over there: docs/openmldb/remote-clusters.md.\n";
        }
        if !detached.is_empty() {
            let names = named(detached.iter().map(|(partition, _)| (&partition.table, partition.pid)));
            out += &paint.tone(Tone::Warning, &format!("Not replicated to it: {names}."));
            out += " `openmldb-ops recover --all` attaches what may be attached, and says why of what may not.\n";
        }
    }
    out
}
