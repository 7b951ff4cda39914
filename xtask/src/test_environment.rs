//! What the tests see of their caller's environment: no locale, time zone, colours, widths, proxies, stores or Git settings of the
//! user's own, so that a verdict is the same for everybody.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

/// Starts of the names of variables that are kept from the tests.
const REMOVED: &[&str] = &[
    "ATEN_", "CLICOLOR", "DNNL_", "GIT_", "GLISTEN_", "GOMP_", "IPYTHON", "JUPYTER", "KMP_", "LC_", "MKL_",
    "MLFLOW_", "OMP_", "ONEDNN_", "POLARS_",
];
/// And whole names.
const REMOVED_NAMES: &[&str] = &[
    "COLUMNS",
    "FORCE_COLOR",
    "LANG",
    "LANGUAGE",
    "LINES",
    "NO_COLOR",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONWARNINGS",
    "RUST_LOG",
    "SOURCE_DATE_EPOCH",
    "TERM",
    "TZ",
];
/// Which of these speak to the tests or to the set-up, and stay: the processor's path, where things lie, how thorough to be.
const KEPT: &[&str] = &[
    "GLISTEN_CACHE",
    "GLISTEN_CHROMIUM",
    "GLISTEN_CPU",
    "GLISTEN_LIBTORCH",
    "GLISTEN_PICTURES",
    "GLISTEN_TEST_",
    "GLISTEN_TORCH_CUDA",
    "GLISTEN_UPDATE_SNAPSHOTS",
];

/// Whether a variable of the caller's is kept from the tests.
pub(crate) fn is_removed(name: &str) -> bool {
    let starts = |list: &[&str]| list.iter().any(|start| name.starts_with(start));
    REMOVED_NAMES.contains(&name) || (starts(REMOVED) && !starts(KEPT))
}

/// Takes the user's own settings from what `command` will see, and gives it fixed ones. Jupyter's own files go to `folder`.
pub(crate) fn fix(command: &mut Command, folder: &Path) {
    fix_given(command, folder, std::env::vars_os());
}

fn fix_given(command: &mut Command, folder: &Path, given: impl Iterator<Item = (OsString, OsString)>) {
    let mut direct = Vec::new();
    for (name, value) in given {
        let Some(text) = name.to_str() else { continue };
        if is_removed(text) {
            command.env_remove(&name);
        }
        if text.eq_ignore_ascii_case("no_proxy") && !value.is_empty() {
            direct.push(value);
        }
    }
    command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").env("TERM", "xterm-256color");
    // Neither the user's ~/.gitconfig nor the machine's.
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for (name, part) in [
        ("JUPYTER_CONFIG_DIR", "config"),
        ("JUPYTER_DATA_DIR", "data"),
        ("JUPYTER_RUNTIME_DIR", "runtime"),
        ("IPYTHONDIR", "ipython"),
    ] {
        command.env(name, folder.join(part));
    }
    // Servers that tests start are on this machine: no proxy is asked for them.
    direct.push("localhost,127.0.0.1,::1".into());
    let direct = direct.join(OsStr::new(","));
    command.env("NO_PROXY", &direct).env("no_proxy", &direct);
}

/// Lets files that tests make be as readable as they usually are, whatever the user's umask.
pub(crate) fn fix_umask() {
    // SAFETY: sets a number of this process's.
    unsafe { libc::umask(0o022) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_own_settings_are_kept_from_the_tests() {
        for name in [
            "GLISTEN_STORE",
            "GLISTEN_RUN",
            "GLISTEN_BUNDLE",
            "LC_ALL",
            "LC_NUMERIC",
            "LANG",
            "TZ",
            "NO_COLOR",
            "CLICOLOR_FORCE",
            "COLUMNS",
            "TERM",
            "GIT_DIR",
            "POLARS_FMT_MAX_ROWS",
            "OMP_NUM_THREADS",
            "ATEN_CPU_CAPABILITY",
            "JUPYTER_PATH",
            "MLFLOW_TRACKING_URI",
            "PYTHONPATH",
        ] {
            assert!(is_removed(name), "{name}");
        }
        for name in [
            "GLISTEN_CPU",
            "GLISTEN_TEST_STEPS",
            "GLISTEN_CACHE",
            "PATH",
            "HOME",
            "LD_LIBRARY_PATH",
            "CARGO_HOME",
            "TMPDIR",
            "TZDATA",
            "PYTHONUNBUFFERED",
            "LANGUAGES",
        ] {
            assert!(!is_removed(name), "{name}");
        }
    }

    #[test]
    fn what_tests_see_is_the_same_for_everybody() {
        let mut command = Command::new("true");
        let given = [
            ("GLISTEN_STORE", "/home/x/mine.db"),
            ("TZ", "Asia/Kathmandu"),
            ("LC_ALL", "C"),
            ("no_proxy", "example.org"),
            ("NO_PROXY", ""),
            ("HOME", "/home/x"),
        ];
        fix_given(
            &mut command,
            Path::new("/t"),
            given.iter().map(|(name, value)| (name.into(), value.into())),
        );
        let see = |name: &str| command.get_envs().find(|(key, _)| *key == name).map(|(_, value)| value);
        assert_eq!(see("GLISTEN_STORE"), Some(None));
        assert_eq!(see("TZ"), Some(Some(OsStr::new("UTC"))));
        assert_eq!(see("LC_ALL"), Some(Some(OsStr::new("C.UTF-8"))));
        assert_eq!(see("NO_PROXY"), Some(Some(OsStr::new("example.org,localhost,127.0.0.1,::1"))));
        assert_eq!(see("JUPYTER_CONFIG_DIR"), Some(Some(OsStr::new("/t/config"))));
        assert_eq!(see("HOME"), None, "cargo and rustup find their own by it");
    }
}
