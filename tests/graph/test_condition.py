import pytest

from autoscaler.graph.condition import condition_error

FIELDS = ("label", "confidence", "name")


@pytest.mark.parametrize("when", [
    "confidence < 0.8",
    "label IN (1, 2, 3) AND NOT (confidence >= 0.5 OR name IS NULL)",
    "`label` <> 4 and name like 'a''%'",
    "ABS(confidence - 0.5) * 2 > 0.1",
    "TRY_CAST(name AS INT) BETWEEN 1 AND 5",
    "CASE WHEN label = 1 THEN TRUE ELSE confidence IS NOT NULL END",
])
def test_conditions_that_no_event_can_make_fail_are_let_through(when):
    assert condition_error(when, FIELDS) is None


@pytest.mark.parametrize(("when", "says"), [
    ("1 / label > 2", "'/' cannot be used"),
    ("CAST(name AS INT) > 2", "use TRY_CAST"),
    ("label % 2 = 0", "'%' cannot be used"),
    ("size > 2", "size is no field of the stage before (declared: confidence, label, name)"),
    ("REGEXP(name, '[')", "the function REGEXP cannot be used"),
    ("label = 1; DROP TABLE x", "';' cannot be used"),
    ("name = 'open", "\"'\" cannot be used"),
])
def test_a_condition_that_could_fail_on_data_is_refused_with_its_mend(when, says):
    assert says in condition_error(when, FIELDS)
