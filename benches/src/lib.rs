//! What the kernel benchmarks share: inputs, checks against the scalar tier, and a stopwatch.

pub mod peak;

use std::time::{Duration, Instant};

use siskin::kernels::{AttnChunk, AttnState, Kernels, Scratch};
use siskin::quant::{ActFormat, QuantType};
use siskin::tensor::{self, Acts, QMatRef, QuantActs, Stripe};

/// Deterministic numbers in -1..1.
pub fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// The tiers of this processor, fastest first; names the others on standard error.
pub fn tiers() -> Vec<&'static Kernels> {
    let named = |(name, supported): (&str, bool)| {
        if !supported {
            note(&format!("skipped: {name} is not on this processor"));
        }
        Kernels::by_name(name)
    };
    Kernels::tiers().filter_map(named).collect()
}

/// One line on standard error.
#[allow(clippy::print_stderr, reason = "a benchmark speaks to whoever runs it")]
pub fn note(text: &str) {
    eprintln!("{text}");
}

fn oracle() -> &'static Kernels {
    Kernels::by_name("scalar").expect("always there")
}

fn assert_equal(got: &[f32], want: &[f32], what: &str) {
    assert!(
        got.iter().zip(want).all(|(a, b)| a.to_bits() == b.to_bits()),
        "{what} differs from the scalar tier"
    );
}

/// A product: `rows` rows of `k` weights of type `ty` times `n` tokens.
#[derive(Debug)]
pub struct Product {
    /// The weights' type.
    pub ty: QuantType,
    rows: usize,
    n: usize,
    k: usize,
    bytes: Vec<u8>,
    x: Vec<f32>,
    qs: Vec<i8>,
    scales: Vec<f32>,
    sums: Vec<i16>,
    out: Vec<f32>,
    scratch: Scratch,
}

impl Product {
    /// Made of noise.
    pub fn new(ty: QuantType, rows: usize, n: usize, k: usize) -> Self {
        // The encoders are slow: a few rows, repeated.
        let some = tensor::quantize(ty, &noise(16 * k, 1)).expect("whole blocks");
        let bytes: Vec<u8> = some.iter().copied().cycle().take(rows * some.len() / 16).collect();
        let x = noise(n * k, 2);
        let format = ty.act_format();
        let per = |unit: usize| (n * k).checked_div(unit).unwrap_or(0);
        let (mut qs, mut scales, mut sums) = (Vec::new(), Vec::new(), Vec::new());
        if format != ActFormat::F32 {
            qs.resize(n * k, 0);
            scales.resize(per(format.block_len()), 0.0);
            sums.resize(per(format.sum_len()), 0);
            oracle().quantize(format, &x, &mut qs, &mut scales, &mut sums);
        }
        let (out, scratch) = (vec![0.0; n * rows], Scratch::new(k));
        Self { ty, rows, n, k, bytes, x, qs, scales, sums, out, scratch }
    }

    /// Computes it.
    pub fn run(&mut self, kernels: &Kernels) {
        let (w, acts, out, scratch) = self.parts();
        let mut stripe = Stripe::whole(out, acts.n(), w.rows());
        kernels.matmul(w, &acts, &mut stripe, scratch);
    }

    /// Computes it in tasks of `bytes` of weights, as the decoder does; the results lie task by task.
    pub fn run_cut(&mut self, kernels: &Kernels, bytes: usize) {
        let (w, acts, out, scratch) = self.parts();
        let (n, step) = (acts.n(), (bytes / w.row_bytes()).next_multiple_of(16));
        for (i, out) in out.chunks_mut(n * step).enumerate() {
            let rows = i * step..i * step + out.len() / n;
            let mut stripe = Stripe::whole(out, n, rows.len());
            kernels.matmul(w.slice_rows(rows), &acts, &mut stripe, scratch);
        }
    }

    /// Weights, activations, `[n, rows]` of output, and working memory.
    fn parts(&mut self) -> (QMatRef<'_>, Acts<'_>, &mut [f32], &mut Scratch) {
        let w = QMatRef::new(self.ty, self.rows, self.k, &self.bytes).expect("as made");
        let acts = match self.ty.act_format() {
            ActFormat::F32 => Acts::F32 { x: &self.x, n: self.n, k: self.k },
            format => Acts::Quant(QuantActs::new(format, self.n, self.k, &self.qs, &self.scales, &self.sums)),
        };
        (w, acts, &mut self.out, &mut self.scratch)
    }

    /// Panics unless `kernels` gives what the scalar tier gives.
    pub fn verify(&mut self, kernels: &Kernels) {
        self.run(oracle());
        let want = self.out.clone();
        self.out.fill(0.0);
        self.run(kernels);
        assert_equal(&self.out, &want, &format!("{} {}", kernels.name(), self.ty));
    }

    /// Reads all weights, and does no more with them than that takes.
    pub fn read(&self) -> u64 {
        let mut sums = [0u64; 16];
        for chunk in self.bytes.as_chunks::<128>().0 {
            for (sum, x) in sums.iter_mut().zip(chunk.as_chunks::<8>().0) {
                *sum = sum.wrapping_add(u64::from_le_bytes(*x));
            }
        }
        sums.iter().fold(0, |a, b| a ^ b)
    }

    /// Bytes of weights.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Multiplications and additions.
    pub fn ops(&self) -> usize {
        2 * self.rows * self.n * self.k
    }
}

/// Attention of `n` queries over one full chunk of 256 positions.
#[derive(Debug)]
pub struct Attention {
    /// Elements per head.
    pub head_dim: usize,
    /// Queries.
    pub n: usize,
    q: Vec<f32>,
    k: Vec<u16>,
    v: Vec<u16>,
    visible: Vec<(u32, u32)>,
    acc: Vec<f32>,
    max: Vec<f32>,
    sum: Vec<f32>,
    scratch: Scratch,
}

impl Attention {
    const LEN: usize = siskin::kernels::ATTN_CHUNK;

    /// Made of noise.
    pub fn new(head_dim: usize, n: usize) -> Self {
        let half = |seed| {
            let x = noise(Self::LEN * head_dim, seed);
            let mut bits = vec![0; x.len()];
            oracle().to_f16(&x, &mut bits);
            bits
        };
        Self {
            head_dim,
            n,
            q: noise(n * head_dim, 3),
            k: half(4),
            v: half(5),
            visible: vec![(0, Self::LEN as u32); n],
            acc: vec![0.0; n * head_dim],
            max: vec![0.0; n],
            sum: vec![0.0; n],
            scratch: Scratch::new(head_dim),
        }
    }

    /// Computes it.
    pub fn run(&mut self, kernels: &Kernels) {
        let chunk = AttnChunk {
            q: &self.q,
            head_dim: self.head_dim,
            value_dim: self.head_dim,
            k: siskin::kernels::KvRows::F16(&self.k),
            v: Some(siskin::kernels::KvRows::F16(&self.v)),
            len: Self::LEN,
            visible: &self.visible,
            next: None,
            softcap: None,
        };
        let mut state = AttnState { acc: &mut self.acc, max: &mut self.max, sum: &mut self.sum };
        kernels.attn_chunk(&chunk, &mut state, &mut self.scratch);
    }

    /// Panics unless `kernels` gives what the scalar tier gives.
    pub fn verify(&mut self, kernels: &Kernels) {
        self.run(oracle());
        let want = self.acc.clone();
        self.acc.fill(0.0);
        self.run(kernels);
        assert_equal(&self.acc, &want, &format!("{} attention", kernels.name()));
    }

    /// Multiplications and additions of the two products.
    pub fn ops(&self) -> usize {
        4 * self.n * Self::LEN * self.head_dim
    }
}

/// Seconds of one call of `f`: the best of several, at least `budget` together.
pub fn best_of(budget: Duration, mut f: impl FnMut()) -> f64 {
    f();
    let start = Instant::now();
    let mut best = f64::INFINITY;
    while start.elapsed() < budget || best.is_infinite() {
        let one = Instant::now();
        f();
        best = best.min(one.elapsed().as_secs_f64());
    }
    best
}
