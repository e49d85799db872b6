//! Reads a tokenizer out of the metadata.

use super::bpe::Bpe;
use super::ends;
use super::fim;
use super::merges::Merges;
use super::pre::PreTokenizer;
use super::special::{Rules, Specials};
use super::spm::{Order, Spm, Walk};
use super::vocab::{TokenId, TokenKind, Vocab};
use super::wordpiece::WordPiece;
use super::{END_IDS, Model, TOKEN_ORDER, Tokenizer};
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::{F32Array, I32Array, Metadata, StrArray};

/// What the keys start with.
macro_rules! key {
    ($name:literal) => {
        concat!("tokenizer.ggml.", $name)
    };
}

/// What `tokenizer.ggml.model` says.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// SentencePiece-style, by scores.
    Scores,
    /// The same by merges: what a folder's `tokenizer.json` has.
    ScoresByMerges,
    /// SentencePiece-style, by merges.
    Merges,
    /// Byte-level BPE.
    Bytes,
    /// WordPiece.
    Words,
}

impl Kind {
    /// SentencePiece-style: a space is a character of the vocabulary's, what it cannot say is bytes.
    fn is_spm(self) -> bool {
        matches!(self, Kind::Scores | Kind::ScoresByMerges | Kind::Merges)
    }
}

/// See [`Tokenizer::from_metadata`].
pub(super) fn open(meta: &Metadata) -> Result<Tokenizer> {
    let kind = kind(meta)?;
    let pre = (kind == Kind::Bytes).then(|| pre_tokenizer(meta)).transpose()?;
    let tokens: StrArray = meta.require(key!("tokens"))?;
    let count = tokens.len();
    let types: Option<I32Array> = match kind {
        Kind::Bytes | Kind::Words => meta.optional(key!("token_type"))?,
        // Without it nothing says which tokens are bytes.
        _ => Some(meta.require(key!("token_type"))?),
    };
    check_length(key!("token_type"), types.as_ref().map(I32Array::len), count)?;

    let mut walk = Walk::new();
    let (mut special_ids, mut newlines) = (Vec::new(), Vec::new());
    let has_types = types.is_some();
    let mut vocab = Vocab::new(tokens, types, |id, token_kind, text| {
        match token_kind {
            TokenKind::Control | TokenKind::Unknown | TokenKind::UserDefined => special_ids.push(id),
            TokenKind::Normal if kind == Kind::Merges && text.iter().all(|&b| b == b'\n') => {
                newlines.push(id)
            }
            _ => {}
        }
        if kind.is_spm() {
            walk.see(id, token_kind, text);
        }
    })
    .map_err(|e| e.with_key(key!("tokens")))?;

    // Runs of newlines are user-defined tokens of Gemma 4 too, but its files call them normal.
    for id in newlines {
        vocab.set_kind(id, TokenKind::UserDefined);
        special_ids.push(id);
    }

    let merges = |vocab: &Vocab, walk: &mut Walk| -> Result<Merges> {
        let list = meta.require(key!("merges"))?;
        Merges::new(list, vocab.hasher(), |left, right| walk.see_merge(left, right))
            .map_err(|e| e.with_key(key!("merges")))
    };
    let remove_extra_spaces = meta.optional(key!("remove_extra_whitespaces"))?.unwrap_or(false);
    let model = match (kind, pre) {
        (Kind::Bytes, Some(pre)) => Model::Bpe(Bpe::new(&vocab, pre, merges(&vocab, &mut walk)?)),
        (Kind::Words, _) => {
            let lowercase = meta.optional(key!("normalizer.lowercase"))?.unwrap_or(true);
            let strip_accents = meta.optional(key!("normalizer.strip_accents"))?.unwrap_or(lowercase);
            let unknown = named_token(meta, &[key!("unknown_token_id")], "[UNK]", &vocab)?
                .ok_or_else(|| missing_token(key!("unknown_token_id")))?;
            Model::WordPiece(WordPiece::new(unknown, lowercase, strip_accents))
        }
        (Kind::Merges | Kind::ScoresByMerges, _) => {
            let order = Order::Merges(merges(&vocab, &mut walk)?);
            Model::Spm(Spm::new(order, walk, remove_extra_spaces))
        }
        _ => {
            let scores: F32Array = meta.require(key!("scores"))?;
            check_length(key!("scores"), Some(scores.len()), count)?;
            Model::Spm(Spm::new(Order::Scores(scores), walk, remove_extra_spaces))
        }
    };

    let id = |key: &str| token_id(meta, key, count);
    let (bos, eos) = match kind {
        Kind::Words => {
            let start = [key!("cls_token_id"), key!("bos_token_id")];
            // As llama.cpp spells it.
            let end = [key!("seperator_token_id"), key!("separator_token_id"), key!("eos_token_id")];
            (named_token(meta, &start, "[CLS]", &vocab)?, named_token(meta, &end, "[SEP]", &vocab)?)
        }
        _ => (id(key!("bos_token_id"))?, id(key!("eos_token_id"))?),
    };
    let (eot, eom) = (id(key!("eot_token_id"))?, id(key!("eom_token_id"))?);
    if !has_types {
        // No kinds in the file: the tokens that it names are not text.
        for id in [bos, eos, eot, eom].into_iter().flatten() {
            vocab.set_kind(id.0, TokenKind::Control);
            special_ids.push(id.0);
        }
    }
    let mut specials = Specials::new(&vocab, special_ids, rules(meta, kind));
    let more: Vec<u32> = meta.optional(END_IDS)?.unwrap_or_default();
    let named = [eos, eot, eom].into_iter().flatten().map(|id| id.0);
    let named = named.chain(more.into_iter().filter(|&id| (id as usize) < count));
    let ends = ends::find(&mut vocab, &mut specials, named).into_iter().map(TokenId).collect();

    let fim = fim::find(meta, &mut vocab, &mut specials)?;

    let words = kind == Kind::Words;
    let add_bos_by_default = pre.is_none_or(|pre| pre.add_bos) && bos.is_some();
    let add_space = meta
        .optional(key!("add_space_prefix"))?
        .unwrap_or(matches!(kind, Kind::Scores | Kind::ScoresByMerges));
    let add_sep = words && meta.optional(key!("add_sep_token"))?.unwrap_or(false);
    Ok(Tokenizer {
        add_bos: adds(meta, key!("add_bos_token"), add_bos_by_default, key!("bos_token_id"), bos)?,
        add_eos: add_sep
            || adds(meta, key!("add_eos_token"), words && eos.is_some(), key!("eos_token_id"), eos)?,
        unknown: id(key!("unknown_token_id"))?,
        space_prefix: words || (kind.is_spm() && add_space),
        vocab,
        model,
        specials,
        bos,
        eos,
        ends,
        fim,
    })
}

fn kind(meta: &Metadata) -> Result<Kind> {
    let name: String = meta.require(key!("model"))?;
    match name.as_str() {
        "llama" => match meta.optional::<String>(TOKEN_ORDER)?.as_deref() {
            None => Ok(Kind::Scores),
            Some("merges") => Ok(Kind::ScoresByMerges),
            Some(other) => Err(unsupported(TOKEN_ORDER, "order", other)),
        },
        "gemma4" => Ok(Kind::Merges),
        "gpt2" => Ok(Kind::Bytes),
        "bert" => Ok(Kind::Words),
        _ => Err(unsupported(key!("model"), "tokenizer", &name)),
    }
}

/// See [`Tokenizer::lacks_pre_tokenizer`].
pub(super) fn lacks_pre_tokenizer(meta: &Metadata) -> bool {
    let unnamed =
        meta.optional::<String>(key!("pre")).is_ok_and(|name| name.is_none_or(|name| name.is_empty()));
    unnamed && kind(meta).is_ok_and(|kind| kind == Kind::Bytes)
}

fn pre_tokenizer(meta: &Metadata) -> Result<&'static PreTokenizer> {
    let name = meta.optional::<String>(key!("pre"))?;
    let name = name.as_deref().filter(|name| !name.is_empty()).unwrap_or("default");
    PreTokenizer::named(name).ok_or_else(|| unsupported(key!("pre"), "pre-tokenizer", name))
}

fn unsupported(key: &str, what: &str, name: &str) -> Error {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
    Error::new(ErrorKind::Unsupported, format!("the {what} \"{shown}\" is not supported")).with_key(key)
}

fn check_length(key: &str, found: Option<usize>, tokens: usize) -> Result<()> {
    match found {
        Some(found) if found != tokens => {
            let message = format!("{found} elements for {tokens} tokens");
            Err(Error::new(ErrorKind::Shape, message).with_key(key))
        }
        _ => Ok(()),
    }
}

fn token_id(meta: &Metadata, key: &str, tokens: usize) -> Result<Option<TokenId>> {
    match meta.optional::<u32>(key)? {
        Some(id) if id as usize >= tokens => {
            let message = format!("token {id} is not one of the {tokens} of the vocabulary");
            Err(Error::new(ErrorKind::Tokenizer, message).with_key(key))
        }
        id => Ok(id.map(TokenId)),
    }
}

/// The token that the first of `keys` in the file names, or the one written `text`: files for BERT name theirs in several
/// ways, or not at all.
fn named_token(meta: &Metadata, keys: &[&str], text: &str, vocab: &Vocab) -> Result<Option<TokenId>> {
    for key in keys {
        if let Some(id) = token_id(meta, key, vocab.len())? {
            return Ok(Some(id));
        }
    }
    let id = (0..vocab.len() as u32).find(|&id| vocab.text(id) == Some(text.as_bytes()));
    Ok(id.map(TokenId))
}

fn missing_token(key: &str) -> Error {
    Error::new(ErrorKind::Missing, "no token is named for what the vocabulary cannot say").with_key(key)
}

/// Whether a token is added to a text; it must exist then.
fn adds(meta: &Metadata, key: &str, default: bool, id_key: &str, id: Option<TokenId>) -> Result<bool> {
    let adds = meta.optional(key)?.unwrap_or(default);
    if adds && id.is_none() {
        return Err(
            Error::new(ErrorKind::Missing, format!("{key} is true, but no token is named")).with_key(id_key)
        );
    }
    Ok(adds)
}

/// Phi-3 takes the white space after its special tokens away, but for these. Gemma 4 has markers that are shown.
fn rules(meta: &Metadata, kind: Kind) -> Rules {
    const PHI3_KEEPS: &[&[u8]] = &[b"<unk>", b"<s>", b"<|endoftext|>"];
    let architecture = meta.optional::<String>("general.architecture").ok().flatten();
    let phi3 = kind != Kind::Bytes && architecture.is_some_and(|a| a == "phi3");
    Rules { markers: kind == Kind::Merges, strip_right: phi3.then_some(PHI3_KEEPS) }
}
