//! The rows as a page for readers.

/// What stands above the table.
pub(super) const HEAD: &str = "\
# Models

What was compared with Hugging Face transformers (f32, CPU), file by file: the largest difference of a logit (of an element of an embedding for models that
embed texts), the mean KL divergence over the positions of one prompt, and how many of 32 greedy tokens are the same. The models are tiny, with random weights:
they show that the architecture is computed right. Unquantised files (`model`, and `hf`, the folder of safetensors) must be within 1e-3; where weights are quantised
our activations are too, and the KL divergence must be within twice llama.cpp's on the same file.

Made by `cargo xtask conformance DIR --table docs/MODELS.md`; CI runs the comparison with every change. README.md lists the architectures and what people call
their models.

| family | file | largest difference | KL | greedy | llama.cpp |
|---|---|--:|--:|--:|---|
";

/// Adds one file's row, as it was printed: difference, hidden states, divergence, greedy tokens, verdict.
pub(super) fn push(table: &mut String, family: &str, file: &str, row: &str) {
    let mut columns = row.split_whitespace();
    let mut next = || columns.next().unwrap_or("-");
    let (difference, _, kl, greedy) = (next(), next(), next(), next());
    let verdict: Vec<&str> = columns.collect();
    let verdict = verdict.join(" ");
    let peer = verdict.split_once("(llama.cpp: ").map_or("", |(_, peer)| peer.trim_end_matches(')'));
    let file = file.trim_end_matches(".gguf");
    let miss = if verdict.starts_with("MISS") { " **missed**" } else { "" };
    table.push_str(&format!("| {family} | {file}{miss} | {difference} | {kl} | {greedy} | {peer} |\n"));
}

#[cfg(test)]
mod tests {
    use super::push;

    #[test]
    fn a_row_is_taken_apart() {
        let mut table = String::new();
        push(&mut table, "a", "model.gguf", "  1.2e-5    5.4e-6   2.1e-12   32/32  ok");
        push(
            &mut table,
            "b",
            "model-q8_0.gguf",
            "6.7e-1  -  4.6e-3  31/32  ok (llama.cpp: KL 4.1e-3, 29/32)",
        );
        push(&mut table, "c", "hf", "1e0 - 1e0 0/32 MISS: logits");
        assert_eq!(
            table,
            "| a | model | 1.2e-5 | 2.1e-12 | 32/32 |  |\n\
             | b | model-q8_0 | 6.7e-1 | 4.6e-3 | 31/32 | KL 4.1e-3, 29/32 |\n\
             | c | hf **missed** | 1e0 | 1e0 | 0/32 |  |\n"
        );
    }
}
