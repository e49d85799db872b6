//! What a job is asked.

use crate::cancel::CancelToken;
use crate::chat::{Message, RenderOptions};
use crate::engine::Model;
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::tokenizer::{Special, TokenId};
use crate::vision::{ImagePrompt, Picture, Vision};

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
        /// What is to be seen: where the text has marks of images, if special tokens in it count, else before it.
        pictures: Vec<Picture>,
    },
    /// These tokens and nothing before them. What the session holds of them already (the longest common prefix) is kept and
    /// not computed again; the rest of the session is forgotten.
    Anew(Vec<TokenId>),
    /// A whole conversation, by the model's template. What the session holds of it already (the longest common prefix)
    /// is kept and not computed again; the rest of the session is forgotten.
    Messages {
        /// From the first to the one to be answered.
        messages: Vec<Message>,
        /// What the template is given besides.
        options: RenderOptions,
        /// What is to be seen where messages have marks of images, see [`mark_images`](crate::vision::mark_images).
        pictures: Vec<Picture>,
    },
}

impl Prompt {
    /// Refuses pictures that were made for another model than `model`, whose session has passes of `batch` positions.
    pub(super) fn check(&self, model: &Model, batch: usize) -> Result<()> {
        let (Self::Text { pictures, .. } | Self::Messages { pictures, .. }) = self else { return Ok(()) };
        for vision in pictures.iter().map(Picture::vision) {
            let refuse = |message: String| Err(Error::new(ErrorKind::Argument, message));
            if !vision.model().is_same(model) {
                return refuse("a picture was made for another model than the session's".to_owned());
            }
            let n = vision.spec().positions();
            if n > batch {
                let message = "positions goes through in one pass: the session's batch of";
                return refuse(format!("an image of {n} {message} {batch} is too small"));
            }
        }
        Ok(())
    }

    /// What to feed to `session`, which is made ready for it. `Cancelled` if it was meanwhile.
    pub(super) fn prepare(&self, session: &mut Session) -> Result<ImagePrompt> {
        let cancel = session.cancel_token();
        match self {
            Self::Tokens(tokens) => Ok(tokens.clone().into()),
            Self::Anew(tokens) => anew(tokens.clone().into(), session),
            Self::Text { text, parse_special, pictures } => {
                let at_start = session.position() == 0 && session.pending().is_none();
                let special = Special { add: at_start, parse: *parse_special };
                let Some(vision) = pictures.first().map(Picture::vision) else {
                    return Ok(session.model().tokenizer().encode_unless(&cancel, text, special)?.into());
                };
                let runs = vision.text_unless(&cancel, text, pictures, special)?;
                seen(vision, runs, pictures, session.room(), &cancel)
            }
            Self::Messages { messages, options, pictures } => {
                let model = session.model();
                let prompt = match pictures.first().map(Picture::vision) {
                    None => model.conversation_unless(&cancel, messages, options)?.into(),
                    Some(vision) => {
                        let text = model.chat_template()?.render(messages, options)?;
                        let runs = vision.tokens_unless(&cancel, &text, pictures)?;
                        seen(vision, runs, pictures, session.fit().context, &cancel)?
                    }
                };
                anew(prompt, session)
            }
        }
    }
}

/// The pictures between the runs; nothing is encoded if they do not fit.
fn seen(
    vision: &Vision,
    runs: Vec<Vec<TokenId>>,
    pictures: &[Picture],
    room: usize,
    cancel: &CancelToken,
) -> Result<ImagePrompt> {
    let positions = vision.spec().positions() * pictures.iter().map(Picture::images).sum::<usize>();
    check(runs.iter().map(Vec::len).sum::<usize>() + positions, room)?;
    let features = pictures.iter().map(|picture| picture.features(cancel)).collect::<Result<Vec<_>>>()?;
    ImagePrompt::new(runs, features.concat())
}

/// Makes `session` forget what does not belong to `prompt`; what is to be fed.
fn anew(mut prompt: ImagePrompt, session: &mut Session) -> Result<ImagePrompt> {
    check(prompt.tokens().len(), session.fit().context)?; // before anything is forgotten
    let kept = session.reuse_images(&prompt);
    prompt.drop_first(kept);
    Ok(prompt)
}

/// Whether a prompt of so many tokens can be computed at all.
fn check(tokens: usize, context: usize) -> Result<()> {
    if tokens == 0 {
        let message = "there are no tokens: the model's template makes nothing of the conversation";
        return Err(Error::new(ErrorKind::Argument, message));
    }
    if tokens > context {
        let message = format!(
            "a prompt of {tokens} tokens does not fit the context of {context}; a larger context can be asked for",
        );
        return Err(Error::new(ErrorKind::ContextFull, message));
    }
    Ok(())
}
