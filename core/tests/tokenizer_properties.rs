//! Tokenizers on random texts and random files: against a slow and plain implementation, there and back, and never a
//! panic.

#[path = "tokenizer_support/small.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod small;
#[path = "tokenizer_support/mod.rs"]
mod support;

use std::collections::HashMap;

use siskin::gguf::GgufFile;
use siskin::tokenizer::{Detokenizer, Special, TokenId, TokenKind, Tokenizer};
use small::{Random, Small};

const ALL: [Special; 4] = [
    Special { add: false, parse: false },
    Special { add: false, parse: true },
    Special { add: true, parse: false },
    Special { add: true, parse: true },
];
const LITERAL: Special = ALL[0];

/// Pieces that some rule treats in its own way.
const PIECES: &[&str] = &[
    "a",
    "b",
    "ab",
    "the",
    " ",
    "  ",
    "\n",
    "\t",
    "\r\n",
    "1",
    "23",
    "½",
    ".",
    "!?",
    "'s",
    "'LL",
    "é",
    "e\u{301}",
    "ß",
    "日",
    "本語",
    "カ",
    "한글",
    "ไทย",
    "नि",
    "\u{1100}",
    "😀",
    "👨\u{200D}👩",
    "\u{A0}",
    "\u{3000}",
    "\u{FEFF}",
    "\0",
    "<s>",
    "</s>",
    "<|im_end|>",
    "<0x41>",
    "Ab",
    "ABC",
    "$",
    "_",
    "/",
    "\u{10FFFF}",
];

/// Joins neighbours by rank, over and over, in plain words.
fn merge_slowly(mut parts: Vec<String>, rank: impl Fn(&str, &str) -> Option<i64>) -> Vec<String> {
    loop {
        let ranked = parts.windows(2).enumerate().filter_map(|(i, w)| Some((rank(&w[0], &w[1])?, i)));
        let Some((_, at)) = ranked.min() else { return parts };
        let right = parts.remove(at + 1);
        parts[at] += &right;
    }
}

#[test]
fn spm_is_what_merging_the_whole_text_gives() {
    let mut random = Random(1);
    for round in 0..300 {
        // Pieces of a few letters, some with a space inside: there the text must not be cut.
        let mut scores: HashMap<String, f32> = HashMap::new();
        for _ in 0..random.below(60) {
            let text = random.text(&["a", "b", "c", "▁", "▁", "é"], 5);
            if !text.is_empty() {
                scores.insert(text, -(random.below(30) as f32));
            }
        }
        let pieces: Vec<(&str, f32)> = scores.iter().map(|(t, s)| (t.as_str(), *s)).collect();
        let mut small = Small::spm(&pieces);
        let prefix = random.below(2) == 0;
        small.bools = vec![("add_space_prefix", prefix)];
        let tokenizer = small.open().expect("opens");
        for _ in 0..20 {
            let text =
                random.text(&["a", "b", "c", "é", " ", " ", "▁"], if round % 10 == 0 { 200 } else { 30 });
            let mut escaped = text.replace(' ', "▁");
            if prefix && !text.is_empty() {
                escaped.insert(0, '▁');
            }
            let parts = escaped.chars().map(String::from).collect();
            let parts = merge_slowly(parts, |l, r| scores.get(&format!("{l}{r}")).map(|s| -*s as i64));
            let expected: Vec<String> = parts
                .into_iter()
                .flat_map(|p| match scores.contains_key(&p) {
                    true => vec![p],
                    false => p.bytes().map(|b| format!("<0x{b:02X}>")).collect(),
                })
                .collect();
            assert_eq!(token_texts(&tokenizer, &text), expected, "{text:?} with {pieces:?}");
        }
    }
}

#[test]
fn bpe_is_what_merging_each_word_gives() {
    let mut random = Random(2);
    for round in 0..300 {
        let mut merges: Vec<(String, String)> = Vec::new();
        let mut known: Vec<String> = ["a", "b", "c", "Ġ"].map(String::from).to_vec();
        for _ in 0..random.below(40) {
            let (left, right) = (random.pick(&known).clone(), random.pick(&known).clone());
            if !known.contains(&format!("{left}{right}")) {
                known.push(format!("{left}{right}"));
            }
            merges.push((left, right));
        }
        let pairs: Vec<(&str, &str)> = merges.iter().map(|(l, r)| (l.as_str(), r.as_str())).collect();
        let tokenizer = Small::bpe("superbpe", &pairs).open().expect("opens"); // which leaves letters in one piece
        for _ in 0..20 {
            let text = random.text(&["a", "b", "c", " "], if round % 10 == 0 { 200 } else { 30 });
            let parts = text.replace(' ', "Ġ").chars().map(String::from).collect();
            let rank = |l: &str, r: &str| pairs.iter().position(|p| *p == (l, r)).map(|at| at as i64);
            assert_eq!(token_texts(&tokenizer, &text), merge_slowly(parts, rank), "{text:?} with {pairs:?}");
        }
    }
}

fn token_texts(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
    let ids = tokenizer.encode(text, LITERAL).expect("encodes");
    ids.iter().map(|&id| tokenizer.token_text(id).expect("a token").into_owned()).collect()
}

/// Small vocabularies and, where they are there, published ones that change no text.
fn vocabularies() -> Vec<(String, Tokenizer)> {
    let mut spm =
        Small::spm(&[("▁", -1.0), ("a", -2.0), ("▁a", -1.5), ("日", -3.0), ("ab", -1.0), ("<s", -4.0)]);
    let merges = [("a", "b"), ("Ġ", "a"), ("Ã", "©"), ("æ", "Ĺ"), ("ab", "ab"), ("Ġ", "Ġ")];
    let mut list = vec![("spm".to_owned(), spm.open().expect("opens"))];
    spm.bools = vec![("add_space_prefix", false)];
    list.push(("spm without prefix".to_owned(), spm.open().expect("opens")));
    for pre in ["gpt-2", "llama-bpe", "gpt-4o", "deepseek-v3", "deepseek-llm", "default"] {
        list.push((pre.to_owned(), Small::bpe(pre, &merges).open().expect("opens")));
    }
    for name in ["gemma-4", "llama-bpe", "llama-spm", "deepseek-coder"] {
        if let Some(path) = support::models(&format!("vocab/ggml-vocab-{name}.gguf")) {
            let file = GgufFile::open(path).expect("opens");
            list.push((name.to_owned(), Tokenizer::from_metadata(file.metadata()).expect("opens")));
        }
    }
    list
}

#[test]
fn there_and_back() {
    for (name, tokenizer) in vocabularies() {
        let mut random = Random(3);
        for round in 0..400 {
            let text = random.text(PIECES, if round % 50 == 0 { 2000 } else { 20 });
            let ids = tokenizer.encode(&text, LITERAL).expect("encodes");
            let shown = tokenizer.decode(&ids, false).expect("decodes");
            assert_eq!(shown, text, "{name}");
            let is_text = |id: &TokenId| {
                !matches!(tokenizer.token_kind(*id), Some(TokenKind::Control | TokenKind::Unknown) | None)
            };
            assert!(ids.iter().all(is_text), "{name}: {text:?} became a control token");
            let again = tokenizer.encode(&text, LITERAL).expect("encodes");
            assert_eq!(ids, again, "{name}: {text:?}");
        }
    }
}

#[test]
fn streaming_is_decoding() {
    for (name, tokenizer) in vocabularies() {
        let mut random = Random(4);
        for _ in 0..400 {
            // Any tokens, also such as no text gives, most of them bytes.
            let most = if random.below(2) == 0 { tokenizer.len().min(300) } else { tokenizer.len() };
            let ids: Vec<TokenId> =
                (0..random.below(40)).map(|_| TokenId(random.below(most) as u32)).collect();
            for show_special in [false, true] {
                let (mut streamed, mut bytes) = (String::new(), Vec::new());
                let mut detokenizer = Detokenizer::new(show_special, false);
                for &id in &ids {
                    detokenizer.push(&tokenizer, id, &mut streamed).expect("a token");
                    tokenizer.append_token_bytes(id, &mut bytes, show_special).expect("a token");
                    let known = String::from_utf8_lossy(&bytes);
                    assert!(known.starts_with(&streamed), "{name}: {ids:?}: {streamed:?} of {known:?}");
                }
                detokenizer.finish(&mut streamed);
                assert_eq!(streamed, String::from_utf8_lossy(&bytes), "{name}: {ids:?}");
                let whole = tokenizer.decode(&ids, show_special).expect("decodes");
                assert!(streamed == whole || streamed.strip_prefix(' ') == Some(&whole), "{name}: {ids:?}");
            }
        }
    }
}

/// A file that may say anything.
fn random_file(random: &mut Random) -> Small {
    const TOKENS: &[&[u8]] = &[
        b"",
        b"a",
        b"b",
        b"ab",
        b" ",
        b"  ",
        b"\xff\xfe",
        b"\x80",
        b"\xe2\x96\x81",
        b"\xe2\x96\x81a",
        b"a\xe2\x96\x81",
        b"\xc4\xa0",
        b"\xc4\xa0a",
        b"<s>",
        b"</s>",
        b"<0x41>",
        b"<0x0A>",
        b"<0x-1>",
        b"<0xZZ>",
        b"<|im_end|>",
        b"\n",
        b"\n\n",
        b"\xe6\x97",
        b"\xe6\x97\xa5",
        b"<end_of_turn>",
        b"\0",
    ];
    const MERGES: &[&[u8]] = &[
        b"a b",
        b"b a",
        b"a a",
        b"aa a",
        b"a aa",
        b"aa aa",
        b"\xc4\xa0 a",
        b"\xe2\x96\x81 a",
        b"a \xe2\x96\x81",
        b"  a",
        b"a  ",
        b"ab",
        b"",
        b" ",
        b"\xff \xfe",
        b"x y z",
    ];
    let mut pieces = |from: &[&[u8]], most: usize| -> Vec<Vec<u8>> {
        (0..random.below(most)).map(|_| from[random.below(from.len())].to_vec()).collect()
    };
    let (mut tokens, mut merges) = (pieces(TOKENS, 60), pieces(MERGES, 12));
    if random.below(4) > 0 {
        merges.retain(|m| m.iter().skip(1).any(|&b| b == b' '));
    }
    if random.below(3) == 0 {
        tokens.extend((0..=255u8).map(|b| format!("<0x{b:02X}>").into_bytes()));
        tokens.extend((0..=255u8).map(|b| small::byte_char(b).to_string().into_bytes()));
    }
    let count = if random.below(8) == 0 { random.below(70) } else { tokens.len() };
    let mut small = Small {
        model: random.pick(&["llama", "gpt2", "gemma4"]).to_string(),
        pre: (random.below(4) > 0)
            .then(|| random.pick(&["gpt-2", "llama-bpe", "superbpe", "?", ""]).to_string()),
        types: (random.below(6) > 0).then(|| (0..count).map(|_| random.below(9) as i32 - 1).collect()),
        scores: (random.below(6) > 0).then(|| {
            let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.0, 1.0, -3.5, f32::MAX, -f32::NAN];
            (0..count).map(|_| *random.pick(&odd)).collect()
        }),
        merges: (random.below(6) > 0).then_some(merges),
        architecture: random.pick(&["llama", "phi3"]).to_string(),
        tokens,
        ..Small::default()
    };
    for key in ["bos_token_id", "eos_token_id", "eot_token_id", "eom_token_id", "unknown_token_id"] {
        if random.below(2) == 0 {
            let id =
                if random.below(20) == 0 { u32::MAX } else { random.below(small.tokens.len() + 2) as u32 };
            small.numbers.push((key, id));
        }
    }
    for key in ["add_bos_token", "add_eos_token", "add_space_prefix", "remove_extra_whitespaces"] {
        if random.below(3) == 0 {
            small.bools.push((key, random.below(2) == 0));
        }
    }
    small
}

#[test]
fn any_file_is_refused_or_works() {
    let mut random = Random(5);
    let (mut opened, mut refused) = (0, 0);
    for _ in 0..6000 {
        let small = random_file(&mut random);
        let tokenizer = match small.open() {
            Ok(tokenizer) => tokenizer,
            Err(e) => {
                assert!(e.key().is_some_and(|key| key.starts_with("tokenizer.ggml.")), "{e}");
                refused += 1;
                continue;
            }
        };
        opened += 1;
        for _ in 0..4 {
            let text = random.text(PIECES, 30);
            for special in ALL {
                if let Ok(ids) = tokenizer.encode(&text, special) {
                    assert!(ids.iter().all(|id| (id.0 as usize) < tokenizer.len()));
                    tokenizer.decode(&ids, special.parse).expect("its own tokens");
                }
            }
        }
        for id in (0..tokenizer.len() as u32 + 1).chain([u32::MAX]).map(TokenId) {
            let known = tokenizer.decode(&[id], true).is_ok();
            assert_eq!(known, (id.0 as usize) < tokenizer.len());
            assert_eq!(
                (tokenizer.token_kind(id).is_some(), tokenizer.token_text(id).is_some()),
                (known, known)
            );
        }
        assert!(tokenizer.end_tokens().is_sorted() && tokenizer.heap_bytes() > 0);
    }
    assert!(opened > 1000 && refused > 1000, "{opened} opened, {refused} refused");
}

#[test]
fn long_texts_of_one_kind() {
    for (name, tokenizer) in vocabularies() {
        for piece in ["a", " ", "日", "\n", "a ", "\u{301}", "<", "<s>", "1"] {
            let text = piece.repeat(50_000);
            let ids = tokenizer.encode(&text, LITERAL).expect("encodes");
            assert_eq!(tokenizer.decode(&ids, true).expect("decodes"), text, "{name}: {piece:?}");
        }
    }
}
