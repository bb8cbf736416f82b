//! `recover --explain`: what is known of one partition, what would be done and why, in words.

use serde_json::Value;

use crate::support::process::{Home, Ran};

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// The explanation, and the plan of the same partition.
fn both(home: &Home, scenario: &str, partition: &str, code: i32) -> (Value, Vec<Value>) {
    let json = ["--output", "json", "--sandbox", scenario];
    let told = home.run(&[&["recover", "--explain", partition], &json[..]].concat()).expect(code);
    let planned = home.run(&[&["recover", "--dry-run", "--partition", partition], &json[..]].concat()).expect(code);
    assert_eq!(told.summary()["rpc"]["mutations"], 0);
    let explained = told.events().into_iter().find(|event| event["event"] == "explanation").unwrap();
    (explained, planned.events().into_iter().filter(|event| event["event"] == "partition_plan").collect())
}

#[test]
fn what_is_known_what_would_be_done_and_why() {
    let home = Home::new();
    let (told, planned) = both(&home, "everything-restarted", "shop.orders/1", 0);
    let [plan] = &planned[..] else { panic!("{planned:?}") };
    let (known, done) = (texts(&told["known"]).join("\n"), texts(&told["done"]));
    for replica in plan["evidence"].as_array().unwrap() {
        let line = known.lines().find(|line| line.contains(": flagged ") && line.contains("not loaded"));
        assert!(line.is_some() && known.contains(replica["manifest"].as_str().unwrap()), "{known}");
    }
    assert_eq!(known.matches(": flagged ").count(), plan["evidence"].as_array().unwrap().len(), "{known}");
    assert!(known.contains("leaderships so far, by term: "), "{known}");
    let steps = plan["steps"].as_array().unwrap();
    assert_eq!(done.len(), steps.len());
    for (said, step) in done.iter().zip(steps) {
        assert!(said.contains(step["why"].as_str().unwrap()), "{said}: {step}");
        assert_eq!(said.contains("(expected)"), step["expected"] == true, "{said}: {step}");
    }
    assert!(texts(&told["leader"])[0].starts_with("it is chosen once they are loaded, among "), "{told}");
    assert_eq!(texts(&told["next"]), ["openmldb-ops recover --partition shop.orders/1 --sandbox everything-restarted"]);
    assert!(texts(&told["in_the_way"]).is_empty(), "{told}");
    let text = home.run(&["recover", "--explain", "shop.orders/1", "--sandbox"]).expect(0).stdout;
    for heading in ["What is known", "Who leads, and why", "What would be done, and why", "What to do next"] {
        assert!(text.contains(&format!("\n{heading}\n  ")), "{heading}: {text}");
    }
}

#[test]
fn what_is_healthy_has_nothing_to_do() {
    let (told, planned) = both(&Home::new(), "healthy", "shop.orders/1", 0);
    assert_eq!((planned.len(), &told["state"]), (0, &Value::from("healthy")));
    assert_eq!(texts(&told["next"]), ["nothing has to be done"]);
    assert!(texts(&told["done"]).is_empty() && texts(&told["leader"])[0].contains(" leads, and stays"), "{told}");
}

#[test]
fn what_is_in_the_way_is_said_with_what_to_type() {
    let home = Home::new();
    let blocked = |ran: &Ran| {
        let is_blocked = |event: &Value| event["event"] == "partition_plan" && !event["blocked"].is_null();
        ran.events().into_iter().find(is_blocked)
    };
    let all = home.run(&["recover", "--all", "--dry-run", "--sandbox", "tablet-missing", "--output", "json"]).expect(4);
    let plan = blocked(&all).expect("something is blocked");
    let name = format!("{}.{}/{}", plan["db"].as_str().unwrap(), plan["table"].as_str().unwrap(), plan["pid"]);
    let (told, _) = both(&home, "tablet-missing", &name, 4);
    let reason = plan["blocked"]["reason"].as_str().unwrap();
    assert!(texts(&told["in_the_way"])[0].starts_with(&format!("{reason}: ")), "{told}");
    let next = texts(&told["next"]);
    assert!(next.contains(&format!("openmldb-ops explain {reason}").as_str()), "{told}");
    assert_eq!(next[0], plan["blocked"]["hint"].as_str().unwrap());
}

#[test]
fn several_partitions_are_explained_one_by_one() {
    let home = Home::new();
    let words = ["recover", "--sandbox", "--explain"];
    let of = |name: &str| home.run(&[&words[..], &[name]].concat()).expect(0).stdout;
    let all = of("shop.orders/0,2-3");
    for pid in [0, 2, 3] {
        assert_eq!(all.matches(&format!("shop.orders/{pid} (tid ")).count(), 1, "{all}");
    }
    assert!(!all.contains("shop.orders/1 (tid "), "{all}");
    let lines = home.run(&[&words[..], &["shop.orders/0,2-3", "--output", "json"]].concat()).expect(0).events();
    let told = lines.iter().filter(|line| line["event"] == "explanation");
    assert_eq!(told.map(|line| line["pid"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 2, 3]);
}

/// From a file, too; and nothing that changes anything goes with it.
#[test]
fn it_only_looks() {
    let home = Home::new();
    home.run(&["snapshot", "--sandbox", "-o", "seen.yaml"]).expect(0);
    let told = home.run(&["recover", "--explain", "shop.orders/0", "--snapshot", "seen.yaml"]).expect(0).stdout;
    assert!(told.contains("shop.orders/0 (tid ") && told.contains("1. updatetablealive orders 0 "), "{told}");
    for with in [&["--all"][..], &["--partition", "shop.orders/0"], &["--accept-data-loss", "0123456789abcdef"]] {
        let ran = home.run(&[&["recover", "--explain", "shop.orders/0", "--sandbox"], with].concat()).expect(2);
        assert!(ran.stderr.contains("cannot be used with"), "{}", ran.stderr);
    }
    let missing = home.run(&["recover", "--explain", "shop.orders/9", "--sandbox"]).expect(2);
    assert!(missing.stderr.contains("has no partition 9"), "{}", missing.stderr);
    assert_eq!(home.left_behind().len(), 0, "{:?}", home.left_behind());
}
