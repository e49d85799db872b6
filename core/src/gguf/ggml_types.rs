//! Names and block sizes of every tensor type that a GGUF file may name.
//!
//! Wider than [`crate::quant`]'s table, which holds the types that can be computed with: a file with others can be
//! opened and listed, and only using such a tensor is an error. Ids that were withdrawn (4, 5, 31-33, 36-38) do not
//! exist. Id 42 is left out on purpose: mainline and a fork give it different block sizes.
//! Reference: `ggml.h` (`enum ggml_type`), `ggml-common.h`.

/// A tensor type as storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GgmlType {
    pub(crate) id: u32,
    pub(crate) name: &'static str,
    /// Elements per block.
    pub(crate) block_len: u64,
    /// Bytes per block.
    pub(crate) block_bytes: u64,
}

const fn row(id: u32, name: &'static str, block_len: u64, block_bytes: u64) -> GgmlType {
    GgmlType { id, name, block_len, block_bytes }
}

/// Ascending by id.
static TYPES: &[GgmlType] = &[
    row(0, "F32", 1, 4),
    row(1, "F16", 1, 2),
    row(2, "Q4_0", 32, 18),
    row(3, "Q4_1", 32, 20),
    row(6, "Q5_0", 32, 22),
    row(7, "Q5_1", 32, 24),
    row(8, "Q8_0", 32, 34),
    row(9, "Q8_1", 32, 36),
    row(10, "Q2_K", 256, 84),
    row(11, "Q3_K", 256, 110),
    row(12, "Q4_K", 256, 144),
    row(13, "Q5_K", 256, 176),
    row(14, "Q6_K", 256, 210),
    row(15, "Q8_K", 256, 292),
    row(16, "IQ2_XXS", 256, 66),
    row(17, "IQ2_XS", 256, 74),
    row(18, "IQ3_XXS", 256, 98),
    row(19, "IQ1_S", 256, 50),
    row(20, "IQ4_NL", 32, 18),
    row(21, "IQ3_S", 256, 110),
    row(22, "IQ2_S", 256, 82),
    row(23, "IQ4_XS", 256, 136),
    row(24, "I8", 1, 1),
    row(25, "I16", 1, 2),
    row(26, "I32", 1, 4),
    row(27, "I64", 1, 8),
    row(28, "F64", 1, 8),
    row(29, "IQ1_M", 256, 56),
    row(30, "BF16", 1, 2),
    row(34, "TQ1_0", 256, 54),
    row(35, "TQ2_0", 256, 66),
    row(39, "MXFP4", 32, 17),
    row(40, "NVFP4", 64, 36),
    row(41, "Q1_0", 128, 18),
];

/// The type with this id, if there is one.
pub(crate) fn ggml_type(id: u32) -> Option<&'static GgmlType> {
    TYPES.binary_search_by_key(&id, |t| t.id).ok().map(|i| &TYPES[i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::QuantType;

    #[test]
    fn sorted_and_equal_to_the_table_of_quantisations() {
        assert!(TYPES.windows(2).all(|w| w[0].id < w[1].id));
        for &q in QuantType::ALL {
            let t = ggml_type(q.ggml_id()).expect("every type that can be computed with is here");
            assert_eq!(t.name, q.name());
            assert_eq!((t.block_len, t.block_bytes), (q.block_len() as u64, q.block_bytes() as u64), "{q}");
        }
        for id in [4, 5, 31, 36, 42, 63, 255, u32::MAX] {
            assert_eq!(ggml_type(id), None);
        }
    }
}
