//! Speed, run in turn: prefill of 512 tokens, decode of 64 at an empty context and behind 2,048 tokens.
