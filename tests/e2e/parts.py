"""Operators on small JSON objects, for the tests of a graph."""

import json
import time

from operators.operator import Operator, RowError


class Split(Operator):
    """The items of `parts`, each an event of its own."""

    fans_out = True

    def infer(self, rows):
        return [[json.dumps(part).encode() for part in json.loads(row)["parts"]] for row in rows]


class Weigh(Operator):
    """Each part as it is; one with `fail` fails."""

    def infer(self, rows):
        return [RowError("bad-input", "too heavy") if json.loads(row).get("fail") else row for row in rows]


class Again(Operator):
    """Each part with `again`; one with `sleep_s` takes that long."""

    def infer(self, rows):
        parts = [json.loads(row) for row in rows]
        time.sleep(sum(part.get("sleep_s", 0) for part in parts))
        return [json.dumps({**part, "again": True}).encode() for part in parts]
