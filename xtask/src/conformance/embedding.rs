//! Compares embeddings of texts, and the states that they are made of.

use std::fmt;

use siskin::engine::Model;
use siskin::model::Tap;
use siskin::session::EmbedOptions;
use siskin::tokenizer::{Special, TokenId};

use super::compare::{max_difference, write_verdict};
use super::expected::Expected;
use crate::Failure;

/// Largest absolute difference of an element of an embedding (of length 1), and of a state, on unquantised files.
const BUDGET: f32 = 1e-4;
/// Difference of an element that quantised files may always have; otherwise twice llama.cpp's.
const QUANTISED: f32 = 2e-3;

/// The differences found in one file.
#[derive(Default)]
pub(super) struct EmbeddingReport {
    embedding: f32,
    /// `None` if the set has no states for the file.
    states: Option<f32>,
    texts: usize,
    peer: Option<f32>,
    pub(super) misses: Vec<String>,
}

impl fmt::Display for EmbeddingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states = self.states.map_or("-".to_string(), |d| format!("{d:.1e}"));
        write!(f, "{:>9.1e} {states:>9} {:>9} {:>7}  ", self.embedding, "-", "-")?;
        let peer = self.peer.map_or(String::new(), |d| format!(" (llama.cpp: {d:.1e})"));
        write_verdict(f, &self.misses, &format!("{} embeddings{peer}", self.texts))
    }
}

pub(super) fn compare(model: &Model, expected: &Expected) -> Result<EmbeddingReport, Failure> {
    let mut report = EmbeddingReport { peer: expected.peer_embedding, ..EmbeddingReport::default() };
    let plain = EmbedOptions { normalize: false, ..EmbedOptions::default() };
    let (mut embedder, mut unnormalised) =
        (model.embedder(&EmbedOptions::default())?, model.embedder(&plain)?);
    for i in 0.. {
        let prompt = format!("t{i}");
        let Some(ids) = expected.ids(&prompt) else { break };
        let ids =
            ids.into_iter().map(|i| Ok(TokenId(u32::try_from(i)?))).collect::<Result<Vec<_>, Failure>>()?;
        report.texts += 1;
        let vector = embedder.embed_tokens(&ids)?;
        report.embedding(expected, &prompt, &vector);
        if let Some(text) = expected.texts.get(i) {
            let found = model.tokenizer().encode(text, Special { add: true, parse: false })?;
            if found != ids {
                report.misses.push(format!("{prompt}: tokens {found:?} instead of {ids:?}"));
            } else if embedder.embed(text)? != vector {
                report.misses.push(format!("{prompt}: the text's embedding is not that of its tokens"));
            }
        }
        if model.spec().embedding.dense.is_empty() {
            report.state("pooled", &unnormalised.embed_tokens(&ids)?, expected, &prompt);
        }
        let (mut states, mut layers, mut embed) = (Vec::new(), Vec::<Vec<f32>>::new(), Vec::new());
        embedder.tap_tokens(&ids, &mut |tap| match tap {
            Tap::Embed(x) => embed.extend_from_slice(x),
            Tap::Layer(i, x) => {
                layers.resize_with(layers.len().max(i + 1), Vec::new);
                layers[i].extend_from_slice(x);
            }
            Tap::FinalNorm(_, x) => states.extend_from_slice(x),
            Tap::Logits(..) => {}
        })?;
        report.state("hidden", &embed, expected, &format!("{prompt}.embed"));
        for (i, layer) in layers.iter().enumerate() {
            report.state("hidden", layer, expected, &format!("{prompt}.layer{i:02}"));
        }
        report.state("tokens", &states, expected, &prompt);
    }
    Ok(report)
}

impl EmbeddingReport {
    fn embedding(&mut self, expected: &Expected, prompt: &str, got: &[f32]) {
        let limit = match expected.exact() {
            true => BUDGET,
            false => QUANTISED.max(2.0 * self.peer.unwrap_or(0.0)),
        };
        let name = format!("embedding.{prompt}");
        let Some(want) = expected.floats(&name) else {
            return self.misses.push(format!("the set has no {name}"));
        };
        match max_difference(got, &want) {
            Ok(d) => {
                self.embedding = self.embedding.max(d);
                if d > limit {
                    self.misses.push(format!("{name} differs by {d:.1e}, over {limit:.1e}"));
                }
            }
            Err(e) => self.misses.push(format!("{name}: {e}")),
        }
    }

    /// Compares a state with the field `<kind>.<what>`, if the set has it.
    fn state(&mut self, kind: &str, got: &[f32], expected: &Expected, what: &str) {
        let name = format!("{kind}.{what}");
        let Some(want) = expected.floats(&name) else { return };
        match max_difference(got, &want) {
            Ok(d) => {
                self.states = Some(self.states.unwrap_or(0.0).max(d));
                if expected.exact() && d > BUDGET {
                    self.misses.push(format!("{name} differs by {d:.1e}"));
                }
            }
            Err(e) => self.misses.push(format!("{name}: {e}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_is_a_miss() {
        let zeros = [0u8; 8];
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2], &zeros)
            .expect("two floats");
        let fields = |prefix: &str| {
            let names = ["embedding.t0", "tokens.t0"].map(|name| (format!("{prefix}{name}"), &view));
            Expected::new(safetensors::serialize(names, None).expect("small"), prefix)
        };
        let (exact, quantised) = (fields(""), fields("q8_0."));
        let mut r = EmbeddingReport::default();
        r.embedding(&exact, "t0", &[BUDGET / 2.0, 0.0]);
        r.state("tokens", &[0.0, BUDGET / 2.0], &exact, "t0");
        r.embedding(&quantised, "t0", &[QUANTISED / 2.0, 0.0]);
        assert!(r.misses.is_empty() && r.embedding > 0.0 && r.states.is_some(), "{:?}", r.misses);
        r.embedding(&exact, "t0", &[BUDGET * 2.0, 0.0]);
        r.embedding(&exact, "t0", &[f32::NAN, 0.0]);
        r.embedding(&exact, "t1", &[0.0, 0.0]);
        r.embedding(&exact, "t0", &[0.0]);
        r.embedding(&quantised, "t0", &[QUANTISED * 2.0, 0.0]);
        r.state("tokens", &[0.0, BUDGET * 2.0], &exact, "t0");
        assert_eq!(r.misses.len(), 6, "{:?}", r.misses);
    }
}
