//! The rows, and the names and keys that most of them share. Long, as it is one table.

use super::rules::{
    bert, deepseek, every_layer_has_experts, gemma2, gemma3, gemma3n, gemma4, gemma4_full_dim, gpt_oss,
    llama4, ministral3, qwen35, smollm3,
};
use super::{Family, Number, WQKV, Windows, head_dim};
use crate::hf::convert::Layout;

pub(in crate::hf) const PLAIN: Family = Family {
    types: &[],
    arch: "",
    part: None,
    defaults: &[],
    act: &["silu"],
    names: &[],
    skip: &[],
    one_plus: false,
    reordered: false,
    layouts: &[],
    windows: Windows::None,
    rope_dims: head_dim,
    more: |_, _| Ok(()),
};

const GEMMA: Family = Family {
    act: &["gelu_pytorch_tanh", "gelu"],
    one_plus: true,
    windows: Windows::Some,
    names: &[
        ("post_attention_layernorm", "post_attention_norm"),
        ("pre_feedforward_layernorm", "ffn_norm"),
        ("post_feedforward_layernorm", "post_ffw_norm"),
    ],
    ..PLAIN
};

const GEMMA3: Family = Family {
    arch: "gemma3",
    // Google's configurations of 4B and more state little but sizes (transformers: `Gemma3TextConfig`).
    defaults: &[
        ("vocab_size", 262_208.0),
        ("max_position_embeddings", 131_072.0),
        ("num_attention_heads", 8.0),
        ("num_key_value_heads", 4.0),
        ("head_dim", 256.0),
        ("query_pre_attn_scalar", 256.0),
        ("rms_norm_eps", 1e-6),
        ("rope_theta", 1e6),
        ("sliding_window", 4096.0),
    ],
    more: gemma3,
    ..GEMMA
};

/// Norms behind the blocks only.
const POST_NORMS: &[(&str, &str)] =
    &[("post_attention_layernorm", "post_attention_norm"), ("post_feedforward_layernorm", "post_ffw_norm")];

/// Every family that can be opened as a folder.
pub(super) static FAMILIES: &[Family] = &[
    Family { types: &["llama"], arch: "llama", reordered: true, ..PLAIN },
    Family {
        types: &["mistral", "ministral"],
        arch: "llama",
        reordered: true,
        windows: Windows::Some,
        ..PLAIN
    },
    Family { types: &["qwen2"], arch: "qwen2", ..PLAIN },
    Family { types: &["qwen3"], arch: "qwen3", ..PLAIN },
    Family { types: &["gemma"], arch: "gemma", names: &[], windows: Windows::None, ..GEMMA },
    Family { types: &["gemma2"], arch: "gemma2", more: gemma2, ..GEMMA },
    Family { types: &["gemma3_text"], ..GEMMA3 },
    Family {
        types: &["gemma3"],
        part: Some("text_config"),
        skip: &["vision_tower.", "multi_modal_projector."],
        ..GEMMA3
    },
    Family { types: &["phi3"], arch: "phi3", windows: Windows::Some, ..PLAIN },
    Family { types: &["olmo2", "olmo3"], arch: "olmo2", names: POST_NORMS, windows: Windows::Some, ..PLAIN },
    Family { types: &["exaone4"], arch: "exaone4", names: POST_NORMS, windows: Windows::Some, ..PLAIN },
    Family {
        types: &["glm4"],
        arch: "glm4",
        names: &[
            ("post_self_attn_layernorm", "post_attention_norm"),
            ("post_attention_layernorm", "ffn_norm"),
            ("post_mlp_layernorm", "post_ffw_norm"),
        ],
        ..PLAIN
    },
    Family { types: &["granite"], arch: "granite", reordered: true, ..PLAIN },
    Family { types: &["granitemoe", "granitemoeshared"], arch: "granitemoe", reordered: true, ..PLAIN },
    Family { types: &["mixtral"], arch: "llama", reordered: true, windows: Windows::Some, ..PLAIN },
    Family {
        types: &["qwen2_moe"],
        arch: "qwen2moe",
        more: |c, _| every_layer_has_experts(c, false),
        ..PLAIN
    },
    Family {
        types: &["qwen3_moe"],
        arch: "qwen3moe",
        more: |c, _| every_layer_has_experts(c, true),
        ..PLAIN
    },
    Family {
        types: &["hunyuan_v1_dense"],
        arch: "hunyuan-dense",
        names: &[("self_attn.query_layernorm", "attn_q_norm"), ("self_attn.key_layernorm", "attn_k_norm")],
        ..PLAIN
    },
    Family {
        types: &["internlm2"],
        arch: "internlm2",
        reordered: true,
        names: &[
            ("tok_embeddings", "token_embd"),
            ("output", "output"),
            ("attention.wqkv", WQKV),
            ("attention.wo", "attn_output"),
            ("feed_forward.w1", "ffn_gate"),
            ("feed_forward.w3", "ffn_up"),
            ("feed_forward.w2", "ffn_down"),
            ("attention_norm", "attn_norm"),
            ("ffn_norm", "ffn_norm"),
        ],
        ..PLAIN
    },
    Family { types: &["internlm3"], arch: "llama", reordered: true, ..PLAIN },
    Family { types: &["ministral3"], arch: "mistral3", reordered: true, more: ministral3, ..PLAIN },
    Family {
        types: &["mistral3"],
        arch: "mistral3",
        part: Some("text_config"),
        skip: &["vision_tower.", "multi_modal_projector."],
        reordered: true,
        more: ministral3,
        ..PLAIN
    },
    Family { types: &["cohere2"], arch: "cohere2", windows: Windows::Some, ..PLAIN },
    Family {
        types: &["gpt_oss"],
        arch: "gpt-oss",
        windows: Windows::Some,
        names: &[
            ("post_attention_layernorm", "post_attention_norm"),
            ("self_attn.sinks", "attn_sinks.weight"),
            ("mlp.router", "ffn_gate_inp"),
            ("mlp.experts.gate_up_proj", "ffn_gate_up_exps.weight"),
            ("mlp.experts.gate_up_proj_bias", "ffn_gate_up_exps.bias"),
            ("mlp.experts.gate_up_proj_blocks", "ffn_gate_up_exps.blocks"),
            ("mlp.experts.gate_up_proj_scales", "ffn_gate_up_exps.scales"),
            ("mlp.experts.down_proj", "ffn_down_exps.weight"),
            ("mlp.experts.down_proj_bias", "ffn_down_exps.bias"),
            ("mlp.experts.down_proj_blocks", "ffn_down_exps.blocks"),
            ("mlp.experts.down_proj_scales", "ffn_down_exps.scales"),
        ],
        layouts: &[
            ("ffn_gate_up_exps.weight", Layout::TransposedTurns),
            ("ffn_gate_up_exps.bias", Layout::Turns),
            ("ffn_down_exps.weight", Layout::Transposed),
        ],
        more: gpt_oss,
        ..PLAIN
    },
    Family { types: &["llama4_text"], ..LLAMA4 },
    Family {
        types: &["llama4"],
        part: Some("text_config"),
        skip: &["vision_model.", "multi_modal_projector."],
        ..LLAMA4
    },
    Family {
        types: &["deepseek_v2", "deepseek_v3"],
        arch: "deepseek2",
        names: &[
            ("self_attn.q_a_proj", "attn_q_a"),
            ("self_attn.q_a_layernorm", "attn_q_a_norm"),
            ("self_attn.q_b_proj", "attn_q_b"),
            ("self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"),
            ("self_attn.kv_a_layernorm", "attn_kv_a_norm"),
            ("self_attn.kv_b_proj", "attn_kv_b"),
            ("mlp.gate.e_score_correction_bias", "exp_probs_b.bias"),
            ("mlp.shared_experts.gate_proj", "ffn_gate_shexp"),
            ("mlp.shared_experts.up_proj", "ffn_up_shexp"),
            ("mlp.shared_experts.down_proj", "ffn_down_shexp"),
        ],
        more: deepseek,
        ..PLAIN
    },
    Family { types: &["gemma4_text"], ..GEMMA4 },
    Family { types: &["gemma4"], part: Some("text_config"), skip: TOWERS, ..GEMMA4 },
    Family { types: &["gemma3n_text"], ..GEMMA3N },
    Family { types: &["gemma3n"], part: Some("text_config"), skip: TOWERS, ..GEMMA3N },
    Family { types: &["qwen3_5_text"], ..QWEN35 },
    Family { types: &["qwen3_5"], part: Some("text_config"), ..QWEN35 },
    Family {
        types: &["bert"],
        arch: "bert",
        act: &["gelu"],
        names: &[
            ("embeddings.word_embeddings", "token_embd"),
            ("embeddings.position_embeddings", "position_embd"),
            ("embeddings.token_type_embeddings", "token_types"),
            ("embeddings.LayerNorm", "token_embd_norm"),
            ("attention.self.query", "attn_q"),
            ("attention.self.key", "attn_k"),
            ("attention.self.value", "attn_v"),
            ("attention.output.dense", "attn_output"),
            ("attention.output.LayerNorm", "attn_output_norm"),
            ("intermediate.dense", "ffn_up"),
            ("output.dense", "ffn_down"),
            ("output.LayerNorm", "layer_output_norm"),
        ],
        skip: &["pooler.", "cls.", "embeddings.position_ids"],
        more: bert,
        ..PLAIN
    },
    Family { types: &["smollm3"], arch: "smollm3", reordered: true, more: smollm3, ..PLAIN },
];

const LLAMA4: Family = Family {
    arch: "llama4",
    names: &[
        ("feed_forward.gate_proj", "ffn_gate"),
        ("feed_forward.up_proj", "ffn_up"),
        ("feed_forward.down_proj", "ffn_down"),
        ("feed_forward.router", "ffn_gate_inp"),
        ("feed_forward.shared_expert.gate_proj", "ffn_gate_shexp"),
        ("feed_forward.shared_expert.up_proj", "ffn_up_shexp"),
        ("feed_forward.shared_expert.down_proj", "ffn_down_shexp"),
        ("feed_forward.experts.gate_up_proj", "ffn_gate_up_exps.weight"),
        ("feed_forward.experts.down_proj", "ffn_down_exps.weight"),
    ],
    layouts: &[("ffn_gate_up_exps.weight", Layout::Transposed), ("ffn_down_exps.weight", Layout::Transposed)],
    more: llama4,
    ..PLAIN
};

const GEMMA4: Family = Family {
    arch: "gemma4",
    one_plus: false,
    names: PER_LAYER,
    rope_dims: gemma4_full_dim,
    more: gemma4,
    ..GEMMA
};

const GEMMA3N: Family = Family { arch: "gemma3n", one_plus: false, names: PER_LAYER, more: gemma3n, ..GEMMA };

/// What images and sounds go through.
const TOWERS: &[&str] = &["vision_tower.", "audio_tower.", "embed_vision.", "embed_audio."];

const QWEN35: Family = Family {
    arch: "qwen35",
    one_plus: true,
    // The tower for images, and layers that predict further tokens.
    skip: &["visual.", "mtp."],
    names: &[
        ("post_attention_layernorm", "post_attention_norm"),
        ("linear_attn.A_log", "ssm_a"),
        ("linear_attn.dt_bias", "ssm_dt.bias"),
        ("linear_attn.conv1d", "ssm_conv1d"),
        ("linear_attn.in_proj_a", "ssm_alpha"),
        ("linear_attn.in_proj_b", "ssm_beta"),
        ("linear_attn.in_proj_qkv", "attn_qkv"),
        ("linear_attn.in_proj_z", "attn_gate"),
        ("linear_attn.norm", "ssm_norm"),
        ("linear_attn.out_proj", "ssm_out"),
    ],
    layouts: &[("ssm_a", Layout::NegativeExp), ("ssm_conv1d.weight", Layout::Squeezed)],
    more: qwen35,
    ..PLAIN
};

/// Gemma 3n and 4: embeddings of each layer's own, experts with norms, several streams.
static PER_LAYER: &[(&str, &str)] = &[
    ("post_attention_layernorm", "post_attention_norm"),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
    ("embed_tokens_per_layer", "per_layer_token_embd"),
    ("per_layer_model_projection", "per_layer_model_proj"),
    ("per_layer_projection_norm", "per_layer_proj_norm"),
    ("per_layer_input_gate", "inp_gate"),
    ("per_layer_projection", "proj"),
    ("post_per_layer_input_norm", "post_norm"),
    ("layer_scalar", "layer_output_scale.weight"),
    ("pre_feedforward_layernorm_2", "pre_ffw_norm_2"),
    ("post_feedforward_layernorm_1", "post_ffw_norm_1"),
    ("post_feedforward_layernorm_2", "post_ffw_norm_2"),
    ("router.proj", "ffn_gate_inp"),
    ("router.scale", "ffn_gate_inp.scale"),
    ("router.per_expert_scale", "ffn_down_exps.scale"),
    ("experts.gate_up_proj", "ffn_gate_up_exps.weight"),
    ("experts.down_proj", "ffn_down_exps.weight"),
    ("altup_projections.#", "altup_proj.#"),
    ("altup_unembed_projections.#", "altup_unembd_proj.#"),
    ("altup.correct_output_scale", "altup_correct_scale.weight"),
    ("altup.correction_coefs", "altup_correct_coef"),
    ("altup.prediction_coefs", "altup_predict_coef"),
    ("altup.modality_router", "altup_router"),
    ("altup.router_norm", "altup_router_norm"),
    ("laurel.linear_left", "laurel_l"),
    ("laurel.linear_right", "laurel_r"),
    ("laurel.post_laurel_norm", "laurel_post_norm"),
];

/// Names of tensors without `model.`, `layers.N.` and `.weight` or `.bias`, and GGUF's without `blk.N.` and the same. `#` is
/// an expert's number. A name that has no such end stands for itself, and GGUF's has its own.
pub(super) static NAMES: &[(&str, &str)] = &[
    ("embed_tokens", "token_embd"),
    ("norm", "output_norm"),
    ("lm_head", "output"),
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.gate_up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("mlp.gate", "ffn_gate_inp"),
    ("mlp.experts.#.gate_proj", "ffn_gate.#"),
    ("mlp.experts.#.up_proj", "ffn_up.#"),
    ("mlp.experts.#.down_proj", "ffn_down.#"),
    ("mlp.shared_expert.gate_proj", "ffn_gate_shexp"),
    ("mlp.shared_expert.up_proj", "ffn_up_shexp"),
    ("mlp.shared_expert.down_proj", "ffn_down_shexp"),
    ("mlp.shared_expert_gate", "ffn_gate_inp_shexp"),
    ("block_sparse_moe.gate", "ffn_gate_inp"),
    ("block_sparse_moe.experts.#.w1", "ffn_gate.#"),
    ("block_sparse_moe.experts.#.w3", "ffn_up.#"),
    ("block_sparse_moe.experts.#.w2", "ffn_down.#"),
    ("block_sparse_moe.router.layer", "ffn_gate_inp"),
    ("block_sparse_moe.input_linear", "ffn_gate_up_exps"),
    ("block_sparse_moe.output_linear", "ffn_down_exps"),
    ("shared_mlp.input_linear", "ffn_up_shexp"),
    ("shared_mlp.output_linear", "ffn_down_shexp"),
];

/// Keys of the configuration and GGUF's under the architecture's name; whether they must be there. Of two for the same, the
/// first that is there counts.
pub(super) static KEYS: &[(&str, &str, Number, bool)] = &[
    ("num_hidden_layers", "block_count", Number::Integer, true),
    ("max_position_embeddings", "context_length", Number::Integer, true),
    ("hidden_size", "embedding_length", Number::Integer, true),
    ("intermediate_size", "feed_forward_length", Number::Integer, true),
    ("num_attention_heads", "attention.head_count", Number::Integer, true),
    ("num_key_value_heads", "attention.head_count_kv", Number::Integer, false),
    ("head_dim", "attention.key_length", Number::Integer, false),
    ("head_dim", "attention.value_length", Number::Integer, false),
    ("rms_norm_eps", "attention.layer_norm_rms_epsilon", Number::Float, false),
    ("layer_norm_eps", "attention.layer_norm_epsilon", Number::Float, false),
    ("attn_logit_softcapping", "attn_logit_softcapping", Number::Float, false),
    ("final_logit_softcapping", "final_logit_softcapping", Number::Float, false),
    ("attention_multiplier", "attention.scale", Number::Float, false),
    ("embedding_multiplier", "embedding_scale", Number::Float, false),
    ("residual_multiplier", "residual_scale", Number::Float, false),
    ("logits_scaling", "logit_scale", Number::Float, false),
    ("logit_scale", "logit_scale", Number::Float, false),
    ("num_local_experts", "expert_count", Number::Integer, false),
    ("num_experts", "expert_count", Number::Integer, false),
    ("num_experts_per_tok", "expert_used_count", Number::Integer, false),
    ("moe_intermediate_size", "expert_feed_forward_length", Number::Integer, false),
    ("shared_expert_intermediate_size", "expert_shared_feed_forward_length", Number::Integer, false),
    ("shared_intermediate_size", "expert_shared_feed_forward_length", Number::Integer, false),
];

/// What a `gemma3_text` is whose positions see both sides.
pub(super) static GEMMA_EMBEDDING: Family = Family { arch: "gemma-embedding", ..GEMMA3 };
