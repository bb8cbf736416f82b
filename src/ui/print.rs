//! The one place that writes text to stdout.

use std::io::{self, Write};

/// Writes a text, all of it.
///
/// # Errors
/// What writing says; [`reader_gone_is_fine`] makes a closed pipe a clean end.
pub fn print(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A reader that has seen enough and closed the pipe (`| head`) is no error.
///
/// # Errors
/// Every other error.
pub fn reader_gone_is_fine(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
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
