//! Output files that are whole or not there: written beside their destination, then renamed.

use crate::Result;
use crate::output::{FAILED, Failure};
use siskin::ErrorKind;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file that is being written beside its destination, and removed unless it is finished.
pub(crate) struct Part {
    path: PathBuf,
    file: Option<File>,
}

impl Part {
    /// Fails if `out` is a folder, or is there already and may not be replaced.
    pub(crate) fn check(out: &Path, force: bool) -> Result {
        if out.is_dir() {
            let message = format!("{} is a folder; name the file to write in it", out.display());
            return Err(Failure::Usage(message));
        }
        if out.exists() && !force {
            return Err(Failure::Usage(format!("{} exists; --force replaces it", out.display())));
        }
        Ok(())
    }

    /// Starts a file that will be called `out`.
    pub(crate) fn create(out: &Path) -> Result<Self> {
        let mut name = out.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let path = out.with_file_name(name);
        // The name of what is being written means nothing to anybody: the folder is what is wrong.
        let folder = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = File::create_new(&path).map_err(|e| {
            let message = format!("cannot write in {}: {e}", folder.display());
            Failure::Other(message, FAILED)
        })?;
        Ok(Self { path, file: Some(file) })
    }

    /// Writes what `fill` writes, through to the disk.
    pub(crate) fn write(&self, fill: impl FnOnce(&mut dyn Write) -> siskin::Result<()>) -> Result {
        let Some(file) = &self.file else { return Ok(()) };
        let mut out = BufWriter::with_capacity(1 << 20, file);
        fill(&mut out).map_err(|e| match e.kind() {
            ErrorKind::Io => e.with_file(&self.path),
            _ => e,
        })?;
        out.flush().and_then(|()| file.sync_all()).map_err(|e| unwritable(&self.path, &e))
    }

    /// Gives the file its name; its size.
    pub(crate) fn finish(mut self, out: &Path, force: bool) -> Result<u64> {
        let size = fs::metadata(&self.path).map_err(|e| unwritable(&self.path, &e))?.len();
        // Somebody else may have made one meanwhile.
        Self::check(out, force)?;
        fs::rename(&self.path, out).map_err(|e| unwritable(out, &e))?;
        self.file = None;
        Ok(size)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn unwritable(path: &Path, e: &std::io::Error) -> Failure {
    Failure::Other(format!("{}: {e}", path.display()), FAILED)
}
