//! Runs one model over the prompts and compares what comes out.

use std::fmt;

use siskin::engine::Model;
use siskin::kv_cache::KvType;
use siskin::model::Tap;
use siskin::session::{Session, SessionOptions};
use siskin::tokenizer::TokenId;

use super::expected::Expected;
use super::{BUDGET, KL_FLOOR, KL_WITHOUT_PEER};
use crate::Failure;

/// Most misses that a row names.
const NAMED: usize = 4;

/// The differences found in one file.
#[derive(Default)]
pub(super) struct Report {
    max_logit: f32,
    /// `None` if the set has no hidden states for the file.
    max_hidden: Option<f32>,
    /// Mean over the positions of the middle prompt.
    kl: f64,
    peer_kl: Option<f64>,
    /// Greedy tokens that agree, and how many were compared.
    greedy: (usize, usize),
    peer_greedy: Option<u64>,
    /// What is out of bounds; empty if all is well.
    pub(super) misses: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (same, of) = self.greedy;
        let hidden = self.max_hidden.map_or("-".to_string(), |h| format!("{h:.1e}"));
        write!(f, "{:>9.1e} {hidden:>9} {:>9.1e} {same:>4}/{of:<2}  ", self.max_logit, self.kl)?;
        let peer = self.peer_kl.map_or(String::new(), |kl| {
            let greedy = self.peer_greedy.map_or(String::new(), |g| format!(", {g}/32"));
            format!("(llama.cpp: KL {kl:.1e}{greedy})")
        });
        write_verdict(f, &self.misses, &peer)
    }
}

/// `ok` and `remark`, or the first misses.
pub(super) fn write_verdict(f: &mut fmt::Formatter<'_>, misses: &[String], remark: &str) -> fmt::Result {
    match misses {
        [] if remark.is_empty() => write!(f, "ok"),
        [] => write!(f, "ok {remark}"),
        _ => {
            let more = if misses.len() > NAMED { "; .." } else { "" };
            write!(f, "MISS: {}{more}", misses[..misses.len().min(NAMED)].join("; "))
        }
    }
}

/// What a tapped run showed, all positions of the prompt one after the other.
#[derive(Default)]
struct Run {
    embed: Vec<f32>,
    layers: Vec<Vec<f32>>,
    final_norm: Vec<f32>,
    logits: Vec<f32>,
}

pub(super) fn compare(model: &Model, expected: &Expected) -> Result<Report, Failure> {
    let mut report = Report::default();
    for prompt in ["short", "mid", "long"] {
        let ids = expected.ids(prompt).ok_or_else(|| format!("the set has no ids.{prompt}"))?;
        let ids =
            ids.into_iter().map(|i| Ok(TokenId(u32::try_from(i)?))).collect::<Result<Vec<_>, Failure>>()?;
        let (run, session) = run(model, &ids, expected.exact())?;
        let vocab = run.logits.len() / ids.len();
        let last = &run.logits[run.logits.len() - vocab..];
        if session.logits() != last {
            report.misses.push(format!("{prompt}: logits depend on whether all positions are asked for"));
        }
        match prompt {
            "short" => report.logits(expected, "short last", last, expected.floats("logits_last.short")),
            "mid" => {
                report.logits(expected, "mid last", last, expected.floats("logits_last.mid"));
                let all = expected.floats("logits_all.mid");
                report.kl(expected, &run.logits, all.as_deref(), vocab);
                report.logits(expected, "mid all", &run.logits, all);
                report.hidden(expected, &run);
            }
            _ => {
                report.logits(expected, "long last", last, expected.long_floats("logits_last.long"));
                report.argmax(expected, &run.logits, vocab);
                report.greedy(expected, session, "greedy")?;
            }
        }
    }
    Ok(report)
}

/// Feeds `ids` twice: tapped, and as a caller would. The second session goes on with greedy tokens. Exact files get an
/// exact cache too.
fn run(model: &Model, ids: &[TokenId], exact: bool) -> Result<(Run, Session), Failure> {
    let kv_type = if exact { KvType::F32 } else { KvType::F16 };
    let options =
        SessionOptions { context: Some(ids.len() + 64), batch: 32, kv_type, ..SessionOptions::default() };
    let mut run = Run::default();
    model.session(&options)?.prefill_tapped(ids, &mut |tap| match tap {
        Tap::Embed(x) => run.embed.extend_from_slice(x),
        Tap::Layer(i, x) => {
            run.layers.resize_with(run.layers.len().max(i + 1), Vec::new);
            run.layers[i].extend_from_slice(x);
        }
        Tap::FinalNorm(_, x) => run.final_norm.extend_from_slice(x),
        Tap::Logits(_, x) => run.logits.extend_from_slice(x),
    })?;
    let mut session = model.session(&options)?;
    session.prefill(ids)?;
    Ok((run, session))
}

impl Report {
    pub(super) fn logits(&mut self, expected: &Expected, what: &str, got: &[f32], want: Option<Vec<f32>>) {
        let Some(want) = want else { return };
        match max_difference(got, &want) {
            Ok(d) => {
                self.max_logit = self.max_logit.max(d);
                if expected.exact() && d > BUDGET {
                    self.misses.push(format!("logits {what} differ by {d:.1e}"));
                }
            }
            Err(e) => self.misses.push(format!("logits {what}: {e}")),
        }
    }

    /// Every hidden state that the set gives, in the order of computing: the first miss shows where it goes wrong.
    fn hidden(&mut self, expected: &Expected, run: &Run) {
        let layers = run.layers.iter().enumerate().map(|(i, x)| (format!("layer{i:02}"), x));
        let states = std::iter::once(("embed".to_string(), &run.embed))
            .chain(layers)
            .chain(std::iter::once(("final_norm".to_string(), &run.final_norm)));
        for (name, got) in states {
            let Some(want) = expected.first_stream(&format!("hidden.mid.{name}")) else { continue };
            self.state(expected, &name, got, &want);
        }
    }

    /// One hidden state.
    pub(super) fn state(&mut self, expected: &Expected, name: &str, got: &[f32], want: &[f32]) {
        match max_difference(got, want) {
            Ok(d) => {
                self.max_hidden = Some(self.max_hidden.unwrap_or(0.0).max(d));
                if expected.exact() && d > BUDGET {
                    self.misses.push(format!("{name} differs by {d:.1e}"));
                }
            }
            Err(e) => self.misses.push(format!("{name}: {e}")),
        }
    }

    fn kl(&mut self, expected: &Expected, got: &[f32], want: Option<&[f32]>, vocab: usize) {
        let Some(want) = want else { return };
        self.kl = mean_kl(want, got, vocab);
        self.peer_kl = expected.peer_kl.filter(|_| !expected.exact());
        let limit = match self.peer_kl {
            Some(peer) => KL_FLOOR.max(2.0 * peer),
            None if expected.exact() => KL_FLOOR,
            None => KL_WITHOUT_PEER,
        };
        if self.kl.is_nan() || self.kl > limit {
            self.misses.push(format!("KL {:.1e} is over {limit:.1e}", self.kl));
        }
    }

    /// The most likely token at each position of the long prompt: must agree on exact files, where no tie is near.
    fn argmax(&mut self, expected: &Expected, logits: &[f32], vocab: usize) {
        let Some(want) = expected.long_ints("argmax_all.long").filter(|_| expected.exact()) else { return };
        for (position, (row, want)) in logits.chunks(vocab).zip(want).enumerate() {
            let (got, value) = argmax(row);
            let wanted =
                usize::try_from(want).ok().and_then(|w| row.get(w).copied()).unwrap_or(f32::NEG_INFINITY);
            if i64::from(want) != got as i64 && (value.is_nan() || value - wanted > BUDGET) {
                self.misses.push(format!("position {position}: token {got} instead of {want}"));
            }
        }
    }

    /// Exact files go on with their own tokens, up to the first step whose margin is below the budget. Quantised ones
    /// are given the reference's token after each step, so that one near tie does not hide the rest; their count is
    /// shown beside llama.cpp's.
    pub(super) fn greedy(
        &mut self,
        expected: &Expected,
        mut session: Session,
        name: &str,
    ) -> Result<(), Failure> {
        let tokens = expected.long_ints(&format!("{name}.tokens"));
        let margins = expected.long_floats(&format!("{name}.margins"));
        let (Some(tokens), Some(margins)) = (tokens, margins) else {
            return Ok(());
        };
        let near_tie = margins.iter().position(|&m| m < BUDGET).filter(|_| expected.exact());
        let compared = near_tie.unwrap_or(tokens.len());
        let mut same = 0;
        for (step, &token) in tokens[..compared].iter().enumerate() {
            let (got, _) = argmax(session.logits());
            if i64::from(token) == got as i64 {
                same += 1;
            } else if expected.exact() {
                self.misses.push(format!("{name} token {step}: {got} instead of {token}"));
                break;
            }
            session.prefill(&[TokenId(u32::try_from(token)?)])?;
        }
        self.greedy = (self.greedy.0 + same, self.greedy.1 + compared);
        self.peer_greedy = expected.peer_greedy;
        Ok(())
    }
}

/// The first of the largest values, and the value.
fn argmax(row: &[f32]) -> (usize, f32) {
    row.iter()
        .copied()
        .enumerate()
        .fold((0, f32::NEG_INFINITY), |best, x| if x.1 > best.1 { x } else { best })
}

/// The largest absolute difference; a value that is not a number counts as infinitely far off.
pub(super) fn max_difference(got: &[f32], want: &[f32]) -> Result<f32, String> {
    if got.len() != want.len() {
        return Err(format!("{} values, the reference has {}", got.len(), want.len()));
    }
    let far = |d: f32| if d.is_nan() { f32::INFINITY } else { d };
    Ok(got.iter().zip(want).map(|(a, b)| far((a - b).abs())).fold(0.0, f32::max))
}

/// Mean over rows of `vocab` logits of KL(softmax(want) || softmax(got)), in nats.
fn mean_kl(want: &[f32], got: &[f32], vocab: usize) -> f64 {
    if want.len() != got.len() || vocab == 0 {
        return f64::INFINITY;
    }
    let rows = want.len() / vocab;
    let sum: f64 = want
        .chunks(vocab)
        .zip(got.chunks(vocab))
        .map(|(want, got)| {
            let (p, q) = (log_softmax(want), log_softmax(got));
            p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>()
        })
        .sum();
    sum / rows as f64
}

fn log_softmax(row: &[f32]) -> Vec<f64> {
    let max = f64::from(argmax(row).1);
    let log_sum = row.iter().map(|&x| (f64::from(x) - max).exp()).sum::<f64>().ln() + max;
    row.iter().map(|&x| f64::from(x) - log_sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected logits `[0, 0]` for the short prompt, for `model.gguf` or `model-q8_0.gguf`.
    fn expected(prefix: &str) -> Expected {
        let zeros = [0u8; 8];
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2], &zeros)
            .expect("two floats");
        let names = ["logits_last.short", "hidden.mid.embed", "hidden.mid.layer00"];
        let fields = names.map(|name| (format!("{prefix}{name}"), &view));
        Expected::new(safetensors::serialize(fields, None).expect("small"), prefix)
    }

    #[test]
    fn what_is_off_is_a_miss() {
        let exact = expected("");
        let want = || exact.floats("logits_last.short");
        let mut r = Report::default();
        r.logits(&exact, "short", &[0.0, BUDGET / 2.0], want());
        assert!(r.misses.is_empty() && r.max_logit > 0.0);
        r.logits(&exact, "short", &[0.0, BUDGET * 2.0], want());
        r.logits(&exact, "short", &[0.0], want());
        r.logits(&exact, "short", &[0.0, f32::NAN], want());
        assert_eq!(r.misses.len(), 3, "{:?}", r.misses);

        let mut r = Report::default();
        let run = Run { embed: vec![0.0; 2], layers: vec![vec![0.0, 1.0]], ..Run::default() };
        r.hidden(&exact, &run);
        assert_eq!(r.misses, ["layer00 differs by 1.0e0"]);
        let mut r = Report::default();
        let half = Run { embed: vec![0.0], layers: vec![vec![0.0; 2]], ..Run::default() };
        r.hidden(&exact, &half);
        assert_eq!(r.misses, ["embed: 1 values, the reference has 2"], "half of the positions");

        let mut r = Report::default();
        r.kl(&exact, &[0.0, 0.1], Some(&[0.0, 0.0]), 2);
        assert_eq!(r.misses.len(), 1, "KL {}", r.kl);

        let quantised = expected("q8_0.");
        let mut r = Report::default();
        r.logits(&quantised, "short", &[0.0, 0.1], quantised.floats("logits_last.short"));
        assert!(r.misses.is_empty() && r.max_logit > 0.0, "shown, not judged");
        assert!(quantised.floats("logits_last.long").is_none());
    }

    #[test]
    fn differences_and_divergence() {
        assert_eq!(max_difference(&[1.0, 2.0], &[1.0, 2.5]), Ok(0.5));
        assert_eq!(max_difference(&[f32::NAN], &[1.0]), Ok(f32::INFINITY));
        assert!(max_difference(&[1.0], &[1.0, 2.0]).is_err());
        assert!(mean_kl(&[0.0, 1.0], &[5.0, 6.0], 2).abs() < 1e-12, "a constant does not matter");
        // p = (1/2, 1/2), q = (1/4, 3/4): KL = ln 2 - ln(3)/2.
        let kl = mean_kl(&[0.0, 0.0], &[0.0, 3f32.ln()], 2);
        assert!((kl - (2f64.ln() - 3f64.ln() / 2.0)).abs() < 1e-7, "{kl}");
        assert!(mean_kl(&[0.0; 4], &[0.0; 2], 2).is_infinite());
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), (1, 3.0));
    }
}
