//! Programs on the search path. What the current folder holds is not among them: it may be an archive that somebody sent, with a
//! program in it that is called as one of the system's.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// The program called `name` in the first folder of `search_path` that has one. Folders that are not absolute (`.`, an empty
/// entry) are passed over.
pub(crate) fn find_in(name: &str, search_path: &OsStr) -> Option<PathBuf> {
    let runs = |path: &PathBuf| {
        path.metadata().is_ok_and(|there| there.is_file() && there.permissions().mode() & 0o111 != 0)
    };
    let folders = std::env::split_paths(search_path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(name)).find(runs)
}

/// As `find_in`, on this process's own `PATH`.
pub fn find(name: &str) -> Option<PathBuf> {
    find_in(name, &std::env::var_os("PATH")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_the_current_folder_is_no_program() {
        let here = std::env::current_dir().unwrap();
        let folder = tempfile::tempdir_in(&here).unwrap();
        let program = folder.path().join("tool");
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        let relative = folder.path().strip_prefix(&here).unwrap().to_str().unwrap();
        let absolute = folder.path().to_str().unwrap();
        assert_eq!(find_in("tool", absolute.as_ref()), None, "it may not be run");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        for path in [relative, "", ".", ":", &format!("./{relative}")] {
            assert_eq!(find_in("tool", path.as_ref()), None, "{path}");
        }
        assert_eq!(find_in("tool", format!("{relative}:{absolute}").as_ref()), Some(program));
    }
}
