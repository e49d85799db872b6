//! `siskin info`: what is in a file, also in one that this version cannot run.

use crate::Result;
use crate::args::InfoArgs;
use crate::output::{Table, bytes, count, print, print_json};
use serde_json::{Map, Value as Json, json};
use siskin::gguf::{GgufFile, TensorInfo, Value};
use siskin::tokenizer::Tokenizer;
use siskin::vision::{VisionSpec, VisionTower};
use siskin::{Model, ModelOptions};
use std::collections::BTreeMap;

/// Characters of a string value that the table shows.
const SHOWN: usize = 60;
/// Arrays up to this long are shown item by item.
const SHORT_ARRAY: usize = 8;

pub(crate) fn run(args: &InfoArgs) -> Result {
    let file = siskin::hf::open_any(&args.file)?;
    // Building everything is the honest way to know whether the file can be run.
    let runs = if VisionSpec::is_vision(file.metadata()) {
        VisionTower::from_gguf(file.clone()).map(drop)
    } else {
        Model::from_gguf(file.clone(), &ModelOptions::default()).map(drop)
    };
    let runs = runs.map_err(|e| e.to_string());
    if args.json {
        print_json(&as_json(&file, &runs))?;
        return Ok(());
    }
    print(&summary(&file, &runs).render())?;
    print("\n")?;
    print(&types(&file).render())?;
    if args.metadata {
        let mut table = Table::new(&["key", "type", "value"]);
        for (key, value) in file.metadata().iter() {
            table.row([clean(key), value.kind().name().to_owned(), shown(value)]);
        }
        print("\n")?;
        print(&table.render())?;
    }
    if args.tensors {
        let mut table = Table::new(&["tensor", "type", "shape", "size", "at"]);
        for t in file.tensors().iter() {
            table.row([
                clean(t.name()),
                t.type_name(),
                shape(t),
                t.bytes().len().to_string(),
                t.offset().to_string(),
            ]);
        }
        print("\n")?;
        print(&table.render())?;
    }
    Ok(())
}

fn summary(file: &GgufFile, runs: &std::result::Result<(), String>) -> Table {
    let meta = file.metadata();
    let text = |key: &str| meta.get(key).and_then(Value::as_str).map(clean);
    let arch = text("general.architecture");
    let number = |key: &str| {
        let key = format!("{}.{key}", arch.as_deref().unwrap_or(""));
        meta.get(&key).map(shown)
    };
    let weights = file.tensors().weight_bytes();
    let parameters = file.tensors().parameters();
    let mut table = Table::new(&["", ""]);
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            table.row([name.to_owned(), value]);
        }
    };
    row("name", text("general.name"));
    row("architecture", arch.clone());
    let vision = VisionSpec::is_vision(meta);
    let yes = if vision { "yes, beside the model that it belongs to (--mmproj)" } else { "yes" };
    row(
        "runs here",
        Some(runs.as_ref().map_or_else(|e| format!("no: {}", escaped(e, 400)), |()| yes.to_owned())),
    );
    row(
        "kind",
        vision.then(|| "vision tower and projector: turns pictures into rows for a model".to_owned()),
    );
    if let Ok(tower) = VisionTower::from_gguf(file.clone()) {
        let VisionSpec { image_size, patch_size, projected, .. } = *tower.spec();
        let positions = tower.spec().positions();
        row("image", Some(format!("{image_size} x {image_size}, patches of {patch_size} x {patch_size}")));
        row("gives", Some(format!("{positions} rows of {projected}, for a model of that width")));
        row("layers", Some(tower.spec().layers.to_string()));
    }
    let parts = if file.parts() > 1 { format!(" in {} parts", file.parts()) } else { String::new() };
    let kind = match file.folder() {
        Some(_) => "folder of safetensors".to_owned(),
        None => format!("GGUF version {}", file.version()),
    };
    row("file", Some(format!("{kind}, {}{parts}", bytes(file.mapped_bytes()))));
    row("parameters", Some(count(parameters)));
    let bits = weights as f64 * 8.0 / parameters.max(1) as f64;
    row("weights", Some(format!("{} ({bits:.2} bits each)", bytes(weights))));
    for (name, key) in [
        ("context", "context_length"),
        ("layers", "block_count"),
        ("width", "embedding_length"),
        ("feed-forward", "feed_forward_length"),
        ("heads", "attention.head_count"),
        ("key/value heads", "attention.head_count_kv"),
        ("window", "attention.sliding_window"),
        ("experts", "expert_count"),
    ] {
        row(name, number(key));
    }
    row(
        "vocabulary",
        meta.get("tokenizer.ggml.tokens").and_then(Value::as_array).map(|a| a.len().to_string()),
    );
    let pre = match text("tokenizer.ggml.pre").filter(|name| !name.is_empty()) {
        Some(name) => format!(" ({name})"),
        None if Tokenizer::lacks_pre_tokenizer(meta) => {
            " (the file does not say how text is cut into words: the default way, which may be wrong)"
                .to_owned()
        }
        None => String::new(),
    };
    row("tokenizer", text("tokenizer.ggml.model").map(|m| m + &pre));
    let pooling = arch.as_deref().and_then(|a| meta.get(&format!("{a}.pooling_type")));
    let pooling = match pooling.and_then(Value::as_integer) {
        Some(1) => Some("by the mean of a text's states"),
        Some(2) => Some("by a text's first state"),
        Some(3) => Some("by a text's last state"),
        Some(4) => Some("no, it ranks them"),
        _ => None,
    };
    row("embeds texts", pooling.map(str::to_owned));
    let template = meta.get("tokenizer.chat_template").and_then(Value::as_str);
    let template = template.map(|t| format!("{} characters", t.chars().count()));
    // Of a tower nobody expects one.
    row("chat template", template.or_else(|| (!vision).then(|| "none".to_owned())));
    row("licence", text("general.license"));
    let packed = file.companion().map(|c| {
        let what = if c.tensors().get("head.basis.weight").is_some() {
            "screening table of the head"
        } else {
            "unknown"
        };
        format!("{what}, {}", bytes(c.tensors().weight_bytes()))
    });
    row("packed", packed);
    table
}

/// One row for each type of tensor.
fn types(file: &GgufFile) -> Table {
    let mut types: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    for t in file.tensors().iter() {
        let entry = types.entry(t.type_name()).or_default();
        entry.0 += 1;
        entry.1 += t.elements() as u64;
        entry.2 += t.bytes().len() as u64;
    }
    let mut table = Table::new(&["type", "tensors", "parameters", "size"]);
    for (name, (tensors, elements, size)) in types {
        table.row([name, tensors.to_string(), count(elements), bytes(size)]);
    }
    table
}

fn shape(t: &TensorInfo) -> String {
    let dims: Vec<String> = t.dims().iter().map(usize::to_string).collect();
    dims.join(" x ")
}

/// A value for a table.
fn shown(value: &Value) -> String {
    match value.as_array() {
        Some(array) if array.len() > SHORT_ARRAY => format!("{} items", array.len()),
        Some(array) => clean(&format!("{array:?}")),
        None => match value.to_json() {
            Json::String(text) => clean(&text),
            other => other.to_string(),
        },
    }
}

/// Text of the file for a terminal: without control characters, and short.
fn clean(text: &str) -> String {
    escaped(text, SHOWN)
}

fn escaped(text: &str, most: usize) -> String {
    let mut out: String = String::new();
    for c in text.chars().take(most) {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    if text.chars().nth(most).is_some() {
        out.push('…');
    }
    out
}

fn as_json(file: &GgufFile, runs: &std::result::Result<(), String>) -> Json {
    let mut metadata = Map::new();
    for (key, value) in file.metadata().iter() {
        let json = match value.as_array() {
            Some(array) => json!({ "array_of": array.kind().name(), "length": array.len() }),
            None => value.to_json(),
        };
        metadata.insert(key.to_owned(), json);
    }
    let tensors: Vec<Json> = file
        .tensors()
        .iter()
        .map(|t| {
            json!({
                "name": t.name(),
                "type": t.type_name(),
                "shape": t.dims(),
                "bytes": t.bytes().len(),
                "offset": t.offset(),
                "part": t.part(),
            })
        })
        .collect();
    json!({
        "version": file.version(),
        "parts": file.parts(),
        "bytes": file.mapped_bytes(),
        "parameters": file.tensors().parameters(),
        "weight_bytes": file.tensors().weight_bytes(),
        "companion_bytes": file.companion().map(|c| c.tensors().weight_bytes()),
        "runs": runs.is_ok(),
        "refused_because": runs.as_ref().err(),
        "metadata": metadata,
        "tensors": tensors,
    })
}
