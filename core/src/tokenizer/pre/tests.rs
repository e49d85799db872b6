//! Every pre-tokenizer: what it must cut where, and that nothing is lost.

use std::convert::Infallible;

use super::*;

fn pieces<'a>(name: &str, text: &'a str) -> Vec<&'a str> {
    let mut out = Vec::new();
    let Ok(()) = PreTokenizer::named(name).expect("a family").split(text, |piece| {
        out.push(piece);
        Ok::<_, Infallible>(())
    });
    assert!(out.iter().all(|piece| !piece.is_empty()));
    assert_eq!(out.concat(), text, "{name} lost or moved something");
    out
}

/// Checks rows of (family, text, pieces joined by `·`).
fn check(rows: &[(&str, &str, &str)]) {
    for (name, text, expected) in rows {
        assert_eq!(pieces(name, text).join("·"), *expected, "{name}: {text:?}");
    }
}

#[test]
fn gpt2_and_its_digits() {
    check(&[
        ("gpt-2", "Hello world's  end", "Hello· world·'s· · end"),
        ("gpt-2", "I'LL we'll", "I·'·LL· we·'ll"),
        ("gpt-2", "a1b 22", "a·1·b· 22"),
        ("gpt-2", "x  \n y\n", "x·  \n· y·\n"),
        ("gpt-2", "  ", "  "),
        ("gpt-2", "!?? ...", "!??· ..."),
        ("smollm", "in 2024", "in· ·2·0·2·4"),
        ("starcoder", "½ ⅔", "½· ·⅔"),
        ("default", "a $5 12345", "a· ·$·5· ·123·45"),
        ("falcon", "a, 12345`x", "a·,· ·123·45·`·x"),
    ]);
}

#[test]
fn llama3_and_qwen2() {
    check(&[
        ("llama-bpe", "Hello, world'LL do", "Hello·,· world·'LL· do"),
        ("llama-bpe", "'ſ", "'ſ"),
        ("llama-bpe", "'sure 'sure", "'s·ure· '·sure"),
        ("llama-bpe", "1234567 a\tb", "123·456·7· a·\tb"),
        ("llama-bpe", "x!!\r\n\n  y", "x·!!\r\n\n· · y"),
        ("llama-bpe", "x  \n  \n  y", "x·  \n  \n· · y"),
        ("llama-bpe", "e\u{301}a", "e·\u{301}a"),
        ("qwen2", "a 123", "a· ·1·2·3"),
        ("qwen35", "e\u{301}a !\u{301}", "e\u{301}a· !·\u{301}"),
        ("seed-coder", "x!!\ny", "x·!!·\n·y"),
        ("ufakzeka", "Ali'den", "Ali·'den"),
        ("minicpm5", "12345", "123·45"),
        ("laguna", "a \n\nb", "a· ·\n\n·b"),
    ]);
}

#[test]
fn upper_case_starts_a_word() {
    check(&[
        ("gpt-4o", "camelCase HTTPServer", "camel·Case· HTTPServer"),
        ("gpt-4o", "ABC don't IT'S", "ABC· don't· IT'S"),
        ("gpt-4o", "日本語ABC日", "日本語ABC日"),
        // Upper case gives back to the last caseless letter, which can end a word.
        ("gpt-4o", "A日BC", "A日·BC"),
        ("gpt-4o", "\u{301}ABC", "\u{301}·ABC"),
        ("gpt-4o", "a//\n\nb/", "a·//\n\n·b·/"),
        ("tekken", "don't 123", "don·'t· ·1·2·3"),
        ("kimi-k2", "ab漢字CD  漢", "ab·漢字·CD· · ·漢"),
        ("kimi-k2", "a!/\n", "a·!/\n"),
    ]);
}

#[test]
fn deepseek() {
    check(&[
        ("deepseek-v3", "1234 漢字かなx", "123·4· ·漢字かな·x"),
        ("deepseek-v3", "!abc ?? \n", "!abc· ??· \n"),
        ("deepseek-v3", "a\0\0b  c", "a·\0·\0b· · c"),
        // Its punctuation, `[!-/:-~]`, has the ASCII letters in it.
        ("deepseek-llm", "Hello  wörld!? 12\n", "Hello· · w·ö·rld·!?· ·1·2·\n"),
        ("deepseek-llm", "日本語です。 x  ", "日本語です·。· x·  "),
        ("deepseek-coder", "a += b1;", "a· +=· b·1·;"),
        ("spark2_5", "a!\n\n b", "a·!·\n·\n· b"),
    ]);
}

#[test]
fn groups_from_the_right() {
    check(&[
        ("superbpe", "ab 1234567 cd", "ab ·1·234·567· cd"),
        ("tiny_aya", "1234567 12a 123", "1·234·567· ·12·a· ·123"),
        ("afmoe", "12345 漢字ไ", "12·345· ·漢字ไ"),
        ("afmoe", "123456", "123·456"),
    ]);
}

#[test]
fn bloom_and_youtu() {
    check(&[
        ("bloom", "Hello, world (x)", "Hello·,· world· (·x·)"),
        ("viking", "a12", "a·1·2"),
        ("youtu", "한국、漢字abCd", "한국·、·漢字·ab·Cd"),
    ]);
}

/// What recursive matchers do not survive: long runs of one character, and of pairs that some stage treats in turns.
#[test]
fn long_runs_take_linear_time() {
    let samples = [
        "a", "A", "日", "\u{301}", "1", "½", "!", "$", "'", " ", "\n", "\0", "😀", "1a", "A日", " '",
        "\u{301}A", " \n",
    ];
    for name in families::first_names() {
        let pre = PreTokenizer::named(name).expect("a family");
        for sample in samples {
            for tail in ["", "b"] {
                let text = sample.repeat(40_000) + tail;
                let (mut bytes, start) = (0, std::time::Instant::now());
                let Ok(()) = pre.split(&text, |piece| {
                    bytes += piece.len();
                    Ok::<_, Infallible>(())
                });
                assert_eq!(bytes, text.len(), "{name} {sample:?}");
                // Milliseconds; what is quadratic takes more even if each of its steps were a nanosecond.
                assert!(start.elapsed().as_secs_f32() < 1.5, "{name} {sample:?}: {:?}", start.elapsed());
            }
        }
    }
}

#[test]
fn random_text_is_cut_and_not_lost() {
    let mut state = 1u32;
    let mut next = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    let chars: Vec<char> =
        "aZé ßʰ日カ한\u{301}19٣½Ⅳ!'\"$|～、。…\n\r\t\u{A0}\u{3000}\0\u{200B}😀ſtsredlv/_".chars().collect();
    for name in families::names() {
        for _ in 0..200 {
            let text: String = (0..next(24)).map(|_| chars[next(chars.len())]).collect();
            pieces(name, &text);
        }
    }
}

#[test]
fn names_are_unique_and_stages_fit() {
    let mut names: Vec<&str> = families::names().collect();
    for name in &names {
        let stages = PreTokenizer::named(name).expect("a family").stages.len();
        assert!((1..=MAX_STAGES).contains(&stages), "{name}");
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(PreTokenizer::named("no such thing").is_none());
}
