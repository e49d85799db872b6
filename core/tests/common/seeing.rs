//! A tiny model that sees, and its vision tower.

use siskin::gguf::write::GgufWriter;
use siskin::gguf::{GgufFile, StrArray};
use siskin::quant::QuantType::{F16, F32, Q8_0};
use siskin::vision::IMAGE_MARK;

use super::{Rng, VOCAB, tiny_file, weights};

/// Of the tower: 400 patches, more than one block; heads of 24 elements.
pub(crate) const SIDE: usize = 20;
const PATCH: usize = 2;
pub(crate) const WIDTH: usize = 96;
const HIDDEN: usize = 160;
/// Of the tiny model.
pub(crate) const MODEL_WIDTH: usize = 256;
pub(crate) const POSITIONS: usize = 25;

/// A tower with a projector to `projected`; `old` calls the feed-forward block's first matrix "down", as the first files
/// did. `with` overrides sizes in the metadata.
pub(crate) fn tower_file(projected: usize, old: bool, with: &[(&str, u32)]) -> Vec<u8> {
    let mut w = GgufWriter::new();
    w.set("general.architecture", "clip").set("clip.projector_type", "gemma3");
    for (key, value) in [
        ("image_size", SIDE * PATCH),
        ("patch_size", PATCH),
        ("embedding_length", WIDTH),
        ("feed_forward_length", HIDDEN),
        ("block_count", 2),
        ("attention.head_count", 4),
    ] {
        if with.iter().all(|change| change.0 != key) {
            w.set(&format!("clip.vision.{key}"), &(value as u32));
        }
    }
    for (key, value) in with {
        w.set(&format!("clip.vision.{key}"), value);
    }
    w.set("clip.vision.attention.layer_norm_epsilon", &1e-6f32)
        .set("clip.vision.image_mean", &[0.5f32; 3][..])
        .set("clip.vision.image_std", &[0.5f32; 3][..]);
    let t = |w: &mut GgufWriter, name: &str, ty, dims: &[usize]| {
        w.tensor(name, ty, dims).unwrap();
    };
    t(&mut w, "v.patch_embd.weight", F16, &[PATCH, PATCH, 3, WIDTH]);
    t(&mut w, "v.patch_embd.bias", F32, &[WIDTH]);
    t(&mut w, "v.position_embd.weight", F32, &[WIDTH, SIDE * SIDE]);
    for i in 0..2 {
        let name = |part: &str| format!("v.blk.{i}.{part}");
        for (part, ty) in [("attn_q", F32), ("attn_k", Q8_0), ("attn_v", F16), ("attn_out", Q8_0)] {
            t(&mut w, &name(&format!("{part}.weight")), ty, &[WIDTH, WIDTH]);
            t(&mut w, &name(&format!("{part}.bias")), F32, &[WIDTH]);
        }
        let (first, second) = if old { ("ffn_down", "ffn_up") } else { ("ffn_up", "ffn_down") };
        t(&mut w, &name(&format!("{first}.weight")), Q8_0, &[WIDTH, HIDDEN]);
        t(&mut w, &name(&format!("{first}.bias")), F32, &[HIDDEN]);
        t(&mut w, &name(&format!("{second}.weight")), F16, &[HIDDEN, WIDTH]);
        t(&mut w, &name(&format!("{second}.bias")), F32, &[WIDTH]);
        for part in ["ln1.weight", "ln1.bias", "ln2.weight", "ln2.bias"] {
            t(&mut w, &name(part), F32, &[WIDTH]);
        }
    }
    for part in ["v.post_ln.weight", "v.post_ln.bias", "mm.soft_emb_norm.weight"] {
        t(&mut w, part, F32, &[WIDTH]);
    }
    t(&mut w, "mm.input_projection.weight", F16, &[projected, WIDTH]);
    let mut rng = Rng(3);
    w.to_bytes(|plan| {
        let size = if plan.dims.len() == 1 { 1.0 } else { 0.2 };
        weights(&mut rng, plan.ty, plan.dims.iter().product(), size)
    })
    .unwrap()
}

/// The tiny Gemma 3 with marks of images in its vocabulary.
pub(crate) fn seeing_file() -> Vec<u8> {
    let file = GgufFile::from_bytes(tiny_file("gemma3")).unwrap();
    let mut w = GgufWriter::new();
    for (key, value) in file.metadata().iter() {
        if !["tokenizer.ggml.tokens", "tokenizer.ggml.token_type"].contains(&key) {
            w.set(key, value);
        }
    }
    let all: StrArray = file.metadata().require("tokenizer.ggml.tokens").unwrap();
    let text = |i| String::from_utf8(all.get(i).unwrap().to_vec()).unwrap();
    let mut tokens: Vec<String> = (0..VOCAB).map(text).collect();
    let mut kinds: Vec<i32> = file.metadata().require("tokenizer.ggml.token_type").unwrap();
    for (i, mark) in [(VOCAB - 2, IMAGE_MARK), (VOCAB - 1, "<end_of_image>")] {
        (tokens[i], kinds[i]) = (mark.to_owned(), 3);
    }
    w.set("tokenizer.ggml.tokens", tokens.as_slice());
    w.set("tokenizer.ggml.token_type", kinds.as_slice());
    for t in file.tensors().iter() {
        w.tensor(t.name(), t.quant_type().unwrap(), t.dims()).unwrap();
    }
    w.to_bytes(|plan| file.tensors().get(&plan.name).unwrap().bytes().to_vec()).unwrap()
}
