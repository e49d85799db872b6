//! `siskin tokenize`: text to ids, or ids to text.

use crate::Result;
use crate::args::TokenizeArgs;
use crate::output::{Failure, Table, print, print_json};
use crate::prompt::stdin_text;
use serde_json::json;
use siskin::tokenizer::{Special, TokenId, Tokenizer};

pub(crate) fn run(args: &TokenizeArgs) -> Result {
    let text = match args.text.as_deref() {
        Some(text) if text != "-" => text.to_owned(),
        _ => stdin_text()?,
    };
    let file = siskin::hf::open_any(&args.model)?;
    let tokenizer = Tokenizer::from_metadata(file.metadata()).map_err(|e| e.with_file(&args.model))?;
    if args.decode {
        return decode(args, &tokenizer, &text);
    }
    let special = Special { add: !args.no_special, parse: !args.no_special };
    let ids = tokenizer.encode(&text, special)?;
    let piece = |id: TokenId| {
        let mut bytes = Vec::new();
        tokenizer.append_token_bytes(id, &mut bytes, true).map(|()| bytes)
    };
    if args.json {
        let pieces = ids.iter().map(|&id| Ok(String::from_utf8_lossy(&piece(id)?).into_owned()));
        let pieces = pieces.collect::<Result<Vec<String>>>()?;
        print_json(&json!({ "ids": ids.iter().map(|id| id.0).collect::<Vec<_>>(), "pieces": pieces }))?;
        return Ok(());
    }
    let mut table = Table::new(&["id", "piece"]);
    for &id in &ids {
        // Parts of characters as bytes.
        let shown = match String::from_utf8(piece(id)?) {
            Ok(text) => format!("{text:?}"),
            Err(e) => format!("\"{}\"", e.as_bytes().escape_ascii()),
        };
        table.row([id.0.to_string(), shown]);
    }
    print(&table.render())?;
    print(&format!("{} tokens\n", ids.len()))?;
    Ok(())
}

fn decode(args: &TokenizeArgs, tokenizer: &Tokenizer, text: &str) -> Result {
    let ids = text
        .split(|c: char| c == ',' || c.is_whitespace() || c == '[' || c == ']')
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.parse().map(TokenId).map_err(|_| Failure::Usage(format!("\"{part}\" is no token id")))
        })
        .collect::<Result<Vec<_>>>()?;
    let text = tokenizer.decode(&ids, !args.no_special)?;
    if args.json {
        print_json(&json!({ "text": text }))?;
    } else {
        print(&text)?;
        print("\n")?;
    }
    Ok(())
}
