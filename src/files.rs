//! Files that are there whole or not at all: a reader gets the old content or the new one, never a part
//! of it, and what was written survives this host.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// What a new file may be used for, before the process's own mask.
const MODE: u32 = 0o666;

/// Writes a file, in place of the one before. What is no regular file (a pipe, a device) is written to.
///
/// # Errors
/// It is as it was before; or, should the directory not reach the disk, nobody knows which of the two survives this host.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    // A link stays a link.
    let path = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        path => path?,
    };
    let permissions = match fs::metadata(&path) {
        Ok(there) if there.is_file() => Some(there.permissions()),
        Ok(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => return File::options().write(true).open(&path)?.write_all(text),
        Err(_) => None,
    };
    let dir = directory(&path);
    let within = File::open(dir)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".openmldb-ops-").permissions(Permissions::from_mode(MODE));
    let mut beside = builder.tempfile_in(dir).map_err(without_its_name)?;
    beside.write_all(text).map_err(without_its_name)?;
    if let Some(permissions) = permissions {
        beside.as_file().set_permissions(permissions)?;
    }
    beside.as_file().sync_all()?;
    beside.persist(&path).map_err(|kept| kept.error)?;
    within.sync_all()
}

/// Removes a file for good. True if it was there.
///
/// # Errors
/// It is still there, or may be again once this host has gone down.
pub fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        removed => removed?,
    }
    File::open(directory(path))?.sync_all()?;
    Ok(true)
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The name of the file beside, which nobody asked for, is no part of what went wrong.
fn without_its_name(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.source()).and_then(|inner| inner.downcast_ref::<io::Error>());
    match inner.and_then(io::Error::raw_os_error) {
        Some(number) => io::Error::from_raw_os_error(number),
        None => error,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.yaml");
        replace(&path, b"what was there before").unwrap();
        let mut reader = File::open(&path).unwrap();
        replace(&path, b"now").unwrap();
        let mut seen = String::new();
        reader.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "what was there before", "whoever reads it meanwhile reads all of it");
        assert_eq!(fs::read(&path).unwrap(), b"now");
        assert_eq!(names(dir.path()), ["plan.yaml"], "nothing stays beside it");
    }

    #[test]
    fn a_file_that_cannot_be_replaced_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let missing = replace(&dir.path().join("nowhere/plan.yaml"), b"x").unwrap_err();
        assert_eq!(missing.to_string(), "No such file or directory (os error 2)");
        let below = dir.path().join("below");
        fs::create_dir(&below).unwrap();
        assert_eq!(replace(&below, b"x").unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(names(dir.path()), ["below"]);
    }

    #[test]
    fn who_may_read_a_file_and_where_a_link_leads_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("plan.yaml"), dir.path().join("link"));
        replace(&path, b"1").unwrap();
        let usual = dir.path().join("usual");
        File::create(&usual).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&usual), "as any file that is made");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        symlink(&path, &link).unwrap();
        replace(&link, b"2").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path) & 0o777), (b"2".to_vec(), 0o640));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn what_is_no_regular_file_is_written_to() {
        replace(Path::new("/dev/null"), b"gone").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        assert_eq!(replace(Path::new("/dev/full"), b"x").unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn what_is_removed_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("note.json");
        replace(&path, b"x").unwrap();
        assert!(remove(&path).unwrap());
        assert!(!remove(&path).unwrap());
        assert!(names(dir.path()).is_empty());
    }
}
