"""Accuracy tables that the papers state, as shares of right answers (0..1) unless said otherwise.

IPA's file holds percentages, and minus the word error rate for speech; InfAdapter's top-1 accuracies stand in its released configuration.
"""

from __future__ import annotations

import yaml

from bench.published import data_file

INFADAPTER = {"18": 0.69758, "34": 0.73314, "50": 0.7613, "101": 0.77374, "152": 0.78312}
"""ResNets, ImageNet top-1."""


def ipa(pipeline: str) -> dict[str, dict[str, float]]:
    """Accuracy by task and variant of one of IPA's pipelines; 1 - WER for speech. KeyError for a pipeline there is not."""
    tables = yaml.safe_load(data_file("ipa", "accuracies.yaml").read_text(encoding="utf-8"))
    return {task: {str(variant): round((100 + value if value < 0 else value) / 100, 12) for variant, value in table.items()}
            for task, table in tables[pipeline].items()}
