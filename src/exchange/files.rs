//! Files and folders of an export: names that every file system takes, and files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Bytes that a folder's name may take: file systems stop at 255, and what is in the folder may add to its name.
const LONGEST: usize = 180;

/// Puts what `fill` writes into `path`, making its folder. A reader sees the file that was there before or the whole new
/// one; where something fails, the former.
///
/// # Errors
/// [`Error::Io`] if it cannot be written; what `fill` fails with.
pub(super) fn write_whole(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<u64> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"))?;
    let part = tempfile::Builder::new()
        .prefix(".glisten-")
        .suffix(".part")
        .tempfile_in(folder)
        .map_err(Error::io(path, "creating a file beside it"))?;
    let file = part.as_file().try_clone().map_err(Error::io(path, "writing"))?;
    let mut writer = BufWriter::new(file);
    fill(&mut writer)?;
    writer.flush().map_err(Error::io(path, "writing"))?;
    part.as_file().sync_all().map_err(Error::io(path, "writing"))?;
    let n_bytes = part.as_file().metadata().map_err(Error::io(path, "writing"))?.len();
    open_to_readers(part.as_file()).map_err(Error::io(path, "writing"))?;
    part.persist(path).map_err(|failed| Error::io(path, "putting the file in its place")(failed.error))?;
    Ok(n_bytes)
}

/// A temporary file is its owner's only; an export is for whoever may read the folder.
fn open_to_readers(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

/// A name for a file or folder that stands for `name` alone, and reads like it: what a file system or a shell may
/// stumble over is written as `%` and two hexadecimal digits a byte, and a name that is too long ends in `~` and a hash.
pub(crate) fn file_name(name: &str) -> String {
    let mut safe = String::new();
    for (at, character) in name.char_indices() {
        let is_hidden = at == 0 && character == '.';
        if is_hidden || character.is_control() || "/\\:*?\"<>|%~".contains(character) {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                safe.push_str(&format!("%{byte:02X}"));
            }
        } else {
            safe.push(character);
        }
    }
    if safe.len() <= LONGEST {
        return safe;
    }
    let hash = hex::encode(&Sha256::digest(name.as_bytes())[..8]);
    let end = (0..=LONGEST - 17).rev().find(|&end| safe.is_char_boundary(end)).unwrap_or(0);
    format!("{}~{hash}", &safe[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_safe_short_and_distinct() {
        assert_eq!(file_name("glister 30 % seed 0"), "glister 30 %25 seed 0");
        assert_eq!(file_name("../a/b"), "%2E.%2Fa%2Fb");
        assert_eq!(file_name("日本語 🦀"), "日本語 🦀");
        let (one, other) = ("🦀".repeat(255), "🦀".repeat(254));
        assert!(file_name(&one).len() <= LONGEST && file_name(&one).starts_with('🦀'));
        assert_ne!(file_name(&one), file_name(&other));
        assert_ne!(file_name("a/b"), file_name("a%2Fb"));
    }

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
