"""From a pipeline file and a profile to the problem that is planned."""

from dataclasses import replace
from pathlib import Path

import pytest

from autoscaler.graph.reader import parse_pipeline, read_pipeline
from autoscaler.planner.catalogue import Unmeasured, most_on_a_way, passing, problem
from autoscaler.planner.frontier import plan
from autoscaler.planner.model import Plan, RateTerm
from autoscaler.planner.objectives import LeastCost, MostAccurate, Weighted
from autoscaler.planner.profile import Point, Profile, StageProfile, VariantProfile, Width, profile_path, read_profile
from autoscaler.planner.queueing import NoWait, ServiceWait

HEAD = """
pipeline: p
slo: 500 ms
slo_share: 0.97
source: {topic: i}
sink: {topic: o}
dead_letters: {topic: d}
"""
SCENES = HEAD + """
budget: {cores: 8, replicas: 9}
stages:
  locate: {operator: "m:L", fan_out: true, variants: {fast: {accuracy: 0.9}, good: {accuracy: 0.99}}, batch: {max: 4}}
  classify: {operator: "m:C", variants: {only: {accuracy: 0.95}}, output: {format: json, fields: {c: DOUBLE}}, replicas: {max: 20}}
  again: {operator: "m:C", when: "c < 0.9", input: locate, variants: {only: {accuracy: 0.99}}, output: {format: json}}
  read: {operator: "m:R", join: locate, variants: {only: {accuracy: 1.0}}}
"""


def point(batch=1, cores=1, ms=4.0, rows_s=None):
    return Point(batch, cores, ms, ms, ms, rows_s or 1000 * batch / ms, 100)


def variant(name="only", points=(point(),), width=None, device="cpu"):
    return VariantProfile(name, device, tuple(points), fan_out=width)


def profile_of(**stages):
    """Each: its variants and what is taken."""
    return Profile("p", tuple(StageProfile(name, tuple(variants), taken) for name, (variants, taken) in stages.items()))


def scenes_profile(taken=0.25):
    locate = [variant("fast", [point(1), point(4, ms=8), point(8)], Width(2, 3)), variant("good", width=Width(2.5, 5))]
    return profile_of(locate=(locate, None), classify=([variant(points=[point(1), point(4, ms=10), point(8, ms=12)])], None),
                      again=([variant()], taken), read=([variant()], None))


def chain(*stages):
    lines = [f'  {name}: {{operator: "m:O", variants: {{only: {{accuracy: 0.9}}}}{more}}}' for name, more in stages]
    return parse_pipeline(HEAD + "stages:\n" + "\n".join(lines), "f")


def test_rates_follow_branch_fan_out_and_join():
    stages = {stage.name: stage for stage in problem(parse_pipeline(SCENES, "f"), scenes_profile(), 10).stages}
    assert stages["locate"].rates == (RateTerm(None, 1.0),)
    assert stages["classify"].rates == (RateTerm("locate", 1.0, {"fast": 2, "good": 2.5}),)
    assert stages["again"].rates == (RateTerm("classify", 0.25),)
    assert stages["read"].rates == (RateTerm("locate"),)  # each scene once


def test_what_comes_after_what_is_a_chain_where_a_branch_goes_past():
    stages = {stage.name: stage for stage in problem(parse_pipeline(SCENES, "f"), scenes_profile(), 10).stages}
    assert {name: stage.after for name, stage in stages.items()} == {
        "locate": (), "classify": ("locate",), "again": ("classify",), "read": ("again",)}


def test_weight_is_the_share_of_events_that_get_there():
    weights = {stage.name: stage.weight for stage in problem(parse_pipeline(SCENES, "f"), scenes_profile(), 10).stages}
    assert weights == {"locate": 1, "classify": 1, "again": 0.25, "read": 1}


def test_an_unknown_branch_is_taken_and_passed_by_all():
    stages = {stage.name: stage for stage in problem(parse_pipeline(SCENES, "f"), scenes_profile(taken=None), 10).stages}
    assert stages["again"].rates == (RateTerm("classify", 1.0),)
    assert stages["again"].weight == 1


def test_shares_of_two_branches_and_what_is_left():
    stages = chain(("a", ', output: {format: json, fields: {c: DOUBLE}}'), ("b", ', after: a, when: "c < 1"'), ("c", ', after: a, when: "c < 2"'),
                   ("d", ", after: [b, c]")).stages
    assert passing(stages, "a", {"b": 0.2, "c": 0.5}) == pytest.approx({"b": 0.2, "c": 0.4, "d": 0.4})
    assert passing(stages, "a", {"b": 0.2}) == pytest.approx({"b": 0.2, "c": 0.8, "d": 0.8})
    assert passing(stages, "d", {}) == {None: 1.0}


def test_options_are_the_measured_points_up_to_the_largest_batch():
    options = problem(parse_pipeline(SCENES, "f"), scenes_profile(), 10).stage("locate").options
    assert [(o.variant, o.batch, o.units, o.latency_ms, o.throughput, o.accuracy, o.cost, o.memory_gb) for o in options] == [
        ("fast", 1, 1, 4, 250, 0.9, 1, 0.1), ("fast", 4, 1, 8, 500, 0.9, 1, 0.1), ("good", 1, 1, 4, 250, 0.99, 1, 0.1)]


def test_children_of_a_join_are_worked_off_by_one_replica_at_worst():
    options = problem(parse_pipeline(SCENES, "f"), scenes_profile(), 10).stage("classify").options
    assert {o.batch: o.latency_ms for o in options} == {1: 20, 4: 20, 8: 12}  # five digits: five batches, two, one


def test_latency_is_the_quantile_that_the_end_to_end_share_asks_for():
    pipeline = chain(("a", ""), ("b", ""), ("c", ""))  # 0.97 over three stages: 0.99 each
    spread = Point(1, 1, 5, 4, 9, 200)
    found = problem(pipeline, profile_of(**{name: ([variant(points=[spread])], None) for name in "abc"}), 5)
    assert [stage.options[0].latency_ms for stage in found.stages] == pytest.approx([9, 9, 9])
    assert isinstance(found.sizing, ServiceWait)
    assert found.sizing.share == pytest.approx(0.99)


def test_no_stage_is_asked_to_keep_to_its_time_always():
    pipeline = parse_pipeline(SCENES.replace("0.97", "1"), "f")
    assert problem(pipeline, scenes_profile(), 10).sizing == ServiceWait(0.9999)


def test_the_way_with_most_stages_counts():
    assert most_on_a_way(parse_pipeline(SCENES, "f")) == 4
    assert most_on_a_way(chain(("a", ""))) == 1


def test_budgets_and_slo():
    pipeline = parse_pipeline(SCENES, "f")
    found = problem(pipeline, scenes_profile(), 10, path_ms=40)
    assert (found.devices, found.slo_ms, found.rate, found.grid_ms) == ({"cpu": 8}, 460, 10, 0.46)
    assert {stage.name: stage.most for stage in found.stages} == {"locate": 4, "classify": 6, "again": 4, "read": 4}  # 9 less one each
    with pytest.raises(ValueError, match="path_ms is 500"):
        problem(pipeline, scenes_profile(), 10, path_ms=500)


@pytest.mark.parametrize(("written", "kind"), [("accuracy", MostAccurate), ("cost", LeastCost), ("balanced", Weighted)])
def test_objectives(written, kind):
    pipeline = parse_pipeline(SCENES + f"objective: {written}\n", "f")
    assert isinstance(problem(pipeline, scenes_profile(), 10).objective, kind)


def test_a_gpu_slot_has_its_device_and_price():
    pipeline = parse_pipeline(HEAD + 'budget: {gpu_slots: 2}\nstages: {a: {operator: "m:O", variants: {only: {accuracy: 1}}}}\n', "f")
    profile = profile_of(a=([variant(), variant(device="gpu")], None))
    found = problem(pipeline, profile, 1, prices={"cpu": 1, "gpu": 4}, sizing=NoWait())
    assert found.devices == {"gpu": 2}
    assert [(option.device, option.cost) for option in found.stages[0].options] == [("cpu", 1), ("gpu", 4)]
    assert found.sizing == NoWait()


def test_a_join_without_operator_takes_no_time():
    pipeline = parse_pipeline(HEAD + """
stages:
  cut: {operator: "m:L", fan_out: true, variants: {only: {accuracy: 1}}}
  work: {operator: "m:C", variants: {only: {accuracy: 1}}}
  gather: {join: cut}
  last: {operator: "m:C", variants: {only: {accuracy: 1}}}
""", "f")
    profile = profile_of(cut=([variant(width=Width(3, 4))], None), work=([variant()], None), last=([variant()], None))
    found = problem(pipeline, profile, 10)
    assert [stage.name for stage in found.stages] == ["cut", "work", "last"]
    assert found.stage("last").after == ("work",)
    assert found.stage("last").rates == (RateTerm("cut", 1.0),)
    assert most_on_a_way(pipeline) == 3


def test_a_foreign_stage_costs_nothing():
    pipeline = parse_pipeline(HEAD + "stages: {a: {endpoint: 'host:8001'}}\n", "f")
    found = problem(pipeline, profile_of(a=([variant("default", device="foreign")], None)), 1)
    option = found.stages[0].options[0]
    assert (option.cost, option.device, found.stages[0].most) == (0, "foreign", 1)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda p: replace(p, pipeline="q"), "the profile is of pipeline q, not p"),
        (lambda p: replace(p, stages=p.stages[1:]), "stage locate, variant fast is not in the profile"),
        (lambda p: replace(p, stages=(replace(p.stages[0], variants=p.stages[0].variants[:1]), *p.stages[1:])),
         "stage locate, variant good is not in the profile"),
        (lambda p: replace(p, stages=(replace(p.stages[0], variants=(p.stages[0].variants[0], variant("good", [point(8)], Width(1, 1)))),
                                      *p.stages[1:])), "variant good: the profile has no batch of up to 4 rows"),
        (lambda p: replace(p, stages=(replace(p.stages[0], variants=(p.stages[0].variants[0], variant("good"))), *p.stages[1:])),
         "variant good: the profile does not say into how many rows it fans out"),
    ],
)
def test_what_is_not_measured_is_named(change, text):
    with pytest.raises(Unmeasured, match=f"{text}; measure it with `sluice profile PIPELINE`"):
        problem(parse_pipeline(SCENES, "f"), change(scenes_profile()), 10)


@pytest.mark.parametrize("name", ["digits", "scenes"])
def test_the_shipped_examples_come_measured_and_plan(name):
    path = Path(__file__).resolve().parents[2] / "pipelines" / f"{name}.yaml"
    found = plan(problem(read_pipeline(path), read_profile(profile_path(path)), 20))
    assert isinstance(found, Plan)
    assert found.exact
