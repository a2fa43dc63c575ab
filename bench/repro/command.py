"""`python -m bench repro NAME [--quick] [--seeds N] [--json] [--write-docs]`: one comparison, or all of them."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from datetime import UTC, datetime

from bench.report import environment, progress, table
from bench.repro import document, figures, runs
from bench.repro.runs import Found
from bench.repro.study import Study
from bench.repro.told import HEADINGS, STEP_HEADINGS, level_cells, step_rows, table_rows
from bench.repro.told import figures as told
from bench.repro.verdict import targets, word
from jobs.embedded.paths import ROOT

STUDIES = {
    "themis": "sizes and replicas on the Twitter window: Themis, horizontal only, vertical only, InferLine-like",
    "sponge": "deadlines that a 4G network eats into: Sponge, FA2 as it compares with it, static sizes, Sponge without its parts",
    "fa2": "resources at an equal share of violations: FA2, HPA, a static allocation for the peak, InferLine-like",
    "proteus": "variants on a fixed cluster of cores and GPUs: Proteus, Clipper, INFaaS-like, Sommelier-like; its gap, loads and batch rules",
    "ipa": "accuracy against cores over a pipeline: IPA, FA2-low, FA2-high, RIM on four windows; preferences, predictors",
    "infadapter": "sets of variants against cores: InfAdapter, MS+, VPA with one variant; its weight of the cores",
    "loki": "a pipeline's hardware and accuracy, rates by the variant upstream: Loki, hardware only, InferLine-like, Proteus by stage",
    "conscale": "the window of rows in flight as replicas change: retuned, fixed at the best and at the default, not retuned",
    "ablate": "ours without each of its parts, on windows that no paper used",
}
SEEDS, FEW = 10, 2
"""Of a case, and of each point of a curve or level; at most."""
TELL_EVERY_S = 10.0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench repro", description=__doc__,
                                     epilog="\n".join(f"{name:12} {what}" for name, what in STUDIES.items()),
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["all", *STUDIES], metavar="NAME", help=", ".join(["all", *STUDIES]))
    parser.add_argument("--quick", action="store_true", help="shortened traces and one seed: a smoke run, its figures mean nothing")
    parser.add_argument("--seeds", type=int, help=f"of each case ({SEEDS}); curves and levels have at most {FEW}")
    parser.add_argument("--seed", type=int, default=1, help="the first of them")
    parser.add_argument("--processes", type=int, default=runs.PROCESSES)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/reproduction.md")
    parser.add_argument("--date", help="of the section in the docs; default today")
    chosen = parser.parse_args(arguments)
    seeds = chosen.seeds or (1 if chosen.quick else SEEDS)
    date = chosen.date or datetime.now(UTC).date().isoformat()
    names = list(STUDIES) if chosen.name == "all" else [chosen.name]
    studies = [importlib.import_module(f"bench.repro.{name}").study(chosen.quick) for name in names]
    done = runs.run(studies, seeds, min(FEW, seeds), chosen.seed, Progress(), chosen.processes)
    found = {study.name: _told(study, results, seeds, date if chosen.write_docs else None) for study, results in done}
    if chosen.json:
        figures_of = {name: found[name] for name in names} if chosen.name == "all" else found[chosen.name]
        print(json.dumps({**figures_of, "quick": chosen.quick, "seeds": seeds, "seed": chosen.seed, **environment()}))
    return 0


class Progress:
    """Says how far each study is, not too often."""

    def __init__(self) -> None:
        self._told_s = -TELL_EVERY_S

    def __call__(self, study: Study, done: int, of: int) -> None:
        if done == of or time.monotonic() - self._told_s >= TELL_EVERY_S:
            self._told_s = time.monotonic()
            progress(f"{study.name}: {done} of {of} runs")


def _told(study: Study, found: Found, seeds: int, date: str | None) -> dict:
    """What came of it, printed and drawn. date: of the docs' section; None = it is not written."""
    print(f"{study.title}\npublished: {'; '.join(f'{name}: {value}' for name, value in study.published.items())}")
    for rows in found.headline.values():
        print(f"\n{rows.case.name}, {rows.level.name}, {seeds} seeds\n{table(list(HEADINGS), table_rows(rows))}")
        if steps := step_rows(rows):
            print(table(list(STEP_HEADINGS), steps))
        for name, one in targets(rows, study.metrics).items():
            print(f"{name}: {one['target']}: {word(one)}")
    for title, several in (("other levels", found.levels), ("curves", found.curves)):
        if several:
            print(f"\n{title}")
            print(table(["of", "at", "system", "violations %", "cost", "accuracy"],
                        [[str(of), str(at), name, *level_cells(rows, name, cost_digits=2)]
                         for (of, at), rows in several.items() for name in rows.by_seed]))
    all_told = told(study, found)
    for sentence in all_told["findings"]:
        print(f"- {sentence}")
    for file in figures.draw(study, found):
        print(f"figure: {file.relative_to(ROOT)}")
    if date is not None:
        document.write(study, found, seeds, date)
    return all_told


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
