//! Texts to vectors: one text is one pass, or several if no position sees those after it; then pooling, the matrices
//! behind it, a shorter vector if asked for, and length 1.

use super::Session;
use crate::cancel::CancelToken;
use crate::engine::Model;
use crate::error::{Error, ErrorKind, Result};
use crate::kv_cache::KvType;
use crate::model::{Pooling, Tap, Wanted};
use crate::plan::{DEFAULT_BATCH, MAX_BATCH, MAX_CONTEXT, SessionOptions};
use crate::tokenizer::{Special, TokenId};

/// Smallest room that is made for texts, in tokens: most queries fit.
const LEAST_ROOM: usize = 64;

/// How texts become vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedOptions {
    /// How the states of the tokens become one; `None` for what the file says. A model that was not trained to embed has
    /// nothing in its file: then it must be named.
    pub pooling: Option<Pooling>,
    /// Whether vectors have length 1, so that the product of two is their cosine.
    pub normalize: bool,
    /// Only the first so many elements, for models that were trained for that ("Matryoshka": Kusupati et al. 2022); `None`
    /// for all.
    pub dimensions: Option<usize>,
    /// Whether a text that is too long is cut, keeping the tokens that the tokenizer puts at its end; if not, it is
    /// refused.
    pub truncate: bool,
    /// How keys and values are stored on the way. By default as they are: vectors are compared with others made elsewhere.
    pub kv_type: KvType,
}

impl Default for EmbedOptions {
    fn default() -> Self {
        Self { pooling: None, normalize: true, dimensions: None, truncate: false, kv_type: KvType::F32 }
    }
}

/// Turns texts into vectors. Keeps its buffers from text to text, as large as the longest so far needed. Not shared: one
/// thread uses it at a time; its [`CancelToken`] reaches it from others.
#[derive(Debug)]
pub struct Embedder {
    model: Model,
    options: EmbedOptions,
    pooling: Pooling,
    dimensions: usize,
    cancel: CancelToken,
    session: Option<Session>,
}

impl Model {
    /// Elements of a text's embedding, if not cut.
    pub fn embedding_dimensions(&self) -> usize {
        self.spec().embedding.dimensions(self.spec().width)
    }

    /// Starts an embedder. Task prefixes and instructions that a model was trained with are the caller's to write.
    ///
    /// # Errors
    /// `Unsupported` if neither the file nor the options say how to pool: the model was not trained to embed; `Argument`
    /// for 0 or too many dimensions.
    pub fn embedder(&self, options: &EmbedOptions) -> Result<Embedder> {
        let spec = self.spec();
        let pooling = options.pooling.or(spec.embedding.pooling).ok_or_else(|| {
            let message = "the file does not say how the states of a text become its embedding; name a pooling to \
                           try it (few models that generate text are good at this)";
            Error::new(ErrorKind::Unsupported, message).with_key(format!("{}.pooling_type", spec.architecture))
        })?;
        let all = self.embedding_dimensions();
        let dimensions = options.dimensions.unwrap_or(all);
        if !(1..=all).contains(&dimensions) {
            let message = format!("{dimensions} dimensions: the model's embeddings have {all}");
            return Err(Error::new(ErrorKind::Argument, message));
        }
        Ok(Embedder {
            model: self.clone(),
            options: options.clone(),
            pooling,
            dimensions,
            cancel: CancelToken::default(),
            session: None,
        })
    }

    /// The embedding of one text; for several, an [`embedder`](Self::embedder) keeps its buffers.
    ///
    /// # Errors
    /// As [`embedder`](Self::embedder) and [`Embedder::embed`].
    pub fn embed(&self, text: &str, options: &EmbedOptions) -> Result<Vec<f32>> {
        self.embedder(options)?.embed(text)
    }
}

impl Embedder {
    /// Elements of each vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// How the states of the tokens become one.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// Most tokens of a text, those that the tokenizer adds included: what the model was trained for.
    pub fn max_tokens(&self) -> usize {
        let spec = self.model.spec();
        spec.context.min(if spec.is_bidirectional() { MAX_BATCH } else { MAX_CONTEXT })
    }

    /// A handle that cancels what this embedder does.
    pub fn cancel_token(&self) -> CancelToken {
        self.cancel.clone()
    }

    /// From now on `token` cancels what this embedder does, and the tokens given out before do not.
    pub fn set_cancel_token(&mut self, token: CancelToken) {
        self.cancel = token;
    }

    /// The embedding of `text`, `[dimensions]`. What looks like a special token in it is taken literally.
    ///
    /// # Errors
    /// `ContextFull` for a text of more than [`max_tokens`](Self::max_tokens), unless it may be cut; `Argument` for a text
    /// without a token; `Cancelled`; `Numeric` if the model's output is not a number; `Limit` if there is no memory;
    /// `FileChanged`; `Poisoned`.
    pub fn embed(&mut self, text: &str) -> Result<Vec<f32>> {
        let tokenizer = self.model.tokenizer();
        let special = Special { add: true, parse: false };
        let mut tokens = tokenizer.encode_unless(&self.cancel, text, special)?;
        let most = self.max_tokens();
        if self.options.truncate && tokens.len() > most {
            let end = tokenizer.added_end();
            tokens.truncate(most);
            if let (Some(end), Some(last)) = (end, tokens.last_mut()) {
                *last = end;
            }
        }
        self.embed_tokens(&tokens)
    }

    /// The embedding of a text that was encoded already, with the tokens that the model expects around it.
    ///
    /// # Errors
    /// As [`embed`](Self::embed), but never cuts; `Argument` for a token that the model does not have.
    pub fn embed_tokens(&mut self, tokens: &[TokenId]) -> Result<Vec<f32>> {
        let (pooling, dimensions, normalize) = (self.pooling, self.dimensions, self.options.normalize);
        let mut vector = self.session_for(tokens)?.embed(tokens, pooling)?;
        vector.truncate(dimensions);
        let square: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        if !square.is_finite() {
            return Err(Error::new(ErrorKind::Numeric, "the embedding is not a number"));
        }
        if normalize && square > 0.0 {
            let length = square.sqrt();
            vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        }
        Ok(vector)
    }

    /// Shows `tap` the inside of the passes over a text, instead of embedding it. Positions that taps name are relative to
    /// the pass.
    ///
    /// # Errors
    /// As [`embed_tokens`](Self::embed_tokens).
    pub fn tap_tokens(&mut self, tokens: &[TokenId], tap: &mut dyn FnMut(Tap<'_>)) -> Result<()> {
        self.session_for(tokens)?.prefill_tapped(tokens, tap)
    }

    /// An empty session with room for `tokens`.
    fn session_for(&mut self, tokens: &[TokenId]) -> Result<&mut Session> {
        let (n, most) = (tokens.len(), self.max_tokens());
        if n == 0 {
            return Err(Error::new(ErrorKind::Argument, "a text without a token has no embedding"));
        }
        if n > most {
            let message = format!("a text of {n} tokens: the model was trained for at most {most}");
            return Err(Error::new(ErrorKind::ContextFull, message));
        }
        let session = match self.session.take().filter(|session| session.fit().context >= n) {
            Some(session) => session,
            None => {
                let context = n.next_power_of_two().clamp(LEAST_ROOM.min(most), most);
                let options = SessionOptions {
                    context: Some(context),
                    batch: DEFAULT_BATCH,
                    kv_type: self.options.kv_type,
                    logit_rows: 1,
                };
                Session::new(&self.model, &options)?
            }
        };
        let session = self.session.insert(session);
        session.set_cancel_token(self.cancel.clone());
        session.truncate(0);
        // Encodings that depend on the length of a session follow the text, not the room that happens to be there.
        session.acts.context = n;
        Ok(session)
    }
}

impl Session {
    /// The pooled states of a text, after the matrices behind pooling. The session is empty and has room.
    fn embed(&mut self, tokens: &[TokenId], pooling: Pooling) -> Result<Vec<f32>> {
        self.check_room(tokens)?;
        for batch in tokens.chunks(self.fit.batch) {
            let start = self.position();
            self.forward(batch, Wanted::States)?;
            let Self { acts, model, cancel, .. } = self;
            let cx = model.context(cancel);
            model.decoder().pool(&cx, acts, pooling, (start, batch.len(), tokens.len()));
        }
        let Self { acts, model, cancel, .. } = self;
        let cx = model.context(cancel);
        let vector = model.decoder().embedding(&cx, acts).to_vec();
        // A product that was cancelled half way left numbers that mean nothing.
        cx.check_cancelled()?;
        Ok(vector)
    }
}
