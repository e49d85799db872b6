//! Where images stand in a prompt.

use std::borrow::Cow;

use super::{IMAGE_MARK, ImageFeatures, Picture, Vision};
use crate::cancel::CancelToken;
use crate::chat::Message;
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::{Special, TokenId};

/// What [`Session::tokens`](crate::Session::tokens) and an [`ImagePrompt`] have for each position of an image. No model
/// has such a token.
pub const IMAGE_POSITION: TokenId = TokenId(u32::MAX);

/// What a prompt has around an image.
const GAP: &str = "\n\n";
/// What it has before a picture with crops, between the picture and the first crop, and between crops: the words of Gemma 3's
/// processor in Hugging Face transformers.
const WHOLE: &str = "Here is the original image ";
const CROPS: &str = " and here are some crops to help you see better ";
const NEXT: &str = " ";

/// Tokens with images among them, for [`Session::generate_seeing`](crate::Session::generate_seeing).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImagePrompt {
    tokens: Vec<TokenId>,
    images: Vec<ImageFeatures>,
}

impl From<Vec<TokenId>> for ImagePrompt {
    /// A prompt without images.
    fn from(tokens: Vec<TokenId>) -> Self {
        Self { tokens, images: Vec::new() }
    }
}

impl ImagePrompt {
    /// Puts an image between each two of the `runs` that [`Vision::tokens`] gave.
    ///
    /// # Errors
    /// `Argument` if there are not as many.
    pub fn new(runs: Vec<Vec<TokenId>>, images: Vec<ImageFeatures>) -> Result<Self> {
        if runs.len() != images.len() + 1 {
            let message = format!("{} images do not lie between {} runs of tokens", images.len(), runs.len());
            return Err(Error::new(ErrorKind::Argument, message));
        }
        let mut tokens = Vec::new();
        for (i, run) in runs.into_iter().enumerate() {
            tokens.extend(run);
            tokens.extend(images.get(i).map_or(0..0, |x| 0..x.positions()).map(|_| IMAGE_POSITION));
        }
        Ok(Self { tokens, images })
    }

    /// The tokens, with [`IMAGE_POSITION`] for each position of an image.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// The images, in order.
    pub fn images(&self) -> &[ImageFeatures] {
        &self.images
    }

    /// Drops the first `n` tokens, and the images whose first position is among them.
    pub fn drop_first(&mut self, n: usize) {
        let (mut at, mut gone) = (0, 0);
        while at < n.min(self.tokens.len()) {
            at += match self.tokens[at] {
                IMAGE_POSITION => {
                    gone += 1;
                    self.images.get(gone - 1).map_or(1, ImageFeatures::positions)
                }
                _ => 1,
            };
        }
        self.tokens.drain(..at.min(self.tokens.len()));
        self.images.drain(..gone.min(self.images.len()));
    }
}

/// Makes room in a message for so many images: where its text has an [`IMAGE_MARK`] for each, else before it. A message
/// whose content is a list of parts (in [`Message::fields`]) says itself where they are.
///
/// # Errors
/// `Argument` if the text has marks, but not as many.
pub fn mark_images(message: &mut Message, images: usize) -> Result<()> {
    if images > 0 && !message.fields.contains_key("content") {
        message.content = marked(&message.content, images)?;
    }
    Ok(())
}

fn marked(text: &str, images: usize) -> Result<String> {
    match text.matches(IMAGE_MARK).count() {
        0 => Ok(IMAGE_MARK.repeat(images) + text),
        n if n == images => Ok(text.to_owned()),
        n => Err(wrong_marks(n, images)),
    }
}

fn wrong_marks(marks: usize, images: usize) -> Error {
    let message = format!("the prompt has {marks} marks \"{IMAGE_MARK}\" for {images} images");
    Error::new(ErrorKind::Argument, message)
}

/// How many images each picture has.
fn images(pictures: &[Picture]) -> Vec<usize> {
    pictures.iter().map(Picture::images).collect()
}

/// The pieces of text around images, of those around pictures, which have so many images each.
fn around_images<'a>(pieces: &[&'a str], images: &[usize]) -> Vec<Cow<'a, str>> {
    let mut out = Vec::with_capacity(1 + images.iter().sum::<usize>());
    for (i, &piece) in pieces.iter().enumerate() {
        match images.get(i) {
            None | Some(0 | 1) => out.push(piece.into()),
            Some(&n) => {
                out.push([piece, WHOLE].concat().into());
                out.push(CROPS.into());
                out.extend(std::iter::repeat_n(NEXT.into(), n - 2));
            }
        }
    }
    out
}

impl Vision {
    /// The tokens of a prompt with an [`IMAGE_MARK`] for each of its images: `images + 1` runs, between which the images go
    /// in. What the model was trained to see around an image is added.
    ///
    /// # Errors
    /// `Argument` if the prompt has another number of marks; whatever encoding fails with.
    pub fn tokens(&self, prompt: &str, images: usize) -> Result<Vec<Vec<TokenId>>> {
        self.tokens_around(&CancelToken::default(), prompt, &vec![1; images])
    }

    /// The same for `pictures`, whose crops come with words of their own: a run before each of their
    /// [`images`](Picture::images) and one behind the last.
    ///
    /// # Errors
    /// As [`tokens`](Self::tokens); there is a mark for each picture, not for each crop.
    pub fn tokens_showing(&self, prompt: &str, pictures: &[Picture]) -> Result<Vec<Vec<TokenId>>> {
        self.tokens_unless(&CancelToken::default(), prompt, pictures)
    }

    /// The same, or `Cancelled`.
    pub(crate) fn tokens_unless(
        &self,
        cancel: &CancelToken,
        prompt: &str,
        pictures: &[Picture],
    ) -> Result<Vec<Vec<TokenId>>> {
        self.tokens_around(cancel, prompt, &images(pictures))
    }

    /// The same by the number of each picture's images.
    fn tokens_around(
        &self,
        cancel: &CancelToken,
        prompt: &str,
        images: &[usize],
    ) -> Result<Vec<Vec<TokenId>>> {
        let pieces: Vec<&str> = prompt.split(IMAGE_MARK).collect();
        if pieces.len() != images.len() + 1 {
            return Err(wrong_marks(pieces.len() - 1, images.len()));
        }
        self.runs(cancel, &around_images(&pieces, images), self.0.model.special_of(prompt))
    }

    /// The same for text that comes behind other text: `special` says how it is encoded. Pictures stand where it has their
    /// marks, if special tokens in it count, else before it.
    pub(crate) fn text_unless(
        &self,
        cancel: &CancelToken,
        text: &str,
        pictures: &[Picture],
        special: Special,
    ) -> Result<Vec<Vec<TokenId>>> {
        let images = images(pictures);
        if special.parse {
            let text = marked(text, images.len())?;
            let pieces: Vec<&str> = text.split(IMAGE_MARK).collect();
            return self.runs(cancel, &around_images(&pieces, &images), special);
        }
        let mut pieces = vec![""; images.len()];
        pieces.push(text);
        self.runs(cancel, &around_images(&pieces, &images), special)
    }

    /// A run of tokens for each piece, with the ends of images between them.
    fn runs(
        &self,
        cancel: &CancelToken,
        pieces: &[Cow<'_, str>],
        mut special: Special,
    ) -> Result<Vec<Vec<TokenId>>> {
        let tokenizer = self.0.model.tokenizer();
        let mut runs = Vec::with_capacity(pieces.len());
        for (i, piece) in pieces.iter().enumerate() {
            let (first, last) = (i == 0, i + 1 == pieces.len());
            let text = [if first { "" } else { GAP }, piece, if last { "" } else { GAP }].concat();
            let mut run = Vec::new();
            if !first {
                run.push(self.0.end);
                special = Special { add: false, ..special };
            }
            run.extend(tokenizer.encode_unless(cancel, &text, special)?);
            if !last {
                run.push(self.0.begin);
            }
            runs.push(run);
        }
        Ok(runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_with_crops_come_with_words() {
        // As Gemma3Processor writes it, with "*" for what stands for an image.
        let shown = |text: &str, images: &[usize]| {
            around_images(&text.split('*').collect::<Vec<_>>(), images).join("*")
        };
        assert_eq!(shown("no image", &[]), "no image");
        assert_eq!(shown("a*b", &[1]), "a*b");
        let one = "Here is the original image * and here are some crops to help you see better *";
        assert_eq!(shown("a*b", &[2]), format!("a{one}b"));
        assert_eq!(shown("*", &[4]), format!("{one} * *"));
        assert_eq!(shown("a*b**c", &[3, 1, 2]), format!("a{one} *b*{one}c"));
    }
}
