//! LoRA adapters: what one must be to fit a model. They are checked here, not applied.
//!
//! An adapter is a GGUF file whose tensors come in pairs for a tensor `W` of the model, here for a matrix of `in`
//! columns and `out` rows (dimensions in the file's order, fastest first):
//!
//! ```text
//! W.lora_a  [in, rank]      W.lora_b  [rank, out]      W' = W + alpha / rank * B * A
//! ```
//!
//! Stacked experts have one more dimension, equal in all three. The token embedding, whose rows are looked up rather
//! than multiplied, has the two the other way round: `lora_a [rank, rows]`, `lora_b [rank, columns]`.

use std::collections::BTreeMap;

use super::tensor_info::TensorInfo;
use super::{GgufFile, Metadata};
use crate::error::{Error, ErrorKind, Result};

/// One tensor of the model that an adapter changes.
#[derive(Clone, Debug)]
pub struct AdapterTarget {
    /// The name of the model's tensor.
    pub name: String,
    /// The first factor.
    pub a: TensorInfo,
    /// The second factor.
    pub b: TensorInfo,
    /// The dimension that they share.
    pub rank: usize,
}

/// A LoRA adapter that fits the model it was checked against.
#[derive(Clone, Debug)]
pub struct Adapter {
    alpha: f32,
    targets: Vec<AdapterTarget>,
}

impl Adapter {
    /// Checks `file` as an adapter for the model `base`.
    pub fn new(file: &GgufFile, base: &GgufFile) -> Result<Self> {
        check_keys(file.metadata(), base.metadata())?;
        let alpha: f32 = file.metadata().require("adapter.lora.alpha")?;
        if !alpha.is_finite() {
            let message = format!("the adapter's alpha is {alpha}");
            return Err(Error::new(ErrorKind::Format, message).with_key("adapter.lora.alpha"));
        }
        let targets = pairs(file)?
            .into_iter()
            .map(|(name, pair)| target(base, name, pair))
            .collect::<Result<Vec<_>>>()?;
        if targets.is_empty() {
            return Err(Error::new(ErrorKind::Missing, "the adapter has no tensors"));
        }
        Ok(Self { alpha, targets })
    }

    /// The factor of the change, before it is divided by the rank.
    pub fn alpha(&self) -> f32 {
        self.alpha
    }

    /// The tensors that it changes, sorted by name.
    pub fn targets(&self) -> &[AdapterTarget] {
        &self.targets
    }
}

fn check_keys(meta: &Metadata, base: &Metadata) -> Result<()> {
    for (key, wanted) in [("general.type", "adapter"), ("adapter.type", "lora")] {
        if meta.optional::<String>(key)?.as_deref() != Some(wanted) {
            let message = format!("the file is not a LoRA adapter: this key should be \"{wanted}\"");
            return Err(Error::new(ErrorKind::Format, message).with_key(key));
        }
    }
    const KEY: &str = "general.architecture";
    let (own, models) = (meta.require::<String>(KEY)?, base.require::<String>(KEY)?);
    if own != models {
        let message = format!(
            "an adapter for \"{}\", the model is \"{}\"",
            own.escape_default(),
            models.escape_default()
        );
        return Err(Error::new(ErrorKind::Shape, message).with_key(KEY));
    }
    Ok(())
}

/// The two factors of a target, as far as they are there.
#[derive(Default)]
struct Pair<'a> {
    a: Option<&'a TensorInfo>,
    b: Option<&'a TensorInfo>,
}

fn pairs(file: &GgufFile) -> Result<BTreeMap<&str, Pair<'_>>> {
    let mut pairs = BTreeMap::<&str, Pair<'_>>::new();
    for tensor in file.tensors() {
        // Names are unique, so that nothing is overwritten here.
        if let Some(name) = tensor.name().strip_suffix(".lora_a") {
            pairs.entry(name).or_default().a = Some(tensor);
        } else if let Some(name) = tensor.name().strip_suffix(".lora_b") {
            pairs.entry(name).or_default().b = Some(tensor);
        } else {
            let message = "an adapter's tensors end in .lora_a or .lora_b";
            return Err(Error::new(ErrorKind::Format, message).with_tensor(tensor.name()));
        }
    }
    Ok(pairs)
}

fn target(base: &GgufFile, name: &str, pair: Pair<'_>) -> Result<AdapterTarget> {
    let error = |kind, message| Err(Error::new(kind, message).with_tensor(name));
    let (Some(a), Some(b)) = (pair.a, pair.b) else {
        let absent = if pair.a.is_none() { "lora_a" } else { "lora_b" };
        return error(ErrorKind::Missing, format!("the adapter has no {absent} for this tensor"));
    };
    let Some(weight) = base.tensors().get(name) else {
        return error(ErrorKind::Shape, "the model has no such tensor to adapt".into());
    };
    let w = sides(weight.dims());
    let (sa, sb) = (sides(a.dims()), sides(b.dims()));
    let looked_up = name == "token_embd.weight";
    let (rank, fits) = if looked_up {
        (sa.columns, sa.rows == w.rows && sb.columns == sa.columns && sb.rows == w.columns)
    } else {
        (sa.rows, sa.columns == w.columns && sb.columns == sa.rows && sb.rows == w.rows)
    };
    if !fits || sa.stacked != w.stacked || sb.stacked != w.stacked {
        let message =
            format!("factors {:?} and {:?} do not fit a weight of {:?}", a.dims(), b.dims(), weight.dims());
        return error(ErrorKind::Shape, message);
    }
    for factor in [a, b] {
        factor.quant_type()?;
    }
    Ok(AdapterTarget { name: name.to_owned(), a: a.clone(), b: b.clone(), rank })
}

/// A tensor's dimensions as a stack of matrices; absent ones are 1.
struct Sides<'a> {
    columns: usize,
    rows: usize,
    stacked: &'a [usize],
}

fn sides(dims: &[usize]) -> Sides<'_> {
    let stacked = dims.get(2..).unwrap_or(&[]);
    let ones = stacked.iter().rev().take_while(|&&d| d == 1).count();
    Sides {
        columns: dims.first().copied().unwrap_or(1),
        rows: dims.get(1).copied().unwrap_or(1),
        stacked: &stacked[..stacked.len() - ones],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::write::GgufWriter;
    use crate::quant::QuantType;

    type Tensors<'a> = &'a [(&'a str, &'a [usize])];

    fn file(keys: &[(&str, &str)], alpha: f32, tensors: Tensors<'_>) -> GgufFile {
        let mut w = GgufWriter::new();
        keys.iter().for_each(|(k, v)| _ = w.set(k, *v));
        w.set("adapter.lora.alpha", &alpha);
        for (name, dims) in tensors {
            w.tensor(name, QuantType::F32, dims).expect("a shape");
        }
        GgufFile::from_bytes(w.to_bytes(|t| vec![0; t.bytes]).expect("written")).expect("valid")
    }

    const KEYS: &[(&str, &str)] =
        &[("general.architecture", "x"), ("general.type", "adapter"), ("adapter.type", "lora")];

    fn check(keys: &[(&str, &str)], alpha: f32, tensors: Tensors<'_>) -> Result<Adapter> {
        let base = file(
            &KEYS[..1],
            0.0,
            &[("q", &[8, 6]), ("experts", &[8, 6, 3]), ("token_embd.weight", &[8, 100])],
        );
        Adapter::new(&file(keys, alpha, tensors), &base)
    }

    #[test]
    fn adapters_that_fit() {
        let a = check(
            KEYS,
            16.0,
            &[
                ("q.lora_a", &[8, 2]),
                ("q.lora_b", &[2, 6]),
                ("experts.lora_a", &[8, 4, 3]),
                ("experts.lora_b", &[4, 6, 3]),
                ("token_embd.weight.lora_a", &[5, 100]),
                ("token_embd.weight.lora_b", &[5, 8]),
            ],
        )
        .expect("fits");
        let ranks: Vec<_> = a.targets().iter().map(|t| (t.name.as_str(), t.rank)).collect();
        assert_eq!(ranks, [("experts", 4), ("q", 2), ("token_embd.weight", 5)]);
        assert_eq!(a.alpha(), 16.0);
    }

    #[test]
    fn every_refusal() {
        use ErrorKind::{Format, Missing, Shape};
        let q: Tensors<'_> = &[("q.lora_a", &[8, 2]), ("q.lora_b", &[2, 6])];
        assert!(check(KEYS, 1.0, q).is_ok());
        let other = &[("general.architecture", "y"), KEYS[1], KEYS[2]];
        for (what, keys, alpha, tensors, kind) in [
            ("not an adapter", &KEYS[..1], 1.0, q, Format),
            ("not lora", &KEYS[..2], 1.0, q, Format),
            ("architecture", other, 1.0, q, Shape),
            ("alpha", KEYS, f32::NAN, q, Format),
            ("no tensors", KEYS, 1.0, &[], Missing),
            ("no b", KEYS, 1.0, &[("q.lora_a", &[8, 2])], Missing),
            ("no a", KEYS, 1.0, &[("q.lora_b", &[2, 6])], Missing),
            ("no such tensor", KEYS, 1.0, &[("z.lora_a", &[8, 2]), ("z.lora_b", &[2, 6])], Shape),
            ("another tensor", KEYS, 1.0, &[("q.lora_c", &[8, 2])], Format),
            ("ranks", KEYS, 1.0, &[("q.lora_a", &[8, 2]), ("q.lora_b", &[3, 6])], Shape),
            ("too wide", KEYS, 1.0, &[("q.lora_a", &[16, 2]), ("q.lora_b", &[2, 6])], Shape),
            ("too high", KEYS, 1.0, &[("q.lora_a", &[8, 2]), ("q.lora_b", &[2, 12])], Shape),
            ("stack of a", KEYS, 1.0, &[("q.lora_a", &[8, 2, 3]), ("q.lora_b", &[2, 6])], Shape),
            (
                "stack of b",
                KEYS,
                1.0,
                &[("experts.lora_a", &[8, 2, 3]), ("experts.lora_b", &[2, 6, 4])],
                Shape,
            ),
        ] {
            let e = check(keys, alpha, tensors).expect_err(what);
            assert_eq!(e.kind(), kind, "{what}: {e}");
        }
    }
}
