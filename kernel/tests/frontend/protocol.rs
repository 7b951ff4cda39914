//! Messages other than cells, good and bad.

use std::time::Duration;

use serde_json::json;

use crate::client::{KEY, Kernel, bundle, cell, frames};

#[test]
fn kernel_info_and_heartbeat_over_tcp() {
    let kernel = Kernel::start_with(&bundle(), "tcp");
    let info = kernel.ask(&kernel.shell, "kernel_info_request", &json!({}));
    assert_eq!((&info["status"], &info["protocol_version"]), (&json!("ok"), &json!("5.4")));
    assert_eq!(info["language_info"]["name"], "rust");
    assert_eq!(info["language_info"]["file_extension"], ".rs");
    assert_eq!(kernel.ask(&kernel.control, "kernel_info_request", &json!({}))["status"], "ok");
    for beat in [&b"ping"[..], &[0, 255, 1]] {
        kernel.heartbeat.send(beat, 0).unwrap();
        assert_eq!(kernel.heartbeat.recv_bytes(0).unwrap(), beat);
    }
}

#[test]
fn bad_frames_are_dropped_and_the_kernel_goes_on() {
    let kernel = Kernel::start();
    let good = frames("x", "kernel_info_request", &json!({}), KEY);
    let mut broken = vec![
        frames("x", "kernel_info_request", &json!({}), "another key"),
        vec![b"no delimiter".to_vec()],
        good[..3].to_vec(),
        vec![Vec::new()],
    ];
    let mut unsigned = good.clone();
    unsigned[1] = Vec::new();
    broken.push(unsigned);
    for at in 1..good.len() {
        let mut changed = good.clone();
        changed[at].push(b' ');
        changed[at][0] ^= 1;
        broken.push(changed);
    }
    for frames in broken {
        for socket in [&kernel.shell, &kernel.control, &kernel.stdin] {
            socket.send_multipart(frames.clone(), 0).unwrap();
        }
    }
    assert!(kernel.receive_within(&kernel.shell, Duration::from_millis(200)).is_none());
    kernel.ask(&kernel.shell, "kernel_info_request", &json!({}));
    // Signed, but with a content that is not the protocol's: answered, not obeyed.
    let reply = kernel.ask(&kernel.shell, "execute_request", &json!({"code": 5}));
    assert_eq!(reply["status"], "error");
    kernel.send(&kernel.shell, "no_such_request", &json!({}));
    assert_eq!(kernel.run("1").ok(), "1");
}

#[test]
fn what_is_not_a_cell_is_answered_while_a_cell_runs() {
    let kernel = Kernel::start();
    kernel.run("let tally = 1; fn talk() {}").ok();
    let id = kernel.send_cell("std::thread::sleep(std::time::Duration::from_secs(3));");
    kernel.until(&id, |message| message.msg_type == "execute_input");
    let complete = kernel.ask(&kernel.shell, "complete_request", &json!({"code": "ta", "cursor_pos": 2}));
    assert_eq!((&complete["matches"], &complete["cursor_start"]), (&json!(["tally", "talk"]), &json!(0)));
    let inspect = json!({"code": "tally", "cursor_pos": 3, "detail_level": 0});
    assert_eq!(kernel.ask(&kernel.shell, "inspect_request", &inspect)["data"]["text/plain"], "tally: i32");
    let reply = kernel.ask(&kernel.shell, "is_complete_request", &json!({"code": "fn f() {"}));
    assert_eq!(reply, json!({"status": "incomplete", "indent": "    "}));
    let tail = json!({"hist_access_type": "tail", "n": 1, "output": false, "raw": true});
    let history = kernel.ask(&kernel.shell, "history_request", &tail);
    assert!(history["history"][0][2].as_str().unwrap().contains("sleep"));
    assert_eq!(kernel.ask(&kernel.shell, "comm_info_request", &json!({}))["comms"], json!({}));
    kernel.ask(&kernel.control, "kernel_info_request", &json!({}));
    let opened =
        kernel.send(&kernel.shell, "comm_open", &json!({"comm_id": "c", "target_name": "t", "data": {}}));
    let messages = kernel.until(&opened, |message| message.content["execution_state"] == "idle");
    assert!(
        messages.iter().any(|m| m.msg_type == "comm_close" && m.content["comm_id"] == "c"),
        "{messages:#?}"
    );
    assert_eq!(kernel.outcome(&id).reply["status"], "ok");
}

#[test]
fn silent_cells_expressions_and_counts() {
    let kernel = Kernel::start();
    let mut silent = cell("let a = 6; a");
    silent["silent"] = json!(true);
    let id = kernel.send(&kernel.shell, "execute_request", &silent);
    let outcome = kernel.outcome(&id);
    assert_eq!(outcome.messages.len(), 2, "busy and idle only: {outcome:#?}");
    let mut asking = cell("let b = 7;");
    asking["user_expressions"] = json!({"product": "a * b", "wrong": "nobody"});
    let id = kernel.send(&kernel.shell, "execute_request", &asking);
    let reply = kernel.outcome(&id).reply;
    assert_eq!(reply["execution_count"], 1);
    assert_eq!(reply["user_expressions"]["product"]["data"]["text/plain"], "42");
    assert_eq!(reply["user_expressions"]["wrong"]["status"], "error");
}

#[test]
fn cells_behind_one_that_fails_are_aborted() {
    let kernel = Kernel::start();
    let ids = ["panic!(\"no\")", "1", "2"].map(|code| kernel.send_cell(code));
    let status: Vec<_> = ids.iter().map(|id| kernel.outcome(id).reply["status"].clone()).collect();
    assert_eq!(status, ["error", "aborted", "aborted"]);
    assert_eq!(kernel.run("3").ok(), "3");
    let mut going_on = cell("panic!(\"no\")");
    going_on["stop_on_error"] = json!(false);
    let first = kernel.send(&kernel.shell, "execute_request", &going_on);
    let second = kernel.send_cell("4");
    assert_eq!(kernel.outcome(&first).reply["status"], "error");
    assert_eq!(kernel.outcome(&second).ok(), "4");
}
