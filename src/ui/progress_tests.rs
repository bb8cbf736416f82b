//! Progress without a terminal: lines where there is none, bars that are drawn nowhere.

use std::sync::mpsc;

use super::*;
use crate::model::TableName;
use crate::recovery::{Blocked, Reason};
use crate::run::{Arranging, Milestone};

/// A writer whose text a test reads back.
struct Wire(mpsc::Sender<u8>);

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Bars that go away when a test has failed have nobody to read them.
        for byte in bytes {
            let _unread = self.0.send(*byte);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer whose reader has gone.
struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

fn serving() -> Event {
    let table = TableName { db: "shop".to_owned(), table: "orders".to_owned() };
    Event::Partition { table, pid: 0, state: Milestone::Serving, after_ms: 1200, blocked: None }
}

fn blocked() -> Event {
    let table = TableName { db: "shop".to_owned(), table: "orders".to_owned() };
    let blocked = Some(Blocked::new(Reason::NoData, "no replica could be loaded", "look in the recycle bin"));
    Event::Partition { table, pid: 1, state: Milestone::Blocked, after_ms: 1200, blocked }
}

fn observed() -> Event {
    Event::Observed { partitions: 4, replicas: 12, healthy: 1, auto_failover: false }
}

#[test]
fn where_there_is_no_terminal_each_event_is_a_line() {
    let (sender, receiver) = mpsc::channel();
    let progress = Progress::lines(Box::new(Wire(sender)), Detail::Usual, Paint::Plain);
    let listener = progress.listener();
    [observed(), serving()].iter().for_each(|event| listener(event));
    progress.finish();
    let text: Vec<u8> = receiver.try_iter().collect();
    insta::assert_snapshot!(String::from_utf8(text).unwrap(), @r"
    4 partitions with 12 replicas: 1 healthy, 3 to bring back; auto_failover is off
    shop.orders/0: serving after 1.2 s
    ");
}

#[test]
fn why_a_tablet_does_not_answer_is_told_once_however_many_partitions_wait_for_it() {
    let away = |pid, at: &str| {
        let table = TableName { db: "shop".to_owned(), table: "orders".to_owned() };
        let text = format!("{at} does not answer (refused (os error 111)); the partition serves without it");
        let blocked = Some(Blocked::new(Reason::NotRedundant, text, "bring it back"));
        Event::Partition { table, pid, state: Milestone::Blocked, after_ms: 1200, blocked }
    };
    let told = |detail| {
        let (sender, receiver) = mpsc::channel();
        let progress = Progress::lines(Box::new(Wire(sender)), detail, Paint::Plain);
        [observed(), away(0, "a:1"), away(1, "a:1"), away(2, "b:1")].iter().for_each(|event| progress.show(event));
        String::from_utf8(receiver.try_iter().collect()).unwrap()
    };
    let usual = told(Detail::Usual);
    assert_eq!(usual.matches("refused").count(), 2, "{usual}");
    assert!(usual.contains("\na:1 does not answer: refused (os error 111)\nshop.orders/0: blocked"), "{usual}");
    assert!(usual.contains("shop.orders/1: blocked after 1.2 s, not_redundant: a:1 does not answer; the "), "{usual}");
    assert_eq!(told(Detail::Verbose).matches("refused").count(), 3);
    let progress = |text: &str| {
        let (sender, receiver) = mpsc::channel();
        let progress = Progress::lines(Box::new(Wire(sender)), Detail::Usual, Paint::Plain);
        progress.show(&Event::Note { text: text.to_owned() });
        String::from_utf8(receiver.try_iter().collect()).unwrap()
    };
    let several = progress("a:1 does not answer (refused), b:1 does not answer (late), a:1 does not answer (refused)");
    let shown = "a:1 does not answer: refused\nb:1 does not answer: late\n\
                 note: a:1 does not answer, b:1 does not answer, a:1 does not answer\n";
    assert_eq!(several, shown, "of several in a line, too");
}

#[test]
fn progress_that_cannot_be_shown_stops_nothing() {
    let progress = Progress::lines(Box::new(Broken), Detail::Verbose, Paint::Plain);
    progress.show(&serving());
    progress.finish();
}

/// A terminal of 24 lines and 60 columns, and what it shows of progress.
fn on_terminal() -> (Progress, impl Fn() -> Vec<String>) {
    let (sender, receiver) = mpsc::channel();
    let board = Board::new(Box::new(Wire(sender)), Box::new(|| (24, 60)));
    let mut terminal = avt::Terminal::with_scrollback(60, 24, None).unwrap();
    let shown = move || {
        let text: Vec<u8> = receiver.try_iter().collect();
        terminal.feed(String::from_utf8(text).unwrap().replace('\n', "\r\n").as_str());
        // Spaces break lines that are longer than the terminal is wide between words; in bars they are what is not done yet.
        let as_words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let as_told = move |line: String| if line.contains('[') { line.trim_end().to_owned() } else { as_words(&line) };
        let lines = terminal.screen().text().into_iter().map(as_told);
        lines.filter(|line| !line.is_empty()).collect()
    };
    let shown = std::cell::RefCell::new(shown);
    (Progress::on_board(board, Detail::Usual, Paint::Plain), move || (shown.borrow_mut())())
}

fn recorded() -> Event {
    Event::Recorded { path: "run-1.jsonl".to_owned() }
}

#[test]
fn nothing_is_drawn_before_a_run_acts() {
    let (progress, shown) = on_terminal();
    assert_eq!(shown(), Vec::<String>::new());
    progress.show(&Event::Note { text: "waiting for a nameserver".to_owned() });
    progress.show(&observed());
    progress.show(&serving());
    assert_eq!(
        shown(),
        [
            "note: waiting for a nameserver",
            "4 partitions with 12 replicas: 1 healthy, 3 to bring back; auto_failover is off",
            "shop.orders/0: serving after 1.2 s"
        ]
    );
}

#[test]
fn nothing_is_drawn_where_no_partition_has_to_be_brought_back() {
    let (progress, shown) = on_terminal();
    progress.show(&recorded());
    progress.show(&serving());
    assert_eq!(shown().len(), 2, "two lines: {:?}", shown());
}

#[test]
fn bars_follow_the_tally_and_the_last_event_passes_by() {
    let (progress, shown) = on_terminal();
    [observed(), recorded(), serving(), blocked()].iter().for_each(|event| progress.show(event));
    // Changes that follow each other closely are drawn together, at the latest when the clock moves on.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let text = loop {
        let text = shown();
        if text.iter().any(|line| line.contains("1 blocked")) && text.last().unwrap().contains("serving after") {
            break text;
        }
        assert!(std::time::Instant::now() < deadline, "{text:#?}");
        std::thread::yield_now();
    };
    // Time has passed.
    let text: Vec<&str> = text.iter().map(|line| line.split("/3  ").next().unwrap_or(line)).collect();
    insta::assert_snapshot!(text.join("\n"), @r"
    4 partitions with 12 replicas: 1 healthy, 3 to bring back; auto_failover is off
    state saved to run-1.jsonl
    shop.orders/1: blocked after 1.2 s, no_data: no replica could be loaded; look in the recycle bin
      serving [========>                ] 1
    redundant [                         ] 0
    blocked: shop.orders/1
    shop.orders/0: serving after 1.2 s
    ");
    progress.finish();
    progress.show(&Event::Note { text: "after it".to_owned() });
    let text = shown();
    assert_eq!(text.last().unwrap(), "note: after it");
    assert!(!text.iter().any(|line| line.contains('[') || line.contains("serving")), "{text:#?}");
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_gets_lines() {
    assert!(can_move(Some("xterm-256color")));
    assert!(!can_move(Some("dumb")) && !can_move(Some("")) && !can_move(None));
}

fn arranging(after_ms: u64, partitions: usize, steps_done: usize) -> Event {
    let of = Arranging { after_ms, partitions, steps: 4 * partitions, steps_done, ..Arranging::default() };
    Event::Arranging(Box::new(of))
}

#[test]
fn of_an_undertaking_over_many_partitions_not_every_step_is_told() {
    let told = |partitions| {
        let (sender, receiver) = mpsc::channel();
        let progress = Progress::lines(Box::new(Wire(sender)), Detail::Usual, Paint::Plain);
        for step in 0..60 {
            progress.show(&arranging(1_000 * step, partitions, usize::try_from(step).unwrap()));
            progress.moved(&format!("shop.orders/{step}: migrate"), Moved::Well);
            progress.moved(&format!("shop.orders/{step}: waiting: operation 7 is under way"), Moved::Slowly);
            progress.moved(&format!("shop.orders/{step}: code 303"), Moved::Badly);
        }
        String::from_utf8(receiver.try_iter().collect()).unwrap()
    };
    let few = told(3);
    assert_eq!(few.lines().count(), 180, "each");
    // With the time of day.
    assert!(few.lines().all(|line| line.split_once(' ').is_some_and(|(time, _)| time.len() == 8)), "{few}");
    let many = told(1_000);
    let (missed, far): (Vec<&str>, Vec<&str>) = many.lines().partition(|line| !line.contains(" of 4000 steps"));
    assert_eq!(missed.len(), 4, "three, and that no more are told: {many}");
    assert_eq!(far.len(), 11, "one in five seconds: {many}");
}

#[test]
fn on_a_terminal_an_undertaking_has_rows_and_only_what_failed_stays() {
    let (progress, shown) = on_terminal();
    [recorded(), arranging(0, 3, 0)].iter().for_each(|event| progress.show(event));
    progress.moved("shop.orders/0: migrate", Moved::Well);
    progress.moved("shop.orders/0: code 303", Moved::Badly);
    let text = shown();
    assert!(text[1].ends_with("note: shop.orders/0: code 303"), "{text:#?}");
    assert!(text.iter().any(|line| line.contains("steps [")) && text.iter().any(|line| line.contains("done [")));
    progress.finish();
    assert!(!shown().iter().any(|line| line.contains("migrate") || line.contains("steps [")), "it has passed by");
}
