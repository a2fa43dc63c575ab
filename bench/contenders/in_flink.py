"""The same operator code run inside Flink, Kafka to Kafka: `flink run -py bench/contenders/in_flink.py --kind udf ...`.

udf    a vectorised Table UDF (`func_type="pandas"`), Arrow batches to a Python worker
map    a PyFlink DataStream `map`, row by row
async  Python's `AsyncDataStream.unordered_wait`, row by row

All read and write the same topics, and their records carry what those of the service's path carry: key, value, the event's id, the time of its
source record, whether it is late, and what the stage has to say. What a job would have to measure for that (both times, the lateness) is a
constant here, which costs these paths less than the truth would; `--bare` leaves all of it out and passes the source's headers on.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

ADDED = {"source-timestamp": "1750000000000", "late": "true", "stage": "name=answer;variant=only;version=1;queue_us=0;compute_us=0"}
COLUMNS = "`k` BYTES, `v` BYTES, `headers` MAP<STRING, BYTES> METADATA"


def load_operator(spec: str, variant: str, model_dir: str, options: dict):
    """An operator instance in this Python worker, built as a replica would."""
    from operators.operator import Variant

    module, name = spec.split(":")
    folder = Path(model_dir) if model_dir else None
    return getattr(importlib.import_module(module), name)(Variant(variant, 1.0, options, "1", folder), 1)


class OnFirstUse:
    """Loads the operator in the worker, not in the client that builds the job."""

    def __init__(self, spec: str, variant: str, model_dir: str, options: dict) -> None:
        self._arguments = (spec, variant, model_dir, options)
        self._operator = None

    def __getstate__(self):
        return {"_arguments": self._arguments, "_operator": None}

    def infer(self, rows):
        if self._operator is None:
            self._operator = load_operator(*self._arguments)
        return self._operator.infer(rows)


def main() -> None:
    chosen = _arguments()
    from pyflink.datastream import StreamExecutionEnvironment
    from pyflink.table import StreamTableEnvironment

    environment = StreamExecutionEnvironment.get_execution_environment()
    environment.add_jars(f"file://{chosen.jar}")
    environment.set_parallelism(chosen.parallelism)
    tables = StreamTableEnvironment.create(environment)
    settings = tables.get_config()
    settings.set("python.fn-execution.bundle.size", str(chosen.bundle))
    settings.set("python.fn-execution.bundle.time", str(chosen.bundle_ms))
    settings.set("python.fn-execution.arrow.batch.size", str(chosen.bundle))
    settings.set("python.executable", sys.executable)
    if chosen.object_reuse:
        environment.get_config().enable_object_reuse()
    _create(tables, "source", chosen.source, chosen.bootstrap, f"'scan.startup.mode' = '{chosen.startup}', 'properties.group.id' = 'bench',")
    _create(tables, "sink", chosen.sink, chosen.bootstrap, "")
    operator = OnFirstUse(chosen.operator, chosen.variant, chosen.model_dir, {})
    {"udf": _udf, "map": _map, "async": _async}[chosen.kind](tables, operator, chosen)


def _headers(bare: bool) -> str:
    """SQL of an output record's headers."""
    if bare:
        return "headers"
    added = ", ".join(f"CAST('{name}' AS STRING), CAST(X'{value.encode().hex()}' AS BYTES)" for name, value in ADDED.items())
    return f"MAP[CAST('event-id' AS STRING), headers['event-id'], {added}]"


class Added:
    """The same in Python; sent to the worker whole, as the worker does not import this file by name."""

    def __init__(self, bare: bool) -> None:
        self._headers = {} if bare else {name: value.encode() for name, value in ADDED.items()}

    def to(self, headers: dict) -> dict:
        return {**headers, **self._headers}


def _create(tables, name: str, topic: str, bootstrap: str, further: str) -> None:
    tables.execute_sql(f"""CREATE TABLE {name} ({COLUMNS}) WITH ('connector' = 'kafka', 'topic' = '{topic}',
        'properties.bootstrap.servers' = '{bootstrap}', {further}
        'key.format' = 'raw', 'key.fields' = 'k', 'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY')""")


def _udf(tables, operator: OnFirstUse, chosen: argparse.Namespace) -> None:
    import pandas as pd
    from pyflink.table import DataTypes
    from pyflink.table.udf import udf

    @udf(result_type=DataTypes.BYTES(), func_type="pandas")
    def infer(rows: pd.Series) -> pd.Series:
        return pd.Series(operator.infer(rows.tolist()))

    tables.create_temporary_function("infer", infer)
    tables.execute_sql("INSERT INTO sink SELECT k, infer(v), " + _headers(chosen.bare) + " FROM source")


def _rows(tables):
    from pyflink.common import Types

    kind = Types.ROW_NAMED(["k", "v", "headers"], [Types.PRIMITIVE_ARRAY(Types.BYTE()), Types.PRIMITIVE_ARRAY(Types.BYTE()),
                                                   Types.MAP(Types.STRING(), Types.PRIMITIVE_ARRAY(Types.BYTE()))])
    return tables.to_data_stream(tables.from_path("source")), kind


def _insert(tables, stream) -> None:
    tables.create_temporary_view("answered", tables.from_data_stream(stream))
    tables.execute_sql("INSERT INTO sink SELECT k, v, headers FROM answered")


def _map(tables, operator: OnFirstUse, chosen: argparse.Namespace) -> None:
    from pyflink.common import Row

    stream, kind = _rows(tables)
    added = Added(chosen.bare)

    def answer(row):
        return Row(k=row[0], v=operator.infer([bytes(row[1])])[0], headers=added.to(row[2]))

    _insert(tables, stream.map(answer, output_type=kind))


def _async(tables, operator: OnFirstUse, chosen: argparse.Namespace) -> None:
    from pyflink.common import Row, Time
    from pyflink.datastream import AsyncDataStream, AsyncFunction

    added = Added(chosen.bare)

    class Answer(AsyncFunction):
        async def async_invoke(self, value):
            return [Row(k=value[0], v=operator.infer([bytes(value[1])])[0], headers=added.to(value[2]))]

    stream, kind = _rows(tables)
    _insert(tables, AsyncDataStream.unordered_wait(stream, Answer(), Time.seconds(30), 1000, kind))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kind", choices=("udf", "map", "async"), required=True)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--sink", required=True)
    parser.add_argument("--jar", required=True)
    parser.add_argument("--operator", required=True)
    parser.add_argument("--variant", default="only")
    parser.add_argument("--model-dir", default="")
    parser.add_argument("--startup", default="earliest-offset")
    parser.add_argument("--bundle", type=int, default=1000)
    parser.add_argument("--bundle-ms", type=int, default=1000)
    parser.add_argument("--parallelism", type=int, default=1)
    parser.add_argument("--object-reuse", action="store_true")
    parser.add_argument("--bare", action="store_true", help="output records without what the service's path adds")
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    main()
