//! What cannot be used: one clear message, the right exit code, and nothing done.

use crate::support::process::{Home, Ran};

/// Runs what must be refused.
fn refused(home: &Home, code: i32, arguments: &[&str]) -> Ran {
    let ran = home.run(arguments).expect(code);
    assert_eq!(ran.stdout, "", "{ran:?}");
    check_message(&ran);
    assert!(home.left_behind().is_empty(), "{:?}", home.left_behind());
    ran
}

/// One message that ends with what to do next, and no trace of a fault of the program.
pub fn check_message(ran: &Ran) {
    let messages = ran.stderr.lines().filter(|line| line.starts_with("error:")).count();
    assert_eq!(messages, 1, "{}", ran.stderr);
    let last = ran.stderr.lines().next_back().unwrap();
    assert!(last.starts_with("hint: ") || last == "For more information, try '--help'.", "{}", ran.stderr);
    for fault in ["panicked", "backtrace", "Backtrace", "src/"] {
        assert!(!ran.stderr.contains(fault), "{fault}: {}", ran.stderr);
    }
}

fn transcripts(home: &Home, code: i32, cases: &[&[&str]]) -> String {
    let without_code = |text: String| text.replace("stderr: \n", "").replace(&format!("\nexit {code}\n"), "\n\n");
    cases.iter().map(|arguments| without_code(refused(home, code, arguments).transcript())).collect()
}

/// An environment in which a fault would show where it comes from.
pub fn home() -> Home {
    Home::new().with("RUST_BACKTRACE", "1")
}

#[test]
fn command_lines() {
    insta::assert_snapshot!(transcripts(
        &home(),
        2,
        &[
            &["recover", "--sandbox"],
            &["recover", "--all"],
            &["status"],
            &["recover", "--all", "--db", "shop", "--sandbox"],
            &["recover", "--all", "--snapshot", "seen.yaml"],
            &["recover", "--all", "--zk-cluster", "127.0.0.1:1", "--nameserver", "127.0.0.1:1"],
            &["recover", "--all", "--nameserver", "somewhere"],
            &["recover", "--all", "--nameserver", "somewhere:0"],
            &["recover", "--all", "--zk-cluster", ""],
            &["recover", "--all", "--zk-cluster", "somewhere:port"],
            &["recover", "--all", "--zk-cluster", "127.0.0.1:1", "--zk-root-path", "no/slash"],
            &["recover", "--all", "--timeout", "soon", "--sandbox"],
            &["recover", "--everything"],
            &["repair"],
        ],
    ));
}

#[test]
fn what_excludes_each_other() {
    for (one, other) in [
        (&["--sandbox"][..], &["--nameserver", "127.0.0.1:1"][..]),
        (&["--sandbox"], &["--flagfile", "ns.flags"]),
        (&["--sandbox"], &["--cluster", "prod"]),
        (&["--dry-run", "--snapshot", "seen.yaml"], &["--sandbox"]),
        (&["--dry-run", "--snapshot", "seen.yaml"], &["-c", "127.0.0.1:1/openmldb"]),
    ] {
        let ran = refused(&home(), 2, &[&["recover", "--all"], one, other].concat());
        assert!(ran.stderr.contains("cannot be used with"), "{}", ran.stderr);
    }
}

#[test]
fn a_scenario_without_its_option_is_told_how_it_is_typed() {
    let ran = refused(&home(), 2, &["sandbox", "serve", "two-leader-flags"]);
    assert!(ran.stderr.contains("type `--scenario two-leader-flags`"), "{}", ran.stderr);
}

#[test]
fn rehearsals_that_cannot_be() {
    insta::assert_snapshot!(transcripts(
        &home(),
        2,
        &[
            &["rehearse", "--snapshot", "nowhere.yaml"],
            &["rehearse", "--snapshot", "seen.yaml", "--generate", "tablets=3"],
            &["rehearse", "--generate", "tablets=3,racks=2"],
            &["rehearse", "--generate", "tablets=2"],
            &["rehearse", "--playbook", "nonesuch"],
            &["rehearse", "--load-rate", "0"],
            &["rehearse", "--task-pool-size", "1000"],
            &["rehearse", "--fault", "LoadTable=tool-killed-before"],
        ],
    ));
}

#[test]
fn sandboxes_that_cannot_be() {
    insta::assert_snapshot!(transcripts(
        &home(),
        2,
        &[
            &["status", "--sandbox", "everything-is-fine"],
            &["sandbox", "serve", "--scenario", "everything-is-fine"],
            &["status", "--sandbox", "--time-scale", "0.5"],
            &["status", "--sandbox", "--tables", "0"],
            &["status", "--sandbox", "--replicas", "5"],
            &["status", "--sandbox", "--tablets", "100000"],
        ],
    ));
}

#[test]
fn faults() {
    insta::assert_snapshot!(transcripts(
        &home(),
        2,
        &[
            &["status", "--sandbox", "--fault", "LoadTable"],
            &["status", "--sandbox", "--fault", "Loadtable=refused"],
            &["status", "--sandbox", "--fault", "LoadTable=lost"],
            &["status", "--sandbox", "--fault", "LoadTable:0=refused"],
            &["status", "--sandbox", "--fault", "3s=refused"],
            &["recover", "--all", "--sandbox", "--fault", "LoadTable=tool-killed-after"],
            &["recover", "--all", "--nameserver", "127.0.0.1:1", "--fault", "LoadTable=refused"],
        ],
    ));
}

#[test]
fn selectors() {
    insta::assert_snapshot!(transcripts(
        &home(),
        2,
        &[
            &["recover", "--sandbox", "--db", "warehouse"],
            &["recover", "--sandbox", "--db", ""],
            &["recover", "--sandbox", "--table", "shop.order"],
            &["recover", "--sandbox", "--table", "warehouse.orders"],
            &["recover", "--sandbox", "--partition", "shop.orders/4"],
            &["recover", "--sandbox", "--table", "orders"],
            &["recover", "--sandbox", "--table", "shop."],
            &["recover", "--sandbox", "--partition", "shop.orders"],
            &["recover", "--sandbox", "--partition", "shop.orders/first"],
            &["recover", "--sandbox", "--partition", "shop.orders/-1"],
            &["recover", "--sandbox", "--db", "shop", "--table", "shop.order"],
            &["recover", "--dry-run", "--sandbox", "--table", "shop.order"],
            &["status", "--sandbox", "--table", "shop.order"],
        ],
    ));
}

#[test]
fn playbooks() {
    let home = home();
    let good = home.run(&["playbook", "show", "--yaml"]).stdout;
    home.write("other-version.yaml", &good.replace("version: 1", "version: 2"));
    home.write("unknown-key.yaml", &good.replace("seg_cnt: 8", "seg_count: 8"));
    home.write("unknown-step.yaml", &good.replace("- prove_terms:", "- prove_everything:"));
    home.write("not-yaml.yaml", "version: 1\nname: [recover\n");
    home.write("empty.yaml", "");
    home.write("no-version.yaml", &good.replace("version: 1\n", ""));
    std::fs::write(home.file("binary.yaml"), [0x76, 0xff, 0xfe]).unwrap();
    let files =
        ["missing", "other-version", "unknown-key", "unknown-step", "not-yaml", "empty", "no-version", "binary"];
    let mut out = transcripts(&home, 2, &[&["recover", "--all", "--sandbox", "--playbook", "slow"]]);
    for file in files {
        let file = format!("{file}.yaml");
        let checked = refused(&home, 2, &["playbook", "check", &file]);
        let run = refused(&home, 2, &["recover", "--all", "--sandbox", "--playbook", &file]);
        assert_eq!(checked.stderr, run.stderr);
        out += &checked.transcript();
    }
    insta::assert_snapshot!(out);
}

#[test]
fn snapshots() {
    let home = home();
    home.run(&["snapshot", "--sandbox", "-o", "good.yaml"]).expect(0);
    home.run(&["snapshot", "--sandbox", "-o", "good.json"]).expect(0);
    let (yaml, json) = (home.read("good.yaml"), home.read("good.json"));
    home.write("other-version.yaml", &yaml.replacen("openmldb_ops_snapshot: 1", "openmldb_ops_snapshot: 2", 1));
    home.write("unknown-key.yaml", &yaml.replacen("  auto_failover:", "  manual_failover: true\n  auto_failover:", 1));
    home.write("unknown-key-below.yaml", &yaml.replacen("    storage:", "    colour: red\n    storage:", 1));
    home.write("unknown-key-on-top.yaml", &format!("{yaml}colour: red\n"));
    home.write("unknown-key.json", &json.replacen("\"auto_failover\":", "\"manual\": 1,\n    \"auto_failover\":", 1));
    home.write("wrong-kind.yaml", &yaml.replacen("auto_failover: true", "auto_failover: perhaps", 1));
    home.write("no-version.yaml", &yaml.replacen("openmldb_ops_snapshot: 1\n", "", 1));
    home.write("cut.json", &json[..json.len() / 2]);
    home.write("not-yaml.yaml", "openmldb_ops_snapshot: 1\nsnapshot: [\n");
    home.write("empty.yaml", "");
    let files = ["missing.yaml", "other-version.yaml", "unknown-key.yaml", "unknown-key-below.yaml"];
    let more = ["unknown-key-on-top.yaml", "unknown-key.json", "wrong-kind.yaml", "no-version.yaml"];
    let mut out = String::new();
    for file in files.iter().chain(&more).chain(&["cut.json", "not-yaml.yaml", "empty.yaml"]) {
        let ran = refused(&home, 2, &["recover", "--all", "--dry-run", "--snapshot", file]);
        out += &ran.transcript();
    }
    insta::assert_snapshot!(out);
}

#[test]
fn a_snapshot_without_tablets() {
    let home = home();
    home.run(&["snapshot", "--sandbox", "-o", "seen.yaml"]).expect(0);
    let yaml = home.read("seen.yaml");
    let (tables, rest) = yaml.split_once("  tablets:\n").unwrap();
    let ops = rest.find("\n  ops:").map_or("", |at| &rest[at + 1..]);
    home.write("no-tablets.yaml", &format!("{tables}  tablets: {{}}\n{ops}"));
    let ran = refused(&home, 1, &["recover", "--all", "--dry-run", "--snapshot", "no-tablets.yaml"]);
    assert!(
        ran.stderr.starts_with("error: the nameserver knows no tablets; start the tablets first\nhint: "),
        "{}",
        ran.stderr
    );
}

#[test]
fn credentials() {
    let home = home();
    home.write("no-pair", "hunter2\n");
    home.write("no-user", ":hunter2\n");
    home.write("not-ascii", "rööt:hunter2\n");
    let at = ["status", "--nameserver", "127.0.0.1:1"];
    let zk = ["status", "--zk-cluster", "127.0.0.1:1"];
    let mut out = String::new();
    for file in ["missing", "no-pair", "no-user", "not-ascii"] {
        out += &transcripts(&home, 2, &[&[&at[..], &["--auth-file", file]].concat()]);
    }
    for file in ["missing", "no-pair"] {
        out += &transcripts(&home, 2, &[&[&zk[..], &["--zk-cert-file", file]].concat()]);
    }
    let home = home.with("OPENMLDB_AUTH", "hunter2").with("OPENMLDB_ZK_CERT", "hunter2");
    out += &transcripts(&home, 2, &[&at, &zk]);
    assert!(!out.contains("hunter2"), "{out}");
    insta::assert_snapshot!(out);
}

/// The root of a new cluster has one, and nobody has to be asked whether it is meant.
#[test]
fn an_empty_password_is_a_credential() {
    let home = home();
    home.write("no-password", "root:\n");
    for at in [
        ["status", "--nameserver", "127.0.0.1:1", "--leader-wait", "0", "--auth-file", "no-password"],
        ["status", "--zk-cluster", "127.0.0.1:1", "--leader-wait", "0", "--zk-cert-file", "no-password"],
    ] {
        let ran = home.run(&at).expect(1);
        assert!(ran.stderr.contains("connection refused"), "{}", ran.stderr);
    }
}

/// `conf/openmldb-env.sh` sets every variable that it knows, most of them to nothing.
#[test]
fn what_the_environment_sets_to_nothing_is_not_set() {
    let names =
        ["ZK_CLUSTER", "ZK_ROOT_PATH", "ZK_CERT", "ZK_CERT_FILE", "NAMESERVER", "AUTH", "AUTH_FILE", "OPS_RECORD_DIR"];
    let bare = home();
    let empty = names.iter().fold(home(), |home, name| home.with(&format!("OPENMLDB_{name}"), ""));
    for at in [
        &["status"][..],
        &["status", "--nameserver", "127.0.0.1:1", "--leader-wait", "0"],
        &["status", "--zk-cluster", "127.0.0.1:1"],
        &["record", "list"],
    ] {
        let (ran, as_bare) = (empty.run(at), bare.run(at));
        assert_eq!(ran.transcript(), as_bare.transcript());
    }
}

/// A command that cannot write what it was asked for says so.
#[test]
fn places_that_cannot_be_written() {
    let home = home();
    let file = home.write("a-file", "");
    let ran = home.run(&["snapshot", "--sandbox", "-o", "nowhere/seen.yaml"]).expect(1);
    check_message(&ran);
    assert!(ran.stderr.contains("cannot write the snapshot nowhere/seen.yaml: No such file"), "{}", ran.stderr);
    let ran = home.run(&["recover", "--all", "--sandbox", "--record-dir", &format!("{file}/below")]).expect(1);
    check_message(&ran);
    assert!(ran.stderr.contains("a-file/below"), "{}", ran.stderr);
    let lies = ["recover", "--all", "--sandbox", "--record-dir", "/proc/none", "--output", "json"];
    let ran = home.run(&lies).expect(1);
    check_message(&ran);
    assert_eq!(ran.summary()["rpc"]["mutations"], 0);
}
