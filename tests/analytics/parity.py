"""Writes parity.json: what NumPy and SageMaker's own ExperimentAnalytics say about a fixed set of runs.

    python3.11 -m venv /tmp/parity
    /tmp/parity/bin/pip install 'numpy<3' 'sagemaker<3'
    /tmp/parity/bin/python tests/analytics/parity.py

tests/analytics_parity.rs logs the same runs and compares. No service is called: the client is a stub that answers a search
with these runs as trial components, in two pages.
"""

import datetime
import json
import math
import pathlib
import types
from importlib.metadata import version

import numpy
from sagemaker.analytics import ExperimentAnalytics

EXPERIMENT = "parity"


def series(seed, n):
    """Curves as trainings have them, and series that are hard on a one-pass variance."""
    random = numpy.random.default_rng(seed)
    steps = numpy.arange(1, n + 1)
    return {
        "validation:accuracy": 1 - 0.8 / steps + random.normal(0, 0.01, n),
        "train:loss": 2.3 / numpy.sqrt(steps) + random.normal(0, 0.02, n),
        # Seconds since 1970: a large mean with a small variance.
        "clock:seconds": 1.76e9 + random.normal(0, 1e-3, n),
        "constant": numpy.full(n, 0.1),
        # Over fourteen orders of magnitude.
        "gradient:norm": 10.0 ** random.uniform(-7, 7, n),
        "with:gaps": numpy.where(steps % 3 == 0, numpy.nan, numpy.where(steps % 7 == 0, numpy.inf, random.normal(5, 1, n))),
    }


def runs():
    made = []
    for seed, (strategy, fraction, n) in enumerate(
        [("full", 1.0, 40), ("glister", 0.3, 25), ("fresh-random", 0.3, 2), ("glister", 0.1, 100)]
    ):
        made.append(
            {
                "name": f"run-{seed}",
                "parameters": {"strategy": strategy, "fraction": fraction, "seed": seed, "Zeta": 2.5, "batch": 128},
                "series": series(seed, n),
            }
        )
    # One that has less, and something of its own.
    made.append(
        {
            "name": "run-short",
            "parameters": {"strategy": "full", "alpha": -1e-9},
            "series": {"validation:accuracy": numpy.array([0.25]), "test:accuracy": numpy.array([0.5, 0.75, 0.625])},
        }
    )
    return made


def statistics(values):
    """Over the finite values, in extended precision; the deviation is the sample's (ddof=1)."""
    finite = values[numpy.isfinite(values)].astype(numpy.longdouble)
    return {
        "Min": float(finite.min()),
        "Max": float(finite.max()),
        "Avg": float(finite.mean()),
        "StdDev": float(finite.std(ddof=1)) if len(finite) > 1 else None,
        "Last": float(finite[-1]),
        "Count": len(finite),
        "NonFinite": len(values) - len(finite),
    }


def component(run):
    number_or_text = lambda value: {"StringValue": value} if isinstance(value, str) else {"NumberValue": float(value)}
    created = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    metrics = [
        {"MetricName": name, **{key: value for key, value in statistics(values).items() if key != "NonFinite"}}
        for name, values in sorted(run["series"].items())
    ]
    return {
        "TrialComponent": {
            "TrialComponentName": run["name"],
            "DisplayName": run["name"],
            "CreationTime": created,
            "Parameters": {name: number_or_text(value) for name, value in run["parameters"].items()},
            "Metrics": metrics,
            "InputArtifacts": {},
            "OutputArtifacts": {},
            "Parents": [{"ExperimentName": EXPERIMENT, "TrialName": "trial"}],
        }
    }


class Client:
    """Answers any search with all components, in pages of three, and keeps what it was asked."""

    def __init__(self, components):
        self.components = components
        self.asked = []

    def search(self, **request):
        self.asked.append(json.loads(json.dumps(request)))
        start = int(request.get("NextToken", 0))
        page = {"Results": self.components[start : start + 3]}
        if start + 3 < len(self.components):
            page["NextToken"] = str(start + 3)
        return page


def frame(components, **options):
    client = Client(components)
    session = types.SimpleNamespace(sagemaker_client=client)
    analytics = ExperimentAnalytics(experiment_name=EXPERIMENT, sagemaker_session=session, **options)
    table = analytics.dataframe()
    rows = [[cell(value) for value in row] for row in table.values.tolist()]
    first = client.asked[0]
    return {
        "columns": list(table.columns),
        "rows": rows,
        "search": {key: first[key] for key in ("SearchExpression", "SortBy", "SortOrder") if key in first},
    }


def spelt(value):
    """As text: JSON has no NaN, and not every reader of it rounds a number to the nearest."""
    return repr(float(value))


def cell(value):
    if isinstance(value, (int, float)):
        return None if math.isnan(value) else {"number": spelt(value)}
    return value


def main():
    made = runs()
    full = [component(run) for run in made[:4]]
    everything = [component(run) for run in made]
    expected = {
        "about": f"written by tests/analytics/parity.py with numpy {numpy.__version__}, sagemaker {version('sagemaker')}",
        "runs": [
            {
                "name": run["name"],
                "parameters": run["parameters"],
                "series": {name: [spelt(value) for value in values] for name, values in run["series"].items()},
                "statistics": {
                    name: {key: None if value is None else spelt(value) for key, value in statistics(values).items()}
                    for name, values in run["series"].items()
                },
            }
            for run in made
        ],
        "alike": frame(full),
        "ragged": frame(everything),
        "chosen": frame(
            everything,
            metric_names=["validation:accuracy", "train:loss"],
            parameter_names=["strategy", "seed"],
            sort_by="metrics.validation:accuracy.max",
            sort_order="Ascending",
        ),
    }
    path = pathlib.Path(__file__).with_name("parity.json")
    path.write_text(json.dumps(expected, separators=(",", ":")) + "\n")


main()
