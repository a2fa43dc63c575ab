"""InfAdapter's reference optima from the capacity table itself, and what the table holds."""

import pytest

from bench.planner_reference import compare_infadapter, compare_proteus
from bench.published import infadapter, proteus

pytestmark = pytest.mark.data


def test_every_optimum_is_equal(shared):
    found = list(compare_infadapter(quick=False, seed=1))
    assert len(found) == 16
    assert [one.what for one in found if not one.equal] == []


def test_the_table(shared):
    capacity = {(option.variant, option.units): option.throughput for option in infadapter.problem().stages[0].options}
    assert [capacity["18", cores] for cores in (4, 8, 16, 20)] == [90, 190, 385, 473]
    assert [capacity["152", cores] for cores in (4, 8, 16, 20)] == [15, 27, 59, 67]
    assert len(infadapter.rates()) == 1260


def test_proteus_families_and_requests(shared):
    found = proteus.problem()
    assert [stage.name for stage in found.stages] == list(proteus.FAMILIES)
    assert sum(stage.rates[0].factor for stage in found.stages) == pytest.approx(1.0)
    assert sum(proteus.rates("zipf_exponential")) == 75253
    assert max(option.accuracy for stage in found.stages for option in stage.options) == pytest.approx(1.0)


def test_the_two_programs_agree(shared):
    assert [one.what for one in compare_proteus(quick=True, seed=5) if not one.equal] == []
