//! The pre-tokenizers by the names that GGUF's `tokenizer.ggml.pre` gives them.

use super::class::{LETTER, MARK, NUMBER, PUNCTUATION, SPACE, SYMBOL};
use super::sets::{
    ASCII_SYMBOLS_BUT_BACKTICK, ASCII_SYMBOLS_TOO, ASIAN, CASED_LETTERS, FULL_WIDTH_PUNCTUATION,
    IDEOGRAPHS_AND_KANA, LETTERS, LINE_ENDS, NO_SPACES, NO_STOP, NUMBERS, PUNCTUATIONS, YOUTU,
};
use super::words::{
    Contraction, MARKS_AND_SYMBOLS, Newlines, Number, OTHERS, Punctuation, Which, Word, Words,
};
use super::{PreTokenizer, Stage};

/// GPT-2: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
const GPT2: Words = Words {
    contraction: Contraction::Lowercase,
    han: false,
    ascii_words: false,
    word: Word::Spaced,
    number: Number::Spaced,
    punctuation: Punctuation { which: OTHERS, tail: "" },
    newlines: Newlines::No,
};

/// GPT-4, Llama 3: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
/// \s*[\r\n]+|\s+(?!\S)|\s+`
const LLAMA3: Words = Words {
    contraction: Contraction::AnyCase,
    word: Word::Prefixed { letters: LETTER, not_before: LETTER | NUMBER },
    number: Number::UpTo(3),
    punctuation: Punctuation { which: OTHERS, tail: "\r\n" },
    newlines: Newlines::Runs,
    ..GPT2
};

/// Qwen 2: numbers are single digits.
const QWEN2: Words = Words { number: Number::UpTo(1), ..LLAMA3 };

/// Qwen 3.5: marks belong to words.
const QWEN35: Words = Words {
    word: Word::Prefixed { letters: LETTER | MARK, not_before: LETTER | NUMBER },
    punctuation: Punctuation { which: Which::Not(SPACE | LETTER | MARK | NUMBER), tail: "\r\n" },
    ..QWEN2
};

/// GPT-4o: upper case starts a new word, contractions end one.
const GPT4O: Words = Words {
    contraction: Contraction::No,
    word: Word::Cased { contraction: true },
    punctuation: Punctuation { which: OTHERS, tail: "\r\n/" },
    ..LLAMA3
};

/// Mistral's Tekken: GPT-4o without contractions, single digits.
const TEKKEN: Words = Words { word: Word::Cased { contraction: false }, number: Number::UpTo(1), ..GPT4O };

/// Kimi K2: GPT-4o with ideographs apart.
const KIMI: Words = Words { han: true, punctuation: LLAMA3.punctuation, ..GPT4O };

/// DeepSeek V3: ``[!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|
/// \s+(?!\S)|\s+``; its numbers are cut out before.
const DEEPSEEK3: Words = Words {
    contraction: Contraction::No,
    han: false,
    ascii_words: true,
    word: Word::Prefixed { letters: LETTER | MARK, not_before: LETTER | PUNCTUATION | SYMBOL },
    number: Number::No,
    punctuation: Punctuation { which: MARKS_AND_SYMBOLS, tail: "\r\n" },
    newlines: Newlines::Runs,
};

/// Numbers of at most three digits, then ideographs and kana, then the rest.
const DEEPSEEK3_STAGES: &[Stage] =
    &[Stage::Runs(NUMBERS, 3), Stage::Runs(IDEOGRAPHS_AND_KANA, usize::MAX), Stage::Words(DEEPSEEK3)];

const fn family(stages: &'static [Stage]) -> PreTokenizer {
    PreTokenizer { stages, whole_words: false, nfc: false, add_bos: false }
}

/// A family whose text is normalised.
const fn nfc(stages: &'static [Stage]) -> PreTokenizer {
    PreTokenizer { nfc: true, ..family(stages) }
}

/// A family where a word that is a token needs no merges.
const fn whole(stages: &'static [Stage]) -> PreTokenizer {
    PreTokenizer { whole_words: true, ..family(stages) }
}

/// As the last, and texts start with the token for that unless the file says otherwise.
const fn whole_with_bos(stages: &'static [Stage]) -> PreTokenizer {
    PreTokenizer { add_bos: true, ..whole(stages) }
}

/// Names, and what they stand for.
type Row = (&'static [&'static str], PreTokenizer);

/// The families. `default` is what llama.cpp does for a file that names none.
static FAMILIES: &[Row] = &[
    (
        &["default"],
        family(&[
            Stage::Runs(ASCII_SYMBOLS_BUT_BACKTICK, usize::MAX),
            Stage::Words(GPT2),
            Stage::Runs(NUMBERS, usize::MAX),
            Stage::Triples,
        ]),
    ),
    (
        &[
            "gpt-2",
            "phi-2",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
            "jina-es",
            "jina-de",
            "jina-v1-en",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v2-code",
            "roberta-bpe",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "modern-bert",
        ],
        family(&[Stage::Words(GPT2)]),
    ),
    (
        &["smollm", "starcoder", "refact", "codeshell", "exaone", "exaone4", "minerva-7b", "mellum2"],
        family(&[Stage::Each(NUMBERS), Stage::Words(GPT2)]),
    ),
    (&["command-r"], nfc(&[Stage::Each(NUMBERS), Stage::Words(GPT2)])),
    (
        &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        whole_with_bos(&[Stage::Words(LLAMA3)]),
    ),
    (&["glm4", "glm5"], whole(&[Stage::Words(LLAMA3)])),
    (&["dbrx", "smaug-bpe", "chatglm-bpe"], family(&[Stage::Words(LLAMA3)])),
    (
        &["minicpm5"],
        whole(&[Stage::Runs(NUMBERS, 3), Stage::Words(Words { number: Number::UpTo(usize::MAX), ..LLAMA3 })]),
    ),
    (&["qwen2"], nfc(&[Stage::Words(QWEN2)])),
    (
        &["deepseek-r1-qwen", "stablelm2", "hunyuan", "solar-open", "megrez", "grok-2", "kormo", "f2llmv2"],
        family(&[Stage::Words(QWEN2)]),
    ),
    // Its tokenizer.json asks for form C as well, but llama.cpp's recorded results, which users compare with, do not.
    (&["qwen35"], family(&[Stage::Words(QWEN35)])),
    (&["ufakzeka"], family(&[Stage::Words(Words { contraction: Contraction::No, ..QWEN2 })])),
    (&["laguna"], family(&[Stage::Lines, Stage::Words(QWEN2)])),
    (&["bailingmoe", "bailingmoe2", "llada-moe"], family(&[Stage::Words(QWEN2)])),
    (
        &["seed-coder"],
        family(&[Stage::Words(Words { punctuation: Punctuation { which: OTHERS, tail: "" }, ..QWEN2 })]),
    ),
    (&["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], family(&[Stage::Words(GPT4O)])),
    (&["granite-embed-multi-97m"], whole(&[Stage::Words(GPT4O)])),
    (&["tiny_aya", "cohere2moe"], family(&[Stage::FromRight { decimal: true }, Stage::Words(GPT4O)])),
    (&["kimi-k2"], family(&[Stage::Words(KIMI)])),
    (&["tekken"], whole_with_bos(&[Stage::Words(TEKKEN)])),
    (
        &["youtu"],
        whole(&[Stage::RunsOfAny(&YOUTU), Stage::Words(Words { number: Number::UpTo(1), ..GPT4O })]),
    ),
    (&["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"], family(DEEPSEEK3_STAGES)),
    (
        &["spark2_5"],
        family(&[
            Stage::Runs(NUMBERS, 3),
            Stage::Runs(IDEOGRAPHS_AND_KANA, usize::MAX),
            Stage::Words(Words {
                punctuation: Punctuation { which: MARKS_AND_SYMBOLS, tail: "" },
                newlines: Newlines::Each,
                ..DEEPSEEK3
            }),
            Stage::Each(NUMBERS),
        ]),
    ),
    (
        &["afmoe"],
        family(&[
            Stage::FromRight { decimal: false },
            Stage::Runs(NO_SPACES, usize::MAX),
            Stage::Words(DEEPSEEK3),
        ]),
    ),
    (
        &["deepseek-llm"],
        family(&[
            Stage::Each(LINE_ENDS),
            Stage::Spaced { any_space: true, set: CASED_LETTERS },
            Stage::Spaced { any_space: true, set: FULL_WIDTH_PUNCTUATION },
            Stage::TrailingSpace,
            Stage::Runs(ASIAN, usize::MAX),
            Stage::Each(NUMBERS),
        ]),
    ),
    (
        &["deepseek-coder"],
        family(&[
            Stage::Each(LINE_ENDS),
            Stage::Spaced { any_space: true, set: LETTERS },
            Stage::Spaced { any_space: true, set: PUNCTUATIONS },
            Stage::Runs(ASIAN, usize::MAX),
            Stage::Each(NUMBERS),
        ]),
    ),
    (&["falcon"], family(&[Stage::Runs(ASCII_SYMBOLS_TOO, usize::MAX), Stage::Words(GPT2), Stage::Triples])),
    (&["bloom", "poro-chat", "gpt3-finnish"], family(&[Stage::Spaced { any_space: false, set: NO_STOP }])),
    (&["viking"], family(&[Stage::Spaced { any_space: false, set: NO_STOP }, Stage::Each(NUMBERS)])),
    (&["superbpe"], family(&[Stage::FromRight { decimal: false }])),
];

/// The family with this name.
pub(super) fn named(name: &str) -> Option<&'static PreTokenizer> {
    FAMILIES.iter().find(|(names, _)| names.contains(&name)).map(|(_, pre)| pre)
}

/// All names.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|(names, _)| names.iter().copied())
}

/// One name of each family.
#[cfg(test)]
pub(super) fn first_names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().filter_map(|(names, _)| names.first().copied())
}
