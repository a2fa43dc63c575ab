"""`sluice plan` and `sluice compare`: what they print, their exit status, and what they say to wrong input."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from autoscaler.planner.cli import parse_rates
from jobs.cli import app

PIPELINE = """\
pipeline: p
slo: 100 ms
objective: {objective}
budget: {{cores: 2}}
source: {{topic: in}}
sink: {{topic: out}}
dead_letters: {{topic: dead}}
stages:
  look:
    operator: 'm:C'
    variants: {{small: {{accuracy: 0.8}}, large: {{accuracy: 0.9}}}}
    variant: large
"""
POINT = "- {{batch: {batch}, cores: {cores}, mean_ms: {ms}, p50_ms: {ms}, p99_ms: {ms}, rows_s: {rows}, memory_mb: 100}}"


def measured(row_ms: float) -> str:
    """Batches of 1 and 8 on 1 and 2 cores; nothing is saved by batching."""
    points = [POINT.format(batch=batch, cores=cores, ms=row_ms * batch / cores, rows=1000 * cores / row_ms) for batch in (1, 8) for cores in (1, 2)]
    return "\n".join(["        cpu:", "          points:", *(f"            {point}" for point in points)])


PROFILE = f"profile: p\nmeasured: {{machine: test}}\nstages:\n  look:\n    variants:\n      small:\n{measured(2)}\n      large:\n{measured(10)}\n"


@pytest.fixture
def pipeline(tmp_path):
    (tmp_path / "p.profile.yaml").write_text(PROFILE)
    path = tmp_path / "p.yaml"
    path.write_text(PIPELINE.format(objective="accuracy"))
    return path


def sluice(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_plan_prints_what_to_run_and_that_it_is_the_best(pipeline):
    said = sluice("plan", pipeline, "--rate", 30)
    assert said.exit_code == 0, said.output
    for part in ("p at 30 events/s", "look", "large", "accuracy 0.9000", "of 100 ms", "proven the best"):
        assert part in said.output


def test_a_higher_rate_takes_the_faster_variant(pipeline):
    plan = json.loads(sluice("plan", pipeline, "--rate", 400, "--json").stdout)["plan"]
    assert [share["option"]["variant"] for share in plan["stages"][0]["shares"]] == ["small"]


def test_plan_explains(pipeline):
    said = sluice("plan", pipeline, "--rate", 120, "--explain").output
    for part in ("what each stage takes", "what binds", "the next best plan", "one more cpu", "10 ms more SLO"):
        assert part in said
    data = json.loads(sluice("plan", pipeline, "--rate", 120, "--explain", "--json").stdout)
    assert {limit["name"] for limit in data["explanation"]["limits"]} == {"slo", "cpu"}
    assert data["meets"]


def test_a_rate_that_nothing_carries_ends_with_1_and_the_relaxations(pipeline):
    said = sluice("plan", pipeline, "--rate", 5000)
    assert said.exit_code == 1
    assert "no plan carries 5000 events/s within 100 ms" in said.output
    assert "a rate of at most" in said.output
    data = json.loads(sluice("plan", pipeline, "--rate", 5000, "--json").stdout)
    assert data["plan"] is None
    assert 0 < data["infeasible"]["largest_rate"] < 1000  # two cores of the small variant: 1000 rows/s


@pytest.mark.parametrize("policy", ["sluice", "static"])
def test_plan_with_a_policy_says_where_it_rests(pipeline, policy):
    said = sluice("plan", pipeline, "--rate", 20, "--policy", policy)
    assert said.exit_code == 0, said.output
    assert f"policy {policy}" in said.output


def test_a_policy_that_does_not_carry_the_rate_ends_with_1_and_says_what_is_missing(pipeline):
    said = sluice("plan", pipeline, "--rate", 150, "--policy", "static")  # one replica of the large variant carries 100
    assert said.exit_code == 1
    assert "not met: demand of look" in said.output


def test_compare_shows_each_policy_at_each_rate(pipeline):
    rows = json.loads(sluice("compare", pipeline, "--rates", "20:400:190", "--policies", "sluice,static", "--json").stdout)["rows"]
    assert [(row["policy"], row["rate"]) for row in rows] == [(name, rate) for rate in (20, 210, 400) for name in ("sluice", "static")]
    assert all(row["meets"] for row in rows if row["policy"] == "sluice")
    assert not rows[-1]["meets"]
    assert rows[-1]["latency_ms"] is None


def test_compare_prints_a_table_and_draws(pipeline, tmp_path):
    said = sluice("compare", pipeline, "--rates", "20:40", "--policies", "static", "--plot", tmp_path / "out.png")
    assert said.exit_code == 0, said.output
    assert "where each policy comes to rest" in said.output
    assert "1 x large (1 cpu, batch 1)" in said.output
    assert (tmp_path / "out.png").stat().st_size > 10_000


WRONG = [
    (("plan", "FILE", "--rate", 0), "--rate is 0; use a number above 0"),
    (("plan", "FILE", "--rate", "nan"), "--rate is nan; use a number above 0"),
    (("plan", "FILE", "--rate", 5, "--policy", "magic"), "no policy is called 'magic'; use one of"),
    (("plan", "FILE", "--rate", 5, "--profile", "nowhere.yaml"), "nowhere.yaml:1: the file cannot be read"),
    (("plan", "nowhere.yaml", "--rate", 5), "nowhere.yaml:1: the file cannot be read"),
    (("compare", "FILE", "--rates", "10"), "--rates is '10': write FROM:TO"),
    (("compare", "FILE", "--rates", "a:b"), "--rates is 'a:b': FROM, TO and STEP are numbers"),
    (("compare", "FILE", "--rates", "50:10"), "use numbers above 0, the smaller one first"),
    (("compare", "FILE", "--rates", "0:10"), "use numbers above 0, the smaller one first"),
    (("compare", "FILE", "--rates", "10:50:0"), "use a step above 0"),
    (("compare", "FILE", "--rates", "1:1000000:1"), "use a larger step"),
    (("compare", "FILE", "--rates", "10:20", "--policies", "magic"), "no policy is called 'magic'; use one of"),
    (("compare", "FILE", "--rates", "10:10", "--policies", "static", "--plot", "/nowhere/out.png"), "name a file that can be written"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_wrong_input_ends_with_2_and_the_mend(pipeline, words, said):
    found = sluice(*(pipeline if word == "FILE" else word for word in words))
    assert found.exit_code == 2
    assert said in found.stderr


def test_a_profile_that_is_not_there_names_the_command_that_makes_one(pipeline):
    pipeline.with_name("p.profile.yaml").unlink()
    found = sluice("plan", pipeline, "--rate", 5)
    assert found.exit_code == 2
    assert "sluice profile" in found.stderr


def test_a_variant_that_was_not_measured_is_named(pipeline):
    pipeline.write_text(PIPELINE.format(objective="cost").replace("large: {", "huge: {").replace("variant: large", "variant: huge"))
    found = sluice("plan", pipeline, "--rate", 5)
    assert found.exit_code == 2
    assert "huge is not in the profile" in found.stderr


@pytest.mark.parametrize(("text", "rates"), [
    ("10:50:20", (10, 30, 50)),
    ("10:45:20", (10, 30, 45)),
    ("10:10", (10,)),
    ("10:80", (10, 20, 30, 40, 50, 60, 70, 80)),
    ("0.5:1:0.25", (0.5, 0.75, 1.0)),
])
def test_ranges_of_rates_hold_both_ends(text, rates):
    assert parse_rates(text) == pytest.approx(rates)
