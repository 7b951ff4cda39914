//! Checkpoints: all that a training needs to go on from the end of an epoch as if nothing had happened.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::nn::VarStore;

use super::epoch::Course;
use super::tensor_file::{self, Format, Tensors};
use crate::error::{Error, Result};
use crate::regular_file;
use crate::select::{Loader, LoaderState};

const FORMAT: Format = Format { id: "checkpoint 2", name: "a checkpoint of this release of Glisten" };

const MODEL: &str = "model.";
const OPTIMIZER: &str = "optimizer.";
const LOADER: &str = "loader.";

/// Where a training stands, beside its tensors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The configuration's fingerprint: a checkpoint of another training is not taken.
    pub(super) config: String,
    /// Epochs done.
    pub(super) epoch: usize,
    /// Steps done, where the learning rate's schedule stands.
    pub(super) step: u64,
    /// Epochs that the loader has begun.
    pub(super) n_epochs_begun: u64,
    /// Seconds of training steps until here.
    pub(super) train_secs: f64,
    /// Seconds of choosing until here.
    pub(super) selection_secs: f64,
    /// Seconds of everything until here.
    pub(super) wall_secs: f64,
}

/// A checkpoint that has been read.
pub(super) struct Checkpoint {
    path: PathBuf,
    pub(super) position: Position,
    tensors: Tensors,
}

/// Writes a checkpoint to `path`; an earlier one is replaced when this one is whole and on the disk.
///
/// # Errors
/// [`Error::Io`] if it cannot be written; then the earlier one is still there.
pub(super) fn write(
    path: &Path,
    position: &Position,
    variables: &VarStore,
    course: &Course,
    loader: &Loader,
) -> Result<()> {
    let loader = loader.state();
    let (step, momenta) = course.state();
    let position = Position { step, n_epochs_begun: loader.n_epochs_begun, ..position.clone() };
    let mut tensors = Tensors::new();
    let mut add = |prefix: &str, name: String, tensor| tensors.insert(format!("{prefix}{name}"), tensor);
    for (name, tensor) in variables.variables() {
        add(MODEL, name, tensor);
    }
    for (name, tensor) in momenta {
        add(OPTIMIZER, name, tensor);
    }
    for (name, tensor) in loader.tensors {
        add(LOADER, name, tensor);
    }
    tensor_file::write(path, &FORMAT, &position, &tensors)
}

impl Checkpoint {
    /// Reads the checkpoint at `path`, if there is one, of the training with the fingerprint `config`.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::BadFile`] for a file that cannot be read, is damaged, or belongs to another training.
    pub(super) fn read(path: &Path, config: &str) -> Result<Option<Self>> {
        // A store may come from elsewhere, with links in its folder.
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
        let file = match regular_file::open_below(folder, &[name]) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(Error::io(path, "reading"))?,
        };
        let advice = |error: Error| match error {
            Error::BadFile { path, expected, found } => {
                let found = format!("{found}; without this file the training starts from its beginning");
                Error::BadFile { path, expected, found }
            }
            error => error,
        };
        let (position, tensors): (Position, _) =
            tensor_file::read_from(&file, path, &FORMAT).map_err(advice)?;
        if position.config != config {
            let error =
                Error::bad_file(path, "the checkpoint of this training", "that of another configuration");
            return Err(advice(error));
        }
        Ok(Some(Self { path: path.to_path_buf(), position, tensors }))
    }

    /// Puts model, optimiser and loader where they were.
    ///
    /// # Errors
    /// [`Error::BadFile`] if the tensors are not those of this training.
    pub(super) fn restore(
        self,
        variables: &VarStore,
        course: &mut Course,
        loader: &mut Loader,
    ) -> Result<Position> {
        let Self { path, position, tensors } = self;
        tensor_file::copy_into(&variables.variables(), &tensors, MODEL, &path)?;
        let mut of_optimizer = Vec::new();
        let mut state = LoaderState { n_epochs_begun: position.n_epochs_begun, tensors: Vec::new() };
        for (name, tensor) in tensors {
            if let Some(name) = name.strip_prefix(OPTIMIZER) {
                of_optimizer.push((name.to_owned(), tensor));
            } else if let Some(name) = name.strip_prefix(LOADER) {
                state.tensors.push((name.to_owned(), tensor));
            }
        }
        course.restore(position.step, &of_optimizer).map_err(|error| {
            Error::bad_file(&path, "the momentum of this model's weights", error.to_string())
        })?;
        if !loader.restore(state)? {
            return Err(Error::bad_file(
                &path,
                "the state of a loader over this data",
                "that of another one",
            ));
        }
        Ok(position)
    }
}
