"""Makes a file store (`mlruns/`) with MLflow's own client, with all that an import has to know about."""

import os
import sys
import warnings

warnings.simplefilter("ignore")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

folder = sys.argv[1]
client = MlflowClient(tracking_uri="file://" + folder)

experiment = client.create_experiment("résumé 日本語")
run = client.create_run(experiment, start_time=1_700_000_000_000, run_name="first: 0089")
run_id = run.info.run_id
client.log_batch(
    run_id,
    metrics=[Metric("loss", value, 1_700_000_001_000 + step, step) for step, value in
             enumerate([0.1 + 0.2, float("nan"), float("inf"), -float("inf"), 1e-300, 5e-324])]
    + [Metric("validation/accuracy", 0.5 + step / 1000, 1_700_000_002_000 + step, step) for step in range(400)],
    params=[Param("lr", "0.05"), Param("layers", "3"), Param("nesterov", "True"), Param("model/name", "lenet"),
            Param("empty", ""), Param("several", "one\ntwo")],
    tags=[RunTag("team", "vision"), RunTag("mlflow.note.content", "a *note*"),
          RunTag("mlflow.source.name", "train.py"), RunTag("mlflow.source.git.commit", "0123abc")],
)
# Without a step, as many programs log: each has step 0.
for at in range(5):
    client.log_metric(run_id, "stepless", at / 10, timestamp=1_700_000_003_000 + at)
# Gone on with from step 2.
for time, (step, value) in enumerate([(1, 0.1), (2, 0.2), (3, 0.3), (2, 0.25), (3, 0.35), (4, 0.4)]):
    client.log_metric(run_id, "resumed", value, timestamp=1_700_000_004_000 + time, step=step)
client.log_text(run_id, "weights", "model/weights.txt")
client.set_terminated(run_id, "FINISHED", 1_700_000_009_000)

for name, status in [("failed", "FAILED"), ("killed", "KILLED"), ("failed", "RUNNING")]:
    other = client.create_run(experiment, start_time=1_700_000_010_000, run_name=name).info.run_id
    if status != "RUNNING":
        client.set_terminated(other, status, 1_700_000_011_000)
deleted = client.create_run(experiment, run_name="deleted").info.run_id
client.delete_run(deleted)
client.create_run(client.create_experiment("second"), start_time=1_700_000_020_000, run_name="alone")
client.delete_experiment(client.create_experiment("gone"))
sys.stdout.flush()
os._exit(0)
