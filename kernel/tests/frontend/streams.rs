//! Streams, displays and input.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Kernel, cell};

#[test]
fn output_comes_while_the_cell_runs_and_after() {
    let kernel = Kernel::start();
    kernel.run("let warm = 1;").ok();
    let id = kernel.send_cell("print!(\"early\"); std::thread::sleep(std::time::Duration::from_secs(2));");
    let messages = kernel.until(&id, |message| message.msg_type == "stream");
    assert_eq!(messages.last().unwrap().content["text"], "early");
    let came = Instant::now();
    kernel.outcome(&id);
    assert!(came.elapsed() > Duration::from_millis(500), "the text came only at the end");
    let late = "std::thread::spawn(|| { std::thread::sleep(std::time::Duration::from_millis(300)); println!(\"late\"); });";
    let id = kernel.send_cell(late);
    kernel.outcome(&id);
    let messages = kernel.until(&id, |message| message.msg_type == "stream");
    assert_eq!(messages.last().unwrap().content["text"], "late\n");
}

#[test]
fn bytes_that_are_no_text_do_no_harm() {
    let kernel = Kernel::start();
    let code = "use std::io::Write; let mut out = std::io::stdout(); out.write_all(&[0xff, b'a'])?; out.flush()?;
        for byte in \"ä€\".bytes() { out.write_all(&[byte])?; out.flush()?; std::thread::sleep(std::time::Duration::from_millis(5)); }";
    let outcome = kernel.run(code);
    outcome.ok();
    assert_eq!(outcome.stream("stdout"), "\u{fffd}aä€");
    let outcome =
        kernel.run("for i in 0..20_000 { println!(\"line {i} of many, so that the pipe is full\"); }");
    outcome.ok();
    assert_eq!(outcome.stream("stdout").lines().count(), 20_000);
}

#[test]
fn displays_are_shown_updated_and_cleared_in_order() {
    let kernel = Kernel::start();
    let outcome = kernel.run(
        "update_display(\"bar\", &MimeBundle::text(\"1\").html(\"<b>1</b>\")); update_display(\"bar\", &MimeBundle::text(\"2\"));
        clear_output(true); display(&df!(\"a\" => [1])?);",
    );
    outcome.ok();
    let kinds: Vec<_> = outcome.messages.iter().map(|m| m.msg_type.as_str()).collect();
    let shown: Vec<_> =
        kinds.iter().copied().filter(|k| k.contains("display") || k.contains("clear")).collect();
    assert_eq!(shown, ["display_data", "update_display_data", "clear_output", "display_data"]);
    let first = &outcome.contents("display_data")[0];
    assert_eq!(
        (&first["transient"], &first["data"]["text/html"]),
        (&json!({"display_id": "bar"}), &json!("<b>1</b>"))
    );
    assert_eq!(outcome.contents("update_display_data")[0]["data"]["text/plain"], "2");
    assert_eq!(outcome.contents("clear_output")[0], json!({"wait": true}));
}

#[test]
fn a_cell_asks_for_input() {
    let kernel = Kernel::start();
    let id = kernel.send_cell("let name = input(\"who? \")?; name.len()");
    let question = kernel.receive(&kernel.stdin).expect("a question");
    assert_eq!((question.msg_type.as_str(), question.parent.as_str()), ("input_request", id.as_str()));
    assert_eq!(question.content, json!({"prompt": "who? ", "password": false}));
    kernel.send(&kernel.stdin, "input_reply", &json!({"status": "ok", "value": "Ada\n\"L\""}));
    assert_eq!(kernel.outcome(&id).ok(), "7");
    let id = kernel.send_cell("input_password(\"secret? \")?.len()");
    let question = kernel.receive(&kernel.stdin).expect("a question");
    assert_eq!(question.content, json!({"prompt": "secret? ", "password": true}));
    kernel.send(&kernel.stdin, "input_reply", &json!({"status": "ok", "value": "abc"}));
    assert_eq!(kernel.outcome(&id).ok(), "3");
    // Where the front end cannot ask, the cell is told.
    let mut quiet = cell("input(\"?\")");
    quiet["allow_stdin"] = json!(false);
    let id = kernel.send(&kernel.shell, "execute_request", &quiet);
    assert!(kernel.outcome(&id).failure().0.contains("does not let cells ask"));
}
