//! Eigenvectors of a symmetric matrix: Householder's reduction to a tridiagonal one, then implicit QL.
//!
//! Any orthonormal basis makes a correct table; this one makes a good one. So nothing here has to converge.

/// Rotations per eigenvalue at most.
const TURNS: usize = 60;

/// Eigenvectors of the symmetric matrix `a`, `[n, n]`, as rows, `[n, n]`, the one of the largest eigenvalue first.
/// Overwrites `a`.
pub(super) fn eigenvectors(a: &mut [f64], n: usize) -> Vec<f64> {
    let mut rows = vec![0.0; n * n];
    rows.iter_mut().step_by(n + 1).for_each(|x| *x = 1.0);
    let (mut diagonal, mut beside) = tridiagonal(a, &mut rows, n);
    rotate_to_diagonal(&mut diagonal, &mut beside, &mut rows, n);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| diagonal[j].total_cmp(&diagonal[i]).then(i.cmp(&j)));
    order.iter().flat_map(|&i| &rows[i * n..(i + 1) * n]).copied().collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// `to += x * scale`.
fn add_scaled(to: &mut [f64], x: &[f64], scale: f64) {
    to.iter_mut().zip(x).for_each(|(t, x)| *t += x * scale);
}

/// Reflects `a` until it is tridiagonal, and `rows` along with it. The diagonal, and what is right of it.
fn tridiagonal(a: &mut [f64], rows: &mut [f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut v, mut p) = (vec![0.0; n], vec![0.0; n]);
    for k in 0..n.saturating_sub(2) {
        let m = k + 1;
        v[..m].fill(0.0);
        v[m..].copy_from_slice(&a[k * n + m..(k + 1) * n]);
        let length = dot(&v[m..], &v[m..]).sqrt();
        if length == 0.0 {
            continue;
        }
        v[m] += if v[m] < 0.0 { -length } else { length };
        let beta = 2.0 / dot(&v[m..], &v[m..]);
        // a = h a h with h = 1 - beta v v'.
        for i in k..n {
            p[i] = beta * dot(&a[i * n + m..(i + 1) * n], &v[m..]);
        }
        let half = beta / 2.0 * dot(&p[m..], &v[m..]);
        (k..n).for_each(|i| p[i] -= half * v[i]);
        for i in k..n {
            let row = &mut a[i * n + k..(i + 1) * n];
            add_scaled(row, &p[k..], -v[i]);
            add_scaled(row, &v[k..], -p[i]);
        }
        // rows = h rows.
        p.fill(0.0);
        for i in m..n {
            add_scaled(&mut p, &rows[i * n..(i + 1) * n], beta * v[i]);
        }
        for i in m..n {
            add_scaled(&mut rows[i * n..(i + 1) * n], &p, -v[i]);
        }
    }
    let diagonal = (0..n).map(|i| a[i * n + i]).collect();
    let beside = (0..n).map(|i| if i + 1 < n { a[i * n + i + 1] } else { 0.0 }).collect();
    (diagonal, beside)
}

/// Turns neighbouring rows until nothing is left beside the diagonal.
fn rotate_to_diagonal(d: &mut [f64], e: &mut [f64], rows: &mut [f64], n: usize) {
    for l in 0..n {
        for _ in 0..TURNS {
            let small = |m: &usize| e[*m].abs() <= f64::EPSILON * (d[*m].abs() + d[*m + 1].abs());
            let m = (l..n - 1).find(small).unwrap_or(n - 1);
            if m == l {
                break;
            }
            let ratio = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let root = (ratio * ratio + 1.0).sqrt();
            let mut g = d[m] - d[l] + e[l] / (ratio + if ratio < 0.0 { -root } else { root });
            let (mut sin, mut cos, mut shift) = (1.0, 1.0, 0.0);
            let mut whole = true;
            for i in (l..m).rev() {
                let (f, b) = (sin * e[i], cos * e[i]);
                let r = (f * f + g * g).sqrt();
                e[i + 1] = r;
                if r == 0.0 {
                    d[i + 1] -= shift;
                    e[m] = 0.0;
                    whole = false;
                    break;
                }
                (sin, cos) = (f / r, g / r);
                g = d[i + 1] - shift;
                let t = (d[i] - g) * sin + 2.0 * cos * b;
                shift = sin * t;
                d[i + 1] = g + shift;
                g = cos * t - b;
                let (low, high) = rows.split_at_mut((i + 1) * n);
                for (x, y) in low[i * n..].iter_mut().zip(&mut high[..n]) {
                    (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
                }
            }
            if whole {
                d[l] -= shift;
                e[l] = g;
                e[m] = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_orthonormal_and_diagonalise_in_order() {
        for n in [1, 2, 3, 17, 64] {
            let mut state = 1u64;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 40) as f64 / (1u64 << 23) as f64 - 1.0
            };
            let mut a = vec![0.0; n * n];
            for i in 0..n {
                for j in 0..=i {
                    let x = next();
                    (a[i * n + j], a[j * n + i]) = (x, x);
                }
            }
            let v = eigenvectors(&mut a.clone(), n);
            let row = |i: usize| &v[i * n..(i + 1) * n];
            let mut before = f64::INFINITY;
            for i in 0..n {
                let image: Vec<f64> = (0..n).map(|r| dot(&a[r * n..(r + 1) * n], row(i))).collect();
                let value = dot(&image, row(i));
                assert!(value <= before + 1e-9, "{n}: not in order");
                before = value;
                for (j, &image) in image.iter().enumerate() {
                    let expected = if i == j { 1.0 } else { 0.0 };
                    assert!((dot(row(i), row(j)) - expected).abs() < 1e-10, "{n}: {i} and {j}");
                    assert!((image - value * row(i)[j]).abs() < 1e-8, "{n}: {i} is no eigenvector");
                }
            }
        }
    }

    #[test]
    fn nothing_is_orthonormal_too() {
        let v = eigenvectors(&mut [0.0; 9], 3);
        assert_eq!(v, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    }
}
