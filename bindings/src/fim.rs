//! Fill in the middle: what goes between two texts.

use std::sync::Arc;

use crate::{Job, wide};

/// A file of a project that the model is to know about.
#[derive(Clone, Debug, uniffi::Record)]
pub struct FimFile {
    /// Its path within the project.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// What is to be completed.
#[derive(Clone, Debug, uniffi::Record)]
pub struct FimRequest {
    /// The text before the place.
    pub prefix: String,
    /// The text behind it.
    pub suffix: String,
    /// Where the text is from, within its project. Models that know no files are not told.
    #[uniffi(default = None)]
    pub path: Option<String>,
    /// Name of the project. Models that know no repositories are not told.
    #[uniffi(default = None)]
    pub repo: Option<String>,
    /// Other files of the project, the most important one last: what does not fit is left out from the front.
    #[uniffi(default = [])]
    pub files: Vec<FimFile>,
}

impl From<FimRequest> for siskin::FimRequest {
    fn from(r: FimRequest) -> Self {
        let file = |FimFile { path, text }| siskin::FimFile { path, text };
        let files = r.files.into_iter().map(file).collect();
        Self { prefix: r.prefix, suffix: r.suffix, path: r.path, repo: r.repo, files }
    }
}

/// What a prompt had no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct FimCut {
    /// Tokens at the start of the prefix.
    pub prefix_tokens: u64,
    /// Tokens at the end of the suffix.
    pub suffix_tokens: u64,
    /// Files, the first ones.
    pub files: u64,
}

impl From<siskin::FimCut> for FimCut {
    fn from(cut: siskin::FimCut) -> Self {
        Self {
            prefix_tokens: wide(cut.prefix_tokens),
            suffix_tokens: wide(cut.suffix_tokens),
            files: wide(cut.files),
        }
    }
}

/// An answer that fills in the middle, and what its prompt had no room for.
#[derive(Clone, Debug, uniffi::Record)]
pub struct FimJob {
    /// The answer.
    pub job: Arc<Job>,
    /// What was left out.
    pub cut: FimCut,
}
