//! auto_failover that stays off because of replicas that nobody has looked at, as whoever runs the program sees it.

use serde_json::Value;

use crate::support::process::{Home, Ran, Running};

struct Cluster {
    _sandbox: Running,
    nameserver: String,
    /// The tablet that is gone.
    gone: String,
}

/// Everything was restarted, and the first tablet went again before anybody loaded anything.
fn without_a_tablet(home: &Home) -> Cluster {
    let mut sandbox = home.start(&[
        "sandbox",
        "serve",
        "--output",
        "json",
        "--time-scale",
        "50",
        "--tables",
        "1",
        "--partitions",
        "3",
        "--replicas",
        "2",
        "--rows-per-partition",
        "20",
        "--fault",
        "1ms@tablet1=tablet-dies",
    ]);
    let ready: Value = serde_json::from_str(&sandbox.wait_for_line(|_| true)).unwrap();
    let nameserver = ready["nameserver"].as_str().unwrap().to_owned();
    loop {
        let seen = home.run(&["show", "tablets", "--output", "json", "--nameserver", &nameserver]);
        let tablets: Vec<Value> = seen.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let gone = tablets.iter().find(|tablet| tablet["nameserver"] == "offline");
        if let Some(gone) = gone.and_then(|tablet| tablet["endpoint"].as_str()) {
            return Cluster { _sandbox: sandbox, nameserver, gone: gone.to_owned() };
        }
    }
}

impl Cluster {
    fn run(&self, home: &Home, arguments: &[&str]) -> Ran {
        home.run(&[arguments, &["--nameserver", &self.nameserver]].concat())
    }

    fn recover(&self, home: &Home, more: &[&str]) -> Ran {
        self.run(home, &[&["recover", "--all", "--wait-for-tablets", "0"], more].concat())
    }

    fn is_on(&self, home: &Home) -> bool {
        self.run(home, &["failover", "get"]).stdout.contains("is on")
    }
}

fn kept_off_for(ran: &Ran) -> Vec<String> {
    let held = ran.summary()["auto_failover"]["held_for"].as_array().unwrap().clone();
    held.iter().map(|held| held["endpoint"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_run_ends_with_4_and_says_last_for_whom_it_stays_off_and_what_to_do() {
    let home = Home::new();
    let cluster = without_a_tablet(&home);
    let planned = cluster.recover(&home, &["--dry-run"]);
    assert!(planned.stdout.contains("it stays off: once "), "{}", planned.stdout);
    assert!(cluster.is_on(&home));
    let ran = cluster.recover(&home, &[]).expect(4);
    let last = ran.stdout.lines().last().unwrap();
    for part in [
        "is back, the nameserver would replace what",
        &format!(" on {} ", cluster.gone),
        &format!("bring {} back, then run the same command again", cluster.gone),
        &format!("run it with `--without {}`", cluster.gone),
        "`openmldb-ops failover restore --release --nameserver ",
    ] {
        assert!(last.contains(part), "no `{part}` in {last}");
    }
    assert!(!cluster.is_on(&home));

    // A second run finds nothing to do, and says it all the same.
    let again = cluster.recover(&home, &["--output", "json"]).expect(4);
    let held = kept_off_for(&again);
    assert!(!held.is_empty() && held.iter().all(|at| *at == cluster.gone), "{held:?}");
    let seen = &again.summary()["auto_failover"];
    assert_eq!((&seen["before"], &seen["after"]), (&Value::Bool(true), &Value::Bool(false)));
    assert!(again.stderr.lines().last().unwrap().contains("auto_failover stays off"), "{}", again.stderr);

    let status = cluster.run(&home, &["status"]).expect(3);
    for part in ["auto_failover is kept off by run ", "--without ", "failover restore --release"] {
        assert!(status.stdout.contains(part), "no `{part}` in {}", status.stdout);
    }
    assert!(!status.stdout.contains("restores auto_failover, and does nothing else"), "{}", status.stdout);
}

#[test]
fn nothing_else_gives_it_back_unless_it_is_released() {
    let home = Home::new();
    let cluster = without_a_tablet(&home);
    cluster.recover(&home, &[]).expect(4);
    for refused in [&["failover", "restore"][..], &["failover", "set", "on"]] {
        let ran = cluster.run(&home, refused).expect(5);
        assert!(ran.stderr.contains(&cluster.gone) && ran.stderr.contains("--release"), "{}", ran.stderr);
        assert!(!cluster.is_on(&home), "{refused:?}");
    }
    let owed = cluster.run(&home, &["failover", "restore", "--dry-run"]).expect(0);
    assert!(owed.stdout.contains("it must stay off"), "{}", owed.stdout);
    // Other work that needs it off leaves it off.
    let scaled = cluster.run(&home, &["scale", "out"]);
    assert!(scaled.stdout.contains("auto_failover is kept off"), "{}", scaled.stdout);
    assert!(!cluster.is_on(&home));
    cluster.run(&home, &["failover", "restore"]).expect(5);

    cluster.run(&home, &["failover", "restore", "--release"]).expect(0);
    assert!(cluster.is_on(&home));
    let after = cluster.recover(&home, &["--output", "json"]).expect(4);
    assert_eq!(kept_off_for(&after), [""; 0], "it was said that they do not matter");
    assert!(cluster.is_on(&home));
    cluster.run(&home, &["failover", "set", "off"]).expect(0);
    cluster.run(&home, &["failover", "set", "on"]).expect(0);
}

#[test]
fn a_tablet_that_is_gone_for_good_is_named_or_everything_is_released() {
    for flags in [&["--without"][..], &["--release-failover"]] {
        let home = Home::new();
        let cluster = without_a_tablet(&home);
        cluster.recover(&home, &[]).expect(4);
        let flags = match flags {
            ["--without"] => vec!["--without", &cluster.gone],
            flags => flags.to_vec(),
        };
        let ran = cluster.recover(&home, &[&["--output", "json"], &flags[..]].concat()).expect(4);
        assert_eq!(kept_off_for(&ran), [""; 0]);
        assert_eq!(ran.summary()["auto_failover"]["after"], true);
        assert!(cluster.is_on(&home));
    }
    let home = Home::new();
    let cluster = without_a_tablet(&home);
    let nobody = cluster.recover(&home, &["--without", "127.0.0.1:1"]).expect(2);
    assert!(nobody.stderr.contains("no replica is placed on 127.0.0.1:1"), "{}", nobody.stderr);
}
