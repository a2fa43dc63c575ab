"""The autoscaler sidecar of a run: as shipped, with the contender among the policies that it knows.

`python -m bench.live.sidecar CONTENDER run PIPELINE --policy NAME ...`, where CONTENDER is `Contender.data` as JSON and the rest is what
`sluice autoscaler` takes.
"""

from __future__ import annotations

import json
import sys

from autoscaler.cli import app
from autoscaler.policies.registry import POLICIES
from bench.live.contender import Contender


def main() -> None:
    contender = Contender.of(json.loads(sys.argv.pop(1)))
    POLICIES[contender.name] = contender.spec()
    app()


if __name__ == "__main__":
    main()
