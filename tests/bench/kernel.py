"""Times notebook cells in Glisten, in evcxr_jupyter and by bare rustc, in turn; the last line it prints is JSON.

`kernel.py measure CONFIG` measures everything; `kernel.py dep CONFIG` runs evcxr's first `:dep` alone. CONFIG is a JSON file:
`bundle` (folder), `evcxr_setup` (the cells that open an evcxr session, its `:dep` first; null leaves evcxr out), `trials`,
`starts`, `cells` (length of the long session).
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from queue import Empty

import psutil
from jupyter_client.manager import KernelManager

PATIENCE = 600
DEP_PATIENCE = 4 * 3600

# The same cells for all. Each refers to `frame` and `tensor`, which sessions hold as variables and bare rustc as arguments.
FRAME = 'let frame = df!("x" => [3, 1, 2], "y" => ["a", "b", "c"]).unwrap();'
TENSOR = "let tensor = Tensor::from_slice(&[1.0f32, 2.0, 3.0]);"
SORTED = 'frame.clone().lazy().sort(["x"], Default::default()).collect().unwrap()'
DOUBLED = "(&tensor * 2.0).sum(Kind::Float).double_value(&[])"
CELLS = {
    "polars and tch": f"println!(\"{{}}\", {DOUBLED}); {SORTED}",
    "polars and tch, two new variables": f"let sorted = {SORTED}; let doubled = {DOUBLED};",
    "1 + 1": "1 + 1",
}
# As a library of its own, with what the last expression gives shown by Debug.
BARE = {
    "polars and tch": f"println!(\"{{}}\", {DOUBLED}); println!(\"{{:?}}\", {SORTED});",
    "polars and tch, two new variables": CELLS["polars and tch, two new variables"],
    "1 + 1": 'println!("{:?}", 1 + 1);',
}

COMPLETIONS = [
    "fra",
    "frame.",
    "frame.clone().lazy().",
    'frame.clone().lazy().group_by([col("x")]).ag',
    'col("x").',
    'frame.column("x").unwrap().',
    "tensor.",
    "tensor.sum(Kind::Float).siz",
    "Kind::",
]
# What only Glisten has.
OWN_COMPLETIONS = ["Trai", "Dataset::", 'Experiment::resume("x")?.', "Select::gl", "nn::", ":ti"]
INSPECTIONS = ["frame", "frame.select", "Trainer::new(", "col(", "tensor.softmax"]


class Session:
    """A running kernel. Every method returns the seconds that it took."""

    def __init__(self, name):
        self.name = name
        self.started = time.perf_counter()
        self.manager = KernelManager(kernel_name=name)
        self.manager.start_kernel()
        self.client = self.manager.blocking_client()
        self.client.start_channels()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def answer(self, message, patience=PATIENCE):
        """The content of the reply to `message`."""
        until = time.perf_counter() + patience
        while True:
            try:
                reply = self.client.get_shell_msg(timeout=1)
            except Empty:
                assert self.manager.is_alive(), f"{self.name} has died"
                assert time.perf_counter() < until, f"{self.name} has not answered within {patience} s"
                continue
            if reply["parent_header"].get("msg_id") == message:
                return reply["content"]

    def run(self, code, patience=PATIENCE):
        """Sends a cell and waits for its reply."""
        started = time.perf_counter()
        reply = self.answer(self.client.execute(code), patience)
        seconds = time.perf_counter() - started
        assert reply["status"] == "ok", f"{self.name}: {code!r}: {reply}"
        return seconds

    def ask(self, method, code):
        """Sends a request of another kind (`complete`, `inspect`, `is_complete`)."""
        started = time.perf_counter()
        arguments = [code] if method == "is_complete" else [code, len(code)]
        self.answer(getattr(self.client, method)(*arguments))
        return time.perf_counter() - started

    def cpu(self):
        """Seconds of computing of the kernel and of what it has started and waited for."""
        return sum(psutil.Process(self.manager.provisioner.pid).cpu_times()[:4])

    def age(self):
        """Seconds since the kernel was asked to start."""
        return time.perf_counter() - self.started


class BareRustc:
    """rustc, called for one library against Glisten's bundle."""

    def __init__(self, bundle):
        bundle = Path(bundle)
        about = json.loads((bundle / "bundle.json").read_text())
        self.folder = tempfile.TemporaryDirectory(prefix="glisten-bench-")
        self.command = [
            about["rustc_path"], "cell.rs", "--edition", "2024", "--crate-type", "cdylib", "-Cprefer-dynamic",
            "-Copt-level=0", "-Cdebuginfo=0", "--cap-lints=allow",
            "--extern", f"glisten_prelude={bundle / 'libglisten_prelude.so'}", f"-Ldependency={bundle / 'deps'}",
            *(f"-Lnative={native}" for native in about["native"]),
        ]  # fmt: skip

    def run(self, code):
        source = (
            "use glisten_prelude::{prelude::*, polars, tch};\n"
            '#[unsafe(no_mangle)] pub extern "C" fn cell(frame: DataFrame, tensor: Tensor) {\n' + code + "\n}\n"
        )
        (Path(self.folder.name) / "cell.rs").write_text(source)
        started = time.perf_counter()
        subprocess.run(self.command, cwd=self.folder.name, check=True)
        return time.perf_counter() - started


def say(text):
    print(text, file=sys.stderr, flush=True)


def open_evcxr(setup):
    """A session of evcxr with its `:dep`, and the seconds until its first result."""
    session = Session("evcxr")
    for cell in setup:
        session.run(cell, DEP_PATIENCE)
    session.run(f"{FRAME} {TENSOR}")
    return session, session.age()


def measure_starts(setup, starts):
    """From the start of the kernel to the first result with polars and tch; then `let` after `let`."""
    result = {"glisten": [], "evcxr": [], "first_let": [], "tenth_let": []}
    for turn in range(starts):
        with Session("glisten") as session:
            session.run(f"{FRAME} {TENSOR}")
            result["glisten"].append(session.age())
        with Session("glisten") as session:
            session.answer(session.client.kernel_info())
            # A user needs longer than this to type a cell.
            time.sleep(1.5)
            lets = [session.run(FRAME.replace("frame", f"frame_{index}")) for index in range(10)]
            result["first_let"].append(lets[0])
            result["tenth_let"].append(lets[9])
        if setup and turn < max(1, starts // 3):
            session, seconds = open_evcxr(setup)
            session.__exit__()
            result["evcxr"].append(seconds)
    return result


def measure_cells(sessions, bare, trials):
    """Each cell in each session and by rustc, in turn; the first round warms up."""
    contestants = {name: session.run for name, session in sessions.items()}
    result = {case: {name: [] for name in [*contestants, "bare"]} for case in CELLS}
    for trial in range(trials + 1):
        for case, code in CELLS.items():
            for name, run in contestants.items():
                seconds = run(code)
                if trial:
                    result[case][name].append(seconds)
            seconds = bare.run(BARE[case])
            if trial:
                result[case]["bare"].append(seconds)
    return result


def measure_completion(sessions):
    """Completion and inspection once warm; Glisten's also while a cell runs."""
    result = {}
    for name, session in sessions.items():
        own = OWN_COMPLETIONS if name == "glisten" else []
        questions = [("complete", code) for code in COMPLETIONS + own]
        if own:
            questions += [("inspect", code) for code in INSPECTIONS]
        session.ask("complete", "frame.")
        result[name] = [session.ask(method, code) for method, code in questions]
        if own:
            busy = session.client.execute("std::thread::sleep(std::time::Duration::from_secs(3));")
            time.sleep(0.5)
            result["glisten_busy"] = [session.ask(method, code) for method, code in questions]
            session.answer(busy)
            methods = ["complete", "inspect", "is_complete"]
            result["glisten_long"] = [session.ask(method, code) for code in long_texts() for method in methods]
    return result


def long_texts():
    """Code of up to 1 MB, flat and deep."""
    megabyte = 1_000_000
    pieces = ["(", "+1", ".abs()", "fn f(a: &u8) -> u8 { *a }\n", "let abc = vec![1, 2, 3];\n"]
    yield from (("1.5" + piece * (megabyte // len(piece))) for piece in pieces)
    yield from ("let a = 1 + 2;\n" * lines + "a." for lines in (10_000, 20_000))
    yield "".join(f"let v{line} = vec![{line}];\n" for line in range(20_000)) + "v19999."
    yield from ("f(" * 3_000, "let x: " + "Vec<" * 300, "-" * 3_000 + "a", '"' + "x" * megabyte)


def items(count):
    """As many items as asked for, of four kinds, one a cell."""
    for index in range(count // 4):
        yield f"#[derive(Debug, Clone)] struct Struct{index} {{ x: f64, name: String }}"
        yield f"impl Struct{index} {{ fn new(x: f64) -> Self {{ Self {{ x, name: format!(\"{{x}}\") }} }} }}"
        yield f"fn function_{index}(x: f64) -> f64 {{ Struct{index}::new(x + {index}.0).x.sqrt() }}"
        yield f"const CONSTANT_{index}: [i64; 3] = [{index}, 2, 3];"


def measure_long_session(cells, trials):
    """Cells late in a session with 100 items, in turn with those early in a session without."""
    result = {"early": [], "late": []}
    case = CELLS["polars and tch"]
    with Session("glisten") as old, Session("glisten") as young:
        old.run(f"{FRAME} {TENSOR}")
        before = list(items(100))
        before += ["1 + 1"] * (cells - trials // 2 - 1 - len(before))
        for cell in before:
            old.run(cell)
        young.run(f"{FRAME} {TENSOR}")
        for trial in range(trials + 1):
            late, early = old.run(case), young.run(case)
            if trial:
                result["late"].append(late)
                result["early"].append(early)
    return result


def main():
    config = json.loads(Path(sys.argv[2]).read_text())
    setup = config["evcxr_setup"]
    if sys.argv[1] == "dep":
        with Session("evcxr") as session:
            session.run("1 + 1")
            before = session.cpu()
            seconds = session.run(setup[0], DEP_PATIENCE)
            print(json.dumps({"dep": seconds, "dep_cpu": session.cpu() - before}))
        return
    say("start to the first result")
    result = {"starts": measure_starts(setup, config["starts"])}
    say("cells in turn")
    sessions = {"glisten": Session("glisten")}
    sessions["glisten"].run(f"{FRAME} {TENSOR}")
    try:
        if setup:
            sessions["evcxr"], _ = open_evcxr(setup)
        result["cells"] = measure_cells(sessions, BareRustc(config["bundle"]), config["trials"])
        say("completion")
        result["completion"] = measure_completion(sessions)
    finally:
        for session in sessions.values():
            session.__exit__()
    say(f"a session of {config['cells']} cells")
    result["long"] = measure_long_session(config["cells"], config["trials"])
    for case, times in result["cells"].items():
        say(f"  {case}: " + ", ".join(f"{name} {statistics.median(t):.3f} s" for name, t in times.items()))
    print(json.dumps(result))


main()
