//! The stop button.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::Kernel;

#[test]
fn a_loop_that_looks_at_the_flag_ends_and_keeps_its_variables() {
    let kernel = Kernel::start();
    kernel.run("let mut n = 0_u64;").ok();
    let id = kernel.send_cell("println!(\"runs\"); loop { n += 1; glisten::interrupt::check()?; }");
    kernel.until(&id, |message| message.msg_type == "stream");
    let pressed = Instant::now();
    assert_eq!(kernel.ask(&kernel.control, "interrupt_request", &json!({}))["status"], "ok");
    let outcome = kernel.outcome(&id);
    let took = pressed.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}: {outcome:#?}");
    assert!(outcome.failure().0.starts_with("KeyboardInterrupt"), "{outcome:#?}");
    assert_eq!(kernel.run("n > 0").ok(), "true");
}

#[test]
fn a_training_shows_its_progress_and_stops_cleanly() {
    let kernel = Kernel::start();
    let data = "let n = 200; let images = Tensor::randint(256, [n, 1, 28, 28], (Kind::Uint8, Device::Cpu));
        let labels = Tensor::arange(n, (Kind::Int64, Device::Cpu)).remainder(10);
        let data = Dataset::from_tensors(\"toy\", images, labels)?.split(Split::default())?;
        let study = Experiment::create(\"stopped\")?;";
    kernel.run(data).ok();
    let id = kernel.send_cell("Trainer::new(LeNet::for_data(&data)).epochs(100_000).fit(&data, &study)?;");
    let shown = kernel.until(&id, |message| {
        let text = message.content["data"]["text/plain"].as_str().unwrap_or_default();
        message.msg_type == "update_display_data" && text.contains("images/s")
    });
    assert_eq!(shown.iter().filter(|message| message.msg_type == "display_data").count(), 1);
    let html =
        shown.last().and_then(|message| message.content["data"]["text/html"].as_str()).unwrap_or_default();
    assert!(html.contains("<progress") && html.contains(" left<"), "{html}");
    let pressed = Instant::now();
    kernel.ask(&kernel.control, "interrupt_request", &json!({}));
    let outcome = kernel.outcome(&id);
    let took = pressed.elapsed();
    assert!(outcome.failure().0.starts_with("KeyboardInterrupt"), "{outcome:#?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    let status = kernel.run("study.runs()?.column(\"status\")?.get(0)?.to_string()").ok();
    assert!(status.contains("stopped"), "{status}");
}

/// A call of Glisten's that comes to its next look at the flag only after 6 s, as with one giant batch.
/// The guard is of the call's own scope: one of the cell's would be a variable, which is kept.
const GIANT_BATCH: &str = "println!(\"runs\"); { let _call = glisten::interrupt::enter();
    std::thread::sleep(std::time::Duration::from_secs(6)); glisten::interrupt::check()?; }";

#[test]
fn a_call_of_glistens_is_waited_for_and_keeps_its_variables() {
    let kernel = Kernel::start();
    kernel.run("let data = vec![1];").ok();
    let id = kernel.send_cell(GIANT_BATCH);
    kernel.until(&id, |message| message.msg_type == "stream");
    kernel.ask(&kernel.control, "interrupt_request", &json!({}));
    let outcome = kernel.outcome(&id);
    assert!(outcome.failure().0.starts_with("KeyboardInterrupt"), "{outcome:#?}");
    assert_eq!(outcome.stream("stderr").matches("Press stop once more").count(), 1, "{outcome:#?}");
    assert_eq!(kernel.run("data").ok(), "[1]");
    // A second press, once that is said, ends the process at once.
    let id = kernel.send_cell(GIANT_BATCH);
    kernel.until(&id, |message| message.msg_type == "stream");
    kernel.ask(&kernel.control, "interrupt_request", &json!({}));
    kernel.until(&id, |message| {
        message.content["text"].as_str().is_some_and(|text| text.contains("once more"))
    });
    let pressed = Instant::now();
    kernel.ask(&kernel.control, "interrupt_request", &json!({}));
    let (error, _) = kernel.outcome(&id).failure();
    assert!(pressed.elapsed() < Duration::from_secs(1), "{:?}", pressed.elapsed());
    assert!(error.contains("These variables are lost: data"), "{error}");
}

#[test]
fn a_loop_that_does_not_is_ended_with_its_process() {
    let kernel = Kernel::start();
    kernel.run("let data = vec![1]; fn seven() -> u8 { 7 }").ok();
    let id = kernel.send_cell("println!(\"runs\"); loop { std::hint::spin_loop(); }");
    kernel.until(&id, |message| message.msg_type == "stream");
    let pressed = Instant::now();
    kernel.ask(&kernel.control, "interrupt_request", &json!({}));
    let (error, _) = kernel.outcome(&id).failure();
    let took = pressed.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(5), "{took:?}");
    assert!(
        error.starts_with("KeyboardInterrupt") && error.contains("These variables are lost: data"),
        "{error}"
    );
    let (_, traceback) = kernel.run("data").failure();
    assert!(
        traceback.contains("`data` was lost when the process was ended by the stop button"),
        "{traceback}"
    );
    assert_eq!(kernel.run("seven()").ok(), "7");
}

#[test]
fn a_compile_is_stopped_and_nothing_has_changed() {
    let kernel = Kernel::start();
    kernel.run("let a = 5;").ok();
    // Deeply nested generic code that takes rustc many seconds.
    let code = format!("let deep = {}0{}; a", "Some((".repeat(150), ", [0_u8; 3]))".repeat(150));
    let slow = format!(
        "{code};\n{}",
        (0..3000).map(|n| format!("println!(\"{{}}\", {n} + a);\n")).collect::<String>()
    );
    let id = kernel.send_cell(&slow);
    kernel.until(&id, |message| message.msg_type == "execute_input");
    std::thread::sleep(Duration::from_millis(150));
    let pressed = Instant::now();
    kernel.ask(&kernel.control, "interrupt_request", &json!({}));
    let (error, _) = kernel.outcome(&id).failure();
    assert!(pressed.elapsed() < Duration::from_secs(1), "{:?}", pressed.elapsed());
    assert!(error.starts_with("KeyboardInterrupt: while the cell was compiled"), "{error}");
    assert_eq!(kernel.run("a").ok(), "5");
}

#[test]
fn the_queue_is_dropped_and_waiting_for_input_ends() {
    let kernel = Kernel::start();
    let waits = kernel.send_cell("input(\"?\")?;");
    let behind = kernel.send_cell("1");
    kernel.receive(&kernel.stdin).expect("a question");
    kernel.ask(&kernel.control, "interrupt_request", &json!({}));
    kernel.outcome(&waits).failure();
    assert_eq!(kernel.outcome(&behind).reply["status"], "aborted");
    assert_eq!(kernel.run("1").ok(), "1");
}
