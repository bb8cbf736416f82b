//! The one place that writes text to stdout.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;

/// Writes a text, all of it.
///
/// # Errors
/// What writing says; [`reader_gone_is_fine`] makes a closed pipe a clean end.
pub fn print(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A reader that has seen enough and closed the pipe (`| head`), or a terminal that is gone, is no error.
///
/// # Errors
/// Every other error.
pub fn reader_gone_is_fine(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) if error.raw_os_error() == Some(NO_TERMINAL) && is_a_device() => Ok(()),
        written => written,
    }
}

/// EIO: what a terminal that hung up answers. A disk that fails answers it, too.
const NO_TERMINAL: i32 = 5;

fn is_a_device() -> bool {
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    stdout.and_then(|stdout| stdout.metadata()).is_ok_and(|stdout| stdout.file_type().is_char_device())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_a_clean_end_and_a_full_disk_is_not() {
        assert!(reader_gone_is_fine(Err(io::ErrorKind::BrokenPipe.into())).is_ok());
        assert!(reader_gone_is_fine(Err(io::ErrorKind::StorageFull.into())).is_err());
    }
}
