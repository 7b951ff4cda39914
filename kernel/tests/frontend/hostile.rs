//! Clients that do not read, ask for too much, or make no sense: the kernel goes on, and stays small.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{KEY, Kernel, bundle, cell, frames};
use crate::fuzz::{Random, fuzz};

/// How much the kernel may grow, in MB.
const GROWTH: usize = 64;

/// A kernel that has read what it reads when it is first asked.
fn kernel(transport: &str) -> Kernel {
    let kernel = Kernel::start_with(&bundle(), transport);
    kernel.run("let line = \"x\".repeat(99);").ok();
    kernel.ask(&kernel.shell, "complete_request", &json!({"code": "Tens", "cursor_pos": 4}));
    kernel
}

/// A subscriber that never reads.
fn deaf(kernel: &Kernel) -> zmq::Socket {
    let socket = kernel.stranger(zmq::SUB);
    socket.set_subscribe(b"").expect("a subscription");
    kernel.connect(&socket, 1);
    // It is heard of by the kernel at least when the kernel has something to say.
    std::thread::sleep(Duration::from_millis(300));
    socket
}

#[test]
fn of_two_subscribers_the_one_that_reads_misses_nothing() {
    for transport in ["tcp", "ipc"] {
        let kernel = kernel(transport);
        let _deaf = deaf(&kernel);
        let before = kernel.memory();
        let id = kernel.send_cell("for _ in 0..1_500_000 { println!(\"{line}\"); }");
        let (mut bytes, mut most, mut said) = (0, 0, String::new());
        loop {
            let message = kernel.receive(&kernel.iopub).expect("a message on iopub");
            let text = message.content["text"].as_str().unwrap_or_default();
            match message.content["name"].as_str() {
                Some("stdout") => bytes += text.len(),
                Some("stderr") => said.push_str(text),
                _ if message.parent == id && message.content["execution_state"] == "idle" => break,
                _ => {}
            }
            most = most.max(kernel.memory());
        }
        assert_eq!(bytes, 150_000_000, "{transport}");
        assert!(most < before + GROWTH, "{transport}: from {before} to {most} MB");
        assert!(said.contains("did not read"), "{transport}: {said}");
        assert_eq!(kernel.receive(&kernel.shell).expect("a reply").content["status"], "ok");
        assert_eq!(kernel.run("line.len()").ok(), "99");
    }
}

#[test]
fn where_nobody_reads_a_cell_can_print_for_ever_and_be_stopped() {
    let kernel = kernel("tcp");
    let _deaf = deaf(&kernel);
    let before = kernel.memory();
    kernel.send_cell("loop { println!(\"{line}\"); }");
    let (started, mut most) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_secs(15) {
        std::thread::sleep(Duration::from_millis(50));
        most = most.max(kernel.memory());
    }
    assert!(most < before + GROWTH, "from {before} to {most} MB");
    // Others are answered meanwhile, and the stop button works.
    kernel.ask(&kernel.shell, "kernel_info_request", &json!({}));
    kernel.ask(&kernel.control, "interrupt_request", &json!({}));
    let reply = kernel.receive(&kernel.shell).expect("a reply");
    assert_eq!(reply.content["ename"], "KeyboardInterrupt");
    // Whoever reads again gets what comes from then on.
    while kernel.receive_within(&kernel.iopub, Duration::from_secs(2)).is_some() {}
    assert_eq!(kernel.run("1 + 1").ok(), "2");
}

#[test]
fn replies_that_nobody_reads_are_few() {
    let kernel = kernel("tcp");
    kernel.run(&format!("// {}", "x".repeat(1_000_000))).ok();
    let before = kernel.memory();
    let stranger = kernel.stranger(zmq::DEALER);
    kernel.connect(&stranger, 0);
    for at in 0..300 {
        let request =
            frames(&format!("deaf-{at}"), "history_request", &json!({"hist_access_type": "tail"}), KEY);
        stranger.send_multipart(request, 0).expect("sent");
    }
    let (started, mut most) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(50));
        most = most.max(kernel.memory());
    }
    assert!(most < before + GROWTH, "from {before} to {most} MB");
    assert_eq!(kernel.run("1 + 1").ok(), "2");
    // It reads again, and is served again.
    while stranger.poll(zmq::POLLIN, 1000).expect("poll") > 0 {
        stranger.recv_multipart(0).expect("a reply");
    }
    stranger.send_multipart(frames("again", "kernel_info_request", &json!({}), KEY), 0).expect("sent");
    assert!(stranger.poll(zmq::POLLIN, 60_000).expect("poll") > 0);
}

#[test]
fn a_subscriber_that_asks_for_too_much_is_cut_off() {
    for transport in ["tcp", "ipc"] {
        let kernel = kernel(transport);
        let stranger = kernel.stranger(zmq::XSUB);
        stranger.set_sndtimeo(2000).expect("a time");
        kernel.connect(&stranger, 1);
        // Everything, and then one topic after the other.
        stranger.send([1].as_slice(), 0).expect("sent");
        assert!(stranger.poll(zmq::POLLIN, 60_000).expect("poll") > 0, "a welcome");
        let mut random = Random::of(1);
        for _ in 0..10_000 {
            let topic: Vec<u8> = (0..25).flat_map(|_| random.number().to_le_bytes()).collect();
            if stranger.send([&[1], topic.as_slice()].concat(), 0).is_err() {
                break;
            }
        }
        // What came before the end of the connection, and nothing more.
        while stranger.poll(zmq::POLLIN, 2000).expect("poll") > 0 {
            stranger.recv_multipart(0).expect("a message");
        }
        assert_eq!(kernel.run("1 + 1").ok(), "2");
        assert_eq!(
            stranger.poll(zmq::POLLIN, 1000).expect("poll"),
            0,
            "{transport}: it still gets what is published"
        );
    }
}

#[test]
fn many_subscriptions_of_an_honest_client_are_kept() {
    let kernel = kernel("tcp");
    let honest = kernel.stranger(zmq::SUB);
    for at in 0..100 {
        honest.set_subscribe(format!("topic-{at}").as_bytes()).expect("a subscription");
    }
    honest.set_subscribe(b"execute_result").expect("a subscription");
    // As often as a front end may connect anew.
    for _ in 0..50 {
        let again = kernel.stranger(zmq::SUB);
        again.set_subscribe(b"").expect("a subscription");
        kernel.connect(&again, 1);
        assert!(again.poll(zmq::POLLIN, 60_000).expect("poll") > 0, "a welcome");
    }
    honest.set_rcvhwm(1000).expect("a mark");
    kernel.connect(&honest, 1);
    for _ in 0..101 {
        assert!(honest.poll(zmq::POLLIN, 60_000).expect("poll") > 0, "a welcome");
        assert_eq!(honest.recv_multipart(0).expect("a message").len(), 7);
    }
    kernel.run("1 + 1").ok();
    assert!(honest.poll(zmq::POLLIN, 60_000).expect("poll") > 0, "the result");
    assert_eq!(honest.recv_bytes(0).expect("a message"), b"execute_result");
}

#[test]
fn messages_that_are_too_large_are_not_taken() {
    let kernel = kernel("tcp");
    let before = kernel.memory();
    for (kind, channel, size) in [
        (zmq::REQ, 4, 100 << 20),
        (zmq::DEALER, 0, 100 << 20),
        (zmq::DEALER, 3, 17 << 20),
        (zmq::XSUB, 1, 8 << 10),
    ] {
        let stranger = kernel.stranger(kind);
        kernel.connect(&stranger, channel);
        stranger.send(vec![1; size], 0).expect("sent");
        assert_eq!(stranger.poll(zmq::POLLIN, 1000).expect("poll"), 0, "channel {channel} answers");
    }
    // Many frames, each of which is not.
    let stranger = kernel.stranger(zmq::DEALER);
    kernel.connect(&stranger, 0);
    stranger.send_multipart(vec![vec![0; 1000]; 10_000], 0).expect("sent");
    let stranger = kernel.stranger(zmq::REQ);
    kernel.connect(&stranger, 4);
    stranger.send_multipart(vec![vec![0; 100]; 1000], 0).expect("sent");
    std::thread::sleep(Duration::from_millis(500));
    let after = kernel.memory();
    assert!(after < before + GROWTH, "from {before} to {after} MB");
    kernel.heartbeat.send("ping", 0).unwrap();
    assert_eq!(kernel.heartbeat.recv_bytes(0).unwrap(), b"ping");
    assert_eq!(kernel.run("1 + 1").ok(), "2");
    assert_eq!(kernel.ask(&kernel.control, "kernel_info_request", &json!({}))["status"], "ok");
}

#[test]
fn a_message_that_somebody_sends_again_is_not_taken() {
    let kernel = kernel("ipc");
    let message = frames("once", "execute_request", &cell("println!(\"once\")"), KEY);
    kernel.shell.send_multipart(message.clone(), 0).expect("sent");
    assert_eq!(kernel.outcome("once").stream("stdout"), "once\n");
    let mut in_capitals = message.clone();
    in_capitals[1].make_ascii_uppercase();
    for again in [message, in_capitals] {
        for socket in [&kernel.shell, &kernel.control, &kernel.stdin] {
            socket.send_multipart(again.clone(), 0).expect("sent");
        }
    }
    for socket in [&kernel.shell, &kernel.control] {
        assert!(kernel.receive_within(socket, Duration::from_millis(300)).is_none());
    }
    assert_eq!(kernel.run("1 + 1").ok(), "2");
}

/// Some JSON.
fn value(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 8 } else { 10 }) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 => json!(random.number()),
        3 => json!(-i64::try_from(random.below(1 << 40)).unwrap()),
        4 => json!(1e300),
        5 => json!("ä".repeat(random.size(1000))),
        6 => json!(
            random.pick(&["", "let x = ", "Tensor.", ":vars", "tail", "range", "search", "*", "\u{0}", "f("])
        ),
        7 => json!({}),
        8 => (0..random.below(4)).map(|_| value(random, depth - 1)).collect(),
        _ => {
            let names = ["a", "code", "n"];
            Value::Object(
                (0..random.below(4))
                    .map(|_| (random.pick(&names).to_owned(), value(random, depth - 1)))
                    .collect(),
            )
        }
    }
}

#[test]
fn requests_that_make_no_sense_are_answered() {
    const REQUESTS: [(&str, &[&str]); 12] = [
        (
            "execute_request",
            &["silent", "store_history", "user_expressions", "allow_stdin", "stop_on_error", "code"],
        ),
        ("complete_request", &["code", "cursor_pos"]),
        ("inspect_request", &["code", "cursor_pos", "detail_level"]),
        ("is_complete_request", &["code"]),
        (
            "history_request",
            &["output", "raw", "hist_access_type", "session", "start", "stop", "n", "pattern", "unique"],
        ),
        ("comm_info_request", &["target_name"]),
        ("kernel_info_request", &["a"]),
        ("comm_open", &["comm_id", "target_name", "data"]),
        ("comm_msg", &["comm_id", "data"]),
        ("interrupt_request", &["a"]),
        ("debug_request", &["seq", "command", "arguments"]),
        ("nonsense", &["code"]),
    ];
    let kernel = kernel("ipc");
    fuzz(400, |random| {
        let (msg_type, fields) = REQUESTS[random.below(REQUESTS.len())];
        let mut content = if random.below(10) == 0 { value(random, 3) } else { json!({}) };
        if let Some(content) = content.as_object_mut() {
            for field in fields {
                if random.below(4) > 0 {
                    content.insert((*field).to_owned(), value(random, 2));
                }
            }
            // What is run may do anything; here it is a command, or no text.
            if msg_type == "execute_request" && content.get("code").is_some_and(Value::is_string) {
                content.insert("code".to_owned(), json!(":vars"));
                content.remove("user_expressions");
            }
        }
        let id = kernel.send(&kernel.shell, msg_type, &content);
        if msg_type.ends_with("_request") && msg_type != "debug_request" {
            let reply = kernel.receive(&kernel.shell).unwrap_or_else(|| panic!("no reply to {content}"));
            assert_eq!(reply.parent, id);
        }
        // An execute_request that is refused is no work.
        if msg_type != "execute_request" {
            kernel.until(&id, |message| message.content["execution_state"] == "idle");
        }
    });
    // An end is asked for in the protocol's words or not at all.
    let reply = kernel.ask(&kernel.control, "shutdown_request", &json!({"restart": "yes"}));
    assert_eq!(reply["status"], "error");
    while kernel.receive_within(&kernel.shell, Duration::from_millis(300)).is_some() {}
    assert_eq!(kernel.run("1 + 1").ok(), "2");
}

#[test]
fn any_code_is_answered_by_the_kernel_itself() {
    let kernel = kernel("ipc");
    for (piece, n) in [
        ("f(", 500_000),
        ("Vec<", 250_000),
        ("(", 1 << 20),
        ("-", 1 << 20),
        ("1+", 500_000),
        ("x.abs().", 125_000),
        ("let x = f(x);\n", 70_000),
    ] {
        let code = piece.repeat(n);
        let at = json!({"code": code, "cursor_pos": code.len(), "detail_level": 0});
        assert_eq!(kernel.ask(&kernel.shell, "complete_request", &at)["status"], "ok", "{piece}");
        assert_eq!(kernel.ask(&kernel.shell, "inspect_request", &at)["status"], "ok", "{piece}");
        kernel.ask(&kernel.shell, "is_complete_request", &at);
    }
    assert_eq!(kernel.run("1 + 1").ok(), "2");
}
