//! Where records are kept: a directory, or memory.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::files;

use super::super::run_id::RunId;
use super::line::Line;

/// A place that keeps records.
pub trait Archive: Send + Sync {
    /// A new record, empty. If there is one of that name, the run gets the next number.
    ///
    /// # Errors
    /// It cannot be written to.
    fn create(&self, run: RunId) -> io::Result<(RunId, Box<dyn RecordWriter>)>;

    /// The runs that have a record, oldest first.
    ///
    /// # Errors
    /// It cannot be read.
    fn runs(&self) -> io::Result<Vec<RunId>>;

    /// How many bytes a record has: records only grow, but for what could not be written.
    ///
    /// # Errors
    /// Nobody knows.
    fn size(&self, _run: RunId) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A run's record.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, run: RunId) -> io::Result<Box<dyn Read>>;

    /// Keeps a file beside a record, under its run's name and this one; gives where it is. None where only records are kept.
    ///
    /// # Errors
    /// It cannot be written.
    fn keep_beside(&self, _run: RunId, _name: &str, _text: &[u8]) -> io::Result<Option<String>> {
        Ok(None)
    }

    /// Where a record is, for people.
    fn place(&self, run: RunId) -> String;

    /// Where all of them are, for people.
    fn home(&self) -> String;
}

/// A record that is being written.
pub trait RecordWriter: Send {
    /// Writes at the end: what is written survives this process.
    ///
    /// # Errors
    /// It could not be written, or only in part.
    fn write(&mut self, text: &[u8]) -> io::Result<()>;

    /// Makes sure that what was written survives this host.
    ///
    /// # Errors
    /// Nobody knows what is on disk.
    fn sync(&mut self) -> io::Result<()>;

    /// Takes back what was written since it was last synced, in whole or in part.
    ///
    /// # Errors
    /// Nobody knows what is there.
    fn take_back(&mut self) -> io::Result<()>;
}

/// A directory with one file per run, `run-<id>.jsonl`.
#[derive(Debug, Clone)]
pub struct Directory(pub PathBuf);

/// A file that is written at its end.
struct Appended {
    file: File,
    written: u64,
    synced: u64,
    /// It may end in half a line, which stays one that cannot be read: the next begins a new one.
    is_torn: bool,
}

impl Directory {
    fn file(&self, run: RunId) -> PathBuf {
        self.0.join(format!("run-{run}.jsonl"))
    }

    /// Adds a line to a record after its run.
    ///
    /// # Errors
    /// It cannot be written: then the record is as it was.
    pub fn append(&self, run: RunId, line: &Line) -> io::Result<()> {
        append(&self.file(run), line)
    }
}

/// Adds a line to the file of a record, whole or not at all.
pub(super) fn append(record: &Path, line: &Line) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).open(record)?;
    let length = file.metadata()?.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let mut paper = Appended { file, written: length, synced: length, is_torn: last != *b"\n" };
    let added = line.text().and_then(|text| paper.write(&text)).and_then(|()| paper.sync());
    if added.is_err() {
        paper.take_back()?;
    }
    added
}

impl Archive for Directory {
    fn create(&self, mut run: RunId) -> io::Result<(RunId, Box<dyn RecordWriter>)> {
        fs::create_dir_all(&self.0)?;
        let file = loop {
            match OpenOptions::new().append(true).create_new(true).open(self.file(run)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && run.number < u32::MAX => run.number += 1,
                opened => break opened?,
            }
        };
        // The file's name has to survive, too.
        File::open(&self.0)?.sync_all()?;
        Ok((run, Box::new(Appended { file, written: 0, synced: 0, is_torn: false })))
    }

    fn runs(&self) -> io::Result<Vec<RunId>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut runs: Vec<RunId> = entries.flatten().filter_map(|entry| run_of(&entry.path())).collect();
        runs.sort();
        Ok(runs)
    }

    fn size(&self, run: RunId) -> io::Result<u64> {
        Ok(fs::metadata(self.file(run))?.len())
    }

    fn read(&self, run: RunId) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(BufReader::new(File::open(self.file(run))?)))
    }

    fn keep_beside(&self, run: RunId, name: &str, text: &[u8]) -> io::Result<Option<String>> {
        let path = self.0.join(format!("run-{run}.{name}"));
        files::replace(&path, text)?;
        Ok(Some(path.display().to_string()))
    }

    fn place(&self, run: RunId) -> String {
        self.file(run).display().to_string()
    }

    fn home(&self) -> String {
        self.0.display().to_string()
    }
}

fn run_of(path: &Path) -> Option<RunId> {
    let name = path.file_name()?.to_str()?.strip_prefix("run-")?.strip_suffix(".jsonl")?;
    RunId::try_from(name.to_owned()).ok()
}

impl RecordWriter for Appended {
    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.file.write_all(b"\n")?;
            self.written += 1;
        }
        self.is_torn = true;
        self.file.write_all(text)?;
        self.is_torn = false;
        self.written += text.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.synced = self.written;
        Ok(())
    }

    fn take_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.synced)?;
        (self.written, self.is_torn) = (self.synced, false);
        Ok(())
    }
}

/// Records in memory, for rehearsals and tests.
#[derive(Debug, Clone, Default)]
pub struct MemoryArchive(Arc<Mutex<BTreeMap<RunId, Vec<u8>>>>);

impl MemoryArchive {
    /// A record's text.
    pub fn text(&self, run: RunId) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&run).cloned()
    }

    /// Puts a record there.
    pub fn put(&self, run: RunId, text: Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(run, text);
    }
}

impl Archive for MemoryArchive {
    fn create(&self, mut run: RunId) -> io::Result<(RunId, Box<dyn RecordWriter>)> {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while records.contains_key(&run) {
            run.number += 1;
        }
        records.insert(run, Vec::new());
        Ok((run, Box::new(Sheet { shelf: self.clone(), run, synced: 0 })))
    }

    fn runs(&self) -> io::Result<Vec<RunId>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect())
    }

    fn size(&self, run: RunId) -> io::Result<u64> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = records.get(&run).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(text.len() as u64)
    }

    fn read(&self, run: RunId) -> io::Result<Box<dyn Read>> {
        let text = self.text(run).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Box::new(io::Cursor::new(text)))
    }

    fn place(&self, run: RunId) -> String {
        format!("run {run} in memory")
    }

    fn home(&self) -> String {
        "memory".to_owned()
    }
}

/// Records that nobody reads: those of rehearsals.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unread;

impl Archive for Unread {
    fn create(&self, run: RunId) -> io::Result<(RunId, Box<dyn RecordWriter>)> {
        Ok((run, Box::new(Self)))
    }

    fn runs(&self) -> io::Result<Vec<RunId>> {
        Ok(Vec::new())
    }

    fn read(&self, _run: RunId) -> io::Result<Box<dyn Read>> {
        Err(io::Error::from(io::ErrorKind::NotFound))
    }

    fn place(&self, run: RunId) -> String {
        format!("run {run}, which is not kept")
    }

    fn home(&self) -> String {
        "nowhere".to_owned()
    }
}

impl RecordWriter for Unread {
    fn write(&mut self, _text: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn take_back(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A record on a shelf.
struct Sheet {
    shelf: MemoryArchive,
    run: RunId,
    synced: usize,
}

impl Sheet {
    fn with<T>(&self, work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut records = self.shelf.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(records.entry(self.run).or_default())
    }
}

impl RecordWriter for Sheet {
    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.with(|written| written.extend_from_slice(text));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.synced = self.with(|written| written.len());
        Ok(())
    }

    fn take_back(&mut self) -> io::Result<()> {
        self.with(|written| written.truncate(self.synced));
        Ok(())
    }
}
