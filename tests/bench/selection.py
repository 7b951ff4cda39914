"""The selection bench: CORDS' own GLISTERStrategy and Glisten's, in turn, on the same features.

`selection.py CONFIG` measures and prints one line of JSON. It makes the features, starts Glisten's program (`selection.rs`) and,
as a process of its own with a limit on its memory, CORDS (`selection.py cords LIMIT`; 0 is none), and judges the picks of both by one
function, in double precision.

What CORDS is given, in its favour: everything in memory, batches of 1,000 by one index operation each (its examples use 20 to
128; it grows its gradients by one `cat` a batch), a model that hands out features and logits computed before. Budgets are multiples of its 15 rounds:
it takes int(budget / 15) a round, too many or, below 15, none for ever. Its Stochastic is stopped after the first picks, and its
time for all of them is what came before the first pick, plus as many times the mean time of those. In place of drawing samples of its
own it is handed those that Glisten drew: after a few picks, what luck the draws had would differ by more than any difference
between the two that choose from them.
"""

import bisect
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import torch

ETA, ROUNDS, EPSILON = 0.01, 15, 0.01
BATCH = 1000


# ---------------------------------------------------------------------------------------------------------------- problems


def make_problem(folder: pathlib.Path, n: int, m: int, d: int, c: int) -> None:
    """Features like a half-trained network's (positive, in clusters by class, a tenth of the labels wrong), and a last layer
    that was trained on them for a while."""
    generator = torch.Generator().manual_seed(1000 * d + c)
    centres = torch.randn(c, d, generator=generator) * 0.7

    def samples(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.randint(c, (count,), generator=generator)
        features = torch.relu(centres[labels] + torch.randn(count, d, generator=generator))
        wrong = torch.rand(count, generator=generator) < 0.1
        noise = torch.randint(c, (count,), generator=generator)
        return features, torch.where(wrong, noise, labels)

    train, validation = samples(n), samples(m)
    layer = torch.nn.Linear(d, c)
    with torch.no_grad():
        layer.weight.normal_(0, 0.5 / d**0.5, generator=generator)
        layer.bias.zero_()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.05)
    for at in range(0, min(n, 20_000), 500):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(layer(train[0][at : at + 500]), train[1][at : at + 500])
        loss.backward()
        optimizer.step()
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "train_features": train[0],
        "train_labels": train[1],
        "validation_features": validation[0],
        "validation_labels": validation[1],
        "weights": layer.weight.detach(),
        "biases": layer.bias.detach(),
    }
    with torch.no_grad():
        arrays["train_logits"], arrays["validation_logits"] = layer(train[0]), layer(validation[0])
    for name, tensor in arrays.items():
        np.save(folder / f"{name}.npy", tensor.contiguous().numpy())


def read_problem(folder: str) -> dict[str, torch.Tensor]:
    return {path.stem: torch.from_numpy(np.load(path)) for path in pathlib.Path(folder).glob("*.npy")}


def objective(problem: dict[str, torch.Tensor], indices: list[int], linear_layer: bool) -> float:
    """The mean cross-entropy of the validation samples after the hypothetical step with the samples chosen."""
    double = {name: t.double() if t.is_floating_point() else t for name, t in problem.items()}
    chosen = torch.tensor(indices, dtype=torch.int64)
    features = double["train_features"][chosen]
    logits = features @ double["weights"].T + double["biases"]
    residuals = logits.softmax(1) - torch.nn.functional.one_hot(double["train_labels"][chosen], logits.shape[1])
    weights, biases = double["weights"], double["biases"] - ETA * residuals.sum(0)
    if linear_layer:
        weights = weights - ETA * residuals.T @ features
    after = double["validation_features"] @ weights.T + biases
    return torch.nn.functional.cross_entropy(after, double["validation_labels"]).item()


# ------------------------------------------------------------------------------------------------------------------- CORDS


class Enough(Exception):
    """Ends CORDS' loop after the picks that are timed."""


def serve_cords(limit_bytes: int) -> None:
    """Answers requests on stdin, one line of JSON each, as `selection.rs` does."""
    import logging
    import resource
    import types

    if limit_bytes:
        # On top of what torch's own libraries take of the address space.
        limit_bytes += int(of_status("VmSize:"))
        resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
    # The package's own __init__ imports every strategy, and those apricot, scikit-learn and more.
    import cords

    for name in ("cords.selectionstrategies", "cords.selectionstrategies.SL"):
        stub = types.ModuleType(name)
        stub.__path__ = [os.path.join(os.path.dirname(cords.__file__), *name.split(".")[1:])]
        sys.modules[name] = stub
    from cords.selectionstrategies.SL import glisterstrategy
    from cords.selectionstrategies.SL.glisterstrategy import GLISTERStrategy

    class Samples:
        """In the place of the module `random`: hands out samples that were drawn before."""

        def __init__(self, samples):
            self.samples = iter(samples)

        def sample(self, population, k):
            """The next sample, without those that are in the population no more; that, a list, is in ascending order."""
            assert isinstance(population, list)
            drawn = next(self.samples)
            assert len(drawn) == k, f"a sample of {len(drawn)} where CORDS asks for {k}"
            places = [bisect.bisect_left(population, index) for index in drawn]
            return [i for i, at in zip(drawn, places) if at < len(population) and population[at] == i]

    class Stopped(GLISTERStrategy):
        """CORDS' strategy, stopped after so many picks or seconds; otherwise as it is."""

        max_picks, max_secs = None, None

        def select(self, budget, model_params):
            self.started, self.first_pick, self.n_updates = time.perf_counter(), None, 0
            return super().select(budget, model_params)

        def greedy_algo(self, budget):
            self.first_pick = time.perf_counter()
            return super().greedy_algo(budget)

        def _update_grads_val(self, grads_curr=None, first_init=False):
            super()._update_grads_val(grads_curr, first_init)
            if grads_curr is not None and self.max_picks is not None:
                self.n_updates += 1
                spent = time.perf_counter() - self.first_pick
                if self.n_updates >= self.max_picks or (self.n_updates >= 20 and spent > self.max_secs):
                    raise Enough

    class LastLayer(torch.nn.Module):
        """Hands out features and logits that are there already, side by side: the network's pass is no part of the bench."""

        def __init__(self, d):
            super().__init__()
            self.d = d

        def forward(self, both, last=False, freeze=False):
            features, logits = both[:, : self.d], both[:, self.d :].detach().requires_grad_()
            return (logits, features) if last else logits

        def get_embedding_dim(self):
            return self.d

    def loader(problem, part):
        both = torch.cat([problem[f"{part}_features"], problem[f"{part}_logits"]], dim=1)
        dataset = torch.utils.data.TensorDataset(both, problem[f"{part}_labels"])
        sampler = torch.utils.data.BatchSampler(torch.utils.data.SequentialSampler(dataset), BATCH, drop_last=False)
        return torch.utils.data.DataLoader(dataset, sampler=sampler, batch_size=None)

    folder = None
    for line in sys.stdin:
        request = json.loads(line)
        torch.set_num_threads(request["threads"])
        if folder != request["folder"]:
            folder = request["folder"]
            device = request.get("device", "cpu")
            problem = {name: tensor.to(device) for name, tensor in read_problem(folder).items()}
            train, validation = loader(problem, "train"), loader(problem, "validation")
            d, c = problem["train_features"].shape[1], problem["train_logits"].shape[1]
            del problem
            model = LastLayer(d)
        strategy = Stopped(
            train,
            validation,
            model,
            torch.nn.CrossEntropyLoss(reduction="none"),
            ETA,
            device,
            c,
            request["linear_layer"],
            "Supervised",
            request["greedy"],
            logging.getLogger("cords"),
            r=ROUNDS,
        )
        if request["greedy"] == "Stochastic":
            strategy.max_picks, strategy.max_secs = request["max_picks"], request["max_secs"]
            glisterstrategy.random = Samples(request["samples"])
        budget = request["budget"]
        before = start_peak()
        start = time.perf_counter()
        try:
            indices, _ = strategy.select(budget, model.state_dict())
            secs = spent_secs = time.perf_counter() - start
            picks = budget
        except Enough as enough:
            frame = enough.__traceback__
            while frame.tb_frame.f_code.co_name != "greedy_algo" or "greedySet" not in frame.tb_frame.f_locals:
                frame = frame.tb_next
            indices = list(frame.tb_frame.f_locals["greedySet"])
            picks = len(indices)
            for_picks = time.perf_counter() - strategy.first_pick
            spent_secs = time.perf_counter() - start
            secs = (strategy.first_pick - start) + for_picks * budget / picks
            del enough, frame
        except (RuntimeError, MemoryError) as error:
            print(json.dumps({"failed": str(error).splitlines()[0] if str(error) else type(error).__name__}), flush=True)
            continue
        answer = {
            "secs": secs,
            "spent_secs": spent_secs,
            "greedy_secs": secs - (strategy.first_pick - start),
            "growth_mb": (peak() - before) / 1e6,
            "picks": picks,
            "indices": [int(index) for index in indices],
        }
        del strategy
        print(json.dumps(answer), flush=True)


def of_status(name: str) -> float:
    with open("/proc/self/status") as status:
        return next(float(line.split()[1]) * 1024 for line in status if line.startswith(name))


def start_peak() -> float:
    """Gives free memory back, begins a new peak of resident memory, and returns what is resident now."""
    import ctypes
    import gc

    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")
    return of_status("VmRSS:")


def peak() -> float:
    return of_status("VmHWM:")


# ----------------------------------------------------------------------------------------------------------------- measuring


class Server:
    """A program that answers one line of JSON with another."""

    def __init__(self, command: list[str], environment: dict[str, str]):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, request: dict) -> dict:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            return {"failed": f"ended with {self.process.wait()}"}
        return json.loads(line)

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def cords_gigabytes(n: int, d: int, c: int) -> float:
    """What CORDS' `select()` with weights holds at least, by arithmetic: the gradients of all candidates, twice while the last
    batch is joined to the others."""
    return 2 * 4 * n * c * (d + 1) / 1e9


def measure_case(request: dict, ours: Server, theirs: Server | None, problem: dict, quick: bool) -> dict:
    """Glisten and CORDS in turn, as often as CORDS' time allows, each time with another seed."""
    case = {"ours": [], "theirs": []}
    n_trials, seed = 1, 0
    while seed < n_trials:
        seed += 1
        answers = {"ours": ours.ask(request | {"seed": seed, "n_samples": request["max_picks"]})}
        samples = answers["ours"].pop("samples", [])
        if theirs:
            answers["theirs"] = theirs.ask(request | {"samples": samples})
            if "failed" in answers["theirs"]:
                case["failed"] = answers["theirs"]["failed"]
                del answers["theirs"]
            elif seed == 1 and not quick:
                spent = answers["theirs"]["spent_secs"]
                n_trials = 5 if spent < 2 else 3 if spent < 5 else 1
        # What of both is comparable: the picks that CORDS was let make.
        n_picks = answers.get("theirs", answers["ours"]).get("picks", request["budget"])
        for name, answer in answers.items():
            picks = answer.pop("indices")[:n_picks]
            answer["objective"] = objective(problem, picks, request["linear_layer"])
            case[name].append(answer)
    return case


def measure(config: dict) -> dict:
    quick, n, m = config["quick"], config["n"], config["m"]
    threads = config["threads"]
    torch.set_num_threads(threads)
    place = pathlib.Path(config["place"])
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    ours = Server([config["program"]], dict(os.environ))
    cases = []
    for d, c in config["sizes"]:
        folder = place / f"features-{n}-{m}-{d}-{c}"
        make_problem(folder, n, m, d, c)
        problem = read_problem(str(folder))
        theirs = Server([sys.executable, __file__, "cords", str(config["limit_bytes"])], environment)
        for linear_layer in config.get("linear_layer", (False, True)):
            for greedy in config.get("greedy", ("RGreedy", "Stochastic")):
                for percent in config["percents"]:
                    name = f"D={d} C={c} {greedy.lower()} {'weights' if linear_layer else 'biases'} {percent}%"
                    print(f"  {name}", file=sys.stderr, flush=True)
                    request = {
                        "folder": str(folder),
                        "threads": threads,
                        "device": config.get("device", "cpu"),
                        "greedy": greedy,
                        "rounds": ROUNDS,
                        "epsilon": EPSILON,
                        "eta": ETA,
                        "linear_layer": linear_layer,
                        "budget": n * percent // 100 // ROUNDS * ROUNDS,
                        "max_picks": 50 if quick else 200,
                        "max_secs": 2 if quick else 15,
                    }
                    case = measure_case(request, ours, theirs, problem, quick)
                    cases.append({"case": name, "greedy": greedy, "linear_layer": linear_layer} | case)
                    if "failed" in case:
                        # The rest of this size would fail alike.
                        cases[-1]["needs_gigabytes"] = cords_gigabytes(n, d, c)
                        theirs.end()
                        theirs = None
        if theirs:
            theirs.end()
    ours.end()
    return {"cases": cases, "torch": torch.__version__, "threads": threads}


if __name__ == "__main__":
    if sys.argv[1] == "cords":
        serve_cords(int(sys.argv[2]))
    else:
        print(json.dumps(measure(json.loads(pathlib.Path(sys.argv[1]).read_text()))))
