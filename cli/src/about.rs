//! What `--help` says of subcommands that need more than a line. (`-h` has the line.)

pub(crate) const EMBED: &str = "\
Texts that mean the same get vectors that point the same way: search, grouping, comparing.

Texts are those given with --text, where \"-\" stands for the lines of standard input, or without any those lines. Each \
becomes one line of numbers, in the order of the texts, as soon as it is done.

Models were trained with words before a text that say what it is for; the model's page lists them, and they are yours \
to write, with --prefix for all texts of a call. EmbeddingGemma: \"task: search result | query: \" before a question, \
\"title: none | text: \" before what is searched. Qwen3-Embedding: \"Instruct: TASK\\nQuery:\" before a question, \
nothing before what is searched. BGE: \"Represent this sentence for searching relevant passages: \" before a question.

How the states of a text's tokens become one vector is in the file of a model that was made for this. Of another, \
--pooling must say it: \"last\" is usual for models that generate text.";

pub(crate) const FIM: &str = "\
Writes what goes at a place in a text, between what stands before and behind it: completion as editors do it.

The text is a file and a place in it, or two texts. The answer alone is printed, to the byte: a line end is added \
only on a terminal. The model must have been trained for this: Qwen2.5-Coder, CodeGemma, StarCoder, DeepSeek-Coder, \
Code Llama and Granite were; its file names the tokens for it.

If the text is longer than the context, its far ends are cut: a quarter of the room is for what stands behind the \
place, three for what stands before it, and what one does not need the other has. What was cut is said on standard \
error, and in JSON.

Examples:
  siskin fim coder.gguf src/main.rs --at 12:5
  siskin fim coder.gguf - --at 310 --path src/main.rs < buffer
  siskin fim coder.gguf src/main.rs --at 12:5 --with src/lib.rs --repo my-project
  siskin fim coder.gguf --prefix \"def add(a, b):\\n    return \" --suffix \"\\n\"";

pub(crate) const MODERATE: &str = "\
Says how probable it is that a text violates each of some policies, 0 to 1, as a classifier has it (ShieldGemma).

The text is what a user wrote; with --response, what a chatbot answered to that is judged instead. A policy is one that \
the model was trained with, by name, or NAME=WORDS in your own words, as in
  --policy 'advice=\"No Medical Advice\": The prompt shall not contain or seek generation of content that gives
  medical advice.'
Models do this well with the policies that they were trained with, and less so with others. What follows from a \
number is yours to decide: 0.5 is where \"Yes\" gets likelier than \"No\".

Known policies: dangerous_content, harassment, hate_speech, sexually_explicit.

A text that is too long is refused, never cut. Special tokens in it are taken literally.";

pub(crate) const PACK: &str = "\
The copy holds the model as it was, byte for byte, and behind it a small second version of its output matrix. With \
that, each token is chosen after reading about half of the matrix, and comes out exactly the same. Other programs \
read the copy as before.

The table follows where the model's activations point, which is measured on text: the model's own, or one that is \
given. It changes the speed only, never the result. Worth it for models with a large vocabulary and few layers.";
