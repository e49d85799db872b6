//! The vision tower of a folder's model, described as the file that GGUF calls `mmproj`.

use std::path::Path;

use super::config::Config;
use super::families::Family;
use super::head::Head;
use super::tensors;
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::GgufFile;

/// The value of `model_type` whose towers are known, and the name of its projector in GGUF.
const MODEL_TYPE: &str = "gemma3";

static TOWER: Family = Family {
    arch: "clip",
    names: &[
        ("vision_tower.vision_model.embeddings.patch_embedding", "v.patch_embd"),
        ("vision_tower.vision_model.embeddings.position_embedding", "v.position_embd"),
        ("vision_tower.vision_model.encoder.layers.#.layer_norm1", "v.blk.#.ln1"),
        ("vision_tower.vision_model.encoder.layers.#.layer_norm2", "v.blk.#.ln2"),
        ("vision_tower.vision_model.encoder.layers.#.self_attn.q_proj", "v.blk.#.attn_q"),
        ("vision_tower.vision_model.encoder.layers.#.self_attn.k_proj", "v.blk.#.attn_k"),
        ("vision_tower.vision_model.encoder.layers.#.self_attn.v_proj", "v.blk.#.attn_v"),
        ("vision_tower.vision_model.encoder.layers.#.self_attn.out_proj", "v.blk.#.attn_out"),
        ("vision_tower.vision_model.encoder.layers.#.mlp.fc1", "v.blk.#.ffn_up"),
        ("vision_tower.vision_model.encoder.layers.#.mlp.fc2", "v.blk.#.ffn_down"),
        ("vision_tower.vision_model.post_layernorm", "v.post_ln"),
        ("multi_modal_projector.mm_soft_emb_norm", "mm.soft_emb_norm"),
        ("multi_modal_projector.mm_input_projection_weight", "mm.input_projection.weight"),
    ],
    skip: &["embed_tokens.", "layers.", "norm.", "lm_head."],
    one_plus: true,
    ..super::families::PLAIN
};

/// Sizes of the tower, and GGUF's keys for them.
static SIZES: &[(&str, &str)] = &[
    ("image_size", "vision.image_size"),
    ("patch_size", "vision.patch_size"),
    ("hidden_size", "vision.embedding_length"),
    ("intermediate_size", "vision.feed_forward_length"),
    ("num_hidden_layers", "vision.block_count"),
    ("num_attention_heads", "vision.attention.head_count"),
];

/// Opens the vision tower and the projector of the model in `folder`.
///
/// # Errors
/// Names the file and the key, tensor and offset that it fails on.
pub fn open_vision(folder: impl AsRef<Path>) -> Result<GgufFile> {
    let folder = folder.as_ref();
    let whole = Config::read(folder, "config.json")?.ok_or_else(|| {
        Error::new(ErrorKind::Missing, "the folder has no config.json: it is no model").with_file(folder)
    })?;
    let (key, part) = ("model_type", "vision_config");
    let model_type = whole.need(key, whole.text(key)?)?;
    if model_type != MODEL_TYPE || whole.get(part).is_none() {
        let message =
            format!("the model does not see: only folders of type \"{MODEL_TYPE}\" with a {part} do");
        return Err(whole.error(ErrorKind::Unsupported, key, message));
    }
    let positions = whole.integer("mm_tokens_per_image")?.unwrap_or(256);
    let c = whole.of_part(part);
    let mut head = Head::new(TOWER.arch);
    head.set_global("general.architecture", TOWER.arch);
    head.set_global("general.type", "mmproj");
    head.set("has_vision_encoder", &true);
    head.set("projector_type", MODEL_TYPE);
    for (theirs, ours) in SIZES {
        head.set(ours, &c.need(theirs, c.integer(theirs)?)?);
    }
    let (key, usual) = ("layer_norm_eps", 1e-6); // configurations leave it out where it is the usual one
    head.set("vision.attention.layer_norm_epsilon", &(c.float(key)?.unwrap_or(usual) as f32));
    let act = "hidden_act";
    if c.text(act)?.is_some_and(|name| name != "gelu_pytorch_tanh") {
        return Err(c.error(
            ErrorKind::Unsupported,
            act,
            "only the activation gelu_pytorch_tanh is supported",
        ));
    }
    let need = |key: &str| c.need(key, c.integer(key)?);
    let side = need("image_size")? / need("patch_size")?.max(1);
    let per_side = positions.isqrt();
    if per_side == 0 || per_side * per_side != positions || !side.is_multiple_of(per_side) {
        let message = format!("{side} x {side} patches cannot become {positions} positions");
        return Err(c.error(ErrorKind::Shape, "mm_tokens_per_image", message));
    }
    head.set("vision.projector.scale_factor", &(side / per_side));
    let pre = "preprocessor_config.json";
    let pre = Config::read(folder, pre)?.unwrap_or_else(|| Config::empty(folder, pre));
    for (theirs, ours) in [("image_mean", "vision.image_mean"), ("image_std", "vision.image_std")] {
        let values = pre.floats(theirs)?.unwrap_or_else(|| vec![0.5; 3]);
        head.set(ours, &values.iter().map(|&x| x as f32).collect::<Vec<_>>()[..]);
    }
    // Whether it is done is for whoever makes a picture to say; the numbers it is done with are the model's.
    for (theirs, ours) in [("min_crop_size", "min_crop_size"), ("max_num_crops", "max_crops")] {
        if let Some(n) = pre.integer(&format!("pan_and_scan_{theirs}"))? {
            head.set(&format!("vision.pan_and_scan.{ours}"), &n);
        }
    }
    if let Some(ratio) = pre.float("pan_and_scan_min_ratio_to_activate")? {
        head.set("vision.pan_and_scan.min_ratio", &ratio);
    }
    let (sources, tensors) = tensors::open(folder, &TOWER, &c, &head)?;
    GgufFile::assemble(folder.to_path_buf(), &head.metadata, tensors, sources)
        .map_err(|e| e.with_file(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tensors() {
        for (theirs, ours) in [
            ("vision_tower.vision_model.encoder.layers.12.mlp.fc1.bias", Some("v.blk.12.ffn_up.bias")),
            (
                "model.vision_tower.vision_model.embeddings.position_embedding.weight",
                Some("v.position_embd.weight"),
            ),
            ("model.multi_modal_projector.mm_input_projection_weight", Some("mm.input_projection.weight")),
            ("multi_modal_projector.mm_soft_emb_norm.weight", Some("mm.soft_emb_norm.weight")),
            ("language_model.model.layers.0.mlp.up_proj.weight", None),
            ("model.language_model.norm.weight", None),
            ("vision_tower.odd.weight", Some("vision_tower.odd.weight")),
        ] {
            assert_eq!(TOWER.gguf_name(theirs).as_deref(), ours, "{theirs}");
        }
    }
}
