//! The router: which experts a token goes to, and with what weight.

use crate::model::spec::{Gating, GroupScore, GroupSpec, RouterSpec};

/// Chooses `chosen.len()` experts for one token, best first, equals by their number, and their `weights`. `scores`,
/// `[experts]`, are the router's products; `correction`, `[experts]`, is added to the scores for the choice alone.
pub(super) fn route(
    spec: &RouterSpec,
    correction: Option<&[f32]>,
    scores: &mut [f32],
    chosen: &mut [u32],
    weights: &mut [f32],
) {
    match spec.gating {
        Gating::Softmax => softmax(scores),
        Gating::Sigmoid => scores.iter_mut().for_each(|x| *x = sigmoid(*x)),
    }
    let scores = &*scores;
    let value = |e: usize| scores[e] + correction.map_or(0.0, |c| c[e]);
    let (open, len) = match spec.groups {
        None => (u64::MAX, scores.len()),
        Some(groups) => (best_groups(groups, scores.len(), value), scores.len() / groups.count),
    };
    for (i, weight) in weights.iter_mut().enumerate() {
        let (taken, rest) = chosen.split_at_mut(i);
        let free = |e: &usize| (open >> (e / len)) & 1 == 1 && !taken.contains(&(*e as u32));
        let best = best_of((0..scores.len()).filter(free), value);
        rest[0] = best as u32;
        *weight = scores[best];
    }
    let sum: f32 = weights.iter().sum();
    // An underflow of all scores must not divide by zero.
    let divisor = if spec.normalised { sum.max(f32::MIN_POSITIVE) } else { 1.0 };
    weights.iter_mut().for_each(|w| *w = *w / divisor * spec.scale);
}

/// `1 / (1 + exp(-x))`.
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}

fn softmax(x: &mut [f32]) {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    x.iter_mut().for_each(|x| *x = libm::expf(*x - max));
    let sum: f32 = x.iter().sum();
    x.iter_mut().for_each(|x| *x /= sum);
}

/// The first of the best; 0 if there are none.
fn best_of(candidates: impl Iterator<Item = usize>, value: impl Fn(usize) -> f32) -> usize {
    let better = |best: Option<usize>, e: usize| match best {
        Some(best) if value(e).total_cmp(&value(best)).is_le() => Some(best),
        _ => Some(e),
    };
    candidates.fold(None, better).unwrap_or(0)
}

/// Bit `g` says whether group `g` is among the best.
fn best_groups(spec: GroupSpec, experts: usize, value: impl Fn(usize) -> f32) -> u64 {
    let len = experts / spec.count;
    let worth = |g: usize| {
        let members = g * len..(g + 1) * len;
        let first = best_of(members.clone(), &value);
        match spec.score {
            GroupScore::Best => value(first),
            GroupScore::TwoBest if len == 1 => value(first),
            GroupScore::TwoBest => value(first) + value(best_of(members.filter(|&e| e != first), &value)),
        }
    };
    let mut open = 0u64;
    for _ in 0..spec.used.min(spec.count) {
        open |= 1 << best_of((0..spec.count).filter(|g| (open >> g) & 1 == 0), worth);
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: RouterSpec =
        RouterSpec { gating: Gating::Softmax, normalised: false, scale: 1.0, groups: None };

    fn routed(spec: &RouterSpec, correction: Option<&[f32]>, x: &[f32], used: usize) -> (Vec<u32>, Vec<f32>) {
        let (mut chosen, mut weights) = (vec![0; used], vec![0.0; used]);
        route(spec, correction, &mut x.to_vec(), &mut chosen, &mut weights);
        (chosen, weights)
    }

    #[test]
    fn the_best_are_chosen_and_weighted_by_their_share() {
        let x = [0.0, 2.0, 1.0, 2.0];
        let sum = 1.0 + 2.0 * 2f32.exp() + 1f32.exp();
        let (chosen, weights) = routed(&PLAIN, None, &x, 3);
        assert_eq!(chosen, [1, 3, 2], "equals by their number");
        let expected = [2f32.exp() / sum, 2f32.exp() / sum, 1f32.exp() / sum];
        assert!(weights.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{weights:?}");
        let normalised = RouterSpec { normalised: true, scale: 2.5, ..PLAIN };
        let total: f32 = routed(&normalised, None, &x, 2).1.iter().sum();
        assert!((total - 2.5).abs() < 1e-6);
    }

    #[test]
    fn a_correction_changes_the_choice_only() {
        let spec = RouterSpec { gating: Gating::Sigmoid, ..PLAIN };
        let (chosen, weights) = routed(&spec, Some(&[0.0, 0.0, 9.0]), &[0.0, 1.0, -1.0], 2);
        assert_eq!(chosen, [2, 1]);
        assert!((weights[0] - sigmoid(-1.0)).abs() < 1e-7);
    }

    #[test]
    fn groups_are_judged_by_their_best_or_their_two_best() {
        let groups = |score| Some(GroupSpec { count: 2, used: 1, score });
        let x = [3.0, -9.0, 2.0, 1.9]; // the first group has the best expert, the second the best pair
        let sigmoid = RouterSpec { gating: Gating::Sigmoid, ..PLAIN };
        assert_eq!(
            routed(&RouterSpec { groups: groups(GroupScore::Best), ..sigmoid }, None, &x, 2).0,
            [0, 1]
        );
        assert_eq!(
            routed(&RouterSpec { groups: groups(GroupScore::TwoBest), ..sigmoid }, None, &x, 2).0,
            [2, 3]
        );
    }

    #[test]
    fn what_is_no_number_harms_nobody() {
        let (chosen, weights) = routed(&PLAIN, None, &[f32::NAN, 1.0, f32::INFINITY], 2);
        assert!(chosen[0] != chosen[1] && chosen.iter().all(|&e| e < 3) && weights.len() == 2);
    }
}
