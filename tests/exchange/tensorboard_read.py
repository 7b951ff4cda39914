"""Reads event files with TensorBoard's own code and prints as JSON what it found, run by run."""

import json
import os
import sys

from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import plugin_data_pb2

found = {}
for folder, _, files in os.walk(sys.argv[1]):
    for file in files:
        run = os.path.relpath(folder, sys.argv[1])
        accumulator = EventAccumulator(folder, size_guidance={SCALARS: 0})
        accumulator.Reload()
        scalars = {
            tag: [[event.step, event.wall_time, repr(event.value)] for event in accumulator.Scalars(tag)]
            for tag in accumulator.Tags()["scalars"]
        }
        hparams, status = {}, None
        # The loader checks both checksums of every record.
        for event in EventFileLoader(os.path.join(folder, file)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name != "hparams":
                    continue
                data = plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
                if data.HasField("session_start_info"):
                    for name, setting in data.session_start_info.hparams.items():
                        hparams[name] = getattr(setting, setting.WhichOneof("kind"))
                if data.HasField("session_end_info"):
                    status = data.session_end_info.status
        found[run] = {"scalars": scalars, "hparams": hparams, "status": status}
print(json.dumps(found))
