#![no_main]
//! Any chat template: parsed, and rendered with any message.

use siskin::chat::{ChatTemplate, Message, RenderOptions};

libfuzzer_sys::fuzz_target!(|input: (&str, &str, bool)| {
    let (source, content, add_generation_prompt) = input;
    let Ok(template) = ChatTemplate::new(source, "<s>", "</s>") else { return };
    let messages = [Message::new("system", "Be brief."), Message::new("user", content)];
    let _ = template.render(&messages, &RenderOptions { add_generation_prompt, ..RenderOptions::default() });
});
