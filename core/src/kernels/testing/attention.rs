//! Attention over chunks, and their merging.

use super::data::{Floats, Rng};
use super::{assert_same, fast_tiers, nmse, oracle};
use crate::kernels::{ATTN_CHUNK, ATTN_LANES, AttnChunk, AttnState, KV_BLOCK, Kernels, KvRows, Scratch};
use half::f16;

/// Queries, keys and values of one chunk.
struct Case {
    q: Vec<f32>,
    k: Vec<u16>, // [len, rounded up to blocks][head_dim], position by position; the kernel gets `lanes` of it
    v: Vec<u16>,
    head_dim: usize,
    value_dim: usize,
    in_keys: bool, // whether values are the first elements of the keys
    len: usize,
    visible: Vec<(u32, u32)>,
    softcap: Option<f32>,
}

/// Owned [`AttnState`].
#[derive(Clone)]
struct State {
    acc: Vec<f32>,
    max: Vec<f32>,
    sum: Vec<f32>,
}

impl State {
    fn new(n: usize, value_dim: usize) -> Self {
        // Filled with what must be overwritten.
        Self { acc: vec![7.0; n * value_dim], max: vec![7.0; n], sum: vec![7.0; n] }
    }

    fn view(&mut self) -> AttnState<'_> {
        AttnState { acc: &mut self.acc, max: &mut self.max, sum: &mut self.sum }
    }
}

impl Case {
    fn new(rng: &mut Rng, n_q: usize, head_dim: usize, len: usize, kind: Floats) -> Self {
        let bits = |x: f32| f16::from_f32_const(x).to_bits();
        let rows =
            |rng: &mut Rng, len| rng.floats(len * head_dim, kind).into_iter().map(bits).collect::<Vec<u16>>();
        let start = rng.below(len + 1);
        let visible = (0..n_q)
            .map(|i| match rng.below(4) {
                0 => (0, len as u32),
                1 => (0, ((start + i).min(len)) as u32),
                2 => (start as u32, len as u32),
                _ => {
                    let a = rng.below(len + 1);
                    (a as u32, (a + rng.below(len - a + 1)) as u32)
                }
            })
            .collect();
        let softcap = (rng.below(3) == 0).then_some(5.0);
        Self {
            q: rng.floats(n_q * head_dim, kind),
            k: rows(rng, len.next_multiple_of(ATTN_LANES)),
            v: rows(rng, len),
            head_dim,
            value_dim: head_dim,
            in_keys: false,
            len,
            visible,
            softcap,
        }
    }

    /// With values of `value_dim`, of their own or the first elements of the keys.
    fn with_values(self, value_dim: usize, in_keys: bool) -> Self {
        let from = if in_keys { &self.k[..self.len * self.head_dim] } else { &self.v };
        let v = from.chunks_exact(self.head_dim).flat_map(|row| &row[..value_dim]).copied().collect();
        Self { v, value_dim, in_keys, ..self }
    }

    /// Queries `first..first + n`.
    fn run(&self, kernels: &Kernels, first: usize, n: usize) -> State {
        let keys = lanes(&self.k, self.head_dim);
        let own = !self.in_keys;
        let state = self.run_on(kernels, first, n, KvRows::F16(&keys), own.then_some(KvRows::F16(&self.v)));
        let wide =
            |rows: &[u16]| rows.iter().map(|&x| f16::from_bits(x).to_f32_const()).collect::<Vec<f32>>();
        let (k, v) = (wide(&keys), wide(&self.v));
        let wide = self.run_on(kernels, first, n, KvRows::F32(&k), own.then_some(KvRows::F32(&v)));
        assert_same_state(&wide, &state, || "f32 rows".to_owned());
        state
    }

    fn run_on(
        &self,
        kernels: &Kernels,
        first: usize,
        n: usize,
        k: KvRows<'_>,
        v: Option<KvRows<'_>>,
    ) -> State {
        let mut state = State::new(n, self.value_dim);
        let chunk = AttnChunk {
            q: &self.q[first * self.head_dim..(first + n) * self.head_dim],
            head_dim: self.head_dim,
            value_dim: self.value_dim,
            k,
            v,
            len: self.len,
            visible: &self.visible[first..first + n],
            next: Some(k),
            softcap: self.softcap,
        };
        kernels.attn_chunk(&chunk, &mut state.view(), &mut Scratch::new(self.head_dim));
        state
    }

    /// Queries, keys and values, position by position.
    fn floats(&self) -> [Vec<f32>; 3] {
        let wide = |rows: &[u16]| rows.iter().map(|&x| f16::from_bits(x).to_f32_const()).collect();
        [self.q.clone(), wide(&self.k), wide(&self.v)]
    }

    /// The same as bytes hold them.
    fn rounded(&self) -> [Vec<f32>; 3] {
        let ([q, k, v], hd) = (self.floats(), self.head_dim);
        [rounded(&q, hd, KV_BLOCK), rounded(&k, hd, KV_BLOCK), rounded(&v, hd, hd)]
    }

    /// The same over keys and values as bytes.
    fn run_bytes(&self, kernels: &Kernels, first: usize, n: usize) -> State {
        let (k, v) = (Bytes::keys(&self.k, self.head_dim), Bytes::values(&self.v, self.head_dim));
        self.run_on(kernels, first, n, k.rows(), Some(v.rows()))
    }
}

/// Attention of queries `first..first + n`.
type Run = fn(&Case, &Kernels, usize, usize) -> State;
/// Queries, keys and values of a case.
type Numbers = fn(&Case) -> [Vec<f32>; 3];

/// Over floats and over bytes.
const RUNS: [Run; 2] = [Case::run, Case::run_bytes];

/// Quantised keys or values of whole blocks of positions.
struct Bytes {
    qs: Vec<i8>,
    scales: Vec<f32>,
}

impl Bytes {
    /// `rows`, `[positions][head_dim]`: a scale for each block of a position.
    fn keys(rows: &[u16], head_dim: usize) -> Self {
        let blocks = head_dim.div_ceil(KV_BLOCK);
        Self::new(rows, head_dim, blocks, KV_BLOCK, |p, d| (d / 4 * ATTN_LANES + p) * 4 + d % 4)
    }

    /// `rows`, `[positions][head_dim]`: a scale for each position.
    fn values(rows: &[u16], head_dim: usize) -> Self {
        let at = |p, d| (d / KV_BLOCK * ATTN_LANES / 2 + p / 2) * 2 * KV_BLOCK + d % KV_BLOCK * 2 + p % 2;
        Self::new(rows, head_dim, 1, head_dim, at)
    }

    /// With `scales` scales per position, one per `block` elements; element `d` of position `p` of sixteen at `at(p, d)`.
    fn new(
        rows: &[u16],
        head_dim: usize,
        scales: usize,
        block: usize,
        at: impl Fn(usize, usize) -> usize,
    ) -> Self {
        let groups = (rows.len() / head_dim).div_ceil(ATTN_LANES);
        let group = head_dim.next_multiple_of(KV_BLOCK) * ATTN_LANES;
        let mut bytes = Self { qs: vec![0; groups * group], scales: vec![0.0; groups * scales * ATTN_LANES] };
        for (p, row) in rows.chunks_exact(head_dim).enumerate() {
            let (g, lane) = (p / ATTN_LANES, p % ATTN_LANES);
            let row: Vec<f32> = row.iter().map(|&x| f16::from_bits(x).to_f32_const()).collect();
            for (b, x) in row.chunks(block).enumerate() {
                let mut qs = vec![0; x.len()];
                bytes.scales[(g * scales + b) * ATTN_LANES + lane] = oracle().quantize_block(x, &mut qs);
                for (i, q) in qs.into_iter().enumerate() {
                    bytes.qs[g * group + at(lane, b * block + i)] = q;
                }
            }
        }
        bytes
    }

    fn rows(&self) -> KvRows<'_> {
        KvRows::Q8 { qs: &self.qs, scales: &self.scales }
    }
}

/// `rows` of `head_dim` as bytes hold them, in blocks of `block`.
fn rounded(rows: &[f32], head_dim: usize, block: usize) -> Vec<f32> {
    let blocks = rows.chunks(head_dim).flat_map(|row| row.chunks(block));
    blocks
        .flat_map(|x| {
            let mut qs = vec![0; x.len()];
            let scale = oracle().quantize_block(x, &mut qs);
            qs.into_iter().map(move |q| f32::from(q) * scale)
        })
        .collect()
}

/// Keys `[positions][head_dim]` as the kernels want them: `[blocks][head_dim][16]`.
fn lanes(keys: &[u16], head_dim: usize) -> Vec<u16> {
    let mut out = vec![0; keys.len()];
    for (i, &x) in keys.iter().enumerate() {
        let (p, d) = (i / head_dim, i % head_dim);
        out[(p / ATTN_LANES * head_dim + d) * ATTN_LANES + p % ATTN_LANES] = x;
    }
    out
}

#[track_caller]
fn assert_same_state(got: &State, want: &State, what: impl Fn() -> String) {
    assert_same(&got.max, &want.max, || format!("{} max", what()));
    assert_same(&got.sum, &want.sum, || format!("{} sum", what()));
    assert_same(&got.acc, &want.acc, || format!("{} acc", what()));
}

#[test]
fn tiers_equal_scalar() {
    let mut rng = Rng(100);
    let mut cases = 0;
    let shapes = (1..=80).map(|hd| (hd, 40)).chain((0..=ATTN_CHUNK).map(|len| (16 * (1 + len % 5), len)));
    let large = [(96, 256), (128, 256), (256, 256), (256, 17), (512, 33), (1000, 9)];
    for (head_dim, len) in shapes.chain(large) {
        for kind in [Floats::Plain, Floats::Special, Floats::Wide] {
            let n_q = 1 + rng.below(if len > 100 { 7 } else { 21 });
            let case = Case::new(&mut rng, n_q, head_dim, len, kind);
            let want = case.run(oracle(), 0, n_q);
            let want_bytes = case.run_bytes(oracle(), 0, n_q);
            for tier in fast_tiers() {
                let what = || format!("{} head_dim={head_dim} len={len} queries={n_q} {kind:?}", tier.name());
                assert_same_state(&case.run(tier, 0, n_q), &want, what);
                assert_same_state(&case.run_bytes(tier, 0, n_q), &want_bytes, || what() + " bytes");
                cases += 1;
            }
        }
    }
    assert!(fast_tiers().next().is_none() || cases >= 1000, "only {cases} cases");
}

#[test]
fn values_narrower_than_keys_and_inside_them() {
    let mut rng = Rng(106);
    let shapes = [
        (36, 32, 40),
        (64, 64, 256),
        (64, 63, 90),
        (96, 17, 31),
        (288, 256, 256),
        (576, 512, 50),
        (5, 1, 16),
    ];
    for (head_dim, value_dim, len) in shapes {
        for (in_keys, kind) in
            [(false, Floats::Plain), (true, Floats::Plain), (true, Floats::Special), (true, Floats::Wide)]
        {
            let n = 1 + rng.below(20);
            let case = Case::new(&mut rng, n, head_dim, len, kind).with_values(value_dim, in_keys);
            let want = case.run(oracle(), 0, n);
            for tier in fast_tiers().chain([oracle()]) {
                let what = || format!("{} {head_dim}/{value_dim} len={len} {kind:?}", tier.name());
                assert_same_state(&case.run(tier, 0, n), &want, what);
                for i in 0..n {
                    let one = case.run(tier, i, 1);
                    assert_same(&one.acc, &want.acc[i * value_dim..(i + 1) * value_dim], || {
                        format!("{} query {i} alone", what())
                    });
                }
            }
            if let Floats::Plain = kind {
                let mut case = case;
                let scale = 0.2 / (head_dim as f32).sqrt(); // scores of about 1, as in models
                case.q.iter_mut().for_each(|q| *q *= scale);
                let got = case.run(oracle(), 0, n);
                for i in (0..n).filter(|&i| case.visible[i].0 < case.visible[i].1) {
                    let got: Vec<f32> =
                        got.acc[i * value_dim..(i + 1) * value_dim].iter().map(|a| a / got.sum[i]).collect();
                    let error = nmse(&got, &attend(std::slice::from_ref(&case), i, Case::floats));
                    assert!(error < 1e-11, "query {i}: error {error:e}");
                }
            }
        }
    }
}

#[test]
fn values_inside_keys_that_are_not_visible_have_no_influence() {
    let mut rng = Rng(107);
    let (head_dim, value_dim, len) = (48, 40, 90);
    let mut case = Case::new(&mut rng, 3, head_dim, len, Floats::Plain).with_values(value_dim, true);
    case.visible = vec![(20, 60), (33, 33), (20, 70)];
    for tier in fast_tiers().chain([oracle()]) {
        let before = case.run(tier, 0, 3);
        let mut after = Case {
            k: case.k.clone(),
            v: case.v.clone(),
            q: case.q.clone(),
            visible: case.visible.clone(),
            ..case
        };
        for p in (0..20).chain(60..len) {
            after.k[p * head_dim..][..head_dim].fill(f16::INFINITY.to_bits());
        }
        let after = after.run(tier, 0, 3);
        assert_same(&after.acc[..2 * value_dim], &before.acc[..2 * value_dim], || tier.name().into());
        assert_eq!(after.acc[value_dim..2 * value_dim], [0.0; 40], "saw nothing");
        assert!(after.acc[2 * value_dim..].iter().any(|x| !x.is_finite()), "the last query sees it");
    }
}

#[test]
fn a_query_does_not_see_its_neighbours() {
    let mut rng = Rng(101);
    for (head_dim, len) in [(64, 100), (80, 256), (24, 31), (256, 40)] {
        let n = 37;
        let case = Case::new(&mut rng, n, head_dim, len, Floats::Plain);
        for tier in fast_tiers().chain([oracle()]) {
            for run in RUNS {
                let all = run(&case, tier, 0, n);
                for i in 0..n {
                    let part = State {
                        acc: all.acc[i * head_dim..(i + 1) * head_dim].to_vec(),
                        max: vec![all.max[i]],
                        sum: vec![all.sum[i]],
                    };
                    let what = || format!("{} query {i} of {n}", tier.name());
                    assert_same_state(&run(&case, tier, i, 1), &part, what);
                }
            }
        }
    }
}

#[test]
fn what_is_not_visible_has_no_influence() {
    RUNS.into_iter().for_each(hides_what_is_not_visible);
}

fn hides_what_is_not_visible(run: Run) {
    let mut rng = Rng(102);
    let (n, head_dim, len) = (9, 48, 90);
    let mut case = Case::new(&mut rng, n, head_dim, len, Floats::Plain);
    case.visible = (0..n as u32).map(|i| (20 + i, 60 + i)).collect();
    case.visible[4] = (33, 33);
    let before: Vec<State> = fast_tiers().chain([oracle()]).map(|k| run(&case, k, 0, n)).collect();
    for p in (0..20).chain(68..len) {
        case.k[p * head_dim..][..head_dim].fill(f16::NAN.to_bits());
        case.v[p * head_dim..][..head_dim].fill(f16::INFINITY.to_bits());
    }
    // Inside the union of what is seen, but not by the first query.
    case.v[62 * head_dim..][..head_dim].fill(f16::NAN.to_bits());
    for (tier, before) in fast_tiers().chain([oracle()]).zip(before) {
        let after = run(&case, tier, 0, n);
        assert_same(&after.max, &before.max, || tier.name().into());
        assert_same(&after.acc[..2 * head_dim], &before.acc[..2 * head_dim], || tier.name().into());
        assert!(after.acc[8 * head_dim..].iter().all(|x| x.is_nan()), "the last query sees the NaN");
        assert_eq!((after.max[4], after.sum[4]), (f32::NEG_INFINITY, 0.0), "saw nothing");
        assert_eq!(after.acc[4 * head_dim..5 * head_dim], [0.0; 48], "saw nothing");
    }
}

#[test]
fn merged_chunks_are_close_to_f64() {
    let mut rng = Rng(103);
    for (head_dim, chunks, softcap) in [(64, 3, None), (80, 2, Some(4.0)), (20, 4, None)] {
        let n = 5;
        let mut cases: Vec<Case> =
            (0..chunks).map(|_| Case::new(&mut rng, n, head_dim, 100, Floats::Plain)).collect();
        let q: Vec<f32> = rng.floats(n * head_dim, Floats::Plain).iter().map(|x| x * 0.1).collect();
        for case in &mut cases {
            (case.q, case.softcap) = (q.clone(), softcap);
            case.visible[0] = (0, 0);
        }
        cases[1].visible[0] = (50, 60); // one query sees something in one chunk only
        // Bytes beside the same numbers, where only weights are rounded (each to 1 / 32767 of the largest: where one
        // position has it all, n others add n / 12 / 32767^2); and beside what they stand for.
        let against: [(Run, Numbers, f64); 3] =
            [(RUNS[0], Case::floats, 1e-11), (RUNS[1], Case::rounded, 5e-8), (RUNS[1], Case::floats, 1e-3)];
        for (run, numbers, bound) in against {
            let merged: Vec<State> = fast_tiers().chain([oracle()]).map(|k| merge(k, &cases, run)).collect();
            let want = merged.last().expect("the oracle's");
            for state in &merged {
                assert_same_state(state, want, || format!("merged, head_dim={head_dim}"));
            }
            for i in 0..n {
                let got: Vec<f32> =
                    want.acc[i * head_dim..(i + 1) * head_dim].iter().map(|a| a / want.sum[i]).collect();
                let error = nmse(&got, &attend(&cases, i, numbers));
                assert!(error < bound, "query {i}: error {error:e}, not {bound:e}");
            }
        }
    }
}

#[test]
fn a_nan_key_reaches_the_result_but_not_the_maximum() {
    let mut rng = Rng(105);
    let (head_dim, len) = (40, 50);
    for at in [0, 7, 15, 31, 49] {
        let mut case = Case::new(&mut rng, 2, head_dim, len, Floats::Plain);
        (case.visible, case.softcap) = (vec![(0, 50), (0, 50)], None);
        case.k[at * head_dim + 39] = f16::NAN.to_bits();
        for tier in fast_tiers().chain([oracle()]) {
            for run in RUNS {
                let state = run(&case, tier, 0, 2);
                assert!(state.max.iter().all(|m| m.is_finite()), "{}: {:?}", tier.name(), state.max);
                assert!(state.sum.iter().chain(&state.acc).all(|x| x.is_nan()), "{}", tier.name());
            }
        }
    }
}

fn merge(kernels: &Kernels, cases: &[Case], run: Run) -> State {
    let n = cases[0].visible.len();
    let mut state = run(&cases[0], kernels, 0, n);
    for case in &cases[1..] {
        kernels.attn_merge(&mut state.view(), &run(case, kernels, 0, n).view());
    }
    state
}

/// Attention of query `i` over all chunks, by the textbook, over these queries, keys and values.
fn attend(cases: &[Case], i: usize, numbers: Numbers) -> Vec<f64> {
    let (head_dim, value_dim) = (cases[0].head_dim, cases[0].value_dim);
    let mut out = vec![0.0; value_dim];
    let mut total = 0.0;
    for case in cases {
        let [q, k, v] = numbers(case);
        for p in case.visible[i].0 as usize..case.visible[i].1 as usize {
            let key = &k[p * head_dim..][..head_dim];
            let query = &q[i * head_dim..][..head_dim];
            let mut s: f64 = query.iter().zip(key).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum();
            if let Some(cap) = case.softcap {
                s = f64::from(cap) * (s / f64::from(cap)).tanh();
            }
            total += s.exp();
            for (o, &v) in out.iter_mut().zip(&v[p * value_dim..]) {
                *o += s.exp() * f64::from(v);
            }
        }
    }
    out.iter().map(|o| o / total).collect()
}

#[test]
fn merging_treats_empty_and_nan() {
    let mut rng = Rng(104);
    for tier in fast_tiers().chain([oracle()]) {
        let head_dim = 19;
        let some = State { acc: rng.floats(head_dim, Floats::Plain), max: vec![1.5], sum: vec![3.0] };
        let empty = State { acc: vec![0.0; head_dim], max: vec![f32::NEG_INFINITY], sum: vec![0.0] };
        let nan = State { acc: vec![f32::NAN; head_dim], max: vec![f32::NEG_INFINITY], sum: vec![f32::NAN] };
        let merged = |a: &State, b: &State| {
            let (mut a, mut b) = (a.clone(), b.clone());
            tier.attn_merge(&mut a.view(), &b.view());
            a
        };
        assert_same_state(&merged(&some, &empty), &some, || format!("{} and nothing", tier.name()));
        assert_same_state(&merged(&empty, &some), &some, || format!("{} into nothing", tier.name()));
        assert_same_state(&merged(&empty, &empty), &empty, || format!("{} twice nothing", tier.name()));
        assert!(merged(&some, &nan).acc.iter().all(|x| x.is_nan()), "{}", tier.name());
        assert!(merged(&nan, &some).sum[0].is_nan(), "{}", tier.name());
        assert!(merged(&empty, &nan).sum[0].is_nan(), "{}", tier.name());
    }
}
