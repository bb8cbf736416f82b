//! The README, typed.

use openmldb_ops::sandbox::scenario::Scenario;

use super::document::Section;
use super::nights::Night;
use super::{is_not_run, typed_in};
use crate::support::outside::{flags, leader, orders};
use crate::support::process::Home;
use crate::support::zookeeper::needs_zookeeper;

/// What is typed in an empty directory, with a cluster of its own or none.
const ALONE: [&str; 2] = ["openmldb-ops", "Building"];
/// What is typed on a cluster in which everything was restarted.
const RESTARTED: [&str; 2] = ["On a real cluster", "Rehearsing"];
/// What is typed on one that tablets have joined.
const HEALTHY: [&str; 1] = ["The handbook, and `openmldb_ops.py`"];

fn among<'a>(sections: &'a [Section], headings: &'a [&str]) -> impl Iterator<Item = &'a Section> {
    sections.iter().filter(|section| headings.contains(&section.heading.as_str()))
}

#[test]
fn every_section_of_the_readme_is_typed() {
    let all = typed_in("README.md");
    let known = ALONE.iter().chain(&RESTARTED).chain(&HEALTHY).copied().collect::<Vec<_>>();
    let unknown: Vec<&str> =
        all.iter().map(|section| section.heading.as_str()).filter(|heading| !known.contains(heading)).collect();
    assert!(unknown.is_empty(), "nobody types what stands in {unknown:?}");
}

#[test]
fn what_needs_no_cluster() {
    for section in among(&typed_in("README.md"), &ALONE) {
        for typed in section.commands.iter().filter(|typed| !is_not_run(&typed.words)) {
            let words = typed.words.replace("cargo run --release -- ", "openmldb-ops ");
            let words: Vec<&str> = words.split_whitespace().collect();
            let ["openmldb-ops", words @ ..] = words.as_slice() else {
                panic!("not known how to run: {}", typed.words)
            };
            let ran = Home::new().run(words).expect(typed.exit);
            if words == ["recover", "--all", "--sandbox"] {
                ends_as_shown(&section.shape.printed, &ran.stdout);
            }
        }
    }
}

/// What is shown of a command's end is what it prints, but for times and how many calls it took.
fn ends_as_shown(printed: &[String], told: &str) {
    let without_times = |line: &str| line.replace(|c: char| c.is_ascii_digit(), "").trim_end().to_owned();
    let told: Vec<String> = told.lines().map(without_times).collect();
    let shown: Vec<&String> = printed.iter().skip_while(|line| !line.starts_with("...")).skip(1).collect();
    assert!(shown.len() > 3, "{printed:?}");
    let first = told.iter().rposition(|line| *line == without_times(shown[0])).unwrap_or_default();
    let mut rest = told[first..].iter();
    for line in shown {
        assert!(rest.any(|told| *told == without_times(line)), "README shows `{line}`, and it is not told:\n{told:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_on_a_real_cluster() {
    needs_zookeeper!();
    let mut night = Night::of(Scenario::EverythingRestarted).await;
    for section in among(&typed_in("README.md"), &RESTARTED) {
        night.types(section).await;
    }
    night.ends_with_every_row().await;
}

/// What the words stand for is another thing in each line.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_on_a_healthy_cluster() {
    needs_zookeeper!();
    let mut night = Night::of(Scenario::TabletsAdded).await;
    let tablets: Vec<String> = night.harness.tablets().iter().map(ToString::to_string).collect();
    for mut section in typed_in("README.md").into_iter().filter(|found| HEALTHY.contains(&found.heading.as_str())) {
        for typed in std::mem::take(&mut section.commands) {
            let (leads, follows) = night.harness.world(|world| {
                let id = orders(world, 0);
                let leads = leader(world, id);
                let others = flags(world, id).into_iter().map(|flags| flags.endpoint);
                (leads.clone(), others.into_iter().find(|at| *at != leads).unwrap())
            });
            let endpoint = match typed.words.contains("scale in") {
                true => tablets[4].clone(),
                false if typed.words.contains("handover") => follows.to_string(),
                false => tablets[0].clone(),
            };
            let words = typed.words.replace("D.T/PID", "shop.orders/0").replace("ENDPOINT", &endpoint);
            section.commands = vec![super::document::Typed { words, ..typed }];
            assert_ne!(leads, follows);
            night.types(&section).await;
        }
    }
    night.ends_with_every_row().await;
}
