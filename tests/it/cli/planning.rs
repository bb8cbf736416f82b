//! Plans from a file: no cluster, and the same every time.

use openmldb_ops::snapshot;

use crate::support::process::{Home, tidy};

fn from_file(home: &Home, file: &str, output: &str) -> String {
    let plan = ["recover", "--all", "--dry-run", "--full", "--snapshot", file, "--output", output];
    let ran = home.run(&plan).expect(0);
    assert_eq!(ran.stderr, "");
    ran.stdout
}

#[test]
fn a_snapshot_gives_the_same_plan_byte_for_byte() {
    let home = Home::new();
    home.run(&["snapshot", "--sandbox", "two-leader-flags", "-o", "seen.yaml"]).expect(0);
    for output in ["text", "json"] {
        let first = from_file(&home, "seen.yaml", output);
        assert!(first.contains("loadtable orders"), "{first}");
        assert_eq!(first, from_file(&home, "seen.yaml", output));
    }
    assert!(home.left_behind().is_empty(), "{:?}", home.left_behind());
}

/// The plan of a cluster is the plan of its snapshot.
#[test]
fn a_snapshot_gives_the_plan_that_its_cluster_gives() {
    let home = Home::new();
    home.run(&["snapshot", "--sandbox", "longer-follower", "-o", "seen.yaml"]).expect(0);
    let plan = |text: &str| {
        let from = text.find("Plan for ").unwrap_or_else(|| panic!("{text}"));
        let to = text.find("\nDry run: ").unwrap_or_else(|| panic!("{text}"));
        text[from..to].to_owned()
    };
    let of_cluster = home.run(&["recover", "--all", "--dry-run", "--full", "--sandbox", "longer-follower"]).expect(0);
    let of_file = plan(&tidy(&from_file(&home, "seen.yaml", "text")));
    let of_cluster = plan(&tidy(&of_cluster.stdout));
    let without_rows = of_cluster.lines().filter(|line| !line.starts_with("Sandbox "));
    assert_eq!(of_file.trim(), without_rows.collect::<Vec<_>>().join("\n").trim());
}

/// YAML, JSON and back.
#[test]
fn snapshots_round_trip() {
    let home = Home::new();
    for (scenario, out) in [("tablet-missing", "seen.yaml"), ("two-leader-flags", "seen.json")] {
        home.run(&["snapshot", "--sandbox", scenario, "-o", out]).expect(0);
        let text = home.read(out);
        let seen = snapshot::parse(out, &text).unwrap();
        assert_eq!(snapshot::write(&seen, out.ends_with("json")).unwrap(), text);
        for json in [false, true] {
            let again = snapshot::parse("again", &snapshot::write(&seen, json).unwrap()).unwrap();
            assert_eq!(again, seen);
        }
    }
    let printed = home.run(&["snapshot", "--sandbox", "healthy"]).expect(0).stdout;
    home.write("printed.yaml", &printed);
    assert!(from_file(&home, "printed.yaml", "text").contains("there is nothing to do"));
}

/// A replica on a tablet that nobody knows counts as out of reach, and its partition's trouble is its own.
#[test]
fn a_table_whose_tablet_nobody_knows() {
    let home = Home::new();
    home.run(&["snapshot", "--sandbox", "-o", "seen.yaml"]).expect(0);
    let yaml = home.read("seen.yaml");
    let audit = yaml.find("table: audit").unwrap();
    let (before, after) = yaml.split_at(audit);
    let endpoint = after.find("endpoint: ").unwrap() + "endpoint: ".len();
    let end = endpoint + after[endpoint..].find('\n').unwrap();
    home.write("lost.yaml", &format!("{before}{}10.9.9.9:10921{}", &after[..endpoint], &after[end..]));
    let ran = home.run(&["recover", "--table", "shop.audit", "--dry-run", "--snapshot", "lost.yaml"]).expect(4);
    insta::assert_snapshot!(ran.transcript());
    let all = home.run(&["recover", "--all", "--dry-run", "--snapshot", "lost.yaml", "--output", "json"]).expect(4);
    assert_eq!(all.summary()["partitions"]["blocked"], 1);
}
