//! `siskin chat`: a conversation. What the model has read stays in its cache: each turn feeds only what is new.

use crate::Result;
use crate::args::ChatArgs;
use crate::interrupt::Interrupt;
use crate::output::{Failure, print};
use crate::progress::Progress;
use crate::prompt::{conversation, rate, usable_template};
use crate::run::{reason, settings};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use serde_json::json;
use siskin::chat::Message;
use siskin::{ErrorKind, Event, Flow, GenerateOptions, Model, Session, StopReason};
use std::io::{BufRead, IsTerminal};

const HELP: &str = "\
/help         this
/reset        forget the conversation (the system message stays)
/regenerate   answer the last message again, with other random numbers
/stats        how much context is used and how fast the last answer came
/exit         end (also Ctrl-D)
Ctrl-C        cancel an answer; the part that came stays
A line that ends with \\ goes on in the next one.
";

pub(crate) fn run(args: &ChatArgs) -> Result {
    let interrupt = Interrupt::install()?;
    let model = args.model.open()?;
    let session = model.session(&args.context.options())?;
    let mut chat = Chat {
        messages: args.system.iter().map(|s| Message::new("system", s)).collect(),
        options: GenerateOptions {
            max_tokens: args.max_tokens,
            sampler: args.sampling.config(),
            stop: args.stop.clone(),
            ..GenerateOptions::default()
        },
        system: usize::from(args.system.is_some()),
        last: String::new(),
        json: args.json,
        model,
        session,
        interrupt,
    };
    // Fails now rather than after the first message.
    usable_template(&chat.model)?;
    let mut input = Input::new()?;
    if input.is_terminal() {
        eprintln!("{}; /help for help", settings(&chat.model));
    }
    while let Some(line) = input.line()? {
        match line.trim() {
            "" => {}
            "/help" => print(HELP)?,
            "/exit" | "/quit" => break,
            "/reset" => {
                chat.messages.truncate(chat.system);
                chat.session.truncate(0);
            }
            "/stats" => print(&chat.stats())?,
            "/regenerate" => chat.regenerate()?,
            command if command.starts_with('/') && !command.contains(char::is_whitespace) => {
                eprintln!("siskin: no command {command}; /help lists them");
            }
            text => {
                chat.messages.push(Message::new("user", text));
                chat.answer()?;
            }
        }
    }
    Ok(())
}

struct Chat {
    model: Model,
    session: Session,
    messages: Vec<Message>,
    /// How many of the first messages are the system's.
    system: usize,
    options: GenerateOptions,
    interrupt: Interrupt,
    /// Whether answers are printed as JSON.
    json: bool,
    /// What there is to say about the last answer.
    last: String,
}

impl Chat {
    /// Answers the last message. Failures that concern this turn only are told, and the turn is taken back.
    fn answer(&mut self) -> Result {
        match self.generate() {
            Ok(text) => {
                self.messages.push(Message::new("assistant", text));
                Ok(())
            }
            Err(Failure::Library(e)) if matches!(e.kind(), ErrorKind::ContextFull | ErrorKind::Template) => {
                eprintln!("siskin: {e}");
                if e.kind() == ErrorKind::ContextFull {
                    eprintln!("siskin: /reset starts anew; --ctx makes room for more");
                }
                self.messages.pop();
                Ok(())
            }
            Err(other) => Err(other),
        }
    }

    fn generate(&mut self) -> Result<String> {
        let tokens = conversation(&self.model, &self.messages)?;
        let kept = self.session.reuse_prefix(&tokens);
        let cancel = self.session.cancel_token();
        cancel.reset();
        self.interrupt.watch(Some(cancel));
        let mut progress = Progress::new();
        let (mut text, mut generated) = (String::new(), Vec::new());
        let mut broken = None;
        let quiet = self.json;
        let outcome = self.session.generate(&tokens[kept..], &self.options, &mut |event| {
            match event {
                Event::Prefill { done, total } => progress.show("reading", done, total),
                Event::Token { id, .. } => {
                    progress.clear();
                    generated.push(id.0);
                }
                Event::Text(piece) => {
                    text.push_str(piece);
                    if quiet {
                        return Flow::Continue;
                    }
                    if let Err(e) = print(piece) {
                        broken = Some(e);
                        return Flow::Stop;
                    }
                }
            }
            Flow::Continue
        });
        drop(progress);
        self.interrupt.watch(None);
        self.session.cancel_token().reset();
        if let Some(e) = broken {
            return Err(e.into());
        }
        if !self.json {
            print("\n")?;
        }
        let outcome = outcome?;
        if self.json {
            let answer = json!({ "text": text, "tokens": generated, "reason": reason(outcome.reason) });
            print(&format!("{answer}\n"))?;
        }
        match outcome.reason {
            StopReason::ContextFull => eprintln!("siskin: the context is full; /reset starts anew"),
            StopReason::Cancelled => eprintln!("siskin: cancelled"),
            _ => {}
        }
        let stats = outcome.stats;
        self.last = format!(
            "{} of {} prompt tokens were new, at {:.1}/s; {} generated at {:.1}/s; {}\n",
            stats.prompt_tokens,
            tokens.len(),
            rate(stats.prompt_tokens, stats.prefill_time),
            stats.generated_tokens,
            rate(stats.generated_tokens.saturating_sub(1), stats.decode_time),
            reason(outcome.reason),
        );
        Ok(text)
    }

    fn regenerate(&mut self) -> Result {
        if self.messages.last().is_some_and(|m| m.role == "assistant") {
            self.messages.pop();
        }
        if self.messages.len() <= self.system {
            eprintln!("siskin: there is nothing to answer yet");
            return Ok(());
        }
        self.options.sampler.seed = self.options.sampler.seed.wrapping_add(1);
        self.answer()
    }

    fn stats(&self) -> String {
        format!(
            "{}{} of {} tokens of context used\n",
            self.last,
            self.session.position(),
            self.session.fit().context
        )
    }
}

/// Lines from the keyboard, with editing, or from a pipe.
enum Input {
    Editor(Box<DefaultEditor>),
    Pipe,
}

impl Input {
    fn new() -> Result<Self> {
        if !std::io::stdin().is_terminal() {
            return Ok(Self::Pipe);
        }
        let editor =
            DefaultEditor::new().map_err(|e| Failure::Usage(format!("no terminal to read from: {e}")))?;
        Ok(Self::Editor(Box::new(editor)))
    }

    fn is_terminal(&self) -> bool {
        matches!(self, Self::Editor(_))
    }

    /// The next line with its continuations; `None` at the end.
    fn line(&mut self) -> Result<Option<String>> {
        let mut text = String::new();
        loop {
            let more = !text.is_empty();
            let Some(line) = self.single(if more { "… " } else { "> " })? else {
                return Ok(more.then_some(text));
            };
            match line.strip_suffix('\\') {
                Some(line) => {
                    text.push_str(line);
                    text.push('\n');
                }
                None => {
                    text.push_str(&line);
                    break;
                }
            }
        }
        if let Self::Editor(editor) = self {
            let _ = editor.add_history_entry(&text);
        }
        Ok(Some(text))
    }

    fn single(&mut self, prompt: &str) -> Result<Option<String>> {
        match self {
            Self::Editor(editor) => match editor.readline(prompt) {
                Ok(line) => Ok(Some(line)),
                Err(ReadlineError::Interrupted) => Ok(Some(String::new())), // drops the line
                Err(ReadlineError::Eof) => Ok(None),
                Err(e) => Err(Failure::Other(format!("cannot read a line: {e}"), crate::output::UNREADABLE)),
            },
            Self::Pipe => {
                let mut line = String::new();
                match std::io::stdin().lock().read_line(&mut line) {
                    Ok(0) => Ok(None),
                    Ok(_) => Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned())),
                    Err(e) => Err(Failure::Other(format!("standard input: {e}"), crate::output::UNREADABLE)),
                }
            }
        }
    }
}
