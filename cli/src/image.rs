//! Pictures for `run` and `chat`: the tower is opened with the first of them.

use crate::Result;
use crate::args::{ImageArgs, ModelArgs};
use crate::output::{Failure, UNREADABLE};
use siskin::{ErrorKind, Model, Picture, PictureOptions, Vision};
use std::path::{Path, PathBuf};

/// A model's eyes, opened when they are needed.
pub(crate) struct Eyes {
    model: Model,
    tower: Option<PathBuf>,
    vision: Option<Vision>,
    pan_and_scan: bool,
}

impl Eyes {
    pub(crate) fn new(model: &Model, model_args: &ModelArgs, args: &ImageArgs) -> Self {
        let folder = || model_args.model.is_dir().then(|| model_args.model.clone());
        let tower = args.mmproj.clone().or_else(folder);
        Self { model: model.clone(), tower, vision: None, pan_and_scan: args.pan_and_scan }
    }

    /// The picture in a file.
    pub(crate) fn picture(&mut self, path: &Path) -> Result<Picture> {
        let unreadable = |what: String| Failure::Other(format!("{}: {what}", path.display()), UNREADABLE);
        let pan_and_scan = self.pan_and_scan;
        let vision = self.vision()?;
        let options = PictureOptions { pan_and_scan: pan_and_scan.then_some(vision.spec().pan_and_scan) };
        let bytes = std::fs::read(path).map_err(|e| unreadable(e.to_string()))?;
        vision.picture_from_file_with(&bytes, &options).map_err(|e| match e.kind() {
            ErrorKind::Unsupported => e.into(),
            _ => unreadable(e.to_string()),
        })
    }

    fn vision(&mut self) -> Result<&Vision> {
        if self.vision.is_none() {
            let tower = self.tower.as_ref().ok_or_else(|| {
                let message =
                    "--image: the model's vision tower is in a file of its own; name it with --mmproj";
                Failure::Usage(message.to_owned())
            })?;
            self.vision = Some(Vision::open(tower, &self.model)?);
        }
        Ok(self.vision.as_ref().expect("opened above"))
    }
}
