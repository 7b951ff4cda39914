//! What goes with a run beside its numbers: its artifacts, and its selections as Parquet.

use std::path::PathBuf;

use polars::prelude::ParquetWriter;
use sha2::{Digest, Sha256};

use super::Export;
use crate::error::Result;
use crate::track::{Run, RunRecord};

/// Something that goes along with a run.
pub(super) struct Attached {
    pub(super) name: String,
    pub(super) content: Content,
    pub(super) sha256: String,
}

/// Where its bytes are.
pub(super) enum Content {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl Export<'_> {
    /// A run's artifacts, and `selections.parquet` where it has chosen samples.
    pub(super) fn attached(&self, record: &RunRecord) -> Result<Vec<Attached>> {
        let mut attached: Vec<Attached> = Vec::new();
        for artifact in record.artifacts.iter().filter(|_| self.with_artifacts) {
            attached.push(Attached {
                name: artifact.name.clone(),
                content: Content::File(artifact.path.clone()),
                sha256: artifact.sha256.clone(),
            });
        }
        if !self.with_selections {
            return Ok(attached);
        }
        let run = self.experiment.find_run(&record.name)?;
        if let Some(bytes) = selections(&run)? {
            let is_taken = |name: &str| attached.iter().any(|other| other.name == name);
            let name =
                ["selections.parquet", "glisten-selections.parquet"].into_iter().find(|name| !is_taken(name));
            let sha256 = hex::encode(Sha256::digest(&bytes));
            let name = name.unwrap_or("selections-of-the-run.parquet").to_owned();
            attached.push(Attached { name, content: Content::Bytes(bytes), sha256 });
        }
        Ok(attached)
    }
}

/// The selections of a run as a Parquet file, if it has any.
fn selections(run: &Run) -> Result<Option<Vec<u8>>> {
    let mut frame = run.selections()?;
    if frame.height() == 0 {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame)?;
    Ok(Some(bytes))
}
