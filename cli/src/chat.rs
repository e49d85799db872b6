//! `siskin chat`: a conversation. What the model has read stays in its cache: each turn feeds only what is new.

use crate::Result;
use crate::args::{ChatArgs, Reasoning};
use crate::aside::Aside;
use crate::image::Eyes;
use crate::interrupt::Interrupt;
use crate::output::{Failure, print};
use crate::progress::Progress;
use crate::prompt::{conversation, rate, template, usable_template};
use crate::run::{reason, settings};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use serde_json::json;
use siskin::chat::Message;
use siskin::{ErrorKind, Event, Flow, GenerateOptions, Model, Picture, SharedSession, StopReason};
use std::io::{BufRead, IsTerminal};
use std::path::Path;

const HELP: &str = "\
/help         this
/reset        forget the conversation (the system message stays)
/regenerate   answer the last message again, with other random numbers
/image FILE   show a picture (PNG or JPEG) with the next message
/stats        how much context is used and how fast the last answer came
/exit         end (also Ctrl-D)
Ctrl-C        cancel an answer; the part that came stays
A line that ends with \\ goes on in the next one.
";

pub(crate) fn run(args: &ChatArgs) -> Result {
    let interrupt = Interrupt::install()?;
    let model = args.model.open_with(args.template.as_deref().map(template).transpose()?)?;
    let session = SharedSession::new(&model, &args.context.options())?;
    let mut chat = Chat {
        messages: args.system.iter().map(|s| Message::new("system", s)).collect(),
        options: GenerateOptions {
            max_tokens: args.max_tokens,
            sampler: args.sampling.config(),
            stop: args.stop.clone(),
            // Also if it is hidden: templates may want it back.
            reasoning: true,
            ..GenerateOptions::default()
        },
        system: usize::from(args.system.is_some()),
        last: String::new(),
        json: args.json,
        reasoning: args.reasoning,
        pictures: Vec::new(),
        eyes: Eyes::new(&model, &args.model, &args.images),
        model,
        session,
        interrupt,
    };
    // Fails now rather than after the first message.
    usable_template(&chat.model)?;
    args.images.image.iter().try_for_each(|path| chat.show(path))?;
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
                chat.pictures.clear();
                chat.session.truncate(0)?;
            }
            "/stats" => print(&chat.stats())?,
            "/regenerate" => chat.regenerate()?,
            command if command.starts_with("/image ") => {
                let path = command["/image ".len()..].trim();
                if let Err(e) = chat.show(Path::new(path)) {
                    e.report(); // the conversation goes on
                }
            }
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
    session: SharedSession,
    messages: Vec<Message>,
    /// Each with the number of the message that shows it.
    pictures: Vec<(usize, Picture)>,
    eyes: Eyes,
    /// How many of the first messages are the system's.
    system: usize,
    options: GenerateOptions,
    interrupt: Interrupt,
    /// Whether answers are printed as JSON.
    json: bool,
    reasoning: Reasoning,
    /// What there is to say about the last answer.
    last: String,
}

impl Chat {
    /// Shows a picture with the next message.
    fn show(&mut self, path: &Path) -> Result {
        let picture = self.eyes.picture(path)?;
        self.pictures.push((self.messages.len(), picture));
        Ok(())
    }

    /// Answers the last message. Failures that concern this turn only are told, and the turn is taken back.
    fn answer(&mut self) -> Result {
        match self.generate() {
            Ok(message) => {
                self.messages.push(message);
                Ok(())
            }
            Err(Failure::Library(e)) if matches!(e.kind(), ErrorKind::ContextFull | ErrorKind::Template) => {
                eprintln!("siskin: {e}");
                if e.kind() == ErrorKind::ContextFull {
                    eprintln!("siskin: /reset starts anew; --ctx makes room for more");
                }
                self.messages.pop();
                self.pictures.retain(|(message, _)| *message < self.messages.len());
                Ok(())
            }
            Err(other) => Err(other),
        }
    }

    /// The answer as a message of the conversation.
    fn generate(&mut self) -> Result<Message> {
        let prompt = conversation(&self.model, &self.messages, &self.pictures)?;
        let job = self.session.job(prompt, self.options.clone())?;
        self.interrupt.watch(Some(job.cancel_token()));
        let mut progress = Progress::new();
        let (mut text, mut generated) = (String::new(), Vec::new());
        let mut broken = None;
        let quiet = self.json;
        let mut aside = Aside::new(self.reasoning, quiet);
        let outcome = job.run(&mut |event| {
            match event {
                Event::Prefill { done, total } => progress.show("reading", done, total),
                Event::Token { id, .. } => {
                    progress.clear();
                    generated.push(id.0);
                }
                Event::Reasoning(piece) => aside.push(piece),
                Event::Text(piece) => {
                    aside.close();
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
        let reasoning = aside.into_text();
        self.interrupt.watch(None);
        if let Some(e) = broken {
            return Err(e.into());
        }
        if !self.json {
            print("\n")?;
        }
        let outcome = outcome?;
        if self.json {
            let shown = Some(&reasoning).filter(|text| self.reasoning != Reasoning::Hide && !text.is_empty());
            let end = reason(outcome.reason);
            let answer = json!({ "text": text, "reasoning": shown, "tokens": generated, "reason": end });
            print(&format!("{answer}\n"))?;
        }
        match outcome.reason {
            StopReason::ContextFull => eprintln!("siskin: the context is full; /reset starts anew"),
            StopReason::Cancelled => eprintln!("siskin: cancelled"),
            _ => {}
        }
        let stats = outcome.stats;
        // The last token of an answer is not fed.
        let prompt_tokens = self.session.position()? - stats.generated_tokens.saturating_sub(1);
        self.last = format!(
            "{} of {} prompt tokens were new, at {:.1}/s; {} generated at {:.1}/s; {}\n",
            stats.prompt_tokens,
            prompt_tokens,
            rate(stats.prompt_tokens, stats.prefill_time),
            stats.generated_tokens,
            rate(stats.generated_tokens.saturating_sub(1), stats.decode_time),
            reason(outcome.reason),
        );
        let mut message = Message::new("assistant", text);
        if !reasoning.is_empty() {
            // Where gpt-oss's template looks for it.
            message.fields.insert("thinking".to_owned(), reasoning.into());
        }
        Ok(message)
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
            self.session.position().unwrap_or_default(),
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
