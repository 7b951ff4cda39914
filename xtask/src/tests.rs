//! Tests of the set-up: what a kill leaves behind, wrong downloads, stale bundles, and texts written by other programs.

use std::fs;
use std::io::Write;
use std::path::Path;

use clap::Parser;
use serde_json::json;

use crate::build::{self, Artifact};
use crate::libtorch::{self, wheels};
use crate::{bundle, ci, folders, preflight, process, say, test};

/// A wheel-like archive of `members`.
fn archive(path: &Path, members: &[(&str, &[u8])]) {
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    for (name, bytes) in members {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn only_chosen_members_are_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let wheel = folder.path().join("torch-1.whl");
    archive(
        &wheel,
        &[
            ("torch/lib/libc10.so", b"c10"),
            ("torch/lib/libtorch_cuda.so", b"no"),
            ("torch/version.py", b"no"),
        ],
    );
    let into = folder.path().join("into");
    wheels::unpack(&wheel, &into, &|name| name.ends_with("libc10.so").then(|| "lib/libc10.so".to_owned()))
        .unwrap();
    assert_eq!(fs::read(into.join("lib/libc10.so")).unwrap(), b"c10");
    assert_eq!(fs::read_dir(into.join("lib")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(&into).unwrap().count(), 1);
}

#[test]
fn a_damaged_archive_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let wheel = folder.path().join("torch-1.whl");
    archive(&wheel, &[("torch/lib/libc10.so", &[7; 5000])]);
    let bytes = fs::read(&wheel).unwrap();
    fs::write(&wheel, &bytes[..bytes.len() / 2]).unwrap();
    let error = wheels::unpack(&wheel, &folder.path().join("into"), &|n| Some(n.to_owned())).unwrap_err();
    assert!(format!("{error:#}").contains("torch-1.whl"), "{error:#}");
}

#[test]
fn a_member_cannot_leave_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let wheel = folder.path().join("torch-1.whl");
    archive(&wheel, &[("../outside.so", b"x")]);
    let error = wheels::unpack(&wheel, &folder.path().join("into"), &|n| Some(n.to_owned())).unwrap_err();
    assert!(format!("{error:#}").contains("outside.so"), "{error:#}");
    assert!(!folder.path().join("outside.so").exists());
}

#[test]
fn what_a_kill_has_left_is_swept_and_the_rest_stays() {
    let store = tempfile::tempdir().unwrap();
    let half = store.path().join("2.11.0-cpu-cp311.part/lib");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join("libtorch_cpu.so"), "half").unwrap();
    fs::create_dir_all(store.path().join("overlay-1")).unwrap();
    fs::create_dir_all(store.path().join("downloads")).unwrap();
    wheels::sweep(store.path()).unwrap();
    let mut left: Vec<_> = fs::read_dir(store.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["downloads", "overlay-1"]);
}

#[test]
fn a_half_made_overlay_is_not_taken_for_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let folders = folders::Folders::new(folder.path().join("clone"), folder.path().join("cache"));
    let overlay = folder.path().join("cache/libtorch/overlay-1");
    fs::create_dir_all(overlay.join("lib")).unwrap();
    fs::create_dir_all(&folders.root).unwrap();
    folders::replace_link(&folders.libtorch_link(), &overlay).unwrap();
    for library in ["libtch.so", "libc10.so", "libtorch_cpu.so"] {
        fs::write(overlay.join("lib").join(library), "").unwrap();
    }
    // Without `source.json`, which is written last, the plan is not "nothing to do".
    assert!(!libtorch::is_ready(&folders));
}

#[test]
fn a_wrong_hash_names_file_expected_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let wheel = wheels::Wheel::for_test("some.whl", "00ff");
    assert!(wheels::verify(folder.path(), &wheel).is_err(), "no file yet");
    fs::write(folder.path().join("some.whl"), "abc").unwrap();
    let error = format!("{:#}", wheels::verify(folder.path(), &wheel).unwrap_err());
    // SHA-256 of "abc": FIPS 180-2, appendix B.1.
    let found = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert!(
        error.contains("some.whl") && error.contains("expected SHA-256 00ff") && error.contains(found),
        "{error}"
    );
}

#[test]
fn versions_are_read_from_headers_and_programs() {
    let header =
        "#define TORCH_VERSION_MAJOR 2\n\n#define TORCH_VERSION_MINOR 11\n#define TORCH_VERSION_PATCH 0\n";
    assert_eq!(libtorch::version_in_header(header).as_deref(), Some("2.11.0"));
    assert_eq!(libtorch::version_in_header("#define TORCH_VERSION_MAJOR 2\n"), None);
    assert_eq!(preflight::major_minor("1.95.0-beta.3"), Some((1, 95)));
    assert_eq!(preflight::major_minor("3.11"), Some((3, 11)));
    assert_eq!(preflight::major_minor("nightly"), None);
}

#[test]
fn a_link_is_replaced_in_one_step_but_a_folder_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join(".libtorch");
    folders::replace_link(&link, Path::new("one")).unwrap();
    folders::replace_link(&link, Path::new("two")).unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("two"));
    let own = folder.path().join("own");
    fs::create_dir(&own).unwrap();
    assert!(folders::replace_link(&own, Path::new("two")).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no half-made link is left");
}

#[test]
fn cargo_messages_give_metadata_and_procedural_macros() {
    let message = |kind: &str, files: &[&str]| {
        json!({
            "reason": "compiler-artifact", "package_id": "p#1", "target": { "kind": [kind] },
            "profile": { "opt_level": "2" }, "filenames": files,
        })
        .to_string()
    };
    let lib = build::artifact(&message("lib", &["/t/deps/libp-1.rlib", "/t/deps/libp-1.rmeta"])).unwrap();
    assert_eq!(lib.file, Path::new("/t/deps/libp-1.rmeta"));
    assert_eq!(lib.rlib(), Path::new("/t/deps/libp-1.rlib"));
    assert!(build::artifact(&message("proc-macro", &["/t/deps/libm-1.so"])).unwrap().is_proc_macro);
    assert!(build::artifact(&message("bin", &["/t/p"])).is_none());
    assert!(build::artifact(r#"{"reason":"build-finished","success":true}"#).is_none());
}

fn library(folder: &Path, package: &str, opt_level: &str, is_proc_macro: bool) -> Artifact {
    let file = folder.join(format!("lib{package}-{opt_level}.rmeta"));
    fs::write(&file, package).unwrap();
    Artifact { package: package.to_owned(), file, is_proc_macro, opt_level: opt_level.to_owned() }
}

/// prelude -> a -> macros -> unseen; a -> built (build dependency); other
fn resolved() -> serde_json::Value {
    let dep = |name: &str, kind: Option<&str>| json!({ "name": name, "pkg": name, "dep_kinds": [{ "kind": kind }] });
    json!({
        "packages": [{ "name": "glisten-prelude", "id": "prelude" }],
        "resolve": { "nodes": [
            { "id": "prelude", "deps": [dep("a", None)] },
            { "id": "a", "deps": [dep("macros", None), dep("built", Some("build"))] },
            { "id": "macros", "deps": [dep("unseen", None)] },
            { "id": "unseen", "deps": [] }, { "id": "built", "deps": [] }, { "id": "other", "deps": [] },
        ]},
    })
}

#[test]
fn a_bundle_holds_what_cells_need_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts: Vec<_> = [
        ("a", "2", false),
        ("a", "0", false),
        ("macros", "0", true),
        ("unseen", "0", false),
        ("built", "0", false),
        ("other", "2", false),
    ]
    .map(|(package, level, is_macro)| library(folder.path(), package, level, is_macro))
    .into();
    let needed = bundle::closure(&resolved(), &artifacts).unwrap();
    let names: Vec<&str> = needed.libraries.iter().map(|a| a.package.as_str()).collect();
    assert_eq!(names, ["a", "a", "macros"]);
    assert!(bundle::closure(&resolved(), &artifacts[2..]).is_err(), "a is missing");
}

#[test]
fn a_bundle_is_stale_when_a_library_a_source_or_the_compiler_changes() {
    let folder = tempfile::tempdir().unwrap();
    let sources = folder.path().join("src");
    fs::create_dir(&sources).unwrap();
    fs::write(sources.join("lib.rs"), "//! one").unwrap();
    let artifacts = [library(folder.path(), "a", "2", false), library(folder.path(), "macros", "0", true)];
    let needed = bundle::closure(&resolved(), &artifacts).unwrap();
    let fingerprint = |rustc: &str| bundle::fingerprint(&needed, &sources, rustc, Path::new("/lib")).unwrap();
    let first = fingerprint("rustc 1.95.0");
    assert_eq!(fingerprint("rustc 1.95.0"), first);
    assert_ne!(fingerprint("rustc 1.96.0"), first);
    fs::write(sources.join("lib.rs"), "//! two").unwrap();
    let second = fingerprint("rustc 1.95.0");
    assert_ne!(second, first);
    fs::write(&artifacts[0].file, "changed").unwrap();
    assert_ne!(fingerprint("rustc 1.95.0"), second);
}

#[test]
fn old_bundles_go_but_for_the_newest() {
    let bundles = tempfile::tempdir().unwrap();
    for name in ["1", "2", "3.part", "4"] {
        fs::create_dir(bundles.path().join(name)).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    bundle::prune(bundles.path(), &bundles.path().join("4")).unwrap();
    let mut left: Vec<_> = fs::read_dir(bundles.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["2", "4"]);
}

#[test]
fn the_shared_build_cache_forgets_members_only() {
    let profile = tempfile::tempdir().unwrap();
    let put = |path: &str| {
        let path = profile.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    };
    let gone = [
        ".fingerprint/glisten-kernel-01/x",
        "build/glisten-01/out",
        "deps/libglisten_reports-01.rlib",
        "deps/pipeline-01",
        "deps/glisten-01.d",
    ];
    let kept =
        [".fingerprint/polars-01/x", "build/glistenish-01/out", "deps/libpolars-01.rlib", "deps/polars-01.d"];
    gone.iter().chain(&kept).for_each(|path| put(path));
    ci::forget_members(profile.path()).unwrap();
    gone.iter().for_each(|path| assert!(!profile.path().join(path).exists(), "{path}"));
    kept.iter().for_each(|path| assert!(profile.path().join(path).exists(), "{path}"));
}

#[test]
fn test_counts_are_read_from_nextest_and_libtest() {
    let counts = |passed, failed, skipped| Some(test::Counts { passed, failed, skipped });
    let nextest = test::nextest_summary;
    assert_eq!(nextest("     Summary [   0.012s] 3 tests run: 3 passed, 0 skipped"), counts(3, 0, 0));
    let many = "Summary [ 61.1s] 9/12 tests run: 5 passed (1 slow, 2 leaky), 2 failed, 1 timed out, 1 exec failed, 4 skipped";
    assert_eq!(nextest(many), counts(5, 4, 4));
    assert_eq!(nextest("        PASS [   0.003s] xtask tests::x"), None);
    let libtest =
        "test result: FAILED. 4 passed; 1 failed; 2 ignored; 0 measured; 3 filtered out; finished in 0.01s";
    assert_eq!(test::libtest_summary(libtest), counts(4, 1, 2));
}

#[test]
fn children_see_the_users_library_path_only() {
    let own = std::env::current_exe().unwrap();
    let cargos =
        [own.parent().unwrap().join("deps"), "/toolchain/lib/rustlib/x86_64-unknown-linux-gnu/lib".into()];
    let before = |folders: &[std::path::PathBuf]| {
        process::library_path_before_cargo(&std::env::join_paths(folders).unwrap())
    };
    assert_eq!(before(&cargos), None);
    let with_users = [cargos.as_slice(), &["/opt/cuda/lib".into()]].concat();
    assert_eq!(before(&with_users).unwrap(), "/opt/cuda/lib");
}

#[test]
fn durations_read_well() {
    let shown = |secs| say::duration(std::time::Duration::from_secs(secs));
    assert_eq!([2, 83, 400, 3720].map(shown), ["2.0 s", "83 s", "6 min 40 s", "1 h 2 min"]);
}

#[test]
fn the_commands_that_the_readme_names_are_taken() {
    let text = include_str!("../../README.md");
    let blocks = text.lines().filter_map(|line| line.strip_prefix("$ "));
    let shown: Vec<&str> = blocks.chain(text.split('`').skip(1).step_by(2)).collect();
    let shown: Vec<&str> = shown.into_iter().filter_map(|line| line.strip_prefix("cargo xtask ")).collect();
    assert!(shown.len() > 20, "{shown:?}");
    // Flags in a sentence about one of these.
    let flags =
        ["study strategies --list", "study strategies --analyse", "study strategies --full", "gpu --try"];
    for line in shown.into_iter().chain(flags) {
        let parsed = crate::Args::try_parse_from(["cargo xtask"].into_iter().chain(line.split_whitespace()));
        assert!(parsed.is_ok(), "cargo xtask {line}: {}", parsed.err().unwrap());
    }
}
