//! Answers that come as messages of their own: what the model thinks, what it calls, what it says (the "harmony" format).
//!
//! `<|start|>assistant<|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…<|return|>`:
//! the markers are control tokens, so the text alone would run the parts together. Between `<|start|>` and `<|message|>`
//! stands a header. It says whose the text behind it is:
//!
//! | header | text |
//! |---|---|
//! | names a recipient (`to=functions.f`) | a call: the answer's, as the model wrote it, with its header, as other models' calls are |
//! | channel `analysis` or `commentary` | reasoning |
//! | anything else | the answer's |
//!
//! A text without markers is all answer, and so is a header that grows too long: memory does not.

use crate::tokenizer::{TokenId, TokenKind, Tokenizer};

/// The longest header. Those that models write have some tens of bytes.
pub(super) const MAX_HEADER: usize = 512;

/// What a marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A message's header begins.
    Start,
    /// The name of its channel follows.
    Channel,
    /// The name of its format follows.
    Constrain,
    /// Its text begins.
    Message,
    /// It ends.
    End,
}

/// The tokens that mark the parts.
#[derive(Clone, Debug)]
pub(super) struct Marks([Option<(TokenId, Mark)>; 7]);

impl Marks {
    /// The vocabulary's, if it has those without which there are no channels.
    pub(super) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let find = |text: &str, mark| {
            let id = tokenizer.token_id(text.as_bytes())?;
            (tokenizer.token_kind(id) == Some(TokenKind::Control)).then_some((id, mark))
        };
        let (start, channel, message) = (
            find("<|start|>", Mark::Start)?,
            find("<|channel|>", Mark::Channel)?,
            find("<|message|>", Mark::Message)?,
        );
        Some(Self([
            Some(start),
            Some(channel),
            Some(message),
            find("<|constrain|>", Mark::Constrain),
            find("<|end|>", Mark::End),
            find("<|call|>", Mark::End),
            find("<|return|>", Mark::End),
        ]))
    }

    /// What `id` marks.
    pub(super) fn get(&self, id: TokenId) -> Option<Mark> {
        self.0.iter().flatten().find(|(marker, _)| *marker == id).map(|&(_, mark)| mark)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Outside any message.
    Outside,
    Header,
    Answer,
    Reasoning,
}

/// Sorts text by channel. See the module.
#[derive(Clone, Debug)]
pub(super) struct Channels {
    state: State,
    /// The header as it was written, with its markers.
    header: String,
    /// Where what was generated begins in a header that the prompt began.
    generated_at: Option<usize>,
    /// A message of reasoning has ended.
    after_reasoning: bool,
}

impl Channels {
    pub(super) fn new() -> Self {
        let header = String::with_capacity(MAX_HEADER + 64);
        Self { state: State::Outside, header, generated_at: None, after_reasoning: false }
    }

    /// The prompt ends here: what follows is generated.
    pub(super) fn begin(&mut self) {
        self.generated_at = (self.state == State::Header).then_some(self.header.len());
        self.after_reasoning = false;
    }

    /// Takes a marker, which is written as `written`.
    pub(super) fn mark(&mut self, mark: Mark, written: &str, answer: &mut String) {
        match mark {
            Mark::Start => {
                self.leave(answer);
                self.state = State::Header;
                self.header.push_str(written);
            }
            Mark::Channel => {
                // Some leave the start out.
                if self.state != State::Header {
                    self.leave(answer);
                    self.state = State::Header;
                }
                self.generated_at = None;
                self.header.push_str(written);
            }
            Mark::Constrain if self.state == State::Header => self.header.push_str(written),
            Mark::Constrain => {}
            Mark::Message if self.state == State::Header => {
                self.state = self.whose();
                if self.is_call() {
                    answer.push_str(&self.header);
                    answer.push_str(written);
                }
                self.header.clear();
            }
            Mark::Message => {}
            Mark::End => {
                self.leave(answer);
                self.state = State::Outside;
            }
        }
    }

    /// A message ends. What was said where the prompt left its header open, and the model named no channel, is said.
    fn leave(&mut self, answer: &mut String) {
        if let (State::Header, Some(at)) = (self.state, self.generated_at) {
            answer.push_str(&self.header[at..]);
        }
        self.after_reasoning |= self.state == State::Reasoning;
        self.generated_at = None;
        self.header.clear();
    }

    /// Takes text between markers.
    pub(super) fn text(&mut self, text: &str, answer: &mut String, reasoning: &mut String) {
        match self.state {
            State::Outside | State::Answer => answer.push_str(text),
            State::Reasoning => {
                // A token that is part of a character has no text yet.
                if !text.is_empty() && std::mem::take(&mut self.after_reasoning) {
                    reasoning.push('\n'); // two messages are no sentence
                }
                reasoning.push_str(text);
            }
            State::Header => {
                self.header.push_str(text);
                if self.header.len() > MAX_HEADER {
                    answer.push_str(&self.header[self.generated_at.unwrap_or(0)..]);
                    self.header.clear();
                    self.state = State::Answer;
                }
            }
        }
    }

    /// The answer has ended.
    pub(super) fn finish(&mut self, answer: &mut String) {
        self.leave(answer);
        self.state = State::Outside;
    }

    /// The recipient is part of the role or of the channel.
    fn is_call(&self) -> bool {
        // A tool's own message is addressed too, to the assistant; it never stands in an answer.
        self.header.contains(" to=")
    }

    fn whose(&self) -> State {
        let channel = self.header.split_once("<|channel|>").map_or("", |(_, after)| after.trim_start());
        let is = |name: &str| channel.starts_with(name);
        let thinks = is("analysis") || is("commentary");
        if thinks && !self.is_call() { State::Reasoning } else { State::Answer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Markers and text as they would come, text in pieces of at most `piece` characters.
    fn feed(channels: &mut Channels, written: &str, piece: usize) -> (String, String) {
        let marks = [
            ("<|start|>", Mark::Start),
            ("<|channel|>", Mark::Channel),
            ("<|constrain|>", Mark::Constrain),
            ("<|message|>", Mark::Message),
            ("<|end|>", Mark::End),
            ("<|return|>", Mark::End),
        ];
        let (mut answer, mut reasoning) = (String::new(), String::new());
        let mut rest = written;
        while !rest.is_empty() {
            if let Some(&(text, mark)) = marks.iter().find(|(text, _)| rest.starts_with(text)) {
                channels.mark(mark, text, &mut answer);
                rest = &rest[text.len()..];
                continue;
            }
            let end = rest.find("<|").unwrap_or(rest.len());
            let end = rest[..end].char_indices().nth(piece).map_or(end, |(at, _)| at);
            channels.text("", &mut answer, &mut reasoning); // part of a character
            channels.text(&rest[..end], &mut answer, &mut reasoning);
            rest = &rest[end..];
        }
        (answer, reasoning)
    }

    /// What becomes of `written` after `prompt`, which must not depend on how text falls into tokens.
    #[track_caller]
    fn check(prompt: &str, written: &str, answer: &str, reasoning: &str) {
        for piece in 1..=written.len().max(1) {
            let mut channels = Channels::new();
            feed(&mut channels, prompt, 3);
            channels.begin();
            let (mut said, thought) = feed(&mut channels, written, piece);
            channels.finish(&mut said);
            assert_eq!((said.as_str(), thought.as_str()), (answer, reasoning), "pieces of {piece}");
        }
    }

    const OPEN: &str = "<|start|>user<|message|>Hi<|end|><|start|>assistant";

    #[test]
    fn thoughts_and_answers() {
        let written = "<|channel|>analysis<|message|>The user greets.<|end|><|start|>assistant<|channel|>final<|message|>Żó!";
        check(OPEN, written, "Żó!", "The user greets.");
        let twice = "<|channel|>analysis<|message|>One.<|end|><|start|>assistant<|channel|>commentary<|message|>Two.<|end|>\
            <|start|>assistant<|channel|>final<|message|>Three.<|return|>";
        check(OPEN, twice, "Three.", "One.\nTwo.");
        check(OPEN, "<|channel|>final<|message|>", "", "");
        check(OPEN, "<|channel|>ana", "", "");
    }

    #[test]
    fn calls_are_kept_as_they_are_written() {
        let call = "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"a\":1}";
        check(OPEN, call, &format!("<|start|>assistant{call}"), "");
        let role = " to=functions.f<|channel|>commentary json<|message|>{}";
        check(OPEN, role, &format!("<|start|>assistant{role}"), "");
        let thought = "<|channel|>analysis<|message|>Look.<|end|><|start|>assistant";
        check(OPEN, &format!("{thought}{call}"), &format!("<|start|>assistant{call}"), "Look.");
    }

    #[test]
    fn prompts_that_are_somewhere_else() {
        check("Once upon", " a time", " a time", "");
        check("<|start|>user<|message|>Hi", " there", " there", "");
        check("<|start|>assistant<|channel|>analysis<|message|>So", " far", "", " far");
        check("<|start|>assistant<|channel|>fi", "nal<|message|>yes", "yes", "");
        check("<|start|>assistant<|message|>", "plain", "plain", "");
    }

    #[test]
    fn what_has_no_form_is_not_lost() {
        check(OPEN, "Hello", "Hello", "");
        check(OPEN, "<|message|>Hello<|end|> there", "Hello there", "");
        check(OPEN, "Hello<|end|> there", "Hello there", "");
        check(OPEN, "Hello<|start|>assistant<|channel|>final<|message|> there", "Hello there", "");
        check(OPEN, "<|channel|>analysis<|message|>One.<|channel|>analysis<|message|>Two.", "", "One.\nTwo.");
        let long = "x".repeat(2 * MAX_HEADER);
        let mut channels = Channels::new();
        feed(&mut channels, OPEN, 9);
        channels.begin();
        assert_eq!(feed(&mut channels, &long, 7), (long, String::new()));
        assert!(channels.header.capacity() <= MAX_HEADER + 64);
    }
}
