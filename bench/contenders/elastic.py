"""An operator that takes `fixed_ms` + `row_ms` for each row, divided by its cores, and does nothing meanwhile: on two cores a stage of eight."""

from __future__ import annotations

import time
from collections.abc import Sequence

from operators.operator import Operator


class Elastic(Operator):
    def infer(self, rows: Sequence[bytes]) -> Sequence[bytes]:
        options = self.variant.options
        time.sleep((float(str(options["fixed_ms"])) + float(str(options["row_ms"])) * len(rows)) / 1000 / self.cores)
        return list(rows)
