//! Beside git itself, in repositories made here; and in hostile ones, in which nothing may be run.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::{State, state};

/// git, with nothing of the user's configuration.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_OPTIONAL_LOCKS", "0");
    let output = command.output().ok()?;
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn is_there() -> bool {
    let is_there = Command::new("git").arg("--version").output().is_ok();
    if !is_there {
        println!("skipped: no git here to compare with");
    }
    is_there
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// As git tells it.
fn told(folder: &Path) -> State {
    let changes = git(folder, &["status", "--porcelain", "--untracked-files=no"]).unwrap();
    State { commit: git(folder, &["rev-parse", "HEAD"]).unwrap(), is_dirty: Some(!changes.is_empty()) }
}

fn assert_as_told(folder: &Path, is_dirty: bool, what: &str) {
    let expected = told(folder);
    assert_eq!(expected.is_dirty, Some(is_dirty), "{what}: git itself");
    assert_eq!(state(folder), Some(expected), "{what}");
}

fn repository(folder: &Path, options: &[&str]) {
    git(folder, &[&["init", "-q", "-b", "main"], options].concat());
    write(folder, "a.txt", "one\n");
    write(folder, "src/deep/b.rs", "fn b() {}\n");
    write(folder, "src.txt", "sorted before src/\n");
    write(folder, "src/z", "");
    std::os::unix::fs::symlink("a.txt", folder.join("link")).unwrap();
    git(folder, &["add", "."]);
    git(folder, &["commit", "-q", "-m", "first"]);
}

#[test]
fn the_state_is_the_one_that_git_tells() {
    if !is_there() {
        return;
    }
    for options in [&[][..], &["--object-format=sha256"]] {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        assert_eq!(state(folder), None, "no repository");
        git(folder, &[&["init", "-q", "-b", "main"], options].concat());
        assert_eq!(state(folder), None, "no commit yet");
        repository(folder, options);
        assert_as_told(folder, false, "a commit");
        assert_as_told(&folder.join("src/deep"), false, "within a folder");
        write(folder, "new.txt", "not tracked");
        assert_as_told(folder, false, "a file that is not tracked");
        write(folder, "a.txt", "two\n");
        assert_as_told(folder, true, "a change of the same length");
        write(folder, "a.txt", "one\n");
        assert_as_told(folder, false, "changed back");
        write(folder, "a.txt", "longer\n");
        git(folder, &["add", "a.txt"]);
        assert_as_told(folder, true, "a change that is staged");
        git(folder, &["commit", "-q", "-m", "second"]);
        assert_as_told(folder, false, "the change as a commit");
        let earlier = std::fs::File::options().write(true).open(folder.join("a.txt")).unwrap();
        earlier.set_modified(SystemTime::now() - Duration::from_secs(10_000)).unwrap();
        assert_as_told(folder, false, "another time and the same content");
        std::fs::set_permissions(folder.join("a.txt"), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_as_told(folder, true, "made executable");
        std::fs::set_permissions(folder.join("a.txt"), std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::remove_file(folder.join("link")).unwrap();
        assert_as_told(folder, true, "a link that is gone");
        std::os::unix::fs::symlink("src.txt", folder.join("link")).unwrap();
        assert_as_told(folder, true, "a link to elsewhere");
        git(folder, &["checkout", "-q", "link"]);
        for version in ["4", "3", "2"] {
            git(folder, &["update-index", "--index-version", version]);
            assert_as_told(folder, false, "versions of the index");
        }
        git(folder, &["rm", "-q", "--cached", "src.txt"]);
        assert_as_told(folder, true, "no longer tracked");
        git(folder, &["reset", "-q", "--hard"]);
        git(folder, &["update-index", "--assume-unchanged", "a.txt"]);
        write(folder, "a.txt", "not looked at");
        assert_as_told(folder, false, "a file that is not to be looked at");
        git(folder, &["update-index", "--no-assume-unchanged", "a.txt"]);
        git(folder, &["reset", "-q", "--hard"]);
        git(folder, &["checkout", "-q", "--detach"]);
        assert_as_told(folder, false, "no branch");
        git(folder, &["checkout", "-q", "main"]);
        git(folder, &["gc", "-q"]);
        git(folder, &["pack-refs", "--all"]);
        assert!(!folder.join(".git/refs/heads/main").exists(), "packed");
        assert_as_told(folder, false, "everything packed");
        write(folder, "intent.txt", "x");
        git(folder, &["add", "-N", "intent.txt"]);
        assert_as_told(folder, true, "to be added");
        git(folder, &["reset", "-q"]);
        // Further work trees and clones: a file that says where the repository is, and objects that are lent.
        let other = temporary.path().join("other tree");
        git(folder, &["worktree", "add", "-q", other.to_str().unwrap(), "-b", "side"]);
        assert_as_told(&other, false, "a further work tree");
        write(&other, "a.txt", "x");
        assert_as_told(&other, true, "a change in a further work tree");
        let clone = tempfile::tempdir().unwrap();
        git(clone.path(), &["clone", "-q", "--shared", folder.to_str().unwrap(), "clone"]);
        assert_as_told(&clone.path().join("clone"), false, "a clone that shares objects");
    }
}

#[test]
fn submodules_are_looked_into() {
    if !is_there() {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let (inner, outer) = (temporary.path().join("inner"), temporary.path().join("outer"));
    for folder in [&inner, &outer] {
        std::fs::create_dir(folder).unwrap();
        repository(folder, &[]);
    }
    git(&outer, &["submodule", "--quiet", "add", inner.to_str().unwrap(), "part"]);
    git(&outer, &["commit", "-q", "-m", "with a part"]);
    assert_as_told(&outer, false, "a submodule");
    write(&outer, "part/a.txt", "changed");
    assert_as_told(&outer, true, "a change in a submodule");
    git(&outer.join("part"), &["commit", "-q", "-a", "-m", "change"]);
    assert_as_told(&outer, true, "another commit of a submodule");
}

#[test]
fn no_program_that_a_repository_names_is_run() {
    if !is_there() {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let mark = folder.join("it-was-run");
    let command = format!("touch '{}'; cat", mark.display());
    repository(folder, &[]);
    write(folder, ".gitattributes", "*.txt filter=evil diff=evil\n");
    git(folder, &["add", ".gitattributes"]);
    git(folder, &["commit", "-q", "-m", "attributes"]);
    let expected = git(folder, &["rev-parse", "HEAD"]).unwrap();
    let hooks = folder.join("hooks");
    for name in ["post-index-change", "fsmonitor-watchman", "pre-commit"] {
        write(&hooks, name, &format!("#!/bin/sh\n{command}\n"));
        std::fs::set_permissions(hooks.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    for (name, value) in [
        ("core.fsmonitor", command.as_str()),
        ("core.hooksPath", hooks.to_str().unwrap()),
        ("core.sshCommand", &command),
        ("core.pager", &command),
        ("diff.external", &command),
        ("diff.evil.textconv", &command),
        ("filter.evil.clean", &command),
        ("filter.evil.smudge", &command),
        ("filter.evil.process", &command),
        ("filter.evil.required", "true"),
    ] {
        git(folder, &["config", name, value]);
    }
    // Of the same length, so that git would have to ask the filter.
    std::fs::write(folder.join("a.txt"), "two\n").unwrap();
    let found = state(folder).unwrap();
    assert_eq!(found, State { commit: expected, is_dirty: None }, "what a filter makes of it is not known");
    assert!(!mark.exists());
    // The trap works: git itself walks into it.
    let _ = Command::new("git").arg("-C").arg(folder).args(["status", "--porcelain"]).output();
    assert!(mark.exists(), "git runs what the repository names");
    // One whose length has changed has changed, whatever filters say.
    std::fs::write(folder.join("a.txt"), "longer than it was\n").unwrap();
    assert_eq!(state(folder).unwrap().is_dirty, Some(true));
}

#[test]
fn whatever_stands_in_a_repository_there_is_an_answer() {
    use rand::{Rng, SeedableRng};
    if !is_there() {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    repository(folder, &[]);
    git(folder, &["gc", "-q"]);
    let packs: Vec<_> = std::fs::read_dir(folder.join(".git/objects/pack")).unwrap().flatten().collect();
    let mut files: Vec<_> = packs.into_iter().map(|entry| entry.path()).collect();
    files.extend(["HEAD", "index", "packed-refs", "config"].map(|name| folder.join(".git").join(name)));
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(4);
    for file in files {
        let whole = std::fs::read(&file).unwrap();
        let _ = std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644));
        for _ in 0..100 {
            let mut bytes = whole.clone();
            for _ in 0..random.gen_range(1..6) {
                let at = random.gen_range(0..bytes.len());
                bytes[at] = random.r#gen();
            }
            bytes.truncate(random.gen_range(0..=whole.len()).max(random.gen_range(0..=whole.len())));
            std::fs::write(&file, bytes).unwrap();
            let _ = state(folder);
        }
        std::fs::write(&file, whole).unwrap();
    }
    assert_eq!(state(folder).unwrap().is_dirty, Some(false));
    // A branch that stands for itself, and one that leads out of the repository.
    for head in ["ref: refs/heads/self", "ref: refs/../../secret", "ref: /etc/passwd", "ref: HEAD", "x", ""] {
        std::fs::write(folder.join(".git/HEAD"), head).unwrap();
        std::fs::write(folder.join(".git/refs/heads/self"), "ref: refs/heads/self\n").unwrap();
        std::fs::write(folder.join("secret"), "0123456789012345678901234567890123456789\n").unwrap();
        assert_eq!(state(folder), None, "{head}");
    }
}
