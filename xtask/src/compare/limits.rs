//! What the machine reaches at most, measured by this process between the runs.

use std::path::Path;
use std::sync::Barrier;
use std::thread;

use siskin::gguf::GgufFile;
use siskin::kernels::Kernels;
use siskin_benches::peak;

use crate::Failure;

/// Operations per second that `threads` cores together reach with the best `int8` instruction of the fastest tier.
pub(super) fn int8_peak(threads: usize) -> f64 {
    let tier = Kernels::best().name();
    let together = Barrier::new(threads);
    thread::scope(|scope| {
        let one = || {
            together.wait();
            peak::int8(tier).map_or(0.0, |p| p.1)
        };
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        all.into_iter().filter_map(|t| t.join().ok()).sum()
    })
}

/// Operations per token (two per multiply-add) in a model's matrices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Work {
    /// All but the embedding and the output: what a prompt needs.
    pub(super) inner: f64,
    /// With the output: what a generated token needs.
    pub(super) all: f64,
}

impl Work {
    pub(super) fn of(model: &Path) -> Result<Self, Failure> {
        let file = GgufFile::open(model)?;
        let matrices = file.tensors().iter().filter(|t| t.dims().len() == 2);
        let sizes = matrices.map(|t| (t.name().to_string(), t.dims().iter().product::<usize>()));
        Ok(Self::from_sizes(sizes))
    }

    fn from_sizes(matrices: impl Iterator<Item = (String, usize)>) -> Self {
        let (mut inner, mut embedding, mut output) = (0, 0, None);
        for (name, elements) in matrices {
            match name.as_str() {
                "token_embd.weight" => embedding = elements,
                "output.weight" => output = Some(elements),
                _ => inner += elements,
            }
        }
        // Without an output of its own a model uses its embedding.
        let ops = |n: usize| 2.0 * n as f64;
        Self { inner: ops(inner), all: ops(inner + output.unwrap_or(embedding)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_counts_once() {
        let work = |names: &[(&str, usize)]| {
            let work = Work::from_sizes(names.iter().map(|(n, e)| ((*n).to_string(), *e)));
            (work.inner, work.all)
        };
        let tied = [("token_embd.weight", 100), ("blk.0.attn_q.weight", 10), ("blk.0.ffn_up.weight", 20)];
        assert_eq!(work(&tied), (60.0, 260.0));
        assert_eq!(work(&[tied[0], tied[1], ("output.weight", 50)]), (20.0, 120.0));
    }
}
