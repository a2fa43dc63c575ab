"""The pipeline file and the profile of one run: those of the bench, under a name of the run's own.

With the name go topics, decision records and Faust's consumer group: what an earlier run left is not read by anybody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from autoscaler.graph.pipeline import Pipeline
from autoscaler.graph.reader import read_pipeline
from autoscaler.planner.model import Share
from autoscaler.planner.profile import Profile, profile_path, written
from bench.live.contender import Contender

PIPELINE = Path(__file__).resolve().parents[1] / "pipelines" / "live.yaml"


@dataclass(frozen=True, slots=True)
class Files:
    """pipeline: the path of the file, its profile lies beside it."""

    path: Path
    pipeline: Pipeline
    profile: Profile


def with_slo(slo_ms: float, shipped: Path = PIPELINE) -> dict[str, Any]:
    """The bench's pipeline file as a mapping, with that SLO."""
    return {**yaml.safe_load(shipped.read_text(encoding="utf-8")), "slo": f"{slo_ms:g} ms"}


def write(folder: Path, name: str, described: dict[str, Any], profile: Profile, contender: Contender, first: Share) -> Files:
    """described: the pipeline as a mapping, of one stage. first: what it starts with."""
    folder.mkdir(parents=True, exist_ok=True)
    (stage_name,) = described["stages"]
    stage = dict(described["stages"][stage_name])
    if not contender.variants:
        stage["variants"] = {first.option.variant: stage["variants"][first.option.variant]}
    stage |= {"variant": first.option.variant, "cores": first.option.units, "replicas": {**stage["replicas"], "initial": first.replicas}}
    topics = {key: {**described[key], "topic": f"{name}-{key.replace('_', '-')}"} for key in ("source", "sink", "dead_letters")}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**described, **topics, "pipeline": name, "stages": {stage_name: stage}}, sort_keys=False), encoding="utf-8")
    pipeline = read_pipeline(path)
    kept = {variant.name for variant in pipeline.stages[0].variants}
    own = replace(profile, pipeline=name, stages=tuple(
        replace(one, variants=tuple(variant for variant in one.variants if variant.name in kept)) for one in profile.stages))
    profile_path(path).write_text(written(own), encoding="utf-8")
    return Files(path, pipeline, own)
