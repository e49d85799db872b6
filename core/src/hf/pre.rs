//! Which of the known pre-tokenizers a `tokenizer.json` describes.
//!
//! A pattern of a file is never run: it is looked up. So no file can bring an expression that takes for ever, and a
//! pattern that is not in the list is refused by name rather than approximated.

use serde_json::Value;

const GPT4: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK3: &str = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";
const DEEPSEEK_LETTERS: &str = "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u{1f7d}ᾀ-ᾴᾶ-ᾼ\u{1fbe}ῂ-ῄῆ-ῌῐ-\u{1fd3}ῖ-\u{1fdb}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u{2126}ℨ\u{212a}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
const DEEPSEEK_MARKS: &str = "\\s?[!-/:-~！-／：-～‘-‟\u{3000}-。]+";

/// One step of a pre-tokenizer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step<'a> {
    /// Pieces that match the expression stand alone, and so does what is between.
    Split(&'a str),
    /// Each digit stands alone.
    Digits,
    /// GPT-2's pattern.
    Gpt2,
}
use Step::{Digits, Gpt2, Split};

/// What a list of steps is called in GGUF. `nfc`: text is normalised first; `whole`: `ignore_merges`.
struct Row {
    steps: &'static [Step<'static>],
    nfc: bool,
    whole: bool,
    name: &'static str,
}

const fn row(steps: &'static [Step<'static>], name: &'static str) -> Row {
    Row { steps, nfc: false, whole: false, name }
}

static ROWS: &[Row] = &[
    row(&[Gpt2], "gpt-2"),
    row(&[Digits, Gpt2], "smollm"),
    Row { nfc: true, ..row(&[Digits, Gpt2], "command-r") },
    row(&[Split(GPT4)], "dbrx"),
    Row { whole: true, ..row(&[Split(GPT4)], "llama-bpe") },
    row(&[Split(QWEN2)], "deepseek-r1-qwen"),
    Row { nfc: true, ..row(&[Split(QWEN2)], "qwen2") },
    Row { nfc: true, ..row(&[Split(QWEN35)], "qwen35") },
    row(&[Split(GPT4O)], "gpt-4o"),
    Row { whole: true, ..row(&[Split(TEKKEN)], "tekken") },
    row(&[Split(r"\p{N}{1,3}"), Split("[一-龥\u{3040}-ゟ゠-ヿ]+"), Split(DEEPSEEK3)], "deepseek-v3"),
    row(
        &[
            Split("[\r\n]"),
            Split(DEEPSEEK_LETTERS),
            Split(DEEPSEEK_MARKS),
            Split(r"\s+$"),
            Split("[一-龥ࠀ-一가-\u{d7ff}]+"),
            Digits,
        ],
        "deepseek-llm",
    ),
];

/// GGUF's name of the pre-tokenizer of a byte-level vocabulary, or what is not known of it.
pub(super) fn name(pre: &Value, nfc: bool, whole: bool) -> Result<&'static str, String> {
    let mut steps = Vec::new();
    collect(pre, &mut steps)?;
    let same = |r: &&Row| r.steps == steps && r.nfc == nfc;
    // Whether whole words are looked up first hardly ever matters: what merging makes of a word that is a token is that
    // token. So a row that only differs in it will do.
    let found = ROWS.iter().find(|r| same(r) && r.whole == whole).or_else(|| ROWS.iter().find(same));
    found.map(|r| r.name).ok_or_else(|| {
        let shown: String = format!("{steps:?}").chars().filter(|c| !c.is_control()).take(200).collect();
        format!("the pre-tokenizer {shown} is not known{}", if nfc { " (with NFC)" } else { "" })
    })
}

fn collect<'a>(pre: &'a Value, steps: &mut Vec<Step<'a>>) -> Result<(), String> {
    const MAX_STEPS: usize = 16;
    let kind = pre["type"].as_str().unwrap_or_default();
    if steps.len() >= MAX_STEPS {
        return Err(format!("more than {MAX_STEPS} steps"));
    }
    match kind {
        "Sequence" => {
            pre["pretokenizers"].as_array().into_iter().flatten().try_for_each(|p| collect(p, steps))
        }
        "Digits" if pre["individual_digits"] == true => {
            steps.push(Digits);
            Ok(())
        }
        // With "removed" and "invert" only the matches stay; the patterns of the list leave nothing between them.
        "Split"
            if (pre["invert"] != true && pre["behavior"] == "Isolated")
                || (pre["invert"] == true && pre["behavior"] == "Removed") =>
        {
            let pattern = &pre["pattern"];
            let text = pattern["Regex"].as_str().ok_or("a pattern that is no regular expression")?;
            steps.push(Split(text));
            Ok(())
        }
        "ByteLevel" if pre["add_prefix_space"] != true => {
            // Absent in older files, where it is true.
            if pre["use_regex"] != false {
                steps.push(Gpt2);
            }
            Ok(())
        }
        other => Err(format!("the pre-tokenizer \"{other}\", or what it is told, is not supported")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(json: &str, nfc: bool, whole: bool) -> Result<&'static str, String> {
        name(&serde_json::from_str(json).expect("JSON"), nfc, whole)
    }

    #[test]
    fn known_ones_are_named() {
        let byte_level = r#"{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}"#;
        assert_eq!(named(byte_level, false, false), Ok("gpt-2"));
        let digits = format!(
            r#"{{"type":"Sequence","pretokenizers":[{{"type":"Digits","individual_digits":true}},{byte_level}]}}"#
        );
        assert_eq!(named(&digits, false, false), Ok("smollm"));
        assert_eq!(named(&digits, true, false), Ok("command-r"));
    }

    #[test]
    fn others_are_refused_and_not_run() {
        let evil = r#"{"type":"Split","pattern":{"Regex":"(a+)+$"},"behavior":"Isolated","invert":false}"#;
        assert!(named(evil, false, false).expect_err("unknown").contains("(a+)+$"));
        for bad in [
            r#"{"type":"ByteLevel","add_prefix_space":true}"#,
            r#"{"type":"Punctuation"}"#,
            r#"{"type":"Split","pattern":{"String":" "},"behavior":"Removed"}"#,
            "null",
        ] {
            named(bad, false, false).expect_err(bad);
        }
    }

    #[test]
    fn every_name_is_one_of_the_tokenizers() {
        for row in ROWS {
            assert!(crate::tokenizer::knows_pre_tokenizer(row.name), "{}", row.name);
        }
    }
}
