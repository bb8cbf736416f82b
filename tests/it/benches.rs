//! What the benchmarks keep: results that the next run is held against, and the document made of them.

use serde_json::{Value, json};

#[path = "../../benches/recovery/results.rs"]
mod results;

use results::Results;

fn kept(name: &str) -> String {
    std::fs::read_to_string(format!("{}/benches/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn the_document_is_made_of_what_is_kept() {
    let results = Results::read(&kept("results.json")).unwrap();
    let document = kept("README.md");
    assert_eq!(results.document(&document), document, "cargo bench --bench recovery makes it");
    assert_eq!(Results::read(&results.text()).unwrap(), results);
    for (name, columns) in results::BENCHMARKS {
        assert!(document.contains(&format!("<!-- {name} -->")), "{name} has no table");
        for row in results.rows(name) {
            assert!(columns.iter().all(|(column, _)| row.get(*column).is_some()), "{name}: {row}");
        }
    }
}

fn handover(median: u64, others: u64, seconds: f64) -> (Value, Value) {
    let handover = json!({"beside": "alone", "handovers": 20, "median ms": median, "longest ms": median,
        "stand-downs each": 1.3, "handed over": 20, "calls each": 40, "meanwhile to others": others});
    let ratio = json!({"cluster": "3x165", "playbook": "fast", "serving s": 1.0, "wall s": seconds});
    (handover, ratio)
}

#[test]
fn what_is_worse_than_before_is_said_and_what_another_machine_takes_is_not() {
    let mut before = Results::default();
    let (row, ratio) = handover(25, 0, 1.0);
    before.put("handover", row.clone());
    before.put("ratio", ratio);
    assert!(before.worse("handover", &row).is_empty());
    let (slower, machine) = handover(40, 0, 90.0);
    assert_eq!(
        before.worse("handover", &slower),
        ["handover alone 20: median ms was 25, is 40", "handover alone 20: longest ms was 25, is 40"]
    );
    assert!(before.worse("ratio", &machine).is_empty(), "a slower machine is no regression");
    let (asks, _) = handover(25, 1, 1.0);
    assert_eq!(before.worse("handover", &asks), ["handover alone 20: meanwhile to others was 0, is 1"]);
    let (faster, _) = handover(10, 0, 1.0);
    assert!(before.worse("handover", &faster).is_empty());
    before.put("handover", faster.clone());
    assert_eq!(before.rows("handover"), [faster], "it takes the place of the one before");
}
