//! What a job is asked.

use crate::chat::{Message, RenderOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::tokenizer::{Special, TokenId};

/// What comes before the answer.
#[derive(Clone, Debug)]
pub enum Prompt {
    /// These tokens, behind what the session holds.
    Tokens(Vec<TokenId>),
    /// This text, behind what the session holds. The tokenizer's begin token comes before it only at the start of a
    /// session.
    Text {
        /// The text.
        text: String,
        /// Whether the texts of special tokens in it become those tokens. Not for text from users.
        parse_special: bool,
    },
    /// A whole conversation, by the model's template. What the session holds of it already (the longest common prefix)
    /// is kept and not computed again; the rest of the session is forgotten.
    Messages {
        /// From the first to the one to be answered.
        messages: Vec<Message>,
        /// What the template is given besides.
        options: RenderOptions,
    },
}

impl Prompt {
    /// The tokens to feed to `session`, which is made ready for them. `Cancelled` if it was meanwhile.
    pub(super) fn tokens(&self, session: &mut Session) -> Result<Vec<TokenId>> {
        let cancel = session.cancel_token();
        match self {
            Self::Tokens(tokens) => Ok(tokens.clone()),
            Self::Text { text, parse_special } => {
                let at_start = session.position() == 0 && session.pending().is_none();
                let special = Special { add: at_start, parse: *parse_special };
                session.model().tokenizer().encode_unless(&cancel, text, special)
            }
            Self::Messages { messages, options } => {
                let mut tokens = session.model().conversation_unless(&cancel, messages, options)?;
                check(&tokens, session.fit().context)?; // before anything is forgotten
                let kept = session.reuse_prefix(&tokens);
                tokens.drain(..kept);
                Ok(tokens)
            }
        }
    }
}

/// Whether a conversation of these tokens can be computed at all.
fn check(tokens: &[TokenId], context: usize) -> Result<()> {
    if tokens.is_empty() {
        return Err(Error::new(
            ErrorKind::Argument,
            "the model's template makes nothing of this conversation",
        ));
    }
    if tokens.len() > context {
        let message = format!(
            "a conversation of {} tokens does not fit the context of {context}; a larger context can be asked for",
            tokens.len()
        );
        return Err(Error::new(ErrorKind::ContextFull, message));
    }
    Ok(())
}
