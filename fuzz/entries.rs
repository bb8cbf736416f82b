//! What reads text or bytes that somebody else may have written: a function each, which takes any bytes. None may panic, and what it
//! refuses it refuses in words that say where. `tests/it/fuzzed.rs` calls them with damaged files and messages in every run of the
//! tests, the targets beside this file with whatever libFuzzer comes upon.

use openmldb_ops::metadata;
use openmldb_ops::model::{MetadataTree, Snapshot};
use openmldb_ops::playbook::{DEFAULT, Playbook};
use openmldb_ops::run::{
    ClusterNames, MemoryArchive, RecordedRun, RecordedRunError, Rpc, RunId, RunState, Scope, Status, UnfinishedWork,
    left_by_runs, parse_plan, prepare_plan, summary_of_plan, summary_of_status, write_plan,
};
use openmldb_ops::ui::{
    About, Listed, Paint, Part, PlanContext, page, plan_text, snapshot_text, status_text, story_text, summary_text,
};
use openmldb_ops::wire::{api, decode, nameserver, polled};
use openmldb_ops::{run, snapshot};
use prost::Message;

/// What errors call the text that was read.
const FILE: &str = "the-file.yaml";

/// An error of a whole text: one line that names the file, and the place in it unless what is wrong has none.
fn names_where(error: &str, has_none: &[&str]) {
    assert!(error.contains(FILE), "which file? {error}");
    let has_place = |error: &str| {
        error.split(FILE).nth(1).is_some_and(|rest| rest.starts_with(':'))
            || [" line ", " at position "].iter().any(|place| error.contains(place))
    };
    assert!(has_place(error) || has_none.iter().any(|what| error.contains(what)), "where? {error}");
}

/// What YAML and JSON say of a text that is no document at all, or of the whole of one, or where they name the field instead.
const OF_THE_WHOLE: [&str; 10] = [
    "EOF while parsing",
    "is missing",
    "of version",
    "more than one document",
    "missing field",
    "recursion limit",
    "in front",
    "duplicate field",
    "unknown anchor",
    "control characters",
];

/// A playbook, as `--playbook FILE` reads it. One that is read says the same when it is written and read again.
pub fn playbook(bytes: &[u8]) {
    match Playbook::parse(FILE, &String::from_utf8_lossy(bytes)) {
        Ok(playbook) => assert_eq!(Playbook::parse(FILE, &playbook.to_yaml()).as_ref(), Ok(&playbook)),
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{error}");
            names_where(&error.to_string(), &["larger than a playbook can be", "is empty"]);
        }
    }
}

/// A plan, as `recover --plan FILE` reads it.
pub fn plan(bytes: &[u8]) {
    match parse_plan(FILE, &String::from_utf8_lossy(bytes)) {
        Ok(plan) => {
            for json in [false, true] {
                let again = write_plan(&plan, json).map(|text| parse_plan(FILE, &text));
                assert!(matches!(&again, Ok(Ok(again)) if *again == plan), "{again:?}");
            }
        }
        Err(error) => names_where(
            &error.to_string(),
            &[&OF_THE_WHOLE[..], &["changed after it was written", "is not a plan id"]].concat(),
        ),
    }
}

/// A snapshot, as `recover --dry-run --snapshot FILE` reads it: what is read can be planned from and shown.
pub fn snapshot(bytes: &[u8]) {
    match snapshot::parse(FILE, &String::from_utf8_lossy(bytes)) {
        Ok(seen) => {
            for json in [false, true] {
                let again = snapshot::write(&seen, json).map(|text| snapshot::parse(FILE, &text));
                assert!(matches!(&again, Ok(Ok(again)) if *again == seen), "{again:?}");
            }
            planned_and_shown(&seen);
        }
        Err(error) => names_where(&error.to_string(), &OF_THE_WHOLE),
    }
}

fn planned_and_shown(seen: &Snapshot) {
    let rpc = Rpc { reads: 0, mutations: 0 };
    snapshot_text(seen, None);
    let status = Status::of(seen, &Scope::All);
    let cases = run::diagnose(seen, &status, &run::Runs::default());
    for listed in [Listed::Unhealthy, Listed::Wide] {
        status_text(&status, &cases, listed, Paint::Plain);
    }
    summary_text(&summary_of_status(&status, rpc), About::Look, Paint::Plain);
    let Ok(playbook) = Playbook::find(DEFAULT) else { panic!("the default playbook is no playbook") };
    let Ok(prepared) = prepare_plan(seen.clone(), &playbook, &Scope::All, UnfinishedWork::default(), None) else {
        return;
    };
    let auto_failover_before = seen.auto_failover;
    for full in [false, true] {
        let context = PlanContext {
            snapshot: seen,
            playbook: &playbook,
            auto_failover_before,
            stands: &[],
            id: None,
            service: &run::Service::of(&status),
            full,
            paint: Paint::Plain,
        };
        plan_text(&prepared.plan, &context);
    }
    summary_text(&summary_of_plan(&prepared.plan, auto_failover_before, rpc), About::Plan, Paint::Plain);
    run::KeptPlan::of(&prepared, DEFAULT, &Scope::All);
}

/// A record, as the next run and `record show` read it.
pub fn record(bytes: &[u8]) {
    match RecordedRun::read(bytes) {
        Ok(recorded_run) => {
            story_text(&recorded_run, RunState::Killed, Part::All, Paint::Plain);
            page(&recorded_run, RunState::Killed);
            let shelf = MemoryArchive::default();
            shelf.put(RunId { began_ms: 1, number: 0 }, bytes.to_vec());
            let left = left_by_runs(
                &shelf,
                &ClusterNames::seen(&recorded_run.begun.cluster, &recorded_run.begun.snapshot, ""),
            );
            assert!(left.is_ok(), "{left:?}");
        }
        Err(RecordedRunError::NotARecord(error)) => assert!(!error.is_empty()),
        Err(RecordedRunError::Version(_)) => {}
        Err(RecordedRunError::Io(error)) => panic!("bytes in memory cannot be read: {error}"),
    }
}

/// A backup of metadata, as `metadata restore FILE` reads it: what is read can be checked, and is the same when it is written again.
pub fn metadata(bytes: &[u8]) {
    match metadata::parse(FILE, &String::from_utf8_lossy(bytes)) {
        Ok(backup) => {
            let again = metadata::write(&backup).map(|text| metadata::parse(FILE, &text));
            assert!(matches!(&again, Ok(Ok(again)) if *again == backup), "{again:?}");
            checked(&backup.tree);
        }
        Err(error) => {
            let of_the_whole = ["changed after it was written", "is not what `changed` says"];
            names_where(&error.to_string(), &[&OF_THE_WHOLE[..], &of_the_whole].concat());
        }
    }
}

/// Whatever a tree holds, what contradicts itself in it is named, and its counters can be raised.
pub fn checked(tree: &MetadataTree) {
    for finding in metadata::check(tree, tree) {
        assert!(!finding.path.is_empty() && !finding.text.is_empty(), "{finding:?}");
    }
    let (raised, _) = metadata::raise(tree, u32::MAX);
    let difference = metadata::compare(&raised, tree);
    assert!(difference.missing.is_empty() && difference.beyond.is_empty(), "{difference:?}");
}

macro_rules! decoders {
    ($($message:ty => $decode:path;)*) => {
        /// How many kinds of answers [`wire`] knows.
        pub const KINDS: u8 = [$(stringify!($message)),*].len() as u8;

        /// The kinds of an answer, by its message's name: what [`wire`] wants in front of its bytes.
        pub fn kinds_of(message: &str) -> impl Iterator<Item = u8> {
            let ends = format!("::{message}");
            (0..KINDS).zip([$(stringify!($message)),*]).filter(move |(_, name)| name.ends_with(&ends)).map(|(kind, _)| kind)
        }

        fn decoded(kind: u8, bytes: &[u8]) {
            let mut at = 0_u8;
            $(
                if kind == at {
                    if let Ok(message) = <$message>::decode(bytes) && let Err(garbage) = $decode(&message) {
                        assert!(!garbage.field.is_empty(), "where? {garbage}");
                    }
                    return;
                }
                at += 1;
            )*
            debug_assert_eq!(at, KINDS);
        }
    };
}

decoders! {
    nameserver::ShowTableResponse => decode::tables;
    nameserver::ShowTableResponse => polled::polled;
    nameserver::ShowTabletResponse => decode::registrations;
    nameserver::ShowOpStatusResponse => decode::ops;
    nameserver::ShowOpStatusResponse => decode::timed_ops;
    nameserver::ConfGetResponse => decode::auto_failover;
    nameserver::TableInfo => decode::schema;
    api::GetTableStatusResponse => decode::held;
    api::GetManifestResponse => decode::manifest;
    api::GeneralResponse => decode::file;
    api::GetTermPairResponse => decode::term_pair;
    api::GetTableFollowerResponse => decode::followers;
    api::TraverseResponse => decode::rows;
}

/// An answer of a server: the first byte says of which kind, the others are the message.
pub fn wire(bytes: &[u8]) {
    let Some((kind, message)) = bytes.split_first() else { return };
    decoded(kind % KINDS, message);
}
