"""Profile files: what they say, what is wrong with them, and that they read back."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autoscaler.graph.errors import PipelineError
from autoscaler.planner.profile import Point, Profile, StageProfile, VariantProfile, Width, parse_profile, profile_path, read_profile, written

POINT = "{batch: 1, cores: 1, mean_ms: 2, p50_ms: 1.5, p99_ms: 6, rows_s: 500, memory_mb: 90}"
FILE = f"""profile: p
measured: {{at: "2026-01-31", machine: m, versions: {{python: "3.11"}}}}
stages:
  a:
    taken: 0.25
    variants:
      one:
        cpu:
          fan_out: {{mean: 2.5, most: 5}}
          cold_start_s: 3
          load_s: 2
          resize_ms: 0.5
          points:
            - {POINT}
"""


def test_every_key_is_read():
    one = VariantProfile("one", "cpu", (Point(1, 1, 2, 1.5, 6, 500, 90),), 3, 2, 0.5, Width(2.5, 5))
    assert parse_profile(FILE, "f") == Profile("p", (StageProfile("a", (one,), 0.25),), "2026-01-31", "m", {"python": "3.11"})


@pytest.mark.parametrize(
    ("changed", "to", "error"),
    [
        ("profile: p", "pipeline: p", "f:1: pipeline is not a key of the profile file; use profile, measured or stages"),
        ("taken: 0.25", "taken: 25", "f:5: stages.a.taken is 25; use a number from 0 to 1"),
        ("load_s: 2", "load_s: -2", "f:11: stages.a.variants.one.cpu.load_s is -2; use a number from 0 on"),
        ("load_s: 2", "loads: 2", "f:11: stages.a.variants.one.cpu.loads is not a key of the profile file; did you mean load_s?"),
        ("cores: 1,", "cores: 0.3,", "f:14: stages.a.variants.one.cpu.points[0].cores is 0.3; use a multiple of 0.125 from 0.125 to 1024"),
        ("mean_ms: 2", "mean_ms: 0", "f:14: stages.a.variants.one.cpu.points[0].mean_ms is 0; use a number above 0"),
        ("mean_ms: 2, ", "", "f:14: stages.a.variants.one.cpu.points[0].mean_ms is missing; add mean_ms"),
        ("p99_ms: 6", "p99_ms: 1", "f:14: stages.a.variants.one.cpu.points[0].p99_ms is 1, less than p50_ms (1.5); measure again"),
        (f"- {POINT}", "- 7", "f:14: stages.a.variants.one.cpu.points[0] is 7; write a mapping, {key: value}"),
        (f"- {POINT}", f"- {POINT}\n            - {POINT}",
         "f:15: stages.a.variants.one.cpu.points[1].batch and cores are 1 and 1, as in a point before; remove one"),
        ("      one:\n", "      One:\n", "f:7: stages.a.variants.One is no name; use a-z, then up to 62 of a-z, 0-9, _ and -"),
    ],
)
def test_a_wrong_file_names_line_fault_and_mend(changed, to, error):
    assert changed in FILE
    with pytest.raises(PipelineError) as caught:
        parse_profile(FILE.replace(changed, to), "f")
    assert error in str(caught.value).splitlines()


def test_a_file_without_keys():
    with pytest.raises(PipelineError, match="f:1: the file holds no keys; start with profile: NAME"):
        parse_profile("", "f")


def test_no_such_file(tmp_path):
    with pytest.raises(PipelineError, match=r"cannot be read .*; name a profile file"):
        read_profile(tmp_path / "no.profile.yaml")


def test_a_profile_lies_beside_its_pipeline():
    assert profile_path(Path("pipelines/digits.yaml")) == Path("pipelines/digits.profile.yaml")


def test_quantiles_go_through_p50_and_p99():
    point = Point(1, 1, 3, 2, 8, 400)
    assert point.quantile_ms(0.5) == pytest.approx(2)
    assert point.quantile_ms(0.99) == pytest.approx(8)
    assert 2 < point.quantile_ms(0.9) < 8 < point.quantile_ms(0.999)


def test_whole_cores_are_written_and_read_as_whole_numbers():
    points = tuple(Point(1, cores, 1.0, 1.0, 1.0, 1.0) for cores in (0.125, 1, 2.0))
    text = written(Profile("p", (StageProfile("a", (VariantProfile("one", "cpu", points),)),), "now", "here"))
    assert [line.split("cores: ")[1].split(",")[0] for line in text.splitlines() if "cores:" in line] == ["0.125", "1", "2"]
    (found,) = parse_profile(text, "f").stages[0].variants
    assert [type(point.cores) for point in found.points] == [float, int, int]


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
CORES = st.integers(1, 32).map(lambda eighths: eighths / 8)
NUMBER = st.floats(1e-4, 1e6).map(lambda x: float(f"{x:.4g}"))


@st.composite
def profiles(draw):
    names = st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True), min_size=1, max_size=2, unique=True)
    stages = []
    for name in draw(names):
        variants = []
        for variant in draw(names):
            keys = draw(st.lists(st.tuples(st.integers(1, 64), CORES), min_size=1, max_size=3, unique=True))
            times = [(draw(NUMBER), *sorted([draw(NUMBER), draw(NUMBER)])) for _ in keys]
            points = tuple(Point(*key, *three, draw(NUMBER), draw(NUMBER)) for key, three in zip(keys, times, strict=True))
            width = draw(st.none() | st.builds(Width, NUMBER, st.integers(0, 50)))
            variants.append(VariantProfile(variant, draw(st.sampled_from(["cpu", "gpu"])), points, draw(NUMBER), draw(NUMBER), draw(NUMBER), width))
        stages.append(StageProfile(name, tuple(variants), draw(st.none() | st.sampled_from([0.0, 0.125, 1.0]))))
    texts = TEXT.filter(lambda text: text.strip())
    return Profile("p", tuple(stages), draw(texts), draw(texts), {"python": draw(texts)}, draw(st.sampled_from(["", "quota", "slot"])))


A_POINT = (Point(1, 1, 1.0, 1.0, 1.0, 1.0, 1.0),)


@given(profiles())
@example(Profile("no", (StageProfile("yes", (VariantProfile("off", "cpu", A_POINT, 1.0, 1.0, 1.0, None),), None),), "now", "here", {"python": "3"}))
def test_what_is_written_reads_back(profile):
    assert parse_profile(written(profile), "f") == profile
