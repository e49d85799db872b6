//! What the tokenizers do with special tokens, odd files and bytes that are no text, on small vocabularies.

#[path = "tokenizer_support/small.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod small;

use siskin::ErrorKind;
use siskin::tokenizer::{Detokenizer, Special, TokenId, TokenKind, Tokenizer};
use small::{BYTE, CONTROL, NORMAL, Small, USER_DEFINED};

const LITERAL: Special = Special { add: false, parse: false };
const PARSED: Special = Special { add: false, parse: true };

fn encode(tokenizer: &Tokenizer, text: &str, special: Special) -> Vec<u32> {
    tokenizer.encode(text, special).expect("encodes").into_iter().map(|id| id.0).collect()
}

/// The tokens as the vocabulary writes them, joined by `·`.
fn texts(tokenizer: &Tokenizer, text: &str, special: Special) -> String {
    let ids = tokenizer.encode(text, special).expect("encodes");
    let texts: Vec<_> = ids.iter().map(|&id| tokenizer.token_text(id).expect("a token")).collect();
    texts.join("·")
}

/// One tokenizer serves all threads.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Tokenizer>();
};

#[test]
fn spm_merges_by_score() {
    let pieces =
        [("▁", -5.0), ("a", -6.0), ("b", -7.0), ("ab", -2.0), ("▁a", -1.0), ("▁ab", -3.0), ("bb", -2.0)];
    let t = Small::spm(&pieces).open().expect("opens");
    for (text, expected) in [
        ("ab", "▁ab"),
        ("abb", "▁a·bb"),
        ("bab", "▁·b·ab"),
        ("a  b", "▁a·▁·▁·b"),
        ("c", "▁·<0x63>"),
        ("é", "▁·<0xC3>·<0xA9>"),
        ("", ""),
    ] {
        assert_eq!(texts(&t, text, LITERAL), expected, "{text:?}");
    }
    assert_eq!(encode(&t, "", Special { add: true, parse: true }), [1]);
}

#[test]
fn spm_spaces() {
    let mut small = Small::spm(&[("▁", -1.0), ("a", -2.0), ("▁a", -3.0)]);
    small.bools = vec![("add_space_prefix", false)];
    assert_eq!(texts(&small.open().expect("opens"), "a a", LITERAL), "a·▁a");
    small.bools = vec![("remove_extra_whitespaces", true)];
    assert_eq!(texts(&small.open().expect("opens"), "  a   a ", LITERAL), "▁a·▁a");
}

#[test]
fn control_tokens_only_where_allowed() {
    let mut small = Small::spm(&[("<", -1.0), ("s", -1.0), (">", -1.0), ("▁", -1.0), ("a", -1.0)]);
    let user = small.add("<tag>", USER_DEFINED, 0.0);
    let t = small.open().expect("opens");
    assert_eq!(texts(&t, "<s>a", LITERAL), "▁·<·s·>·a");
    assert_eq!(texts(&t, "<s>a", PARSED), "<s>·▁·a");
    assert_eq!(texts(&t, "a<tag>a", LITERAL), "▁·a·<tag>·▁·a", "user-defined ones always");
    assert_eq!(texts(&t, "<0x41>", PARSED).matches("<0x").count(), 4, "only as bytes of the text");
    assert_eq!(t.token_id(b"<s>"), Some(TokenId(1)));
    assert_eq!(t.token_id(b"<0x41>"), Some(TokenId(3 + 0x41)));
    assert_eq!(t.token_id(b"<tag>"), Some(TokenId(user)));
    assert_eq!(t.token_id(b"nothing"), None);
    let decoded = |show| t.decode(&[TokenId(1), TokenId(3 + 0x41), TokenId(0)], show).expect("tokens");
    assert_eq!((decoded(true).as_str(), decoded(false).as_str()), ("<s>A<unk>", "A"));
}

#[test]
fn the_longest_special_token_wins() {
    let mut small = Small::bpe("gpt-2", &[]);
    let ids: Vec<u32> =
        ["<|a|>", "<|a|><|b|>", "<|a", "é|>"].iter().map(|text| small.add(text, CONTROL, 0.0)).collect();
    let spaces = [small.add("  ", USER_DEFINED, 0.0), small.add("    ", USER_DEFINED, 0.0)];
    let t = small.open().expect("opens");
    assert_eq!(encode(&t, "<|a|><|a|><|b|><|aé|>", PARSED), [ids[0], ids[1], ids[2], ids[3]]);
    let x = u32::from(b'x');
    assert_eq!(encode(&t, "x      x", LITERAL), [x, spaces[1], spaces[0], x]);
}

#[test]
fn phi3_strips_after_its_tokens() {
    let mut small = Small::spm(&[("▁", -1.0), ("a", -1.0)]);
    small.add("<|end|>", CONTROL, 0.0);
    small.architecture = "phi3".into();
    assert_eq!(texts(&small.open().expect("opens"), "<|end|> \n a<s> a", PARSED), "<|end|>·▁·a·<s>·▁·▁·a");
    small.architecture = "llama".into();
    assert_eq!(texts(&small.open().expect("opens"), "<|end|> a", PARSED), "<|end|>·▁·▁·a");
}

#[test]
fn what_ends_an_answer() {
    let ends = |add: &[(&str, i32)], numbers: &[(&'static str, u32)]| {
        let mut small = Small::bpe("gpt-2", &[]);
        small.tokens[256] = b"<|nothing|>".to_vec();
        for (text, kind) in add {
            small.add(text, *kind, 0.0);
        }
        small.numbers = numbers.to_vec();
        let t = small.open().expect("opens");
        let list: Vec<u32> = t.end_tokens().iter().map(|id| id.0).collect();
        assert!(list.iter().all(|&id| t.is_end(TokenId(id))) && !t.is_end(TokenId(0)));
        list
    };
    assert_eq!(ends(&[], &[]), [0; 0]);
    assert_eq!(ends(&[], &[("eos_token_id", 7), ("eot_token_id", 5), ("eom_token_id", 7)]), [5, 7]);
    assert_eq!(ends(&[("<end_of_turn>", CONTROL), ("</s>", USER_DEFINED)], &[("eos_token_id", 9)]), [9, 257]);
    assert_eq!(ends(&[("</s>", CONTROL), ("<EOT>", NORMAL)], &[]), [257]);
    // Gemma 4 waits for what a call gives.
    assert_eq!(ends(&[("<turn|>", CONTROL), ("<|tool_response>", USER_DEFINED)], &[]), [257, 258]);
    let harmony = [("<|end|>", CONTROL), ("<|return|>", CONTROL), ("<|call|>", CONTROL)];
    assert_eq!(ends(&harmony, &[]), [258, 259]);
    assert_eq!(ends(&harmony[..2], &[]), [257, 258]);

    // A marker that the file calls normal is a control token all the same.
    let mut small = Small::bpe("gpt-2", &[]);
    let marker = small.add("<|im_end|>", NORMAL, 0.0);
    let t = small.open().expect("opens");
    assert_eq!(t.token_kind(TokenId(marker)), Some(TokenKind::Control));
    assert_eq!(encode(&t, "<|im_end|>", PARSED), [marker]);
    assert_eq!(encode(&t, "<|im_end|>", LITERAL).len(), 10);
}

#[test]
fn a_way_to_cut_words_that_the_file_leaves_out() {
    let lacks = |small: &Small| Tokenizer::lacks_pre_tokenizer(small.file().metadata());
    let mut small = Small::bpe("gpt-2", &[]);
    assert!(!lacks(&small));
    for pre in [None, Some(String::new())] {
        small.pre = pre;
        assert!(lacks(&small) && small.open().is_ok());
    }
    assert!(!lacks(&Small::spm(&[("a", -1.0)])), "nothing is cut there");
}

#[test]
fn bpe_merges_by_rank() {
    let merges = [("a", "b"), ("Ġ", "ab"), ("b", "c"), ("ab", "c"), ("Ġ", "a")];
    let t = Small::bpe("gpt-2", &merges).open().expect("opens");
    assert_eq!(texts(&t, "abc ab ac bc\n", LITERAL), "abc·Ġab·Ġa·c·Ġ·bc·Ċ");
    // Twice the same merge: the first counts.
    let again = Small::bpe("gpt-2", &[("a", "b"), ("b", "c"), ("a", "b")]).open().expect("opens");
    assert_eq!(texts(&again, "abc", LITERAL), "ab·c");
    // A result that is no token falls apart.
    let mut lost = Small::bpe("gpt-2", &[("a", "b")]);
    lost.tokens[256] = b"gone".to_vec();
    assert_eq!(texts(&lost.open().expect("opens"), "abé", LITERAL), "a·b·Ã·©");
    // Whole words, where the family says so.
    let mut whole = Small::bpe("llama-bpe", &[]);
    whole.add("Ġword", NORMAL, 0.0);
    assert_eq!(texts(&whole.open().expect("opens"), "a word", LITERAL), "a·Ġword");
    whole.pre = Some("dbrx".into());
    assert_eq!(texts(&whole.open().expect("opens"), "a word", LITERAL), "a·Ġ·w·o·r·d");
}

#[test]
fn bytes_that_no_token_has_are_left_out_of_bpe() {
    let mut small = Small::bpe("gpt-2", &[]);
    small.tokens[usize::from(b'b')] = b"[PAD]".to_vec();
    assert_eq!(texts(&small.open().expect("opens"), "abc", LITERAL), "a·c");
}

#[test]
fn spm_without_bytes() {
    let mut small = Small::spm(&[("▁", -1.0), ("a", -1.0)]);
    small.types =
        small.types.map(|types| types.into_iter().map(|t| if t == BYTE { NORMAL } else { t }).collect());
    assert_eq!(texts(&small.open().expect("opens"), "a日本a", LITERAL), "▁·a·<unk>·a", "a run is one token");
    small.numbers.retain(|(name, _)| *name != "unknown_token_id");
    let mut out = vec![TokenId(7)];
    let e = small.open().expect("opens").encode_into("a日", LITERAL, &mut out).expect_err("no way to say it");
    assert_eq!((e.kind(), e.key()), (ErrorKind::Tokenizer, Some("tokenizer.ggml.unknown_token_id")));
    assert_eq!(out, [TokenId(7)], "nothing is left of a failure");
}

#[test]
fn byte_tokens_must_be_exact() {
    let mut small = Small::spm(&[("▁", -1.0)]);
    let odd: Vec<u32> =
        ["<0x-1>", "<0x100>", "<0xG0>", "<0x1>", "0x41"].iter().map(|t| small.add(t, BYTE, 0.0)).collect();
    let t = small.open().expect("opens");
    for id in odd {
        let mut bytes = Vec::new();
        t.append_token_bytes(TokenId(id), &mut bytes, false).expect("a token");
        assert_eq!(String::from_utf8(bytes).ok(), t.token_text(TokenId(id)).map(|t| t.into_owned()));
    }
}

#[test]
fn of_two_equal_tokens_the_last_is_found() {
    let mut small = Small::spm(&[("▁", -1.0), ("a", -1.0), ("a", -1.0)]);
    small.tokens.push(Vec::new());
    small.types.as_mut().expect("types").push(NORMAL);
    small.scores.as_mut().expect("scores").push(0.0);
    let t = small.open().expect("opens");
    assert_eq!(encode(&t, "a", LITERAL), [259, 261]);
    assert_eq!(t.decode(&[TokenId(260), TokenId(261), TokenId(262)], false).expect("tokens"), "aa");
}

#[test]
fn every_refusal_names_its_key() {
    use ErrorKind::{Format, Missing, Shape, Tokenizer as Ids, Unsupported};
    let spm = || Small::spm(&[("▁", -1.0)]);
    let bpe = || Small::bpe("gpt-2", &[("a", "b")]);
    let change = |mut small: Small, f: fn(&mut Small)| {
        f(&mut small);
        small
    };
    for (small, kind, key) in [
        (change(spm(), |s| s.model = "t5".into()), Unsupported, "model"),
        (change(bpe(), |s| s.pre = Some("nosuch\u{1b}".into())), Unsupported, "pre"),
        (change(spm(), |s| s.tokens.clear()), Shape, "token_type"),
        (change(bpe(), |s| (s.tokens.clear(), s.types = None).1), Format, "tokens"),
        (change(spm(), |s| s.types = None), Missing, "token_type"),
        (change(spm(), |s| s.scores = None), Missing, "scores"),
        (change(spm(), |s| s.scores = Some(vec![0.0])), Shape, "scores"),
        (change(bpe(), |s| s.types = Some(vec![1; 999])), Shape, "token_type"),
        (change(bpe(), |s| s.merges = None), Missing, "merges"),
        (change(bpe(), |s| s.merges = Some(vec![b"abc".to_vec()])), Format, "merges"),
        (change(bpe(), |s| s.merges = Some(vec![b" a".to_vec()])), Format, "merges"),
        (change(bpe(), |s| s.numbers = vec![("bos_token_id", 258)]), Ids, "bos_token_id"),
        (change(bpe(), |s| s.numbers = vec![("eos_token_id", u32::MAX)]), Ids, "eos_token_id"),
        (change(bpe(), |s| s.numbers = vec![("unknown_token_id", 258)]), Ids, "unknown_token_id"),
        (change(bpe(), |s| s.bools = vec![("add_bos_token", true)]), Missing, "bos_token_id"),
        (change(bpe(), |s| s.bools = vec![("add_eos_token", true)]), Missing, "eos_token_id"),
        (change(bpe(), |s| s.bools = vec![("bos_token_id", true)]), Shape, "bos_token_id"),
        (change(bpe(), |s| s.numbers = vec![("add_bos_token", 1)]), Shape, "add_bos_token"),
    ] {
        let e = small.open().expect_err(key);
        assert_eq!((e.kind(), e.key()), (kind, Some(format!("tokenizer.ggml.{key}").as_str())), "{e}");
    }
    let t = bpe().open().expect("opens");
    assert_eq!(t.decode(&[TokenId(258)], false).expect_err("258 tokens").kind(), Ids);
    assert_eq!((t.token_text(TokenId(258)), t.token_kind(TokenId(258))), (None, None));
    let absent = change(bpe(), |s| s.pre = None).open().expect("the default");
    assert_eq!(texts(&absent, "$1", LITERAL), "$·1");
}

#[test]
fn whole_characters_leave_the_detokenizer() {
    let t = Small::bpe("gpt-2", &[]).open().expect("opens");
    let stream = |bytes: &[u8]| {
        let mut detokenizer = Detokenizer::new(false, true);
        let (mut out, mut steps) = (String::new(), Vec::new());
        for &byte in bytes {
            detokenizer.push(&t, TokenId(byte.into()), &mut out).expect("a token");
            steps.push(out.len());
        }
        detokenizer.finish(&mut out);
        detokenizer.finish(&mut out); // nothing twice
        (out, steps)
    };
    assert_eq!(stream("a日".as_bytes()), ("a日".into(), vec![1, 1, 1, 4]));
    // What is no text is written as soon as that is known.
    assert_eq!(stream(b"\xE6A"), ("\u{FFFD}A".into(), vec![0, 4]));
    assert_eq!(stream(b"\xF0\x9F\x98"), ("\u{FFFD}".into(), vec![0, 0, 0]));
    assert_eq!(stream(b"\xED\xA0\x80"), ("\u{FFFD}\u{FFFD}\u{FFFD}".into(), vec![0, 6, 9]));

    // The vocabulary's own space at the start of a text, and only there.
    let t = Small::spm(&[("▁a", -1.0)]).open().expect("opens");
    let text = |starts_text, ids: &[u32]| {
        let mut detokenizer = Detokenizer::new(false, starts_text);
        let mut out = String::new();
        for &id in ids {
            detokenizer.push(&t, TokenId(id), &mut out).expect("a token");
        }
        detokenizer.finish(&mut out);
        out
    };
    assert_eq!(text(true, &[1, 259, 259]), "a a");
    assert_eq!(text(false, &[1, 259, 259]), " a a");
}
