"""Reads an experiment with MLflow's own client and prints as JSON what it found, a list of runs."""

import hashlib
import json
import os
import sys
import tempfile

from mlflow import MlflowClient

uri, experiment_name = sys.argv[1:]
client = MlflowClient(tracking_uri=uri)
experiment = client.get_experiment_by_name(experiment_name)
runs = []
for run in client.search_runs([experiment.experiment_id]):
    metrics = {
        key: [
            [metric.step, metric.timestamp, repr(metric.value)]
            for metric in client.get_metric_history(run.info.run_id, key)
        ]
        for key in run.data.metrics
    }
    artifacts = {}
    folders = [None]
    while folders:
        for file in client.list_artifacts(run.info.run_id, folders.pop()):
            if file.is_dir:
                folders.append(file.path)
                continue
            with tempfile.TemporaryDirectory() as folder:
                path = client.download_artifacts(run.info.run_id, file.path, folder)
                with open(path, "rb") as content:
                    artifacts[file.path] = hashlib.sha256(content.read()).hexdigest()
    runs.append({
        "name": run.info.run_name,
        "status": run.info.status,
        "start_time": run.info.start_time,
        "end_time": run.info.end_time,
        "params": run.data.params,
        "tags": run.data.tags,
        "metrics": metrics,
        "artifacts": artifacts,
    })
print(json.dumps(runs))
# MLflow's background threads may keep a process that is done.
sys.stdout.flush()
os._exit(0)
