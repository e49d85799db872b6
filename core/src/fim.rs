//! Fill in the middle: the text before a place and the text behind it become the prompt that code models were trained to
//! answer with what goes there.
//!
//! The order is that of Bavarian et al. 2022 ("PSM"): prefix, suffix, then the middle, each behind a token of its own
//! ([`FimTokens`]). Other files of a project come before all that. No text that is given can become one of these tokens,
//! or another special one.
//!
//! ```text
//! [begin] [repo] name⏎ [file] path⏎ text⏎ … [file] path⏎ [prefix] before [suffix] behind [middle]
//!         └──────── only with files or a name ────────┘
//! ```
//!
//! That is as Qwen2.5-Coder's report has it (Hui et al. 2024, section 3.2), and with its own tokens CodeGemma's page.
//! StarCoder 2 (Lozhkov et al. 2024), whose file token is `<file_sep>`, has no line end behind the repository's name, and
//! the path behind the prefix token.

use crate::engine::Model;
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::{FimTokens, TokenId, Tokenizer};

/// Tokens that are kept free for what is filled in, unless the caller says otherwise.
pub const DEFAULT_MAX_TOKENS: usize = 256;

/// What is to be completed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FimRequest {
    /// The text before the place.
    pub prefix: String,
    /// The text behind it.
    pub suffix: String,
    /// Where the text is from, within its project. Models that know no files are not told.
    pub path: Option<String>,
    /// Name of the project. Models that know no repositories are not told.
    pub repo: Option<String>,
    /// Other files of the project, the most important one last: what does not fit is left out from the front.
    pub files: Vec<FimFile>,
}

/// A file to know about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FimFile {
    /// Its path within the project.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// A prompt to fill in the middle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FimPrompt {
    /// The whole prompt, for an empty session.
    pub tokens: Vec<TokenId>,
    /// Tokens that end the answer, for [`GenerateOptions::stop_tokens`](crate::GenerateOptions::stop_tokens).
    pub stop_tokens: Vec<TokenId>,
    /// What there was no room for.
    pub cut: FimCut,
}

/// What a prompt had no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FimCut {
    /// Tokens at the start of the prefix.
    pub prefix_tokens: usize,
    /// Tokens at the end of the suffix.
    pub suffix_tokens: usize,
    /// Files, the first ones.
    pub files: usize,
}

/// Most tokens that a prompt may have, in a session of `context` tokens whose answer may take `max_tokens`. An answer
/// without a limit gets [`DEFAULT_MAX_TOKENS`], and none gets more than half of the context kept free.
pub fn room(context: usize, max_tokens: Option<usize>) -> usize {
    context - max_tokens.unwrap_or(DEFAULT_MAX_TOKENS).min(context / 2)
}

impl Model {
    /// Whether the model was trained to fill in the middle.
    pub fn fills_in(&self) -> bool {
        Markers::new(self).is_ok()
    }

    /// The prompt of at most `room` tokens ([`room`]) that asks what goes between `request`'s prefix and suffix.
    ///
    /// If there is more text than room, the far ends are cut: the start of the prefix and the end of the suffix. The
    /// suffix keeps a quarter of the room, the prefix three; what one does not need the other has. Other files get what
    /// is left then.
    ///
    /// # Errors
    /// `Unsupported` for a model that was not trained for it, or that knows no files when some are given: the message
    /// names the tokens that are missing. `ContextFull` if there is no room for any text.
    pub fn fim(&self, request: &FimRequest, room: usize) -> Result<FimPrompt> {
        let markers = Markers::new(self)?;
        let tokenizer = self.tokenizer();
        let has_project = !request.files.is_empty() || request.repo.is_some() || request.path.is_some();
        let file = match markers.tokens.file {
            None if !request.files.is_empty() => return Err(knows_no_files()),
            file => file.filter(|_| has_project),
        };
        let texts =
            Texts { tokenizer, path_inside: file.is_some_and(|file| has_path_inside(tokenizer, file)) };

        let mut head: Vec<TokenId> = tokenizer.added_begin().into_iter().collect();
        if let (Some(token), Some(name), Some(_)) = (markers.tokens.repo, &request.repo, file) {
            head.push(token);
            texts.add(name, &mut head)?;
            if !texts.path_inside {
                texts.add("\n", &mut head)?;
            }
        }
        let before = texts.before(file, request.path.as_deref().unwrap_or_default(), markers.prefix)?;
        let (mut prefix, mut suffix) = (Vec::new(), Vec::new());
        if texts.path_inside {
            texts.add(&request.prefix, &mut prefix)?; // goes on from the path
        } else {
            texts.begin(&request.prefix, &mut prefix)?;
        }
        texts.add(&request.suffix, &mut suffix)?;

        let taken = head.len() + before.len() + 2; // and the tokens of suffix and middle
        let left = room.saturating_sub(taken);
        if left == 0 && !(prefix.is_empty() && suffix.is_empty() && taken <= room) {
            let message =
                format!("room for {room} tokens: fill in the middle needs {taken}, and some for the text");
            return Err(Error::new(ErrorKind::ContextFull, message));
        }
        let (kept, kept_behind) = share(left, prefix.len(), suffix.len());
        let mut cut = FimCut {
            prefix_tokens: prefix.len() - kept,
            suffix_tokens: suffix.len() - kept_behind,
            files: 0,
        };
        let mut files = Vec::new();
        if let Some(file) = file {
            (files, cut.files) = texts.files(file, &request.files, left - kept - kept_behind)?;
        }
        let mut tokens = head;
        tokens.extend(files.into_iter().rev().flatten());
        tokens.extend(before);
        tokens.extend_from_slice(&prefix[prefix.len() - kept..]);
        tokens.push(markers.suffix);
        tokens.extend_from_slice(&suffix[..kept_behind]);
        tokens.push(markers.middle);
        Ok(FimPrompt { tokens, stop_tokens: tokenizer.fim_ends(), cut })
    }
}

/// How many tokens of prefix and suffix stay, of `left` for both.
fn share(left: usize, prefix: usize, suffix: usize) -> (usize, usize) {
    let kept_behind = suffix.min((left / 4).max(left.saturating_sub(prefix)));
    (prefix.min(left - kept_behind), kept_behind)
}

/// The tokens that there must be.
struct Markers<'a> {
    tokens: &'a FimTokens,
    prefix: TokenId,
    suffix: TokenId,
    middle: TokenId,
}

impl<'a> Markers<'a> {
    fn new(model: &'a Model) -> Result<Self> {
        let tokens = model.tokenizer().fim();
        let (Some(prefix), Some(suffix), Some(middle)) = (tokens.prefix, tokens.suffix, tokens.middle) else {
            let roles = [("prefix", tokens.prefix), ("suffix", tokens.suffix), ("middle", tokens.middle)];
            let names: Vec<&str> =
                roles.iter().filter(|(_, token)| token.is_none()).map(|(name, _)| *name).collect();
            return Err(not_trained(model, &names));
        };
        if prefix == suffix || suffix == middle || middle == prefix {
            let message = "two of the tokens for fill in the middle are the same";
            return Err(Error::new(ErrorKind::Tokenizer, message).with_key("tokenizer.ggml.fim_pre_token_id"));
        }
        if !model.spec().generates {
            return Err(Error::new(ErrorKind::Unsupported, "the model embeds texts, it does not write any"));
        }
        Ok(Self { tokens, prefix, suffix, middle })
    }
}

fn not_trained(model: &Model, missing: &[&str]) -> Error {
    let message = format!(
        "a \"{}\" model that was not trained to fill in the middle: its vocabulary has no token for {}",
        model.spec().architecture,
        missing.join(", ")
    );
    let key = match missing {
        ["middle"] => "tokenizer.ggml.fim_mid_token_id",
        ["suffix", ..] => "tokenizer.ggml.fim_suf_token_id",
        _ => "tokenizer.ggml.fim_pre_token_id",
    };
    Error::new(ErrorKind::Unsupported, message).with_key(key)
}

fn knows_no_files() -> Error {
    let message =
        "the model was not trained with other files: its vocabulary has no token that separates files";
    Error::new(ErrorKind::Unsupported, message).with_key("tokenizer.ggml.fim_sep_token_id")
}

/// Whether the path goes behind the prefix token.
fn has_path_inside(tokenizer: &Tokenizer, file: TokenId) -> bool {
    tokenizer.token_text(file).is_some_and(|text| text == "<file_sep>")
}

/// Turns texts into tokens, none of them special.
struct Texts<'a> {
    tokenizer: &'a Tokenizer,
    path_inside: bool,
}

impl Texts<'_> {
    /// A text that goes on from what is there.
    fn add(&self, text: &str, out: &mut Vec<TokenId>) -> Result<()> {
        self.tokenizer.encode_inside(text, out)
    }

    /// A text that begins.
    fn begin(&self, text: &str, out: &mut Vec<TokenId>) -> Result<()> {
        self.tokenizer.encode_into(text, Default::default(), out)
    }

    /// What stands before the prefix: its token, and the path of its file if the model is to know it.
    fn before(&self, file: Option<TokenId>, path: &str, prefix: TokenId) -> Result<Vec<TokenId>> {
        let Some(file) = file else { return Ok(vec![prefix]) };
        let mut out = vec![file];
        if self.path_inside {
            out.push(prefix);
        }
        if !path.is_empty() {
            self.add(&format!("{path}\n"), &mut out)?;
        }
        if !self.path_inside {
            out.push(prefix);
        }
        Ok(out)
    }

    /// The last of `files` that fit `room` tokens, the last one first, and how many do not.
    fn files(
        &self,
        token: TokenId,
        files: &[FimFile],
        mut room: usize,
    ) -> Result<(Vec<Vec<TokenId>>, usize)> {
        let mut out = Vec::new();
        for (i, file) in files.iter().enumerate().rev() {
            let mut tokens = vec![token];
            self.add(&format!("{}\n{}", file.path, file.text), &mut tokens)?;
            if !self.path_inside && !file.text.ends_with('\n') {
                self.add("\n", &mut tokens)?;
            }
            if tokens.len() > room {
                return Ok((out, i + 1));
            }
            room -= tokens.len();
            out.push(tokens);
        }
        Ok((out, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_quarters_before_and_one_behind() {
        // (room, prefix, suffix) -> kept
        for (given, kept) in [
            ((100, 60, 40), (60, 40)),
            ((100, 61, 40), (61, 39)),
            ((100, 500, 500), (75, 25)),
            ((100, 500, 10), (90, 10)),
            ((100, 30, 500), (30, 70)),
            ((100, 80, 500), (75, 25)),
            ((3, 9, 9), (3, 0)),
            ((1, 0, 5), (0, 1)),
            ((0, 5, 5), (0, 0)),
            ((9, 0, 0), (0, 0)),
        ] {
            assert_eq!(share(given.0, given.1, given.2), kept, "{given:?}");
        }
    }

    #[test]
    fn an_answer_gets_room() {
        assert_eq!(room(4096, None), 4096 - DEFAULT_MAX_TOKENS);
        assert_eq!(room(4096, Some(96)), 4000);
        assert_eq!(room(64, None), 32);
        assert_eq!(room(0, Some(9)), 0);
    }
}
