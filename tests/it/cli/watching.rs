//! `status --watch`: what is seen anew is shown, until it is told to end.

use openmldb_ops::sandbox::scenario::Scenario;

use crate::support::harness::Harness;
use crate::support::process::Home;
use crate::support::screen::Screen;

const DOWN: &str = "0 of 12 partitions serve: clients can neither read nor write.";
const WELL: &str = "12 of 12 partitions serve; none lacks a copy.";

async fn cluster() -> (Harness, String) {
    let harness = Harness::start(Scenario::EverythingRestarted).await;
    let nameserver = harness.sandbox().nameserver_address().unwrap().to_string();
    (harness, nameserver)
}

#[tokio::test(flavor = "multi_thread")]
async fn off_a_terminal_a_line_is_told_when_it_is_another_one() {
    let (harness, nameserver) = cluster().await;
    let home = Home::new();
    let mut watch = home.start(&["status", "--watch", "1", "--nameserver", &nameserver]);
    let line = watch.wait_for_line(|_| true);
    assert!(line.trim_end().ends_with(DOWN) && line.contains(" UTC  "), "it has its time: {line}");
    Home::new().run(&["recover", "--all", "--playbook", "fast", "--nameserver", &nameserver]).expect(0);
    watch.wait_for_line(|line| line.trim_end().ends_with(WELL));
    watch.signal("INT");
    let ran = watch.end().expect(130);
    let told: Vec<&str> = ran.stdout.lines().map(|line| line.split_once("  ").map_or(line, |(_, text)| text)).collect();
    assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "no line is told twice in a row: {told:#?}");
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_it_is_shown_in_one_place_and_what_was_seen_last_stays() {
    let (harness, nameserver) = cluster().await;
    let home = Home::new();
    let screen = Screen::start(&home, &["status", "--watch", "1", "--nameserver", &nameserver], 100);
    screen.wait_for(DOWN, |lines| lines.iter().any(|line| line == DOWN));
    Home::new().run(&["recover", "--all", "--playbook", "fast", "--nameserver", &nameserver]).expect(0);
    screen.wait_for(WELL, |lines| lines.iter().any(|line| line == WELL));
    screen.signal("INT");
    let seen = screen.end();
    assert_eq!(seen.code, 130);
    let times = |what: &str| seen.lines.iter().filter(|line| *line == what).count();
    assert_eq!((times(DOWN), times(WELL)), (0, 1), "{:#?}", seen.lines);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_json_every_look_is_told() {
    let (harness, nameserver) = cluster().await;
    let home = Home::new();
    let mut watch = home.start(&["status", "--watch", "1", "--output", "json", "--nameserver", &nameserver]);
    for kind in ["status", "summary", "status", "summary"] {
        let line = watch.wait_for_line(|_| true);
        assert!(line.starts_with(&format!("{{\"event\":\"{kind}\"")), "{line}");
    }
    watch.signal("INT");
    watch.end().expect(130);
    harness.stop().await;
}
