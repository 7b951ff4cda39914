//! Start, end, death, and what they leave behind.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::client::{Kernel, bundle};

/// The processes that the kernel has started and that still run.
fn children(pid: i32) -> Vec<i32> {
    let path = format!("/proc/{pid}/task");
    let tasks = std::fs::read_dir(path).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>())
        .collect()
}

fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[track_caller]
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} does not come true");
}

#[test]
fn shutdown_leaves_no_process_and_no_file() {
    let mut kernel = Kernel::start();
    kernel.run("let a = 1;").ok();
    let workers = children(kernel.pid());
    assert_eq!(workers.len(), 1, "{workers:?}");
    assert_eq!(kernel.temporary_files().len(), 1);
    let reply = kernel.ask(&kernel.control, "shutdown_request", &json!({"restart": true}));
    assert_eq!(reply, json!({"status": "ok", "restart": true}));
    assert!(kernel.wait().success());
    assert!(!is_alive(workers[0]));
    assert_eq!(kernel.temporary_files(), [""; 0].map(std::path::PathBuf::from));
}

#[test]
fn shutdown_does_not_wait_for_a_cell() {
    let mut kernel = Kernel::start();
    let id = kernel.send_cell("println!(\"runs\"); loop { std::hint::spin_loop(); }");
    kernel.until(&id, |message| message.msg_type == "stream");
    let workers = children(kernel.pid());
    kernel.ask(&kernel.control, "shutdown_request", &json!({"restart": false}));
    assert!(kernel.wait().success());
    assert!(workers.iter().all(|worker| !is_alive(*worker)));
    assert!(kernel.temporary_files().is_empty());
}

#[test]
fn a_killed_kernel_takes_its_worker_along() {
    let kernel = Kernel::start();
    kernel.run("1").ok();
    let workers = children(kernel.pid());
    // SAFETY: the kernel is our child and has not been waited for.
    unsafe { libc::kill(kernel.pid(), libc::SIGKILL) };
    wait_until("the end of the worker", || workers.iter().all(|worker| !is_alive(*worker)));
}

#[test]
fn several_kernels_at_once_and_what_a_killed_one_leaves_is_swept() {
    let first = Kernel::start();
    let second = first.start_beside();
    first.run("let name = \"first\"; static N: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);").ok();
    second.run("let name = \"second\";").ok();
    let ids = [&first, &second].map(|kernel| (kernel, kernel.send_cell("name")));
    assert_eq!(ids.map(|(kernel, id)| kernel.outcome(&id).ok()), ["\"first\"", "\"second\""]);
    assert_eq!(first.temporary_files().len(), 2);
    let of_first: Vec<_> =
        first.temporary_files().into_iter().filter(|path| is_of(path, first.pid())).collect();
    assert_eq!(of_first.len(), 1);
    // Killed and waited for: from then on its process id is nobody's.
    drop(first);
    assert!(of_first[0].exists(), "a killed kernel cleans nothing up");
    let third = second.start_beside();
    third.run("1").ok();
    assert!(!of_first[0].exists(), "the next kernel to start does");
    assert_eq!(second.temporary_files().len(), 2);
    assert_eq!(second.run("name").ok(), "\"second\"");
}

fn is_of(folder: &std::path::Path, pid: i32) -> bool {
    folder.file_name().is_some_and(|name| name.to_string_lossy().contains(&format!("-{pid}-")))
}

#[test]
fn the_death_of_a_worker_is_told_and_items_live_on() {
    let kernel = Kernel::start();
    kernel.run("fn seven() -> u8 { 7 } let a = 1; let b = 2;").ok();
    let (error, _) = kernel
        .run("println!(\"last words\"); unsafe { std::ptr::null_mut::<u8>().write_volatile(1) };")
        .failure();
    assert!(error.contains("was ended by signal 11 (segmentation fault)"), "{error}");
    assert!(error.contains("These variables are lost: a, b"), "{error}");
    assert_eq!(kernel.run("seven()").ok(), "7");
    let outcome = kernel.run("println!(\"bye\"); std::process::exit(3)");
    assert!(outcome.failure().0.contains("exited with code 3. No variables were lost"), "{outcome:#?}");
    assert_eq!(outcome.stream("stdout"), "bye\n");
    assert!(kernel.run("std::process::abort()").failure().0.contains("signal 6"));
    assert_eq!(kernel.run("1").ok(), "1");
}

#[test]
fn a_missing_bundle_is_one_sentence_with_the_command_that_mends_it() {
    let nowhere = tempfile::tempdir().unwrap();
    let kernel = Kernel::start_with(nowhere.path(), "ipc");
    let (error, _) = kernel.run("1").failure();
    assert!(
        error.starts_with("BundleError: no notebook bundle") && error.contains("cargo xtask bundle"),
        "{error}"
    );
    kernel.ask(&kernel.shell, "kernel_info_request", &json!({}));
    // One that another compiler made.
    let real = bundle().canonicalize().unwrap();
    for name in ["libglisten_prelude.so", "deps"] {
        std::os::unix::fs::symlink(real.join(name), nowhere.path().join(name)).unwrap();
    }
    let about = std::fs::read_to_string(real.join("bundle.json")).unwrap().replace("rustc 1.", "rustc 0.");
    std::fs::write(nowhere.path().join("bundle.json"), about).unwrap();
    let kernel = Kernel::start_with(nowhere.path(), "ipc");
    let (error, _) = kernel.run("1").failure();
    assert!(error.contains("was made with rustc 0.") && error.contains("cargo xtask bundle"), "{error}");
}

#[test]
fn install_and_uninstall() {
    let prefix = tempfile::tempdir().unwrap();
    let call = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_glisten-kernel"));
        command.args(arguments).arg("--prefix").arg(prefix.path()).args(["--name", "glisten-test"]);
        if arguments[0] == "install" {
            command.arg("--bundle").arg(bundle());
        }
        command.output().unwrap()
    };
    let folder = prefix.path().join("share/jupyter/kernels/glisten-test");
    for _ in 0..2 {
        assert!(call(&["install"]).status.success());
        let spec: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join("kernel.json")).unwrap()).unwrap();
        assert_eq!((&spec["language"], &spec["interrupt_mode"]), (&json!("rust"), &json!("message")));
        assert!(spec["argv"].as_array().unwrap().contains(&json!("{connection_file}")));
        assert!(folder.join("logo-svg.svg").is_file() && folder.join("logo-64x64.png").is_file());
    }
    let kernels = std::fs::read_dir(folder.parent().unwrap()).unwrap().count();
    assert_eq!(kernels, 1, "nothing half-made is left beside it");
    assert!(call(&["uninstall"]).status.success());
    assert!(!folder.exists());
    assert!(!call(&["uninstall"]).status.success());
}
