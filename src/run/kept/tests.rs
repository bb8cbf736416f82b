//! Plans that are kept: their ids, their files, and what they differ in.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::model::{Offset, Pid, StorageMode, Tid};
use crate::recovery::{Load, LossKind, Numbers, ReplicaFacts};

fn replica(offset: u64) -> ReplicaFacts {
    let numbers = Numbers {
        offset: Some(Offset(offset)),
        rows: Some(offset),
        known: Offset(offset),
        snapshot: Some(Offset(0)),
        snapshot_term: None,
        heard: None,
    };
    ReplicaFacts {
        is_leader: true,
        is_alive: false,
        tablet: None,
        held: "loaded as follower".to_owned(),
        numbers: Some(numbers),
        replicates_to: None,
        load: Load::NotSent,
    }
}

fn loss(kind: LossKind) -> Loss {
    Loss { endpoint: "b".into(), kind, entries: Some(5), directory: None }
}

fn planned(pid: u32, offset: u64) -> KeptPartition {
    let endpoint = Endpoint::from("a");
    let facts = Facts {
        storage: StorageMode::Memory,
        has_ttl: false,
        terms: Vec::new(),
        serving: None,
        replicas: [(endpoint.clone(), replica(offset))].into(),
    };
    KeptPartition {
        table: TableName { db: "shop".to_owned(), table: "orders".to_owned() },
        partition: PartitionId { tid: Tid(7), pid: Pid(pid) },
        facts,
        leader: KeptLeader::Chosen { endpoint, way: PromotionMethod::ChangeRole },
        steps: Vec::new(),
        blocked: None,
        losses: vec![loss(LossKind::StaleLeader)],
        if_accepted: Vec::new(),
    }
}

fn plan(partitions: Vec<KeptPartition>) -> KeptPlan {
    KeptPlan {
        cluster: "zk:2181/openmldb".to_owned(),
        made_at_ms: 7,
        program: "1".to_owned(),
        playbook: "version: 1\n".to_owned(),
        scope: Scope::All,
        auto_failover: AutoFailoverFacts { before: true, now: true },
        partitions,
    }
}

fn accepting(id: PlanId, without: &[&str]) -> Consent {
    let without = without.iter().map(|at| Endpoint::from(*at)).collect();
    Consent { losses_of: Some(id), without, ..Consent::default() }
}

#[test]
fn a_plan_has_the_same_id_as_long_as_its_facts_are_the_same() {
    let one = plan(vec![planned(0, 5)]);
    assert_eq!(one.id(), KeptPlan { made_at_ms: 9, ..one.clone() }.id(), "when it was made is no fact");
    assert_ne!(one.id(), plan(vec![planned(0, 6)]).id());
    assert_ne!(one.id(), KeptPlan { cluster: "zk:2181/other".to_owned(), ..one.clone() }.id());
    assert_ne!(one.id(), KeptPlan { playbook: "version: 1 \n".to_owned(), ..one.clone() }.id());
    let text = one.id().to_string();
    assert_eq!((text.len(), text.parse::<PlanId>().unwrap()), (16, one.id()));
    assert!("0123".parse::<PlanId>().is_err() && "0123456789ABCDEF".parse::<PlanId>().is_err());
}

#[test]
fn differences_are_told_field_by_field() {
    let told = |now: &KeptPlan| -> Vec<String> {
        plan(vec![planned(0, 5)]).differences(now).iter().map(ToString::to_string).collect()
    };
    assert_eq!(told(&plan(vec![planned(0, 5)])), Vec::<String>::new());
    let field = "shop.orders/0 facts replicas a numbers";
    let changed = [
        format!("{field} known: 5 in the plan, 6 now"),
        format!("{field} offset: 5 in the plan, 6 now"),
        format!("{field} rows: 5 in the plan, 6 now"),
    ];
    assert_eq!(told(&plan(vec![planned(0, 6)])), changed);
    let gone = ["shop.orders/0: \"to bring back\" in the plan, \"healthy, or gone\" now"];
    assert_eq!(told(&plan(vec![])), gone);
    let more = ["shop.orders/1: null in the plan, \"to bring back\" now"];
    assert_eq!(told(&plan(vec![planned(0, 5), planned(1, 5)])), more);
}

#[test]
fn consent_is_to_exactly_one_plan_and_each_endpoint_that_is_out_of_reach() {
    let mut now = plan(vec![planned(0, 5)]);
    assert_eq!(accepting(now.id(), &[]).check(&now), Ok(()));
    let other = plan(vec![planned(0, 6)]).id();
    assert!(matches!(accepting(other, &[]).check(&now), Err(Refusal::OtherPlan { .. })));
    let nothing = accepting(now.id(), &["b"]).check(&now);
    assert!(
        matches!(nothing, Err(Refusal::NothingWithout { .. })),
        "a tail is not lost by going on without: {nothing:?}"
    );
    let away = loss(LossKind::OutOfReach);
    now.partitions[0].losses.push(away.clone());
    let (tail, both) = (accepting(now.id(), &[]), accepting(now.id(), &["b"]));
    assert_eq!((tail.check(&now), both.check(&now)), (Ok(()), Ok(())));
    assert_eq!((tail.covers(&away), both.covers(&away)), (false, true));
    assert!(tail.covers(&loss(LossKind::StaleLeader)) && !Consent::default().covers(&loss(LossKind::StaleLeader)));
}

#[test]
fn a_kept_plan_is_refused_with_another_plans_losses() {
    let kept = plan(vec![planned(0, 5)]);
    let consent = Consent { plan: Some(kept.clone()), ..accepting(plan(vec![planned(0, 6)]).id(), &[]) };
    assert!(matches!(consent.check(&kept), Err(Refusal::OtherPlan { .. })));
    let consent = Consent { plan: Some(kept.clone()), ..Consent::default() };
    assert!(matches!(consent.check(&plan(vec![planned(0, 6)])), Err(Refusal::Differs { .. })));
    assert_eq!(consent.check(&plan(vec![])), Ok(()), "everything that it is about is healthy");
}

#[test]
fn a_plan_file_says_what_the_plan_said() {
    let kept = plan(vec![planned(0, 5), planned(1, 9)]);
    for json in [false, true] {
        assert_eq!(parse("plan", &write(&kept, json).unwrap()).unwrap(), kept);
    }
}

#[test]
fn a_plan_file_that_cannot_be_used_says_why() {
    let text = write(&plan(vec![planned(0, 5)]), false).unwrap();
    let error = |text: &str| parse("plan.yaml", text).unwrap_err().to_string();
    assert!(error("a: 1").contains("`openmldb_ops_plan: 1` is missing"));
    assert!(error("openmldb_ops_plan: 2").contains("a plan of version 2"));
    assert!(
        error(&text.replace("cluster: zk", "cluster: kz"))
            .contains("was changed after it was written: its checksum is")
    );
    assert!(error(&text.replace("cluster:", "clutter:")).contains("unknown field `clutter`"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever becomes of a plan's file, it is read as it was or refused in words; never a panic, never another plan.
    #[test]
    fn a_damaged_plan_file_is_refused(at in 0usize..10_000, with in any::<u8>(), cut in any::<bool>(), json in any::<bool>()) {
        let kept = plan(vec![planned(0, 5)]);
        let mut bytes = write(&kept, json).unwrap().into_bytes();
        let at = at % bytes.len();
        if cut { bytes.truncate(at) } else { bytes[at] = with }
        if let Ok(read) = parse("plan", &String::from_utf8_lossy(&bytes)) {
            prop_assert_eq!(read, kept);
        }
    }

    #[test]
    fn any_text_is_refused(text in "\\PC{0,300}") {
        prop_assert!(parse("plan", &text).is_err());
        let headed = format!("openmldb_ops_plan: 1\n{text}");
        prop_assert!(parse("plan", &headed).is_err());
    }
}
