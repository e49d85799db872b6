//! One opaque error for the whole library: what kind, what happened, and where.
//!
//! "Where" is data, not prose, so that a binding can show it: the file, the metadata key or tensor name, and the
//! byte offset in the file. Prompt or answer text never enters an error.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is. New kinds may be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused: no such file, no permission, a directory, out of memory for a mapping.
    Io,
    /// The file is not a well-formed model file.
    Format,
    /// A well-formed value is beyond what this library accepts (sizes, counts, nesting).
    Limit,
    /// A valid file of a kind that this version does not run (architecture, tensor type, tokenizer).
    Unsupported,
    /// A required metadata key or tensor is absent.
    Missing,
    /// A tensor or metadata value has a shape or type that does not fit the model.
    Shape,
    /// Text or token ids that the tokenizer cannot handle.
    Tokenizer,
    /// The chat template failed to parse or to render, or ran out of its budget.
    Template,
    /// The caller passed something unusable.
    Argument,
    /// The object is in use by a job that runs.
    Busy,
    /// The context has no room for what was asked.
    ContextFull,
    /// The caller cancelled.
    Cancelled,
    /// The model file changed or shrank while it was in use.
    FileChanged,
    /// The model produced a value that is not a number.
    Numeric,
    /// An earlier failure left this object unusable.
    Poisoned,
}

/// An error of the library. Cheap to move: one pointer.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    file: Option<PathBuf>,
    key: Option<String>,
    tensor: Option<String>,
    offset: Option<u64>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A new error; add where it happened with the methods below.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            file: None,
            key: None,
            tensor: None,
            offset: None,
            source: None,
        }))
    }

    /// Adds the file, unless one is named already.
    #[must_use]
    pub fn with_file(mut self, file: impl AsRef<Path>) -> Self {
        self.0.file.get_or_insert_with(|| file.as_ref().to_path_buf());
        self
    }

    /// Adds the metadata key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.0.key = Some(key.into());
        self
    }

    /// Adds the tensor's name.
    #[must_use]
    pub fn with_tensor(mut self, tensor: impl Into<String>) -> Self {
        self.0.tensor = Some(tensor.into());
        self
    }

    /// Adds the byte offset in the file.
    #[must_use]
    pub fn with_offset(mut self, offset: u64) -> Self {
        self.0.offset = Some(offset);
        self
    }

    /// Adds the underlying error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, without where.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The file concerned.
    pub fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// The metadata key concerned.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// The tensor concerned.
    pub fn tensor(&self) -> Option<&str> {
        self.0.tensor.as_deref()
    }

    /// The byte offset in the file.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }
}

/// Writes `name`, escaping control characters and cutting it to a readable length: names come from the file.
fn write_name(f: &mut fmt::Formatter<'_>, label: &str, name: &str) -> fmt::Result {
    const SHOWN: usize = 80; // characters
    write!(f, "{label} \"")?;
    for c in name.chars().take(SHOWN) {
        if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
    }
    if name.chars().nth(SHOWN).is_some() {
        write!(f, "…")?;
    }
    write!(f, "\"")
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { message, file, key, tensor, offset, source, .. } = &*self.0;
        if let Some(file) = file {
            write!(f, "{}: ", file.display())?;
        }
        write!(f, "{message}")?;
        let mut open = false;
        let mut item = |f: &mut fmt::Formatter<'_>| {
            let lead = if open { ", " } else { " (" };
            open = true;
            write!(f, "{lead}")
        };
        if let Some(key) = key {
            item(f)?;
            write_name(f, "key", key)?;
        }
        if let Some(tensor) = tensor {
            item(f)?;
            write_name(f, "tensor", tensor)?;
        }
        if let Some(offset) = offset {
            item(f)?;
            write!(f, "at byte {offset}")?;
        }
        if open {
            write!(f, ")")?;
        }
        if let Some(source) = source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|s| s as &(dyn std::error::Error + 'static))
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Error::new(ErrorKind::Io, "input/output error").with_source(e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_says_what_and_where() {
        let e = Error::new(ErrorKind::Shape, "expected 4 rows, found 3")
            .with_file("m.gguf")
            .with_tensor("blk.0.attn_q.weight")
            .with_offset(96);
        assert_eq!(
            e.to_string(),
            "m.gguf: expected 4 rows, found 3 (tensor \"blk.0.attn_q.weight\", at byte 96)"
        );
    }

    #[test]
    fn hostile_names_are_escaped_and_cut() {
        let e = Error::new(ErrorKind::Format, "bad").with_key(format!("\u{1b}[2J{}", "x".repeat(500)));
        let text = e.to_string();
        assert!(!text.contains('\u{1b}') && text.chars().count() < 200, "{text}");
    }
}
