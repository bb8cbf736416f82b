//! Progress without a terminal: lines where there is none, bars that are drawn nowhere.

use std::sync::mpsc;

use super::*;
use crate::model::TableName;
use crate::recovery::{Blocked, Reason};
use crate::run::Milestone;

/// A writer whose text a test reads back.
struct Wire(mpsc::Sender<u8>);

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        bytes.iter().for_each(|byte| self.0.send(*byte).unwrap());
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
fn progress_that_cannot_be_shown_stops_nothing() {
    let progress = Progress::lines(Box::new(Broken), Detail::Verbose, Paint::Plain);
    progress.show(&serving());
    progress.finish();
}

#[test]
fn bars_follow_the_tally_and_the_last_event_passes_by() {
    let drawn = Box::new(Drawn::on(ProgressDrawTarget::hidden()));
    let (serving_bar, redundant, last) = (drawn.serving.clone(), drawn.redundant.clone(), drawn.last.clone());
    let progress = Progress::new(Detail::Usual, Paint::Plain, Place::Bars(drawn));
    [observed(), serving(), blocked()].iter().for_each(|event| progress.show(event));
    assert_eq!((serving_bar.position(), serving_bar.length()), (1, Some(3)));
    assert_eq!((redundant.position(), redundant.length()), (0, Some(3)));
    assert_eq!(redundant.message(), "1 blocked");
    assert_eq!(last.message(), "shop.orders/0: serving after 1.2 s", "what is blocked stays above the bars instead");
    progress.finish();
    assert!(serving_bar.is_finished() && redundant.is_finished() && last.is_finished());
}
