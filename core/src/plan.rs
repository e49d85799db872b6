//! Sizes before allocation: what a session will take, computed from the specification alone.

use crate::error::{Error, ErrorKind, Result};
use crate::kv_cache::KvType;
use crate::model::Decoder;

/// Longest context that a session may have, in tokens.
pub const MAX_CONTEXT: usize = 1 << 24;
/// Most tokens in one pass.
pub const MAX_BATCH: usize = 1 << 13;
/// Tokens in one pass unless the caller says otherwise: enough that unpacking weights costs little, small enough that
/// the buffers stay small.
pub const DEFAULT_BATCH: usize = 256;
/// Most positions whose logits one pass may give.
pub const MAX_LOGIT_ROWS: usize = 16;
/// Context unless the caller says otherwise (or the model was trained for less), in tokens.
pub const DEFAULT_CONTEXT: usize = 4096;

/// Sizes of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// Tokens that fit; by default 4096, or what the model was trained for if that is less.
    pub context: Option<usize>,
    /// Most tokens in one pass. Results do not depend on it.
    pub batch: usize,
    /// How keys and values are stored.
    pub kv_type: KvType,
    /// Most tokens of [`Session::decode_rows`](crate::Session::decode_rows), whose logits one pass gives: 1 to 16. Each
    /// takes a float for every token of the vocabulary.
    pub logit_rows: usize,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { context: None, batch: DEFAULT_BATCH, kv_type: KvType::default(), logit_rows: 1 }
    }
}

/// Memory that a session needs, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Tokens of context.
    pub context: usize,
    /// Tokens per pass.
    pub batch: usize,
    /// Rows of logits: what was asked for, at most a batch.
    pub logit_rows: usize,
    /// Threads.
    pub threads: usize,
    /// The model file: mapped, shared with the page cache, given back by the system under pressure.
    pub mapped: u64,
    /// Keys and values, when the context is full.
    pub kv_cache: u64,
    /// Buffers of the forward pass.
    pub buffers: u64,
    /// Tables of the file, the tokenizer and the model.
    pub tables: u64,
    /// Bytes of weights that decoding one token reads.
    pub bytes_per_token: u64,
}

impl Fit {
    /// Sizes up a session of `context` tokens in batches of `batch`, `logit_rows` of which can have logits; `mapped` and
    /// `tables` are the file's and the tokenizer's share.
    ///
    /// # Errors
    /// `Argument` for a context, batch or number of rows of 0 or beyond [`MAX_CONTEXT`], [`MAX_BATCH`] and
    /// [`MAX_LOGIT_ROWS`]; `Limit` for what cannot be addressed.
    pub fn new(
        decoder: &Decoder,
        (context, batch, logit_rows, threads): (usize, usize, usize, usize),
        kv_type: KvType,
        mapped: u64,
        tables: usize,
    ) -> Result<Self> {
        for (what, value, max) in [
            ("a context", context, MAX_CONTEXT),
            ("a batch", batch, MAX_BATCH),
            ("logits", logit_rows, MAX_LOGIT_ROWS),
        ] {
            if value == 0 {
                return Err(Error::new(ErrorKind::Argument, format!("{what} of 0 tokens")));
            }
            if value > max {
                let message = format!("{what} of {value} tokens: at most {max}");
                return Err(Error::new(ErrorKind::Argument, message));
            }
        }
        let logit_rows = logit_rows.min(batch);
        let too_large =
            || Error::new(ErrorKind::Limit, format!("a context of {context} tokens cannot be addressed"));
        let kv_cache = decoder
            .cache_shapes()
            .try_fold(0usize, |sum, shape| sum.checked_add(shape.bytes(kv_type, context, batch)?))
            .ok_or_else(too_large)?;
        let buffers = decoder.sizes((context, batch, logit_rows, threads)).bytes().ok_or_else(too_large)?;
        Ok(Self {
            context,
            batch,
            logit_rows,
            threads,
            mapped,
            kv_cache: kv_cache as u64,
            buffers: buffers as u64,
            tables: (tables + decoder.heap_bytes()) as u64,
            bytes_per_token: decoder.bytes_per_token() as u64,
        })
    }

    /// Memory that only this process has and that cannot be dropped: cache, buffers and tables.
    pub fn dirty(&self) -> u64 {
        self.kv_cache + self.buffers + self.tables
    }

    /// Everything, with the whole file resident.
    pub fn peak(&self) -> u64 {
        self.dirty() + self.mapped
    }
}
