//! Writing files whole or not at all, with Glisten's errors: every file that a user names a place for is written by this.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use glisten_reports::WholeFile;

use crate::error::{Error, Result};

/// Puts what `fill` writes into `path`, making its folder: see [`WholeFile`]. A reader sees the file that was there before or
/// the whole new one; where something fails, the former. Returns how many bytes were written.
///
/// # Errors
/// [`Error::Io`] if it cannot be written; what `fill` fails with.
pub(crate) fn write_whole(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<u64> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"))?;
    let whole = WholeFile::create(path).map_err(Error::io(path, "creating a file beside it"))?;
    let mut writer = BufWriter::new(whole.file().try_clone().map_err(Error::io(path, "writing"))?);
    fill(&mut writer)?;
    writer.flush().map_err(Error::io(path, "writing"))?;
    whole.finish().map_err(Error::io(path, "writing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_fails_half_way_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/x.txt");
        let all = |text: &'static str| {
            let path = path.clone();
            move |file: &mut BufWriter<File>| {
                file.write_all(text.as_bytes()).map_err(Error::io(&path, "writing"))
            }
        };
        assert_eq!(write_whole(&path, all("first")).unwrap(), 5);
        let failed = write_whole(&path, |file| {
            all("sec")(file)?;
            Err(Error::argument("x", "y", "z"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing half-written is left");
    }
}
