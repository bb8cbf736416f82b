//! How databases, tables, partitions and times are named on the command line.

use super::bad_input::check_message;
use crate::support::process::Home;

/// The partitions of a table that are in scope.
fn partitions(scope: &[&str]) -> Vec<u64> {
    let words = [&["status", "--sandbox", "healthy", "--output", "json"], scope].concat();
    let events = Home::new().run(&words).expect(0).events();
    let status = events.iter().find(|event| event["event"] == "status").unwrap();
    status["partitions"].as_array().unwrap().iter().map(|found| found["pid"].as_u64().unwrap()).collect()
}

#[test]
fn several_partitions_are_named_at_once_and_names_may_be_quoted() {
    assert_eq!(partitions(&["--partition", "shop.orders/0,2-3"]), [0, 2, 3]);
    assert_eq!(partitions(&["--partition", "`shop`.`orders`/1"]), [1]);
    let home = Home::new();
    let replicas = home.run(&["replica", "status", "shop.orders/1-2", "--sandbox", "healthy"]).expect(0).stdout;
    let named = |pid: u32| replicas.matches(&format!("shop.orders/{pid} ")).count();
    assert_eq!([0, 1, 2, 3].map(named), [0, 3, 3, 0], "{replicas}");
    let compared =
        home.run(&["replica", "diff", "shop.orders/1-2", "--sandbox", "healthy", "--output", "json"]).expect(0);
    let compared: Vec<u64> = compared.events().iter().filter_map(|event| event["pid"].as_u64()).collect();
    assert_eq!(compared, [1, 2], "each in its one index");
    let tables = home.run(&["show", "tables", "shop.orders/1-2", "--columns", "pid", "--sandbox", "healthy"]).expect(0);
    assert_eq!(tables.stdout.lines().skip(2).collect::<String>(), "111222");
}

#[test]
fn what_is_nearly_a_name_is_answered_with_the_name() {
    for (words, meant) in [
        (&["status", "--db", "shp"][..], "did you mean `shop`?"),
        (&["status", "--table", "shop.order"], "did you mean `orders`?"),
        (&["status", "--sandbox", "healty"], "hint: did you mean healthy?"),
        (&["status", "--partition", "shop.orders/3-1"], "is not of the form DATABASE.TABLE/PID (several: /1,3,5-9)"),
        (&["status", "--partition", "shop.orders/2-9"], "`shop.orders` has no partition 4"),
        (&["show", "tables", "shop.orders/9"], "`shop.orders` has no partition 9"),
    ] {
        let sandbox: &[&str] = if words.contains(&"--sandbox") { &[] } else { &["--sandbox", "healthy"] };
        let ran = Home::new().run(&[words, sandbox].concat()).expect(2);
        check_message(&ran);
        assert!(ran.stderr.contains(meant), "{}", ran.stderr);
    }
}

#[test]
fn steps_answer_what_is_nearly_a_name_with_the_name() {
    // Of this sandbox the names are always the same.
    const NEARLY: &str = "735389629746848972";
    const MEANT: &str = "did you mean 7353896297468489728?";
    for (words, meant) in [
        (&["replica", "recover", "shop.order/0", NEARLY][..], "did you mean shop.orders?"),
        (&["leader", "change", "shp.orders/0"], "did you mean shop.orders?"),
        (&["replica", "snapshot", "shop.orders/0", NEARLY], MEANT),
        (&["scale", "in", NEARLY], MEANT),
        (&["upgrade", "pre", NEARLY], MEANT),
        (&["tablet", "replace", NEARLY], MEANT),
        (&["recover", "--all", "--without", NEARLY], MEANT),
    ] {
        let ran = Home::new().run(&[words, &["--sandbox", "server-names"]].concat()).expect(2);
        check_message(&ran);
        assert!(ran.stderr.contains(meant), "{words:?}: {}", ran.stderr);
    }
}

#[test]
fn times_are_written_with_a_unit_or_in_seconds() {
    for time in ["300", "300s", "5m"] {
        Home::new().run(&["recover", "--all", "--dry-run", "--sandbox", "healthy", "--timeout", time]).expect(0);
    }
    let ran = Home::new().run(&["recover", "--all", "--sandbox", "healthy", "--timeout", "500ms"]).expect(2);
    assert!(ran.stderr.contains("a time here is whole seconds, or a whole number and a unit"), "{}", ran.stderr);
}
