"""MLflow's part of `cargo xtask bench store`, on its SQLite store. The last line it prints is JSON.

`store.py single N`, `store.py batched N BATCH`, `store.py table FILE RUNS STEPS TIMES`: as `store.rs`. A batch is at most the
1,000 metrics that MLflow takes. The table is `MlflowClient.search_runs`, ordered by a metric, a page as large as MLflow allows.
"""

import json
import logging
import math
import os
import sys
import tempfile
import time

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")

from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Metric, Param  # noqa: E402

logging.getLogger("alembic").setLevel(logging.WARNING)

METRICS = [
    "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "epoch_seconds", "selection_seconds",
]


def value(run, metric, step):
    return 1 / (1 + step) + 0.05 * math.sin(run * 31 + metric * 17 + step * 7.3)


def log(n, batch):
    with tempfile.TemporaryDirectory() as folder:
        client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
        run = client.create_run(client.create_experiment("bench")).info.run_id
        now = int(time.time() * 1000)
        points = [Metric(METRICS[at % 6], value(0, at % 6, at // 6), now, at // 6) for at in range(n)]
        start = time.perf_counter()
        if batch == 1:
            for point in points:
                client.log_metric(run, point.key, point.value, step=point.step)
        else:
            for at in range(0, n, batch):
                client.log_batch(run, metrics=points[at : at + batch])
        return n / (time.perf_counter() - start)


def make(file, runs, steps):
    if os.path.exists(file):
        return
    part = file + ".part"
    if os.path.exists(part):
        os.remove(part)
    client = MlflowClient(f"sqlite:///{part}")
    experiment = client.create_experiment("bench")
    now = int(time.time() * 1000)
    for at in range(runs):
        run = client.create_run(experiment).info.run_id
        params = [Param(f"parameter_{parameter}", str(at / 7 + parameter)) for parameter in range(10)]
        points = [
            Metric(name, value(at, metric, step), now, step)
            for metric, name in enumerate(METRICS)
            for step in range(steps)
        ]
        client.log_batch(run, metrics=points[:1000], params=params)
        for rest in range(1000, len(points), 1000):
            client.log_batch(run, metrics=points[rest : rest + 1000])
        client.set_terminated(run)
        if at % 100 == 99:
            print(f"MLflow's store for the table: {at + 1} of {runs} runs", file=sys.stderr)
    os.rename(part, file)


def table(file, runs, times):
    client = MlflowClient(f"sqlite:///{file}")
    experiment = client.get_experiment_by_name("bench").experiment_id
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        found = client.search_runs([experiment], order_by=["metrics.validation_accuracy DESC"], max_results=50000)
        seconds.append(time.perf_counter() - start)
        assert len(found) == runs and len(found[0].data.metrics) == 6 and len(found[0].data.params) == 10
    return seconds


match sys.argv[1:]:
    case ["single", n]:
        result = {"per_second": log(int(n), 1)}
    case ["batched", n, batch]:
        result = {"per_second": log(int(n), int(batch))}
    case ["table", file, runs, steps, times]:
        make(file, int(runs), int(steps))
        result = {"seconds": table(file, int(runs), int(times))}
    case other:
        sys.exit(f"expected single, batched or table with their numbers; got {other}")
print(json.dumps(result))
