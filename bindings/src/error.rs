//! One flat enum of errors: a variant per kind of failure, each with what happened and where.

use std::fmt;

use siskin::{Error, ErrorKind};

macro_rules! errors {
    ($($(#[doc = $doc:literal])+ $kind:ident;)+ otherwise $(#[doc = $other_doc:literal])+ $other:ident;) => {
        /// Why something failed. Every variant says what happened (`reason`, a complete sentence with the place in it)
        /// and where, as data: the model file, the metadata key, the tensor, and the byte offset in the file, each if
        /// there is one. Prompts and answers never appear in it.
        #[derive(Clone, Debug, uniffi::Error)]
        pub enum SiskinError {
            $($(#[doc = $doc])+ $kind {
                /// What happened, with the place.
                reason: String,
                /// The file concerned.
                file: Option<String>,
                /// The metadata key concerned.
                key: Option<String>,
                /// The tensor concerned.
                tensor: Option<String>,
                /// The byte offset in the file.
                offset: Option<u64>,
            },)+
            $(#[doc = $other_doc])+ $other {
                /// What happened, with the place.
                reason: String,
                /// The file concerned.
                file: Option<String>,
                /// The metadata key concerned.
                key: Option<String>,
                /// The tensor concerned.
                tensor: Option<String>,
                /// The byte offset in the file.
                offset: Option<u64>,
            },
        }

        impl SiskinError {
            /// What happened.
            fn reason(&self) -> &str {
                match self {
                    $(Self::$kind { reason, .. } => reason,)+
                    Self::$other { reason, .. } => reason,
                }
            }
        }

        impl From<Error> for SiskinError {
            fn from(e: Error) -> Self {
                let reason = e.to_string();
                let file = e.file().map(|f| f.display().to_string());
                let key = e.key().map(str::to_owned);
                let tensor = e.tensor().map(str::to_owned);
                let offset = e.offset();
                match e.kind() {
                    $(ErrorKind::$kind => Self::$kind { reason, file, key, tensor, offset },)+
                    _ => Self::$other { reason, file, key, tensor, offset },
                }
            }
        }
    };
}

errors! {
    /// The operating system refused: no such file, no permission, a folder, out of memory for a mapping.
    Io;
    /// The file is not a well-formed model file.
    Format;
    /// A well-formed value is beyond what this library accepts: sizes, counts, nesting.
    Limit;
    /// A valid file of a kind that this version does not run: architecture, tensor type, tokenizer.
    Unsupported;
    /// A required metadata key or tensor is absent, or the chat template that was asked for.
    Missing;
    /// A tensor or metadata value has a shape or type that does not fit the model.
    Shape;
    /// Text or token ids that the tokenizer cannot handle.
    Tokenizer;
    /// The chat template failed to parse or to render, or ran out of its budget.
    Template;
    /// An argument makes no sense.
    Argument;
    /// The context has no room for what was asked.
    ContextFull;
    /// The caller cancelled. Jobs tell that as their outcome instead.
    Cancelled;
    /// The model file changed or shrank while it was in use.
    FileChanged;
    /// The model produced a value that is not a number.
    Numeric;
    /// An earlier failure left this object unusable.
    Poisoned;
    /// The session is in use by a job that runs.
    Busy;
    otherwise
    /// A kind of failure that these bindings do not know yet.
    Other;
}

impl fmt::Display for SiskinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for SiskinError {}

/// An argument that cannot be translated.
pub(crate) fn argument(reason: impl Into<String>) -> SiskinError {
    Error::new(ErrorKind::Argument, reason).into()
}

/// Thrown by a log sink written in another language. The library ignores it: logging never fails a call.
#[derive(Clone, Debug, uniffi::Error)]
pub enum LogFailure {
    /// The sink failed.
    Failed {
        /// What it said.
        reason: String,
    },
}

impl fmt::Display for LogFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Failed { reason } = self;
        f.write_str(reason)
    }
}

impl std::error::Error for LogFailure {}

impl From<uniffi::UnexpectedUniFFICallbackError> for LogFailure {
    fn from(e: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { reason: e.reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_arrives_as_text_and_as_data() {
        let e = Error::new(ErrorKind::Shape, "bad").with_file("m.gguf").with_tensor("t").with_offset(7);
        let text = e.to_string();
        match SiskinError::from(e) {
            SiskinError::Shape { reason, file, key, tensor, offset } => {
                assert_eq!(reason, text);
                assert_eq!(
                    (file.as_deref(), key, tensor.as_deref(), offset),
                    (Some("m.gguf"), None, Some("t"), Some(7))
                );
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_kind_has_its_variant() {
        // The last kind is the newest: whoever adds one sees this fail until it is in the list above.
        let busy = SiskinError::from(Error::new(ErrorKind::Busy, "x"));
        assert!(matches!(busy, SiskinError::Busy { .. }));
        let io = SiskinError::from(Error::new(ErrorKind::Io, "x"));
        assert!(matches!(io, SiskinError::Io { .. }) && io.to_string() == "x");
    }
}
