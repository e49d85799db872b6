//! Moderation: how probable it is that a text violates a policy, as a classifier says that answers "Yes" or "No".
//!
//! The prompts are those of ShieldGemma (Zeng et al. 2024, and the chat template of its files), for what a user wrote and
//! for what a chatbot answered. The text comes first and the policy behind it, so several policies cost little more than
//! one: what their prompts have in common is computed once.
//!
//! The probability is the softmax over the logits of the two tokens "Yes" and "No", as the model card says.

mod policy;

use crate::cancel::CancelToken;
use crate::engine::Model;
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::Value;
use crate::kv_cache::KvType;
use crate::plan::MAX_CONTEXT;
use crate::session::{Session, SessionOptions};
use crate::tokenizer::{TokenId, TokenKind, Tokenizer};

pub use self::policy::{MAX_GUIDELINE_BYTES, Policy};

/// Smallest room that is made, in tokens: short texts with any of the known policies fit.
const LEAST_ROOM: usize = 512;

/// How to moderate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModerateOptions {
    /// Also with a model that does not say it is a classifier of this kind. It must have the tokens; what its numbers mean
    /// is the caller's to know.
    pub any_model: bool,
    /// How keys and values are stored on the way.
    pub kv_type: KvType,
}

/// How a text stands to a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The policy's name.
    pub policy: String,
    /// Probability that the text violates it, 0 to 1.
    pub probability: f64,
}

/// Tells how probable it is that texts violate policies. Keeps its buffers from text to text. Not shared: one thread uses it
/// at a time; its [`CancelToken`] reaches it from others.
#[derive(Debug)]
pub struct Moderator {
    model: Model,
    options: ModerateOptions,
    marks: Marks,
    cancel: CancelToken,
    session: Option<Session>,
    computed: usize,
}

/// Tokens of the prompt and of the answer.
#[derive(Clone, Copy, Debug)]
struct Marks {
    turn_start: TokenId,
    turn_end: TokenId,
    yes: TokenId,
    no: TokenId,
}

impl Model {
    /// Starts a moderator.
    ///
    /// A model is taken for a classifier of this kind if its chat template speaks to a "policy expert" and wants a
    /// `guideline`, or if its name (`general.name` or `general.basename`) contains "shieldgemma".
    ///
    /// # Errors
    /// `Unsupported`, with what is missing, if the model is none and the options do not ask for any, or if its vocabulary
    /// lacks the tokens for turns or the words "Yes" and "No" as one token each.
    pub fn moderator(&self, options: &ModerateOptions) -> Result<Moderator> {
        let marks = Marks::new(self)?;
        if !options.any_model && !is_classifier(self) {
            let message = "the file does not say that the model tells whether texts violate policies: its chat template \
                           asks no policy expert about a guideline, and its name is not ShieldGemma (any model can be asked for)";
            return Err(Error::new(ErrorKind::Unsupported, message).with_key("tokenizer.chat_template"));
        }
        let (model, cancel) = (self.clone(), CancelToken::default());
        Ok(Moderator { model, options: *options, marks, cancel, session: None, computed: 0 })
    }
}

/// Whether the file says so.
fn is_classifier(model: &Model) -> bool {
    let meta = model.file().metadata();
    let text = |key: &str| meta.get(key).and_then(Value::as_str).unwrap_or_default();
    let named = |key: &str| {
        let name: String = text(key).chars().filter(|c| c.is_alphanumeric()).collect();
        name.to_lowercase().contains("shieldgemma")
    };
    let template = text("tokenizer.chat_template");
    let asks = template.contains("policy expert") && template.contains("guideline");
    asks || named("general.name") || named("general.basename")
}

impl Marks {
    fn new(model: &Model) -> Result<Self> {
        if !model.spec().generates {
            let message = "the model embeds texts, it does not answer whether they violate a policy";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let tokenizer = model.tokenizer();
        let find = |text: &str, control: bool| {
            let is_right = |id: &TokenId| {
                let kind = tokenizer.token_kind(*id);
                if control { kind == Some(TokenKind::Control) } else { kind == Some(TokenKind::Normal) }
            };
            tokenizer.token_id(text.as_bytes()).filter(is_right).ok_or_else(|| {
                let what = if control { "control token" } else { "token" };
                let message =
                    format!("the model cannot tell whether texts violate policies: no {what} is \"{text}\"");
                Error::new(ErrorKind::Unsupported, message).with_key("tokenizer.ggml.tokens")
            })
        };
        Ok(Self {
            turn_start: find("<start_of_turn>", true)?,
            turn_end: find("<end_of_turn>", true)?,
            yes: find("Yes", false)?,
            no: find("No", false)?,
        })
    }
}

impl Moderator {
    /// Most tokens of a prompt, which holds the text, the policy and about a hundred more: what the model was trained for.
    pub fn max_tokens(&self) -> usize {
        self.model.spec().context.min(MAX_CONTEXT)
    }

    /// Prompt tokens that the last call computed: what prompts have in common is computed once, and not at all if the call
    /// before had it too.
    pub fn computed_tokens(&self) -> usize {
        self.computed
    }

    /// A handle that cancels what this moderator does.
    pub fn cancel_token(&self) -> CancelToken {
        self.cancel.clone()
    }

    /// From now on `token` cancels what this moderator does, and the tokens given out before do not.
    pub fn set_cancel_token(&mut self, token: CancelToken) {
        self.cancel = token;
    }

    /// How probable it is that a text violates each of `policies`, in their order: `prompt`, which a user wrote, or
    /// `response`, if there is one, which a chatbot gave to it. What looks like a special token in a text is taken
    /// literally.
    ///
    /// # Errors
    /// `Argument` for no policy, or one that makes no sense ([`Policy::words`]); `ContextFull` for texts that are too long
    /// ([`max_tokens`](Self::max_tokens)): none is cut, for then it could hide what is cut off; `Cancelled`; `Numeric` if
    /// the model's output is not a number; `Limit` if there is no memory; `FileChanged`; `Poisoned`.
    pub fn moderate(
        &mut self,
        prompt: &str,
        response: Option<&str>,
        policies: &[Policy],
    ) -> Result<Vec<Score>> {
        if policies.is_empty() {
            return Err(Error::new(ErrorKind::Argument, "no policy to hold the text against"));
        }
        let prompts: Vec<Vec<TokenId>> =
            policies.iter().map(|policy| self.tokens(prompt, response, policy)).collect::<Result<_>>()?;
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        let Marks { yes, no, .. } = self.marks;
        self.computed = 0;
        let mut computed = 0;
        let session = self.session_for(longest)?;
        let mut scores = Vec::with_capacity(policies.len());
        for (tokens, policy) in prompts.iter().zip(policies) {
            let kept = session.reuse_prefix(tokens);
            session.prefill(&tokens[kept..])?;
            computed += tokens.len() - kept;
            let logit = |id: TokenId| session.logits().get(id.0 as usize).copied().unwrap_or(f32::NAN);
            let probability = share_of_first(logit(yes), logit(no))?;
            scores.push(Score { policy: policy.name.clone(), probability });
        }
        self.computed = computed;
        Ok(scores)
    }

    /// The prompt that asks about one policy, whose next token is "Yes" or "No".
    ///
    /// # Errors
    /// As [`Policy::words`]; `Cancelled`; `Limit` for a text of over a gibibyte.
    pub fn tokens(&self, prompt: &str, response: Option<&str>, policy: &Policy) -> Result<Vec<TokenId>> {
        let words = policy.words(response.is_some())?;
        let tokenizer = self.model.tokenizer();
        let Marks { turn_start, turn_end, .. } = self.marks;
        let mut out: Vec<TokenId> = tokenizer.bos().into_iter().collect();
        let mut add = |text: &str, mark: Option<TokenId>| -> Result<()> {
            self.check_cancelled()?;
            add_literally(tokenizer, text, &mut out)?;
            out.extend(mark);
            Ok(())
        };
        // To the letter what the model was trained on, the two spaces in the last line included.
        let (what, asked, must) = match response {
            None => ("a user prompt", "human question", "must start"),
            Some(_) => ("an AI response to a prompt", "Chatbot Response", "must  start"),
        };
        add(
            &format!(
                "You are a policy expert trying to help determine whether {what} is in violation of the defined safety \
                 policies.\n\n"
            ),
            Some(turn_start),
        )?;
        add(&format!("\nHuman Question: {prompt}\n"), Some(turn_end))?;
        if let Some(response) = response {
            add("\n", Some(turn_start))?;
            add(&format!("\nChatbot Response: {response}\n"), Some(turn_end))?;
        }
        add(
            &format!(
                "\n\nOur safety principle is defined in the below:\n\n* {words}\n\n===\n\nDoes the {asked} violate the \
                 above principle? Your answer {must} with 'Yes' or 'No'. And then walk through step by step to be sure \
                 we answer correctly.\n\n"
            ),
            None,
        )?;
        Ok(out)
    }

    fn check_cancelled(&self) -> Result<()> {
        match self.cancel.is_cancelled() {
            true => Err(Error::new(ErrorKind::Cancelled, "cancelled while the text was encoded")),
            false => Ok(()),
        }
    }

    /// A session with room for `n` tokens, which may hold some.
    fn session_for(&mut self, n: usize) -> Result<&mut Session> {
        let most = self.max_tokens();
        if n > most {
            let message =
                format!("the text and a policy take {n} tokens: the model was trained for at most {most}");
            return Err(Error::new(ErrorKind::ContextFull, message));
        }
        let session = match self.session.take().filter(|session| session.fit().context >= n) {
            Some(session) => session,
            None => {
                let context = n.next_power_of_two().clamp(LEAST_ROOM.min(most), most);
                let (context, kv_type) = (Some(context), self.options.kv_type);
                self.model.session(&SessionOptions { context, kv_type, ..SessionOptions::default() })?
            }
        };
        let session = self.session.insert(session);
        session.set_cancel_token(self.cancel.clone());
        Ok(session)
    }
}

/// Appends a text none of whose tokens is special.
fn add_literally(tokenizer: &Tokenizer, text: &str, out: &mut Vec<TokenId>) -> Result<()> {
    tokenizer.encode_into(text, crate::tokenizer::Special { add: false, parse: false }, out)
}

/// The softmax over two logits: the share of the first.
fn share_of_first(first: f32, second: f32) -> Result<f64> {
    let share = 1.0 / (1.0 + libm::exp(f64::from(second) - f64::from(first)));
    match share.is_nan() {
        true => Err(Error::new(ErrorKind::Numeric, "the model's output is not a number")),
        false => Ok(share),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_softmax_over_two() {
        assert_eq!(share_of_first(3.0, 3.0).expect("a number"), 0.5);
        let share = share_of_first(1.0, 0.0).expect("a number");
        assert!((share - 0.731_058_578_630_004_9).abs() < 1e-15, "{share}");
        assert!((share + share_of_first(0.0, 1.0).expect("a number") - 1.0).abs() < 1e-15);
        assert_eq!(share_of_first(f32::MAX, f32::MIN).expect("a number"), 1.0);
        assert_eq!(share_of_first(f32::MIN, f32::MAX).expect("a number"), 0.0);
        assert_eq!(share_of_first(f32::NAN, 0.0).expect_err("refused").kind(), ErrorKind::Numeric);
    }
}
