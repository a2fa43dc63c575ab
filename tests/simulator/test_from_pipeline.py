"""A pipeline file and its profile as what is simulated: ways, widths, batch times, and what is assumed."""

from pathlib import Path

import numpy as np
import pytest

from autoscaler.graph.reader import parse_pipeline, read_pipeline
from autoscaler.planner.model import Option
from autoscaler.planner.profile import parse_profile, read_profile
from simulator.arrivals import Arrivals, Even
from simulator.from_pipeline import model, truth
from simulator.network import Branch, FanOut
from simulator.outcome import Outcome
from simulator.simulation import simulate
from simulator.statistics import statistics

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"

PIPELINE = """\
pipeline: p
slo: 400 ms
source: {topic: in}
sink: {topic: out}
dead_letters: {topic: dead}
stages:
  look: {operator: 'm:C', variants: {default: {accuracy: 0.9}}, output: {format: json, fields: {sure: DOUBLE}}}
  again: {operator: 'm:C', variants: {default: {accuracy: 0.9}}, after: look, when: 'sure < 0.5', output: {format: json, fields: {sure: DOUBLE}}}
  never: {operator: 'm:C', variants: {default: {accuracy: 0.9}}, after: look, when: 'sure < 0.1', output: {format: json, fields: {sure: DOUBLE}}}
"""
STAGE = """\
  {name}:
{taken}    variants:
      default:
        cpu:
          cold_start_s: 2
          load_s: 0.5
          points:
            - {{batch: 1, cores: 1, mean_ms: 10, p50_ms: 10, p99_ms: 20, rows_s: 100}}
            - {{batch: 4, cores: 1, mean_ms: 22, p50_ms: 22, p99_ms: 44, rows_s: 180}}
            - {{batch: 8, cores: 1, mean_ms: 30, p50_ms: 30, p99_ms: 60, rows_s: 260}}
"""


def profile(**taken):
    stages = [STAGE.format(name=name, taken=f"    taken: {taken[name]}\n" if name in taken else "") for name in ("look", "again", "never")]
    return parse_profile("profile: p\nstages:\n" + "".join(stages), "p.profile.yaml")


def of(**taken):
    return model(parse_pipeline(PIPELINE, "p.yaml"), profile(**taken), 50.0)


def test_rows_go_as_often_each_way_as_the_profile_measured():
    made = of(again=0.3, never=0.5)
    ways = dict(made.graph.station("look").after.ways)
    assert ways == pytest.approx({"again": 0.3, "never": 0.35, None: 0.35})  # half of the 0.7 that `again` left
    assert made.assumed == ()


def test_ways_that_nobody_measured_are_even_and_said():
    made = of(never=0.5)
    assert dict(made.graph.station("look").after.ways) == pytest.approx({"again": 1 / 3, "never": 1 / 3, None: 1 / 3})  # a third; half of the rest
    (said,) = made.assumed
    assert "1 of 3 rows from look" in said
    assert "`when` of again" in said


def test_batch_times_are_linear_between_measured_ones_and_beyond():
    latency_ms = truth(profile()).latency_ms
    one = Option("default", 8, 1.0, 30.0, 260.0, 1.0, 1.0)
    assert [latency_ms("look", one, rows) for rows in (1, 2, 4, 6, 8, 10)] == pytest.approx([10, 14, 22, 26, 30, 34])


def test_noise_is_the_profiles():
    # p99 / p50 = 2: s = ln 2 / 2.3263 = 0.298, cv = sqrt(exp(0.298^2) - 1) = 0.3047
    assert truth(profile()).cvs["look"] == pytest.approx(0.3047, abs=2e-4)


def test_cold_starts_are_the_profiles():
    made = of(again=0.3)
    assert (made.changes.cold_start_s, made.changes.load_s) == (1.5, {"default": 0.5})


def test_rows_in_a_simulated_pipeline_go_those_ways():
    made = of(again=0.3, never=0.5)
    run = simulate(made.scenario(Arrivals(Even([60.0] * 20), 0.4)))
    passed = (run.records.events(3).variants >= 0).mean(axis=0)
    assert passed[0] == 1.0
    assert passed[1:] == pytest.approx([0.3, 0.35], abs=0.05)  # of 1200 rows: three standard deviations are 0.041
    assert statistics(run).latencies.p50_s == pytest.approx(0.012, abs=0.01)


def test_the_scenes_pipeline_fans_out_branches_and_joins():
    pipeline = read_pipeline(PIPELINES / "scenes.yaml")
    made = model(pipeline, read_profile(PIPELINES / "scenes.profile.yaml"), 50.0)
    locate = made.graph.station("locate").after
    assert isinstance(locate, FanOut)
    assert set(locate.kinds[0].by_variant) == {"columns", "grid"}
    assert isinstance(made.graph.station("classify").after, Branch)
    assert made.graph.station("read").join == "locate"
    run = simulate(made.scenario(Arrivals(Even([40.0] * 20), pipeline.slo_ms / 1000)))
    events = run.records.events(4)
    assert len(events) == 800
    assert (events.outcome <= Outcome.LATE).all()
    rows = {name: sum(second.rows[name] for second in run.records.seconds) for name in ("locate", "classify", "read")}
    width = locate.kinds[0].by_variant[pipeline.stage("locate").variant or "grid"]
    assert rows["locate"] == rows["read"] == 800
    assert rows["classify"] == pytest.approx(800 * width, rel=0.05)
    assert np.isfinite(events.accuracy).all()


def test_children_choose_their_ways_one_by_one():
    made = of(again=0.3, never=0.5)
    chance = np.linspace(0, 1, 1000, endpoint=False)
    counts = np.bincount(made.graph.station("look").after.chosen(chance), minlength=3)
    assert counts.tolist() == [300, 350, 350]
