//! What somebody asks for that takes many steps.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::model::{Endpoint, PartitionId, Pid, Snapshot, TableName};
use crate::run::PlanId;
use crate::snapshot::About;

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undertaking", rename_all = "snake_case")]
pub enum Undertaking {
    /// Replicas of user tables spread over all healthy tablets.
    ScaleOut {
        /// And their leaders, too.
        leaders: bool,
    },
    /// Tablets emptied.
    ScaleIn {
        /// Which.
        endpoints: Vec<Endpoint>,
    },
    /// As many replicas of each partition as its table was made with.
    Repair,
    /// A tablet that is gone for good: its replicas elsewhere.
    Replace {
        /// Which.
        endpoint: Endpoint,
        /// On this one, where that is possible.
        #[serde(default)]
        with: Option<Endpoint>,
        /// The losses that a dry run has listed under this id are accepted. No part of what is undertaken.
        #[serde(skip)]
        accepts: Option<PlanId>,
    },
    /// Another leader, without a row lost.
    Handover {
        /// The table.
        table: TableName,
        /// The partitions.
        #[serde(alias = "pid", deserialize_with = "one_or_several")]
        pids: Vec<Pid>,
        /// Who is to lead.
        to: Endpoint,
    },
    /// Pre-aggregate tables led beside their base tables: the end of a recovery.
    LeadBeside {
        /// Which partitions of them.
        partitions: Vec<(TableName, Pid)>,
    },
    /// A tablet that leads nothing.
    UpgradePre {
        /// Which.
        endpoint: Endpoint,
        /// Partitions with a single replica are left where they are.
        allow_unavailable: bool,
    },
    /// A tablet that leads again what it led before.
    UpgradePost {
        /// Which.
        endpoint: Endpoint,
        /// It never comes back: its upgrade is over, and nothing is led by it again.
        #[serde(default)]
        gone: bool,
    },
}

impl Undertaking {
    /// Its name, as a stable code and for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ScaleOut { .. } => "scale out",
            Self::ScaleIn { .. } => "scale in",
            Self::Repair => "scale repair",
            Self::Replace { .. } => "tablet replace",
            Self::Handover { .. } => "leader handover",
            Self::LeadBeside { .. } => "recover",
            Self::UpgradePre { .. } => "upgrade pre",
            Self::UpgradePost { .. } => "upgrade post",
        }
    }

    /// The partitions that it is about, as metadata have them: of another leader's, its own and what aggregates it. None where any may
    /// be concerned.
    pub(super) fn concerns(&self, seen: &Snapshot) -> Option<About> {
        let Self::Handover { table, pids, .. } = self else { return None };
        let tid = seen.table(table)?.tid;
        let aggregates = seen.tables.iter().filter(|table| table.base_table == Some(tid)).map(|table| table.tid);
        let of = |tid| pids.iter().map(move |pid| PartitionId { tid, pid: *pid });
        Some(aggregates.chain([tid]).flat_map(of).collect())
    }

    /// The same, whatever was accepted: what is begun with a loss not accepted is gone on with once it is.
    pub fn itself(&self) -> Self {
        match self {
            Self::Replace { endpoint, with, .. } => {
                Self::Replace { endpoint: endpoint.clone(), with: with.clone(), accepts: None }
            }
            other => other.clone(),
        }
    }
}

impl fmt::Display for Undertaking {
    /// As it is typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::ScaleOut { leaders: true } | Self::Repair => Ok(()),
            Self::Replace { endpoint, with: None, .. } => write!(f, " {endpoint}"),
            Self::Replace { endpoint, with: Some(with), .. } => write!(f, " {endpoint} --with {with}"),
            Self::ScaleOut { leaders: false } => f.write_str(" --replicas-only"),
            Self::ScaleIn { endpoints } => endpoints.iter().try_for_each(|endpoint| write!(f, " {endpoint}")),
            Self::Handover { table, pids, to } => {
                let pids: Vec<String> = pids.iter().map(Pid::to_string).collect();
                write!(f, " {table}/{} --to {to}", pids.join(","))
            }
            Self::LeadBeside { .. } => f.write_str(" --all"),
            Self::UpgradePre { endpoint, allow_unavailable: true } => write!(f, " {endpoint} --allow-unavailable"),
            Self::UpgradePost { endpoint, gone: true } => write!(f, " {endpoint} --gone"),
            Self::UpgradePre { endpoint, .. } | Self::UpgradePost { endpoint, .. } => write!(f, " {endpoint}"),
        }
    }
}

/// One partition, as goals of earlier releases have it, or several.
fn one_or_several<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Pid>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Pids {
        One(Pid),
        Several(Vec<Pid>),
    }
    Ok(match Pids::deserialize(from)? {
        Pids::One(pid) => vec![pid],
        Pids::Several(pids) => pids,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_handover_is_of_one_partition_or_of_several() {
        let (several, one) = (r#""pids":[1,3]"#, r#""pid":1"#);
        for (named, typed) in
            [(several, "leader handover shop.orders/1,3 --to b"), (one, "leader handover shop.orders/1 --to b")]
        {
            let text =
                format!(r#"{{"undertaking":"handover","table":{{"db":"shop","table":"orders"}},{named},"to":"b"}}"#);
            let read: Undertaking = serde_json::from_str(&text).unwrap();
            assert_eq!(read.to_string(), typed);
            assert_eq!(serde_json::from_str::<Undertaking>(&serde_json::to_string(&read).unwrap()).unwrap(), read);
        }
    }
}
