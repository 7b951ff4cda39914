//! One file of named tensors with a manifest: safetensors, which any other tool reads too, with Glisten's JSON in its
//! metadata. Tensors and manifest are in one file so that one rename makes both appear: a reader finds the old file or the
//! new one, never a mixture, whatever happens while it is written.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::{Device, Tensor};

use crate::data::files;
use crate::error::{Error, Result};
use crate::whole_file::write_whole;

/// Keys of the file's metadata.
const FORMAT: &str = "glisten.format";
const MANIFEST: &str = "glisten.manifest";

/// Tensors by name.
pub(super) type Tensors = BTreeMap<String, Tensor>;

/// A kind of file, as `checkpoint 2`: what its manifest has to say is settled by it.
pub(super) struct Format {
    /// As it stands in the file.
    pub(super) id: &'static str,
    /// As a sentence names it.
    pub(super) name: &'static str,
}

/// Puts `tensors` and `manifest` into `path`, making its folder. The file appears whole and on the disk, or not at all: then
/// what was there before is still there.
///
/// # Errors
/// [`Error::Io`] if it cannot be written; [`Error::Torch`] for a tensor that cannot be copied to memory.
pub(super) fn write(
    path: &Path,
    format: &Format,
    manifest: &impl Serialize,
    tensors: &Tensors,
) -> Result<()> {
    let views: Vec<(&str, Bytes)> = tensors
        .iter()
        .map(|(name, tensor)| Ok((name.as_str(), Bytes::of(tensor)?)))
        .collect::<Result<_>>()?;
    let invalid = |error: String| std::io::Error::new(std::io::ErrorKind::InvalidData, error);
    let text = serde_json::to_string(manifest).map_err(|error| invalid(error.to_string()));
    let text = text.map_err(Error::io(path, "writing the manifest"))?;
    let metadata = HashMap::from([(FORMAT.to_owned(), format.id.to_owned()), (MANIFEST.to_owned(), text)]);
    let bytes = safetensors::serialize(views, &Some(metadata)).map_err(|error| invalid(error.to_string()));
    let bytes = bytes.map_err(Error::io(path, "writing"))?;

    write_whole(path, |file| file.write_all(&bytes).map_err(Error::io(path, "writing"))).map(drop)
}

/// Reads what [`write`] wrote, onto the CPU.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::BadFile`] if it is damaged, or not of this format.
pub(super) fn read<M: DeserializeOwned>(path: &Path, format: &Format) -> Result<(M, Tensors)> {
    read_from(&files::open(path)?.0, path, format)
}

/// As [`read`], from the file at `path`, which has been opened.
///
/// # Errors
/// As [`read`].
pub(super) fn read_from<M: DeserializeOwned>(
    file: &File,
    path: &Path,
    format: &Format,
) -> Result<(M, Tensors)> {
    let bytes = files::read_opened(file, path)?;
    let bad = |found: String| Error::bad_file(path, format.name, found);
    let damaged = |error: safetensors::SafeTensorError| bad(format!("no whole safetensors file ({error:?})"));
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let metadata = metadata.metadata().clone().unwrap_or_default();
    match metadata.get(FORMAT) {
        Some(id) if id == format.id => {}
        Some(id) => return Err(bad(format!("a file of the format '{id}', where '{}' is needed", format.id))),
        None => return Err(bad("a safetensors file that Glisten did not write".to_owned())),
    }
    let manifest = metadata.get(MANIFEST).map_or("", String::as_str);
    let manifest =
        serde_json::from_str(manifest).map_err(|error| bad(format!("a manifest with an error: {error}")))?;
    let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    // Each tensor is a copy of its bytes.
    crate::data::budget::memory(path.display(), bytes.len() as u64, "use a machine with more memory")?;
    let tensors = file.tensors().into_iter().map(|(name, view)| {
        let kind = view.dtype().try_into()?;
        let size: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        Ok((name, Tensor::f_from_data_size(view.data(), &size, kind)?))
    });
    Ok((manifest, tensors.collect::<Result<_>>()?))
}

/// Copies the tensors called `prefix` + name into the `variables` of that name, every one of them.
///
/// # Errors
/// [`Error::BadFile`] about `path` if one is missing, too many, or of another shape or dtype.
pub(super) fn copy_into(
    variables: &HashMap<String, Tensor>,
    tensors: &Tensors,
    prefix: &str,
    path: &Path,
) -> Result<()> {
    let bad = |expected: String, found: String| Err(Error::bad_file(path, expected, found));
    let is_ours = |name: &&String| name.starts_with(prefix);
    if let Some(name) =
        tensors.keys().filter(is_ours).find(|name| !variables.contains_key(&name[prefix.len()..]))
    {
        return bad(
            "the weights of this model".to_owned(),
            format!("'{}', which it does not have", &name[prefix.len()..]),
        );
    }
    let mut pairs = Vec::new();
    for (name, variable) in variables {
        let expected = || {
            format!("'{name}' of shape {:?}, {:?}, as this model has it", variable.size(), variable.kind())
        };
        match tensors.get(&format!("{prefix}{name}")) {
            None => return bad(expected(), "none".to_owned()),
            Some(tensor) if tensor.size() != variable.size() || tensor.f_kind()? != variable.f_kind()? => {
                return bad(expected(), format!("shape {:?}, {:?}", tensor.size(), tensor.kind()));
            }
            Some(tensor) => pairs.push((variable.shallow_clone(), tensor)),
        }
    }
    // Only when all fit: a model is never left half one and half the other.
    let _no_grad = tch::no_grad_guard();
    for (mut variable, tensor) in pairs {
        variable.f_copy_(tensor)?;
    }
    Ok(())
}

/// A tensor's values as little-endian bytes.
struct Bytes {
    dtype: Dtype,
    shape: Vec<usize>,
    values: Vec<u8>,
}

impl Bytes {
    fn of(tensor: &Tensor) -> Result<Self> {
        let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
        let kind = tensor.f_kind()?;
        let mut values = vec![0; tensor.numel() * kind.elt_size_in_bytes()];
        tensor.f_copy_data_u8(&mut values, tensor.numel())?;
        let shape = tensor.size().into_iter().map(|n| n as usize).collect();
        Ok(Self { dtype: kind.try_into()?, shape, values })
    }
}

impl View for Bytes {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.values)
    }

    fn data_len(&self) -> usize {
        self.values.len()
    }
}
