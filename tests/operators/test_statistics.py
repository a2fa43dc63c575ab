"""Statistics by version, from the telemetry's ledgers."""

from types import SimpleNamespace

import numpy as np

from operators.actions import Answer, Batch, Result
from operators.batching import Reason
from operators.operator import Variant
from operators.queue import runs_of
from operators.statistics import statistics
from operators.telemetry import StageTelemetry
from operators.wire import AnswerFrame

OLD, NEW = Variant("cnn", 0.9, {}, "1"), Variant("cnn", 0.9, {}, "2")


def answered(telemetry, variant, parts, compute_s, now):
    """A batch of so many rows of each request."""
    runs = [run for rows in parts for run in runs_of(object(), np.full(rows, 9.0), now - 0.5)]
    telemetry.sent(Batch(runs, sum(parts), Reason.IDLE, now - compute_s), variant)
    result = Result(compute_s, payload=AnswerFrame(0, [1] * len(parts), memoryview(b"")))
    first = 0
    for part, run in enumerate(runs):
        telemetry.answer(Answer(run, np.zeros(len(run), np.uint8), 0, 0, 0.1, [], variant, result, part, first), now)
        first += len(run)


def hosted(serves=NEW):
    telemetry = StageTelemetry("t", "work", 100.0)
    return SimpleNamespace(spec=SimpleNamespace(name="work"), stage=SimpleNamespace(setting=SimpleNamespace(variant=serves)), telemetry=telemetry)


def test_each_version_has_its_own_figures():
    stage = hosted()
    answered(stage.telemetry, OLD, [3, 2], 0.010, 1.0)
    answered(stage.telemetry, OLD, [5], 0.030, 2.0)
    answered(stage.telemetry, NEW, [1], 0.002, 3.0)
    found = {entry["version"]: entry for entry in statistics(stage, 1000.0)}
    assert {version: (entry["inference_count"], entry["execution_count"], entry["last_inference"]) for version, entry in found.items()} == {
        "1": (10, 2, 3000), "2": (1, 1, 4000),
    }
    (batches,) = found["1"]["batch_stats"]
    assert (batches["batch_size"], batches["compute_infer"]) == (5, {"count": 2, "ns": 40_000_000})  # (3 + 2 rows) 10 ms, 5 rows 30 ms
    assert batches["compute_input"] == batches["compute_output"] == {"count": 2, "ns": 0}
    assert found["1"]["inference_stats"]["success"] == {"count": 10, "ns": 5_000_000_000}  # each 0.5 s
    assert [entry["version"] for entry in statistics(stage, 0.0, "1")] == ["1"]
    assert statistics(stage, 0.0, "3") == []


def test_the_version_that_serves_is_there_before_it_has_answered():
    (entry,) = statistics(hosted(), 0.0)
    assert (entry["version"], entry["inference_count"], entry["last_inference"], entry["batch_stats"]) == ("2", 0, 0, [])


def test_variants_that_share_a_version_share_its_entry():
    stage = hosted()
    answered(stage.telemetry, NEW, [4], 0.010, 1.0)
    answered(stage.telemetry, Variant("mlp", 0.8, {}, "2"), [4], 0.010, 2.0)
    (entry,) = statistics(stage, 0.0)
    assert entry["inference_count"] == 8
    assert [(one["batch_size"], one["compute_infer"]) for one in entry["batch_stats"]] == [(4, {"count": 2, "ns": 20_000_000})]
