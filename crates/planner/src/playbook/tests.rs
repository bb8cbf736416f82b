//! The built-in playbook as it is read, shown and explained; every refusal with its whole message; and what holds for
//! any text.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn recover() -> &'static str {
    built_in("recover").unwrap()
}

/// The built-in text with one piece replaced, which has to stand there exactly once.
fn with(piece: &str, replacement: &str) -> String {
    assert_eq!(recover().matches(piece).count(), 1, "{piece:?}");
    recover().replacen(piece, replacement, 1)
}

/// The whole message a text is refused with.
fn refusal(text: &str) -> String {
    Playbook::parse("my.yaml", text).unwrap_err().to_string()
}

#[test]
fn recover_is_the_documented_procedure() {
    let playbook = Playbook::parse("recover", recover()).unwrap();
    assert_eq!(
        playbook.before,
        [
            ClusterStep::AutoFailover(AutoFailover::Off),
            ClusterStep::WaitForTablets { which: WhichTablets::Missing, timeout: WAIT_FOR_TABLETS },
            ClusterStep::SettleOps { timeout: Duration::from_secs(60), then: SettleThen::Cancel },
            ClusterStep::ResumeSnapshots,
        ]
    );
    let (every, load_timeout) = (Duration::from_millis(500), Duration::from_secs(2 * 3600));
    assert_eq!(
        playbook.partition,
        [
            PartitionStep::MarkAlive { replicas: Which::All, alive: false },
            PartitionStep::LoadTable { replicas: Which::All, seg_cnt: 8, mode: LoadMode::Follower, turn: TURN },
            PartitionStep::PollTableStatus { until: Loaded::Normal, every, timeout: load_timeout },
            PartitionStep::ProveTerms { by: ProveBy::MakeSnapshot, up_to_entries: 1_000_000 },
            PartitionStep::PickLeader {
                among: Which::LeaderFlagged,
                by: LeaderBy::MaxOffset,
                on_conflict: OnConflict::LastElected,
                promote: Promote::WhenProven,
                compare_rows_up_to: COMPARE_ROWS_UP_TO,
            },
            PartitionStep::ChangeRole { replica: Which::Leader, connect: Connect::ProvenPrefixes },
            PartitionStep::MarkAlive { replicas: Which::Leader, alive: true },
            PartitionStep::RecoverTable { replicas: Which::Followers, turn: TURN },
            PartitionStep::WaitUntil { state: Goal::Redundant, timeout: Duration::from_secs(3600) },
        ]
    );
    assert_eq!(playbook.after, [ClusterStep::AutoFailover(AutoFailover::Restore)]);
}

#[test]
fn canonical_text_of_recover() {
    insta::assert_snapshot!(Playbook::find("recover").unwrap().to_yaml(), @r"
    version: 1
    name: recover
    description: the documented procedure, with every replica loaded before a leader is picked; for any cluster
    before:
      - auto_failover: off
      - wait_for_tablets: { which: missing, timeout: 5m }
      - settle_ops: { timeout: 1m, then: cancel }
      - resume_snapshots: {}
    partition:
      - mark_alive: { replicas: all, alive: no }
      - load_table: { replicas: all, seg_cnt: 8, mode: follower, turn: 3m }
      - poll_table_status: { until: normal, every: 500ms, timeout: 2h }
      - prove_terms: { by: make_snapshot, up_to_entries: 1000000 }
      - pick_leader: { among: leader_flagged, by: max_offset, on_conflict: last_elected, promote: when_proven, compare_rows_up_to: 10000000 }
      - change_role: { replica: leader, connect: proven_prefixes }
      - mark_alive: { replicas: leader, alive: yes }
      - recover_table: { replicas: followers, turn: 3m }
      - wait_until: { state: redundant, timeout: 1h }
    after:
      - auto_failover: restore
    ");
}

#[test]
fn recover_explained() {
    insta::assert_snapshot!(Playbook::find("recover").unwrap().explained(), @r"
    recover: the documented procedure, with every replica loaded before a leader is picked; for any cluster

    Before any partition:
      1. auto_failover: Record the value of auto_failover and switch it off, so that the nameserver moves nothing on its own meanwhile.
      2. wait_for_tablets: Keep the run open for up to 5m from its start while a tablet that metadata names does not answer, if a partition with a replica there is down or being worked on; everything else continues meanwhile.
      3. settle_ops: Wait up to 1m for operations of the nameserver that are still running, then cancel what is left (CancelOP).
      4. resume_snapshots: Let leaders that an operation left unable to write snapshots write them again (RecoverSnapshot).

    In every partition that is not healthy, all in parallel:
      1. mark_alive: Mark every replica not alive, so that no client is sent there (UpdateTableAliveStatus).
      2. load_table: Load every replica as follower with 8 segments per index (LoadTable); a replica loaded as leader would take writes before its data is there. Tables that come first (system tables, base tables) are waited for up to 3m.
      3. poll_table_status: Ask the tablets every 500ms until all that was to be loaded is loaded, for up to 2h (GetTableStatus).
      4. prove_terms: Where the choice needs the term of a replica's last entry and it is unknown, have the replica write a snapshot that names it, if it has at most 1000000 entries (MakeSnapshot).
      5. pick_leader: Choose the leader-flagged replica with the largest offset after loading; of several flags the one elected last counts, as far as terms are known; a longer follower leads instead where it is proven to hold all the other holds. Where row counts differ, and replicas hold at most 10000000 rows, they are compared row by row before any is kept from leading, resent or left alone because of it (Traverse).
      6. change_role: Make the chosen replica the leader (ChangeRole), replicating at first to the followers whose log is proven to be the beginning of its own.
      7. mark_alive: Mark the leader alive, so that clients find it (UpdateTableAliveStatus).
      8. recover_table: Have the nameserver bring back the followers that are not alive (RecoverTable), none that holds rows the leader lacks, unless the choice of the leader gave those up. The leaders of other partitions are waited for up to 3m.
      9. wait_until: Wait up to 1h until every replica is loaded, alive, in its role, connected and caught up.

    At the end, however the run ends:
      1. auto_failover: Restore auto_failover to the value it had before the run.
    ");
}

#[test]
fn recover_checked_and_listed() {
    assert_eq!(
        check("recover", recover()).unwrap().to_string(),
        "playbook `recover`, version 1: steps before 4, per partition 9, after 1"
    );
    let rows = list().unwrap();
    assert_eq!(
        rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(),
        ["recover", "fast", "leaders-first", "node-loss"]
    );
    assert_eq!(rows[0].source.to_string(), "built-in");
    assert!(rows[0].description.starts_with("the documented procedure"), "{}", rows[0].description);
}

#[test]
fn a_slip_is_refused_where_it_is_with_the_words_that_are_allowed() {
    let unescaped = |text: &str| text.replace("\\n", "\n").replace("\\t", "\t");
    let blocks: Vec<_> = include_str!("refusals.txt").split("\n\n").skip(1).collect();
    assert!(blocks.len() > 80, "{}", blocks.len());
    for block in blocks {
        let lines: Vec<_> = block.lines().collect();
        let [piece, replacement, message] = lines.as_slice() else { panic!("{block}") };
        let text = with(&unescaped(&piece[2..]), &unescaped(&replacement[2..]));
        assert_eq!(refusal(&text), message[2..], "{block}");
    }
}

const NOT_ALIVE: &str = "mark_alive: { replicas: all, alive: no }";
const LOAD: &str = "load_table: { replicas: all, seg_cnt: 8, mode: follower, turn: 3m }";
const POLL: &str = "poll_table_status: { until: normal, every: 500ms, timeout: 2h }";
const PROVE: &str = "prove_terms: { by: make_snapshot, up_to_entries: 1000 }";
const PICK: &str = "pick_leader: { among: leader_flagged, by: max_offset, on_conflict: block, promote: never, compare_rows_up_to: 1000 }";
const LEAD: &str = "change_role: { replica: leader, connect: nobody }";
const ALIVE: &str = "mark_alive: { replicas: leader, alive: yes }";
const RECOVER: &str = "recover_table: { replicas: followers, turn: 3m }";
const WAIT: &str = "wait_until: { state: redundant, timeout: 1h }";
const WHOLE: [&str; 9] = [NOT_ALIVE, LOAD, POLL, PROVE, PICK, LEAD, ALIVE, RECOVER, WAIT];
const LOAD_FLAGGED: &str = "load_table: { replicas: leader_flagged, seg_cnt: 8, mode: follower }";
const LOAD_FOLLOWERS: &str = "load_table: { replicas: followers, seg_cnt: 8, mode: follower }";
const PICK_ON_EVIDENCE: &str =
    "pick_leader: { among: leader_flagged, by: evidence, on_conflict: last_elected, promote: when_proven }";
const CONNECTED_ALIVE: &str = "mark_alive: { replicas: connected, alive: yes }";

/// A playbook of these partition steps; the nth stands on line n + 6, counted from 0, and `partition` on line 5.
fn of_steps(steps: &[&str]) -> String {
    let list: String = steps.iter().map(|step| format!("  - {step}\n")).collect();
    let (before, after) = ("[auto_failover: off]", "[auto_failover: restore]");
    format!("version: 1\nname: mine\ndescription: steps\nbefore: {before}\npartition:\n{list}after: {after}\n")
}

/// The whole procedure with one step moved to the place of another.
fn moved(step: &str, to: &str) -> Vec<&'static str> {
    let at = |step: &str| WHOLE.iter().position(|one| *one == step).unwrap();
    let (from, to) = (at(step), at(to));
    let mut steps = WHOLE.to_vec();
    let step = steps.remove(from);
    steps.insert(to, step);
    steps
}

fn without(step: &str) -> Vec<&'static str> {
    WHOLE.into_iter().filter(|one| *one != step).collect()
}

#[test]
fn only_proof_and_all_that_follows_the_leader_may_be_left_out() {
    for steps in [WHOLE.to_vec(), without(PROVE), without(RECOVER), vec![NOT_ALIVE, LOAD, POLL, PICK, LEAD, ALIVE]] {
        let read = Playbook::parse("my.yaml", &of_steps(&steps)).unwrap();
        assert_eq!(read.partition.iter().map(ToString::to_string).collect::<Vec<_>>(), steps);
    }
    for (step, name) in [
        (NOT_ALIVE, NOT_ALIVE),
        (LOAD, "load_table"),
        (POLL, "poll_table_status"),
        (PICK, "pick_leader"),
        (LEAD, "change_role"),
        (ALIVE, ALIVE),
    ] {
        assert_eq!(refusal(&of_steps(&without(step))), format!("my.yaml:5:1: `partition` lacks the step `{name}`"),);
    }
    assert_eq!(
        refusal(&of_steps(&without(WAIT))),
        "my.yaml:5:1: `partition` lacks the step `wait_until`: RecoverTable's answer does not mean success, its effect \
         does"
    );
}

#[test]
fn steps_out_of_order_are_refused() {
    for (step, to, message) in [
        (NOT_ALIVE, LOAD, "my.yaml:7:5: `mark_alive: { replicas: all, alive: no }` has to come before `load_table`"),
        (LOAD, POLL, "my.yaml:8:5: `load_table` has to come before `poll_table_status`"),
        (PICK, POLL, "my.yaml:9:5: `poll_table_status` has to come before `pick_leader`"),
        (PROVE, PICK, "my.yaml:10:5: `prove_terms` has to come before `pick_leader`"),
        (LEAD, PICK, "my.yaml:11:5: `pick_leader` has to come before `change_role`"),
        (ALIVE, PICK, "my.yaml:11:5: `pick_leader` has to come before `mark_alive: { replicas: leader, alive: yes }`"),
        (ALIVE, LEAD, "my.yaml:12:5: `change_role` has to come before `mark_alive: { replicas: leader, alive: yes }`"),
        (
            RECOVER,
            ALIVE,
            "my.yaml:13:5: `mark_alive: { replicas: leader, alive: yes }` has to come before `recover_table`",
        ),
        (WAIT, RECOVER, "my.yaml:14:5: `recover_table` has to come before `wait_until`"),
    ] {
        assert_eq!(refusal(&of_steps(&moved(step, to))), message, "{step} to {to}");
    }
}

#[test]
fn no_step_stands_twice() {
    for (nth, step) in WHOLE.into_iter().enumerate() {
        let mut steps = WHOLE.to_vec();
        steps.insert(nth, step);
        let name = if step.starts_with("mark_alive") { step } else { step.split(':').next().unwrap() };
        assert_eq!(refusal(&of_steps(&steps)), format!("my.yaml:{}:5: step `{name}` appears twice", nth + 7));
    }
}

#[test]
fn flags_are_marked_only_where_it_is_safe() {
    let instead = |step: &str, other| WHOLE.map(|one| if one == step { other } else { one });
    assert_eq!(
        refusal(&of_steps(&instead(ALIVE, "mark_alive: { replicas: all, alive: yes }"))),
        "my.yaml:12:5: marking all replicas alive at once would send clients to replicas that hold nothing; mark the \
         leader alive and recover the others"
    );
    for step in ["mark_alive: { replicas: leader, alive: no }", "mark_alive: { replicas: connected, alive: no }"] {
        assert_eq!(
            refusal(&of_steps(&instead(NOT_ALIVE, step))),
            "my.yaml:6:5: only all replicas are marked not alive, and only before they are loaded"
        );
    }
}

fn is_read(steps: &[&'static str]) {
    let read = Playbook::parse("my.yaml", &of_steps(steps)).unwrap();
    assert_eq!(read.partition.iter().map(ToString::to_string).collect::<Vec<_>>(), steps);
}

#[test]
fn followers_may_be_reattached_without_the_nameserver() {
    let steps = [NOT_ALIVE, LOAD, POLL, PROVE, PICK, LEAD, ALIVE, CONNECTED_ALIVE, RECOVER, WAIT];
    is_read(&steps);
    let lacking = |left_out: &[&str]| {
        let steps: Vec<_> = steps.into_iter().filter(|step| !left_out.contains(step)).collect();
        refusal(&of_steps(&steps))
    };
    assert_eq!(
        lacking(&[RECOVER]),
        "my.yaml:5:1: `partition` lacks the step `recover_table`: not every follower can come back as it is"
    );
    assert_eq!(
        lacking(&[WAIT]),
        "my.yaml:5:1: `partition` lacks the step `wait_until`: RecoverTable's answer does not mean success, its effect \
         does"
    );
}

#[test]
fn a_partition_may_serve_before_its_followers_are_loaded() {
    let leaders = [NOT_ALIVE, LOAD_FLAGGED, POLL, PICK_ON_EVIDENCE, LEAD, ALIVE];
    let steps = |rest: &[&'static str]| of_steps(&[leaders.as_slice(), rest].concat());
    for rest in [&[LOAD_FOLLOWERS, POLL, RECOVER, WAIT][..], &[LOAD_FOLLOWERS, POLL, PROVE, RECOVER, WAIT]] {
        assert!(Playbook::parse("my.yaml", &steps(rest)).is_ok());
    }
    assert_eq!(
        refusal(&steps(&[LOAD_FOLLOWERS, RECOVER, WAIT])),
        "my.yaml:5:1: `partition` lacks the step `poll_table_status`: followers are loading and nothing waits for them"
    );
    assert_eq!(
        refusal(&steps(&[RECOVER, WAIT])),
        "my.yaml:5:1: `partition` lacks the step `load_table: { replicas: followers }`: RecoverTable discards what was \
         not loaded"
    );
    assert_eq!(
        refusal(&of_steps(&[NOT_ALIVE, LOAD_FLAGGED, POLL, PICK, LEAD, ALIVE])),
        "my.yaml:9:5: `by: max_offset` needs the true offsets: `load_table` has to load `replicas: all` first"
    );
}

#[test]
fn text_that_is_no_mapping_is_refused() {
    for (text, message) in [
        ("", "my.yaml: is empty; a playbook starts with `version: 1`"),
        ("# nothing\n", "my.yaml: is empty; a playbook starts with `version: 1`"),
        (
            "recover",
            "my.yaml:1:1: `playbook` has to be a mapping of version, name, description, before, partition, after, \
             not the text `recover`",
        ),
        (
            "- version: 1",
            "my.yaml:1:1: `playbook` has to be a mapping of version, name, description, before, partition, after, \
             not a list",
        ),
    ] {
        assert_eq!(refusal(text), message);
    }
    assert_eq!(refusal(&"#".repeat(70_000)), "my.yaml: larger than a playbook can be");
}

#[test]
fn a_long_word_is_cut_and_stays_on_one_line() {
    let word = format!("\"{}\\n\"", "a\\n".repeat(100));
    let message = refusal(&with("mode: follower", &format!("mode: {word}")));
    assert_eq!(message, format!("my.yaml:15:52: unknown word `{}…`; allowed: follower", "a\\n".repeat(30)));
}

fn words<W: Word + std::fmt::Debug>() -> impl Strategy<Value = W> {
    prop::sample::select(W::WORDS.iter().map(|(_, word)| *word).collect::<Vec<_>>())
}

fn millis(range: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

const WEEK: u64 = 7 * 24 * 3_600_000;

prop_compose! {
    /// Any playbook that may be carried out.
    fn any_playbook()(
        name in "[a-z][a-z0-9-]{0,63}",
        description in "[^\\p{C}\\p{Z}]([^\\p{C}\\p{Zl}\\p{Zp}]{0,80}[^\\p{C}\\p{Z}])?",
        settle in prop::option::of((millis(1..=WEEK), words::<SettleThen>())),
        lost in (any::<bool>(), prop::option::of((words::<WhichTablets>(), millis(1..=WEEK)))),
        resume in any::<(bool, bool)>(),
        load in (1u32..=1024, millis(10..=60_000), 60_000..=WEEK),
        turns in (millis(1..=WEEK), millis(1..=WEEK)),
        prove in prop::option::of(1u64..=1_000_000_000),
        (on_conflict, promote, connect) in (words::<OnConflict>(), words::<Promote>(), words::<Connect>()),
        recover in prop::option::of(millis(1..=WEEK)),
        compare_rows_up_to in 0u64..=1_000_000_000_000,
        reattach in any::<bool>(),
    ) -> Playbook {
        let mut before = vec![ClusterStep::AutoFailover(AutoFailover::Off)];
        before.extend(lost.0.then_some(ClusterStep::OfflineTablets { which: WhichTablets::Lost }));
        before.extend(lost.1.map(|(which, timeout)| ClusterStep::WaitForTablets { which, timeout }));
        before.extend(settle.map(|(timeout, then)| ClusterStep::SettleOps { timeout, then }));
        before.extend(resume.0.then_some(ClusterStep::ResumeSnapshots));
        let mut after: Vec<_> = resume.1.then_some(ClusterStep::ResumeSnapshots).into_iter().collect();
        after.push(ClusterStep::AutoFailover(AutoFailover::Restore));
        let (seg_cnt, every, timeout) = (load.0, load.1, Duration::from_millis(load.2));
        let mut partition = vec![
            PartitionStep::MarkAlive { replicas: Which::All, alive: false },
            PartitionStep::LoadTable { replicas: Which::All, seg_cnt, mode: LoadMode::Follower, turn: turns.0 },
            PartitionStep::PollTableStatus { until: Loaded::Normal, every, timeout },
        ];
        partition.extend(prove.map(|up_to_entries| PartitionStep::ProveTerms { by: ProveBy::MakeSnapshot, up_to_entries }));
        let (among, by) = (Which::LeaderFlagged, LeaderBy::MaxOffset);
        partition.push(PartitionStep::PickLeader { among, by, on_conflict, promote, compare_rows_up_to });
        partition.push(PartitionStep::ChangeRole { replica: Which::Leader, connect });
        partition.push(PartitionStep::MarkAlive { replicas: Which::Leader, alive: true });
        if let Some(timeout) = recover {
            if reattach {
                partition.push(PartitionStep::MarkAlive { replicas: Which::Connected, alive: true });
            }
            partition.push(PartitionStep::RecoverTable { replicas: Which::Followers, turn: turns.1 });
            partition.push(PartitionStep::WaitUntil { state: Goal::Redundant, timeout });
        }
        Playbook { name, description, before, partition, after }
    }
}

/// Whether a message is one line and starts with the file.
fn is_one_line(message: &str) -> bool {
    message.starts_with("my.yaml:") && !message.chars().any(char::is_control)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(playbook in any_playbook()) {
        let text = playbook.to_yaml();
        prop_assert_eq!(Playbook::parse("my.yaml", &text), Ok(playbook), "{}", text);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        let error = Playbook::parse("my.yaml", &text).unwrap_err().to_string();
        prop_assert!(is_one_line(&error), "{error:?}");
    }

    #[test]
    fn no_yaml_makes_the_reader_panic(text in "([a-z]{1,4}|[0-9]{1,3}|[-:,?&*!|>{}\\[\\]#'\"%@~] ?|\n {0,4}|<<: |---|\t){0,40}") {
        if let Err(error) = Playbook::parse("my.yaml", &text) {
            prop_assert!(is_one_line(&error.to_string()), "{error:?}");
        }
    }

    #[test]
    fn no_damage_to_a_playbook_makes_the_reader_panic(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..30, "[ -~\n]{0,3}"), 1..4)
    ) {
        let mut text: Vec<char> = recover().chars().collect();
        for (at, length, instead) in cuts {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, instead.chars());
        }
        match Playbook::parse("my.yaml", &text.into_iter().collect::<String>()) {
            Ok(playbook) => prop_assert_eq!(Playbook::parse("my.yaml", &playbook.to_yaml()), Ok(playbook)),
            Err(error) => prop_assert!(is_one_line(&error.to_string()), "{:?}", error),
        }
    }
}

#[test]
fn how_long_a_run_stays_open_for_tablets_is_the_playbook_s_or_the_command_line_s() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let of = |name| Playbook::find(name).unwrap();
    for name in ["recover", "fast", "leaders-first"] {
        assert_eq!(of(name).wait_for_tablets(), (WhichTablets::Missing, minutes(5)), "{name}");
    }
    assert_eq!(of("node-loss").wait_for_tablets(), (WhichTablets::Lost, minutes(30)));
    assert_eq!(
        of("node-loss").waiting_for_tablets(Duration::ZERO).wait_for_tablets(),
        (WhichTablets::Lost, Duration::ZERO)
    );
    // One that was written before there was the step.
    let line = "  - wait_for_tablets: { which: missing, timeout: 5m }    # everything else continues meanwhile\n";
    let older = Playbook::parse("my.yaml", &with(line, "")).unwrap();
    assert_eq!(older.wait_for_tablets(), (WhichTablets::Missing, minutes(5)));
    let asked = older.waiting_for_tablets(minutes(1));
    assert_eq!(asked.wait_for_tablets(), (WhichTablets::Missing, minutes(1)));
    assert_eq!(Playbook::parse("my.yaml", &asked.to_yaml()), Ok(asked), "it can be written and read");
}
