//! Images in a session: rows in the place of tokens, all in one pass.

use super::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{AttentionSpec, Tap, Wanted};
use crate::sampler::Sampler;
use crate::tokenizer::TokenId;
use crate::vision::{IMAGE_POSITION, ImageFeatures, ImagePrompt};

use super::Flow;

impl Session {
    /// Feeds an image behind what is there: [`positions`](ImageFeatures::positions) rows `[positions, width]`, which are
    /// the model's embeddings as they are. Each position sees all others of the image besides those before, in every layer,
    /// so they go through in one pass. Computes no logits: feed what follows the image.
    ///
    /// # Errors
    /// Before anything is computed: `Argument` if the rows are not as wide as the model, or if they are more than the
    /// session's batch; `Unsupported` if a layer's attention cannot look ahead, or takes more than the rows;
    /// `ContextFull`. Then `Cancelled`, after which nothing of the image is there; `FileChanged`; `Poisoned`.
    pub fn prefill_image(&mut self, image: &ImageFeatures) -> Result<()> {
        self.image_pass(image, Wanted::None)
    }

    /// The same, and shows `tap` what [`prefill_tapped`](Session::prefill_tapped) does.
    ///
    /// # Errors
    /// As [`prefill_image`](Self::prefill_image).
    pub fn prefill_image_tapped(
        &mut self,
        image: &ImageFeatures,
        tap: &mut dyn FnMut(Tap<'_>),
    ) -> Result<()> {
        self.image_pass(image, Wanted::All(tap))
    }

    fn image_pass(&mut self, image: &ImageFeatures, wanted: Wanted<'_>) -> Result<()> {
        self.check_image(image)?;
        self.check_fits(image.positions())?;
        self.pass.clear();
        self.pass.extend(std::iter::repeat_n(IMAGE_POSITION.0, image.positions()));
        let at = self.position();
        self.run_pass(Some(image.rows()), wanted, None)?;
        self.images.push((at, image.clone()));
        Ok(())
    }

    /// Whether the session can be fed the image at all.
    pub(crate) fn check_image(&self, image: &ImageFeatures) -> Result<()> {
        let (spec, n) = (self.model.spec(), image.positions());
        let refuse = |kind, message: String| Err(Error::new(kind, message));
        if image.width() != spec.width {
            let message =
                format!("the image's rows have {} elements, the model's {}", image.width(), spec.width);
            return refuse(ErrorKind::Argument, message);
        }
        let looks_ahead = |a: &AttentionSpec| matches!(a, AttentionSpec::Gqa(a) if !a.chunked);
        if spec.per_layer.is_some() || !spec.layers.iter().all(|l| looks_ahead(&l.attention)) {
            let message = format!("a \"{}\" cannot be fed images", spec.architecture);
            return refuse(ErrorKind::Unsupported, message);
        }
        if n > self.fit.batch {
            let message = format!(
                "an image of {n} positions goes through in one pass: the session's batch of {} is too small",
                self.fit.batch
            );
            return refuse(ErrorKind::Argument, message);
        }
        Ok(())
    }

    /// Prepares to continue with the conversation `prompt`, as [`reuse_prefix`](Session::reuse_prefix) does; an image is
    /// kept if it is the same there. Says how many tokens are kept; those are for [`ImagePrompt::drop_first`].
    pub fn reuse_images(&mut self, prompt: &ImagePrompt) -> usize {
        let tokens = prompt.tokens();
        let (mut common, mut images) = (0, prompt.images().iter());
        while let (Some(&here), Some(&there)) = (self.tokens.get(common), tokens.get(common)) {
            if here != there {
                break;
            }
            if here != IMAGE_POSITION {
                common += 1;
                continue;
            }
            let held = self.images.iter().find(|(at, _)| *at == common).map(|(_, image)| image);
            match (held, images.next()) {
                (Some(held), Some(image)) if held == image => common += image.positions(),
                _ => break,
            }
        }
        self.truncate(common.min(tokens.len().saturating_sub(1)))
    }

    /// What [`prefill_with`](Session::prefill_with) does, with `images` for the [`IMAGE_POSITION`]s among `tokens`.
    pub(super) fn prefill_seeing(
        &mut self,
        tokens: &[TokenId],
        images: &[ImageFeatures],
        sampler: Option<&Sampler>,
        progress: &mut dyn FnMut(usize, usize) -> Flow,
    ) -> Result<Flow> {
        if images.is_empty() {
            return self.prefill_with(tokens, sampler, progress);
        }
        images.iter().try_for_each(|image| self.check_image(image))?;
        self.check_fits(tokens.len())?;
        if tokens.last() == Some(&IMAGE_POSITION) {
            return Err(Error::new(ErrorKind::Argument, "the prompt ends in an image: text must follow"));
        }
        let (mut done, mut images) = (0, images.iter());
        while done < tokens.len() {
            let rest = &tokens[done..];
            let text = rest.iter().position(|&t| t == IMAGE_POSITION).unwrap_or(rest.len());
            if text == rest.len() {
                return self.prefill_with(rest, sampler, &mut |n, _| progress(done + n, tokens.len()));
            }
            let flow = if text > 0 {
                let before = done;
                done += text;
                self.prefill_text(&rest[..text], &mut |n| progress(before + n, tokens.len()))?
            } else {
                let image = images.next().ok_or_else(|| {
                    Error::new(ErrorKind::Argument, "the prompt has more places for images than images")
                })?;
                self.prefill_image(image)?;
                done += image.positions();
                progress(done.min(tokens.len()), tokens.len())
            };
            if flow == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Continue)
    }

    /// Feeds text that an image follows: nobody looks at its logits.
    fn prefill_text(&mut self, tokens: &[TokenId], progress: &mut dyn FnMut(usize) -> Flow) -> Result<Flow> {
        self.check_room(tokens)?;
        let mut done = 0;
        for batch in tokens.chunks(self.fit.batch) {
            self.forward(batch, Wanted::None)?;
            done += batch.len();
            if progress(done) == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Continue)
    }

    /// The last position up to `n`, below what is there, that is not inside an image.
    pub(super) fn outside_images(&self, n: usize) -> usize {
        if self.tokens[n] != IMAGE_POSITION {
            return n;
        }
        self.tokens[..n].iter().rposition(|&t| t != IMAGE_POSITION).map_or(0, |last| last + 1)
    }
}
