//! Templates against Jinja2's own results (the reference set), against limits, and rule by rule.

#![allow(clippy::print_stdout)]

use super::*;
use std::path::{Path, PathBuf};

/// The reference set, or `None` with a visible word.
fn reference(what: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SISKIN_REFERENCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let path = root.join(what);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

fn render(source: &str, messages: &[Message]) -> Result<String> {
    let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
    ChatTemplate::new(source, "<s>", "</s>")?.render(messages, &options)
}

fn text(source: &str) -> String {
    render(source, &[Message::new("user", "hi")]).unwrap_or_else(|e| format!("{e}"))
}

#[test]
fn reference_cases() {
    let Some(folder) = reference("conformance/public/chat_templates") else { return };
    let cases = std::fs::read_to_string(folder.join("cases.json")).expect("readable");
    let cases: Json = serde_json::from_str(&cases).expect("JSON");
    let (mut equal, mut refused, mut tolerant, mut wrong) = (0, 0, 0, Vec::new());
    for case in cases["cases"].as_array().expect("a list") {
        let name = case["template"].as_str().expect("a name");
        let label = format!("{name}/{}", case["case"].as_str().expect("a name"));
        let source =
            std::fs::read_to_string(folder.join("templates").join(format!("{name}.jinja"))).expect("there");
        let str = |key: &str| case[key].as_str().unwrap_or("");
        let template = match ChatTemplate::new(&source, str("bos_token"), str("eos_token")) {
            Ok(template) => template,
            Err(e) => {
                wrong.push(format!("{label}: {e}"));
                continue;
            }
        };
        let messages: Vec<Message> = case["messages"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|m| Message { fields: m.as_object().expect("a message").clone(), ..Message::default() })
            .collect();
        let number = |range: std::ops::Range<usize>| str("now")[range].parse::<u16>().expect("a date");
        let options = RenderOptions {
            add_generation_prompt: case["add_generation_prompt"] == true,
            tools: case.get("tools").filter(|t| !t.is_null()).cloned(),
            variables: case["extra"].as_object().expect("an object").clone(),
            now: Some(Date {
                year: number(0..4).into(),
                month: number(5..7) as u8,
                day: number(8..10) as u8,
                hour: number(11..13) as u8,
                minute: number(14..16) as u8,
                second: number(17..19) as u8,
            }),
        };
        match (template.render(&messages, &options), case["expected"].as_str(), case["error_kind"].as_str()) {
            (Ok(got), Some(expected), _) if got == expected => equal += 1,
            (Ok(got), Some(expected), _) => {
                let at = got.bytes().zip(expected.bytes()).take_while(|(a, b)| a == b).count();
                let tail = |s: &str| {
                    s.get(at.saturating_sub(20)..).unwrap_or(s).chars().take(90).collect::<String>()
                };
                wrong.push(format!("{label}: at {at}\n   got {:?}\n  want {:?}", tail(&got), tail(expected)));
            }
            (Err(e), Some(_), _) => wrong.push(format!("{label}: {e}")),
            (Err(e), None, _) => {
                assert_eq!(e.kind(), ErrorKind::Template, "{label}");
                refused += 1;
            }
            (Ok(_), None, Some("raise_exception")) => wrong.push(format!("{label}: must be refused")),
            (Ok(_), None, _) => tolerant += 1,
        }
    }
    println!("{equal} equal, {refused} refused as Jinja2 does, {tolerant} rendered where Jinja2 fails");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(equal > 500);
}

#[test]
fn small_templates_equal_jinja2() {
    let golden: Json = serde_json::from_str(include_str!("../../testdata/jinja.json")).expect("JSON");
    let options = RenderOptions {
        variables: golden["variables"].as_object().expect("an object").clone(),
        ..RenderOptions::default()
    };
    let mut wrong = Vec::new();
    for case in golden["cases"].as_array().expect("a list") {
        let source = case["template"].as_str().expect("a template");
        let got = ChatTemplate::new(source, "", "").and_then(|t| t.render(&[], &options));
        match (got, case["text"].as_str()) {
            (Ok(got), Some(text)) if got == text => {}
            (Err(e), None) => assert_eq!(e.kind(), ErrorKind::Template),
            (got, text) => {
                wrong.push(format!("{source:?}\n   got {got:?}\n  want {:?}", text.ok_or(&case["error"])))
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn published_templates_parse() {
    let Some(folder) = std::env::var_os("SISKIN_TEMPLATES") else {
        println!("skipped: SISKIN_TEMPLATES names no folder of templates");
        return;
    };
    let mut parsed = 0;
    for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
        if entry.path().extension().is_some_and(|e| e == "jinja") {
            let source = std::fs::read_to_string(entry.path()).expect("readable");
            if let Err(e) = ChatTemplate::new(&source, "<s>", "</s>") {
                panic!("{}: {e}", entry.path().display());
            }
            parsed += 1;
        }
    }
    println!("{parsed} templates parsed");
    assert!(parsed > 0);
}

#[test]
fn errors_name_the_line() {
    for (source, message) in [
        ("a\n\n{% if x %}", "chat template, line 3: the template ends before elif or else or endif"),
        ("{{ 1 }}\n{{ a.b }}", "chat template, line 2: 'a' is undefined"),
        (
            "\n{% for m in messages %}\n{{ m.x.y }}{% endfor %}",
            "chat template, line 3: the attribute 'x' is undefined",
        ),
        (
            "{{ raise_exception('only user messages') }}",
            "chat template, line 1: the template refuses these messages: only user messages",
        ),
        ("{% include 'x' %}", "chat template, line 1: 'include': a chat template cannot use other files"),
        ("{% set x = namespace(a=1) %}\n{{ [x] }}", "chat template, line 2: a namespace cannot be stored"),
        ("{{ [].append(1) }}", "chat template, line 1: 'append' would change a list, which is not allowed"),
        ("{% break %}", "chat template, line 1: 'break' outside of a loop"),
        ("\n\n{% nosuch %}", "chat template, line 3: unknown tag 'nosuch'"),
        ("{{ strftime_now('%d') }}", "chat template, line 1: 'strftime_now' is undefined"),
    ] {
        let e = render(source, &[Message::new("user", "hi")]).expect_err(source);
        assert_eq!((e.kind(), e.message()), (ErrorKind::Template, message), "{source}");
    }
}

/// Templates that take for ever, or all memory, or all stack, in an interpreter without limits. Each on a thread with
/// a small stack and against the clock.
#[test]
fn hostile_templates_end() {
    let loops = |n: u32| {
        let head: String = (0..3).map(|i| format!("{{% for x{i} in range({n}) %}}")).collect();
        head + "a" + &"{% endfor %}".repeat(3)
    };
    let deep = |open: &str, middle: &str, close: &str| open.repeat(50_000) + middle + &close.repeat(50_000);
    let shared = |op: &str| {
        "{% set ns = namespace(a=[1], b=[1]) %}{% for j in range(60) %}{% set ns.a = [ns.a, ns.a] %}\
         {% set ns.b = [ns.b, ns.b] %}{% endfor %}"
            .to_owned()
            + op
    };
    let refused: Vec<String> = vec![
        loops(999),
        "{% for x in range(1000000000) %}a{% endfor %}".into(),
        "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}".into(),
        "{% set x = 'aaaaaaaa' %}".to_owned() + &"{% set x %}{{ x }}{{ x }}{% endset %}".repeat(60),
        "{% set x = 'aaaaaaaa' %}".to_owned() + &"{% set x = x + x %}".repeat(60),
        "{% set x = 'aaaaaaaa' %}".to_owned() + &"{% set x = x|replace('a', 'aa') %}".repeat(60),
        "{% set x = ['a'] %}".to_owned() + &"{% set x = x + x %}".repeat(60),
        "{% set x = ['a', 'a'] %}".to_owned() + &"{% set x = [x|join(x|join), x|join(x|join)] %}".repeat(60),
        "{{ 'aaaaaaaa' * 10000000000 }}".into(),
        "{{ [1] * 10000000000 }}".into(),
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".into(),
        "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}".into(),
        "{% macro m(f) %}{{ f(f) }}{% endmacro %}{{ m(m) }}".into(),
        "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = [ns.l] %}{% endfor %}".into(),
        shared("{{ ns.a == ns.b }}"),
        shared("{{ ns.a }}"),
        shared("{{ ns.a|tojson }}"),
        shared("{{ ns.a|string|length }}"),
        "{{ 1 // 0 }}".into(),
        "{{ '%1000000000s'|format('a') }}".into(),
        "{{ '{:1000000000}'.format('a') }}".into(),
        "{{ 'a'|center(1000000000) }}{{ 'a'.ljust(1000000000) }}".into(),
        "{{ 'a'|indent(1000000000, true) }}".into(),
        "{{ [1]|batch(1000000000, 0) }}".into(),
        "{{ [[1]]|tojson(indent=1000000000) }}".into(),
        "{{ 9223372036854775807 + 1 }}".into(),
        "{{ 2 ** 100000 }}".into(),
        "{% for i in range(100000) %}{% set x %}".to_owned() + &"y".repeat(100_000) + "{% endset %}{% endfor %}",
        "{{ cycler.__init__.__globals__.os.popen('x').read() }}".into(),
        "{{ ''.__class__.__mro__[1].__subclasses__() }}".into(),
        deep("{% if 1 %}", "a", "{% endif %}"),
        deep("{{ (", "1", ") }}"),
        "{{ ".to_owned() + &deep("(", "1", ")") + " }}",
        "{{ ".to_owned() + &deep("[", "", "]") + " }}",
        "{{ ".to_owned() + &deep("{'a':", "1", "}") + " }}",
        "{{ ".to_owned() + &"not ".repeat(50_000) + "1 }}",
        "{{ ".to_owned() + &"-".repeat(50_000) + "1 }}",
        "{{ 1".to_owned() + &" ~ 1".repeat(50_000) + " }}",
        "{{ a".to_owned() + &".a".repeat(50_000) + " }}",
        "{{ a".to_owned() + &"|upper".repeat(50_000) + " }}",
        "{{ a".to_owned() + &" if a else a".repeat(50_000) + " }}",
        "{{ x".to_owned() + &"[x".repeat(50_000) + &"]".repeat(50_000) + " }}",
    ];
    let fine = [
        "{{ 'abc'[::-9223372036854775807] }}{{ [1,2,3][-9223372036854775807:] }}{{ 'a'[9223372036854775807:] }}",
        "{{ messages }}{{ messages|tojson }}",
    ];
    let check = move || {
        for source in refused {
            let start = std::time::Instant::now();
            let shown: String = source.chars().take(60).collect();
            let result = render(&source, &[Message::new("user", "hi")]);
            assert!(result.is_err(), "{shown}: {:?}", result.map(|t| t.len()));
            assert!(start.elapsed().as_secs() < 5, "{shown}: {:?}", start.elapsed());
        }
        for source in fine {
            render(source, &[Message::new("user", "hi")]).expect(source);
        }
    };
    let small = std::thread::Builder::new().stack_size(1 << 20).spawn(check).expect("a thread");
    small.join().expect("no panic, no overflow");
}

#[test]
fn a_long_conversation_fits_the_limits() {
    let source = "{% set ns = namespace(t='') %}{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}\n{% endfor %}";
    let messages: Vec<Message> =
        (0..10_000).map(|i| Message::new("user", format!("{i} ").repeat(50))).collect();
    let text = render(source, &messages).expect("10,000 messages");
    assert!(text.len() > 2_000_000);
}

#[test]
fn variables_and_fields() {
    let mut message = Message::new("user", "hi");
    message.fields.insert("name".into(), "Ada".into());
    assert_eq!(
        render("{{ messages[0].name }}{{ messages[0] }}", &[message.clone()]).expect("fine"),
        "Ada{'role': 'user', 'content': 'hi', 'name': 'Ada'}"
    );
    message.fields.insert("content".into(), Json::Null);
    assert_eq!(render("{{ messages[0].content }}", &[message]).expect("fine"), "None");
    assert_eq!(
        text("{{ tools }} {{ bos_token }}{{ eos_token }} {{ add_generation_prompt }}"),
        "None <s></s> True"
    );
}

#[test]
fn dates() {
    for (seconds, expected) in [
        (0, (1970, 1, 1, 0, 3)),
        (951_782_400, (2000, 2, 29, 0, 1)),
        (1_770_127_506, (2026, 2, 3, 14, 1)),
        (-1, (1969, 12, 31, 23, 2)),
    ] {
        let d = Date::from_unix(seconds);
        assert_eq!((d.year, d.month, d.day, d.hour, d.weekday()), expected, "{seconds}");
    }
    assert_eq!(Date::from_unix(951_782_400).day_of_year(), 60);
}

#[test]
fn templates_of_model_files() {
    use crate::gguf::{GgufFile, write::GgufWriter};
    let file = |set: &dyn Fn(&mut GgufWriter)| {
        let mut w = GgufWriter::new();
        w.set("tokenizer.ggml.model", "llama");
        w.set("tokenizer.ggml.tokens", &["<unk>", "<s>", "</s>", "a"][..]);
        w.set("tokenizer.ggml.scores", &[0.0f32, 0.0, 0.0, -1.0][..]);
        w.set("tokenizer.ggml.token_type", &[2i32, 3, 3, 1][..]);
        w.set("tokenizer.ggml.bos_token_id", &1u32);
        w.set("tokenizer.ggml.eos_token_id", &2u32);
        set(&mut w);
        GgufFile::from_bytes(w.to_bytes(|_| Vec::new()).expect("no tensors")).expect("well-formed")
    };
    let template = |set: &dyn Fn(&mut GgufWriter)| {
        let file = file(set);
        ChatTemplate::from_metadata(
            file.metadata(),
            &Tokenizer::from_metadata(file.metadata()).expect("complete"),
        )
    };
    assert!(template(&|_| ()).expect("fine").is_none());
    let found = template(&|w| {
        w.set("tokenizer.chat_template", "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}");
    });
    let found = found.expect("fine").expect("there");
    assert_eq!(
        found.render(&[Message::new("user", "hi")], &RenderOptions::default()).expect("fine"),
        "<s>hi</s>"
    );
    for set in [
        (&|w: &mut GgufWriter| _ = w.set("tokenizer.chat_template", "{% if")) as &dyn Fn(&mut GgufWriter),
        &|w| _ = w.set("tokenizer.chat_template", &7u32),
    ] {
        assert_eq!(template(set).expect_err("refused").key(), Some("tokenizer.chat_template"));
    }
}
