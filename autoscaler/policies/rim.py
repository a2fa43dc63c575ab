"""RIM as IPA measured against it: the replicas are fixed, variants and batches are chosen.

    n[s]       3 in every stage, as in IPA's revised video runs (its audio runs: 27 and 6)

Objective, SLO and sizes as in `ipa`; when the fixed replicas carry the rate with no variant, it stays as it runs.

Source: IPA (JSys 2024), section 5, baseline RIM-high.
"""

from __future__ import annotations

from autoscaler.planner.model import Problem
from autoscaler.policies.ipa import Ipa

REPLICAS = 3


def rim(problem: Problem) -> Ipa:
    return Ipa(problem, replicas={stage.name: REPLICAS for stage in problem.stages}, name="rim")
