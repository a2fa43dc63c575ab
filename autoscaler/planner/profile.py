"""What a pipeline's stages were measured to do on one machine: a profile file, read and written.

    profile: digits                         # the pipeline's name
    measured: {at: 2026-01-31, machine: "...", parts: quota, versions: {python: 3.11.9}}
    stages:
      locate:
        taken: 0.31                         # share of the rows that meet the stage's `when`; left out where nobody knows
        variants:
          grid:
            cpu:                            # kind of device
              fan_out: {mean: 2.5, most: 5} # rows that one row becomes
              cold_start_s: 3.1             # from starting the process to its being ready
              load_s: 2.4                   # the part of it that the operator takes: its imports, its model, its warming
              resize_ms: 0.4                # change of the number of cores in place
              points:
                - {batch: 1, cores: 1, mean_ms: 0.31, p50_ms: 0.3, p99_ms: 0.42, rows_s: 3190, memory_mb: 310}

Times are of one batch in the replica process, from sending to answer. `cores` counts the device's units, GPU slots as well; it is a multiple
of 1/8, and `parts` says how a replica was kept to a part of a core, `quota` or `slot` (docs/replicas.md); left out where none was. A wrong file
raises PipelineErrors, one line for each fault: `file:line: what is wrong; the mend`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist

import yaml

from autoscaler.graph.section import NAME, NAME_MEND, Section
from autoscaler.graph.tree import Report, load, read_text

SUFFIX = ".profile.yaml"


@dataclass(frozen=True, slots=True)
class Point:
    """One batch size at one number of cores, a multiple of 1/8. rows_s: batches back to back. memory_mb: resident, after these batches."""

    batch: int
    cores: float
    mean_ms: float
    p50_ms: float
    p99_ms: float
    rows_s: float
    memory_mb: float = 0.0

    def quantile_ms(self, share: float) -> float:
        """On the lognormal distribution through p50 and p99; 0 < share < 1. Beyond 0.99 that is an extrapolation."""
        steps = NormalDist().inv_cdf(share) / NormalDist().inv_cdf(0.99)
        return self.p50_ms * (self.p99_ms / self.p50_ms) ** steps


@dataclass(frozen=True, slots=True)
class Width:
    """Rows that a fan-out makes of one: on average, and the most that was seen."""

    mean: float
    most: int


@dataclass(frozen=True, slots=True)
class VariantProfile:
    """One variant on one kind of device. points: by batch and cores, none twice."""

    name: str
    device: str
    points: tuple[Point, ...]
    cold_start_s: float = 0.0
    load_s: float = 0.0
    resize_ms: float = 0.0
    fan_out: Width | None = None


@dataclass(frozen=True, slots=True)
class StageProfile:
    """taken: share of the rows that meet the stage's `when`; None = not known."""

    name: str
    variants: tuple[VariantProfile, ...]
    taken: float | None = None

    def of(self, variant: str) -> tuple[VariantProfile, ...]:
        """That variant on every device it was measured on."""
        return tuple(profile for profile in self.variants if profile.name == variant)


@dataclass(frozen=True, slots=True)
class Profile:
    """at: day of the measurement. machine, versions: what it was measured on and with. parts: how parts of cores were kept to, "" where none was."""

    pipeline: str
    stages: tuple[StageProfile, ...]
    at: str = ""
    machine: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    parts: str = ""

    def stage(self, name: str) -> StageProfile | None:
        return next((stage for stage in self.stages if stage.name == name), None)


def profile_path(pipeline: Path) -> Path:
    """Where a pipeline file's profile is, if nobody says otherwise: digits.profile.yaml beside digits.yaml."""
    return pipeline.with_name(pipeline.name.removesuffix(pipeline.suffix) + SUFFIX)


def read_profile(path: Path | str) -> Profile:
    """The profile in that file."""
    return parse_profile(read_text(Path(path), "profile"), str(path))


def parse_profile(text: str, name: str) -> Profile:
    """The profile in that text; `name` is what errors call the file."""
    report = Report(name, kind="profile")
    root = Section(report, "", load(text, report), ("profile", "measured", "stages"))
    root.need("profile", "stages")
    measured = root.section("measured", ("at", "machine", "versions", "parts"))
    versions = measured.section("versions")
    stages = root.section("stages")
    profile = Profile(
        root.name("profile", "") or "",
        tuple(_stage(stages.section(stage, ("taken", "variants")), stage) for stage in _named(stages)),
        measured.text("at", "") or "",
        measured.text("machine", "") or "",
        {part: versions.text(part, "") or "" for part in versions},
        measured.text("parts", "") or "",
    )
    report.raise_if_any()
    return profile


def _named(section: Section) -> list[str]:
    for name in section:
        if NAME.fullmatch(name) is None:
            section.wrong(name, "is no name", NAME_MEND)
    return list(section)


def _stage(section: Section, name: str) -> StageProfile:
    section.need("variants")
    variants = section.section("variants")
    found = []
    for variant in _named(variants):
        devices = variants.section(variant)
        found += [_variant(devices.section(device, _VARIANT_KEYS), variant, device) for device in _named(devices)]
    return StageProfile(name, tuple(found), section.share("taken", None))


_VARIANT_KEYS = ("fan_out", "cold_start_s", "load_s", "resize_ms", "points")


def _variant(section: Section, name: str, device: str) -> VariantProfile:
    section.need("points")
    width = None
    if "fan_out" in section:
        rows = section.section("fan_out", ("mean", "most"))
        rows.need("mean", "most")
        width = Width(rows.number("mean", 1.0) or 0.0, rows.whole("most", 1, least=0) or 0)
    return VariantProfile(
        name,
        device,
        _points(section),
        section.number("cold_start_s", 0.0) or 0.0,
        section.number("load_s", 0.0) or 0.0,
        section.number("resize_ms", 0.0) or 0.0,
        width,
    )


def _points(section: Section) -> tuple[Point, ...]:
    listed = section.sections("points", ("batch", "cores", "mean_ms", "p50_ms", "p99_ms", "rows_s", "memory_mb"))
    points = [_point(point) for point in listed]
    seen: set[tuple[int, float]] = set()
    for point, place in zip(points, listed, strict=True):
        if (point.batch, point.cores) in seen:
            place.wrong("batch", f"and cores are {point.batch} and {point.cores}, as in a point before", "remove one")
        seen.add((point.batch, point.cores))
    return tuple(points)


def _point(section: Section) -> Point:
    section.need("batch", "cores", "mean_ms", "p50_ms", "p99_ms", "rows_s")
    times = [section.number(key, 1.0, zero=False) or 1.0 for key in ("mean_ms", "p50_ms", "p99_ms", "rows_s")]
    if times[2] < times[1]:
        section.wrong("p99_ms", f"is {times[2]:g}, less than p50_ms ({times[1]:g})", "measure again")
    batch, cores = section.whole("batch", 1, most=65_536) or 1, section.eighths("cores", 1, most=1024)
    return Point(batch, cores, *times, section.number("memory_mb", 0.0) or 0.0)


def written(profile: Profile) -> str:
    """The profile as a file; reads back as the same profile, but for digits after the fourth."""
    lines = [f"profile: {_key(profile.pipeline)}", "measured:", f"  at: {_quoted(profile.at)}", f"  machine: {_quoted(profile.machine)}"]
    if profile.parts:
        lines.append(f"  parts: {_quoted(profile.parts)}")
    if profile.versions:
        lines.append(f"  versions: {{{', '.join(f'{part}: {_quoted(version)}' for part, version in profile.versions.items())}}}")
    lines.append("stages:")
    for stage in profile.stages:
        lines.append(f"  {_key(stage.name)}:")
        if stage.taken is not None:
            lines.append(f"    taken: {_short(stage.taken)}")
        lines.append("    variants:")
        for name in dict.fromkeys(variant.name for variant in stage.variants):
            lines.append(f"      {_key(name)}:")
            for variant in stage.of(name):
                lines += _variant_lines(variant)
    return "\n".join(lines) + "\n"


def _variant_lines(variant: VariantProfile) -> list[str]:
    lines = [f"        {variant.device}:"]
    if variant.fan_out is not None:
        lines.append(f"          fan_out: {{mean: {_short(variant.fan_out.mean)}, most: {variant.fan_out.most}}}")
    lines += [f"          {key}: {_short(getattr(variant, key))}" for key in ("cold_start_s", "load_s", "resize_ms")]
    lines.append("          points:")
    for point in variant.points:
        figures = [f"{key}: {_short(getattr(point, key))}" for key in ("mean_ms", "p50_ms", "p99_ms", "rows_s", "memory_mb")]
        lines.append(f"            - {{batch: {point.batch}, cores: {point.cores:g}, {', '.join(figures)}}}")
    return lines


def _short(number: float) -> str:
    """Four digits, and no exponent, which YAML would take for text."""
    if number == 0:
        return "0"
    digits = max(0, 3 - math.floor(math.log10(abs(number))))
    text = f"{number:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _key(name: str) -> str:
    """A name as YAML's reader takes it for text: `no` and its kin are truth values there."""
    return name if isinstance(yaml.safe_load(name), str) else _quoted(name)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
