"""Completion and inspection: what they know, also while a cell runs. How fast they are, `cargo xtask bench kernel` measures."""

import time

from jupyter_client.manager import start_new_kernel

SETUP = """
struct Point { x: f64, y: f64 }
impl Point { /// Its length.
    fn norm(&self) -> f64 { (self.x * self.x + self.y * self.y).sqrt() } }
let data_frame = df!("a" => [1, 2], "b" => [0.5, 1.5])?;
let point = Point { x: 3.0, y: 4.0 };
let numbers = vec![1.0, 2.0];
let tensor = Tensor::from_slice(&[1.0, 2.0]);
"""

# Code, and what must be (or, after "!", must not be) among the matches.
COMPLETIONS = [
    ("data_f", "data_frame"),
    ("Poi", "Point"),
    ("let p = poi", "point"),
    ("point.no", "norm"),
    ("point.", "x norm !df"),
    ("numbers.pu", "push"),
    ("numbers.it", "iter"),
    ("Trai", "Trainer"),
    ("Dataset::", "fashion_mnist cifar10"),
    ("Select::gl", "glister"),
    ("Trainer::new(LeNet::for_data(&data)).", "epochs seed fit !new"),
    ("Experiment::resume(\"x\")?.", "runs chart report"),
    ("data_frame.", "select filter head column sort join group_by lazy clone !f_add"),
    ("data_frame.clone().lazy().", "filter select group_by with_column collect sort join"),
    ("data_frame.clone().lazy().group_by([col(\"a\")]).ag", "agg"),
    ("col(\"a\").", "sum mean alias is_null cast gt"),
    ("data_frame.column(\"a\")?.", "len name"),
    ("let y = data_frame.head(None);\ny.co", "column columns"),
    ("tensor.", "size sum softmax view to_kind"),
    ("tensor.sum(Kind::Float).siz", "size"),
    ("Kind::", "Float Int64"),
    # What the cell itself binds: loops, conditions, arms, closures, parameters.
    ("for column in data_frame.columns() {\n    column.", "len name"),
    ("for batch in Select::full().loader(&a, &b)?.epoch(&model)? {\n    let batch = batch?;\n    batch.", "inputs labels weights"),
    ("for batch in Select::full().loader(&a, &b)?.epoch(&model)? {\n    let Batch { inputs, .. } = batch?;\n    inputs.", "size mean"),
    ("if let Ok(column) = data_frame.column(\"a\") { column.na", "name"),
    ("match data_frame.column(\"a\") {\n    Ok(column) => column.na", "name"),
    ("data_frame.columns().iter().map(|column| column.na", "name"),
    ("numbers.iter().enumerate().map(|(index, number)| ind", "index"),
    ("fn f(parameter: &Tensor) -> i64 { parameter.siz", "size"),
    ("col(\"a\").map(|column| column.na", "name"),
    # What macros have made.
    ("DatetimeArgs::new(lit(2026), lit(1), lit(1)).with_", "with_hour with_minute"),
    ("nn::", "linear VarStore"),
    ("let ü = data_f", "data_frame"),
    ("pri", "println! print!"),
    ("whi", "while"),
    (":ti", ":timing"),
]

INSPECTIONS = [
    ("data_frame", "DataFrame"),
    ("point", "Point"),
    ("point.norm", "fn norm(&self) -> f64"),
    ("Trainer", "struct Trainer"),
    ("Trainer::new(", "fn new"),
    ("Select::glister(", "fn glister"),
    ("data_frame.select", "fn select"),
    ("data_frame.clone().lazy().group_by(", "fn group_by"),
    ("col(", "fn col"),
    ("tensor.softmax", "fn softmax"),
    ("for column in data_frame.columns() {\n    column", "column: Column"),
    ("data_frame.columns().iter().map(|column| column.name", "fn name"),
]

manager, client = start_new_kernel(kernel_name="glisten")


def ask(method, *arguments):
    message = method(*arguments)
    while True:
        reply = client.get_shell_msg(timeout=10)
        if reply["parent_header"].get("msg_id") == message:
            return reply["content"]


wrong = []


def check(when):
    for code, expected in COMPLETIONS:
        content = ask(client.complete, code, len(code))
        matches = content["matches"]
        for name in expected.split():
            if (name.lstrip("!") in matches) != (not name.startswith("!") or name == "!"):
                wrong.append(f"{when}: {code!r}: {name} with {matches[:20]}")
        types = content["metadata"]["_jupyter_types_experimental"]
        if [entry["text"] for entry in types] != matches:
            wrong.append(f"{when}: {code!r}: types do not fit the matches")
        start = content["cursor_start"]
        if content["cursor_end"] != len(code) or any(not m.lower().startswith(code[start:].lower()) for m in matches):
            wrong.append(f"{when}: {code!r}: from {start}, {matches[:5]}")
    for code, expected in INSPECTIONS:
        content = ask(client.inspect, code, len(code))
        text = content["data"].get("text/plain", "")
        if not content["found"] or expected not in text or "text/markdown" not in content["data"]:
            wrong.append(f"{when}: inspect {code!r}: {text[:300]!r}")


try:
    reply = client.execute_interactive(SETUP, timeout=60)
    assert reply["content"]["status"] == "ok", reply["content"]
    check("while the kernel is idle")
    busy = client.execute("std::thread::sleep(std::time::Duration::from_secs(8));")
    time.sleep(0.5)
    check("while a cell runs")
    # All of it came while the cell ran: its own reply is still to come.
    assert ask(lambda: busy)["status"] == "ok"
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)

assert not wrong, "\n".join(wrong)
