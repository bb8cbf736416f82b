//! A record on a disk that is full: what was not sent is not told as sent, and what can be said of the end is said.

use super::*;

/// A disk with so much room.
#[derive(Clone)]
struct Disk {
    room: usize,
    written: Arc<Mutex<Vec<u8>>>,
}

struct OnDisk(Disk, usize);

impl RecordWriter for OnDisk {
    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        let mut written = self.0.written.lock().unwrap();
        let fits = text.len().min(self.0.room - written.len());
        written.extend_from_slice(&text[..fits]);
        if fits < text.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.1 = self.0.written.lock().unwrap().len();
        Ok(())
    }

    fn take_back(&mut self) -> io::Result<()> {
        self.0.written.lock().unwrap().truncate(self.1);
        Ok(())
    }
}

impl Archive for Disk {
    fn create(&self, run: RunId) -> io::Result<(RunId, Box<dyn RecordWriter>)> {
        Ok((run, Box::new(OnDisk(self.clone(), 0))))
    }

    fn runs(&self) -> io::Result<Vec<RunId>> {
        Ok(Vec::new())
    }

    fn read(&self, _run: RunId) -> io::Result<Box<dyn io::Read>> {
        Ok(Box::new(io::Cursor::new(self.written.lock().unwrap().clone())))
    }

    fn place(&self, _run: RunId) -> String {
        "disk".to_owned()
    }

    fn home(&self) -> String {
        "disk".to_owned()
    }
}

/// Which calls of a run were sent, that notes two and waits for the first before it notes two more; and the disk.
fn sends_on_a_disk(room: usize) -> Option<(Record, Vec<u64>, Disk)> {
    let disk = Disk { room, written: Arc::default() };
    let record = Record::begin(&disk, begun(5, "c", true, &[0])).ok()?;
    let mut sent = Vec::new();
    for _ in 0..2 {
        let first = record.sending("load_table", Some(id(0)), &load(A), "why");
        record.remember_unless_heard(first, id(0), &Memory::default(), &with_load(Load::InDoubt));
        let second = record.commanding("replica_add", "addreplica t 0 x", "why");
        record.note("both");
        if record.sync().is_ok() {
            sent.extend([first, second]);
            record.went(first, &Outcome::Applied);
            record.remember(id(0), &with_load(Load::Loaded));
        }
    }
    Some((record, sent, disk))
}

#[tokio::test]
async fn a_full_disk_does_not_make_calls_sent_that_never_were() {
    let (_, all, whole) = sends_on_a_disk(1 << 20).unwrap();
    assert_eq!(all, [1, 2, 3, 4]);
    let most = whole.written.lock().unwrap().len();
    let mut stopped_between = 0;
    for room in 0..most {
        let Some((record, sent, disk)) = sends_on_a_disk(room) else { continue };
        stopped_between += usize::from(sent.len() == 2);
        let unanswered = record.unanswered().len();
        assert_eq!(unanswered, sent.len() / 2, "room for {room}: only the second of two is not answered");
        let ended = record.end("failed", true, false, Vec::new());
        let recorded_run = RecordedRun::read(disk.read(record.run()).unwrap()).unwrap();
        let told = |line: &Line| match line {
            Line::Sending { number, .. } | Line::Command { number, .. } => Some(*number),
            _ => None,
        };
        assert_eq!(recorded_run.lines.iter().filter_map(told).collect::<Vec<_>>(), sent, "room for {room}");
        let in_doubt = |line: &&Line| matches!(line, Line::Remembered { memory, .. } if memory.load == Load::InDoubt);
        assert_eq!(recorded_run.lines.iter().filter(in_doubt).count(), sent.len() / 2, "room for {room}");
        assert_eq!(recorded_run.unreadable, 0, "room for {room}: no line is there in part");
        assert_eq!(
            recorded_run.ended().is_some(),
            ended.is_ok(),
            "room for {room}: what could be said of its end is there"
        );
        assert!(record.broken().is_some() || sent.len() == 4, "room for {room}");
    }
    assert!(stopped_between > 100, "{stopped_between}");
}

#[tokio::test]
async fn how_it_ended_is_written_where_lines_that_did_not_fit_were_taken_back() {
    let (_, _, whole) = sends_on_a_disk(1 << 20).unwrap();
    let most = whole.written.lock().unwrap().len();
    let (record, sent, disk) = sends_on_a_disk(most - 10).unwrap();
    assert_eq!(sent, [1, 2], "two calls more did not fit");
    record.end("failed", true, false, Vec::new()).unwrap();
    let recorded_run = RecordedRun::read(disk.read(record.run()).unwrap()).unwrap();
    assert_eq!(recorded_run.verdict(), Some("failed"));
    assert_eq!(recorded_run.owed(), None, "auto_failover was restored, and the next run knows");
}

#[test]
fn what_is_added_after_a_run_begins_a_line_of_its_own() {
    let dir = std::env::temp_dir().join(format!("openmldb-ops-torn-{}", std::process::id()));
    let archive = Directory(dir.clone());
    let (run, mut paper) = archive.create(begun(5, "c", true, &[0]).run).unwrap();
    paper.write(&Line::Begun(Box::new(begun(5, "c", true, &[0]))).text().unwrap()).unwrap();
    // The process was killed while it wrote.
    paper.write(br#"{"line":"note","at_"#).unwrap();
    note_exit(std::path::Path::new(&archive.place(run)), 7, 4).unwrap();
    note_exit(std::path::Path::new(&archive.place(run)), 8, 0).unwrap();
    let read = RecordedRun::read(archive.read(run).unwrap()).unwrap();
    std::fs::remove_dir_all(dir).unwrap();
    assert_eq!((read.unreadable, read.lines.len()), (1, 2), "the half line and nothing else");
    assert!(matches!(read.lines[0], Line::Exited { at_ms: 7, code: 4 }));
}
