//! Which tokens end an answer.
//!
//! The rule: the tokens that the metadata names (`eos_token_id`, `eot_token_id`, `eom_token_id`), and every token
//! whose text is a known end marker:
//!
//! - a marker of [`ALWAYS`], which no ordinary text contains, whatever kind the file gives it (some converters call
//!   them normal; such a token becomes a control token, as do those of [`STARTS`], which end nothing);
//! - a marker of [`IF_CONTROL`] only if the file calls it a control token: `</s>` is a piece of HTML in Gemma.
//!
//! One exception: where `<|return|>` and `<|call|>` are there (the "harmony" format), or `<|calls|>` and `<|flush|>`,
//! `<|end|>` ends a message but not the answer.

use super::special::Specials;
use super::vocab::{TokenKind, Vocab};

/// End markers that are nothing else.
const ALWAYS: &[&str] = &[
    "<eos>",
    "<end_of_turn>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<end_of_utterance>",
    "<turn|>",
    // Gemma 4: the caller is to answer a call.
    "<|tool_response>",
    "[|endofturn|]",
    "<｜end▁of▁sentence｜>",
    "<|END_OF_TURN_TOKEN|>",
];

/// Markers of a turn's start, to be control tokens as well.
const STARTS: &[&str] = &["<start_of_turn>", "<|im_start|>", "<|start_header_id|>", "<|end_header_id|>"];

/// End markers that may be ordinary text elsewhere.
const IF_CONTROL: &[&str] = &["</s>", "[EOS]", "<EOS>", "<EOT>", "_<EOT>", "[EOT]", "[e~["];

/// The tokens that end an answer, sorted; the markers become control tokens. `named`: those of the metadata.
pub(super) fn find(
    vocab: &mut Vocab,
    specials: &mut Specials,
    named: impl IntoIterator<Item = u32>,
) -> Vec<u32> {
    let mut ends: Vec<u32> = named.into_iter().collect();
    let by_text = |vocab: &Vocab, specials: &Specials, text: &str| {
        specials.find(vocab, text.as_bytes()).or_else(|| vocab.find_any(text.as_bytes()))
    };
    let harmony = [["<|return|>", "<|call|>"], ["<|calls|>", "<|flush|>"]]
        .iter()
        .any(|pair| pair.iter().all(|text| by_text(vocab, specials, text).is_some()));
    for text in ALWAYS.iter().chain(STARTS) {
        let Some(id) = by_text(vocab, specials, text) else { continue };
        vocab.set_kind(id, TokenKind::Control);
        specials.add(vocab, id);
        if ALWAYS.contains(text) && !(harmony && *text == "<|end|>") {
            ends.push(id);
        }
    }
    for text in IF_CONTROL {
        ends.extend(by_text(vocab, specials, text).filter(|&id| vocab.kind(id) == Some(TokenKind::Control)));
    }
    ends.sort_unstable();
    ends.dedup();
    ends
}
