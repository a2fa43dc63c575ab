"""`python -m bench NAME [--quick] [--json]`: every figure that the README or the docs claim, each as one command."""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys

from bench.report import environment

NAMES = {
    "planner_exact": "share of the planner's plans that are the best there is: against exhaustive search and a MILP",
    "planner_speed": "milliseconds to a plan of 5, 20 and 200 stages, beside the MILP",
    "planner_reference": "plans of the papers' policies beside what was published or computed from published inputs",
    "repro": "the papers' autoscalers side by side in the simulator: `repro NAME`, `repro all`",
    "forecast": "what each forecaster of the load provides too little and too much, beside an oracle, on traces it was not trained on",
    "sim_speed": "requests/s that the simulator runs on one core: two stages, 80 % load, batches up to 8",
    "sim_fidelity": "the simulator beside the running system: latency and violations of the digits pipeline at loads that it was not told of",
    "operator_path": "events/s Kafka to Kafka: through the service, in a vectorised UDF, in a map, in AsyncDataStream",
    "resize": "milliseconds from a change of cores or replicas to the first batch that shows it",
    "reaction": "seconds from a step of load to more cores and to more replicas; a decision's milliseconds; the sidecar's CPU and memory",
    "live": "policies live on a scaled slice of a trace: violations, unit-seconds and accuracy of ours, the papers' and what users run today",
    "conscale_live": "p99 and its variation through changes of replicas: window of rows in flight tuned, and fixed",
    "stateful": "events/s Kafka to Kafka of a sliding count per key, 10,000 keys, beside the same operator without state",
    "latency": "end-to-end latency of the digits pipeline at 200 and 2,000 events/s, open loop, beside the in-Flink UDF",
    "serving": "rows/s of one torch network behind this service, Triton, MLServer and Ray Serve (`make peers` first)",
    "hot_update": "longest pause between answers while a version is replaced under 10,000 events/s; events lost and repeated",
    "batching": "violations of the batch rules side by side in real processes, on a published trace",
    "start": "seconds from `make run` to the first answered event",
}

PACKAGES = ("repro", "live")
"""Benches with arguments of their own."""


def main() -> int:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that what a bench has started ends with it
    if sys.argv[1:] and sys.argv[1] in PACKAGES:
        return importlib.import_module(f"bench.{sys.argv[1]}.command").main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__,
                                     epilog="\n".join(f"{name:15} {what}" for name, what in NAMES.items()),
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="a smoke run of under a minute; claims come from the full run")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    figures = importlib.import_module(f"bench.{chosen.name}").run(quick=chosen.quick, seed=chosen.seed)
    if chosen.json:
        print(json.dumps({**figures, "quick": chosen.quick, "seed": chosen.seed, **environment()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
