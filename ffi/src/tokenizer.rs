//! Text to tokens and back, by a model's tokenizer.

use crate::args::{self, Out};
use crate::boundary::Result;
use crate::error::siskin_error;
use crate::handles::{self, Object};
use crate::model::siskin_model;
use crate::owned::{give, give_text, siskin_text, siskin_tokens};
use crate::result::siskin_result;
use siskin::tokenizer::{Special, TokenId};
use siskin::{Error, ErrorKind};
use std::ffi::c_char;

/// The tokens of a text. `add_special` adds the begin and end tokens that the file asks for; with `parse_special` the
/// texts of special tokens become those tokens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_tokenize(
    model: *const siskin_model,
    text: *const c_char,
    text_len: usize,
    add_special: bool,
    parse_special: bool,
    out_tokens: *mut *mut siskin_tokens,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        let (out, text) =
            unsafe { (Out::new(out_tokens, "out_tokens")?, args::text(text, text_len, "text")?) };
        let special = Special { add: add_special, parse: parse_special };
        let tokens = handles::model(model)?.tokenizer().encode(text, special)?;
        give(Object::Tokens(tokens.into_iter().map(|t| t.0).collect()), out)
    })
}

/// The text of tokens. Bytes that are not UTF-8 become U+FFFD.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_detokenize(
    model: *const siskin_model,
    tokens: *const u32,
    token_count: usize,
    show_special: bool,
    out_text: *mut *mut siskin_text,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        let (out, tokens) =
            unsafe { (Out::new(out_text, "out_text")?, args::slice(tokens, token_count, "tokens")?) };
        let tokens: Vec<TokenId> = tokens.iter().map(|&t| TokenId(t)).collect();
        give_text(handles::model(model)?.tokenizer().decode(&tokens, show_special)?, out)
    })
}

/// The text of one token as the vocabulary has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_token_text(
    model: *const siskin_model,
    token: u32,
    out_text: *mut *mut siskin_text,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: the header asks for a pointer that can be written to.
        let out = unsafe { Out::new(out_text, "out_text") }?;
        let model = handles::model(model)?;
        let text = model
            .tokenizer()
            .token_text(TokenId(token))
            .ok_or_else(|| Error::new(ErrorKind::Argument, format!("there is no token {token}")))?;
        give_text(text.into_owned(), out)
    })
}

/// The token that the vocabulary writes as this text (or these bytes); SISKIN_RESULT_MISSING if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_token_id(
    model: *const siskin_model,
    text: *const c_char,
    text_len: usize,
    out_token: *mut u32,
) -> siskin_result {
    boundary!({
        // SAFETY: as the header says.
        let text = unsafe { args::slice(text.cast::<u8>(), text_len, "text") }?;
        special(model, out_token, "such", |t| t.token_id(text))
    })
}

fn special(
    model: *const siskin_model,
    out_token: *mut u32,
    what: &str,
    which: impl FnOnce(&siskin::tokenizer::Tokenizer) -> Option<TokenId>,
) -> Result<()> {
    // SAFETY: the header asks for a pointer that can be written to.
    let out = unsafe { Out::new(out_token, "out_token") }?;
    let model = handles::model(model)?;
    let token = which(model.tokenizer());
    out.set(
        token.ok_or_else(|| Error::new(ErrorKind::Missing, format!("the vocabulary has no {what} token")))?.0,
    );
    Ok(())
}

/// The token that begins a text; SISKIN_RESULT_MISSING if the vocabulary has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_begin_token(
    model: *const siskin_model,
    out_token: *mut u32,
) -> siskin_result {
    boundary!({ special(model, out_token, "begin", |t| t.bos()) })
}

/// The token that ends a text; SISKIN_RESULT_MISSING if the vocabulary has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_end_token(
    model: *const siskin_model,
    out_token: *mut u32,
) -> siskin_result {
    boundary!({ special(model, out_token, "end", |t| t.eos()) })
}

/// Whether a token ends the model's turn: there may be several that do.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_ends_turn(
    model: *const siskin_model,
    token: u32,
    out_ends: *mut bool,
) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for a pointer that can be written to.
        let out = unsafe { Out::new(out_ends, "out_ends") }?;
        out.set(handles::model(model)?.tokenizer().is_end(TokenId(token)));
        Ok(())
    })
}
