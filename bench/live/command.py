"""`python -m bench live`: policies live, with Kafka, Flink, the service and the sidecar, on a scaled slice of Themis' window.

    pipeline   the digits networks on parts of a core (bench/pipelines/live.yaml), units of 1/8 core, replicas at most 8 of them together
    profile    `sluice profile` of this machine, kept in .sluice/bench/live/; measured first where there is none of this machine
    SLO, load  from the profile, before anything runs        (`plans`, `load`); both factors are printed
    policies   sluice (all variants); themis, fa2, static for the peak and for the mean; hpa, keda_lag and flink_autoscaler with defaults and
               tuned on another slice (`contender`, `tuning`): the most accurate variant
    run        `stand`;  what counts as a violation `events`;  cost `account`;  which runs count `validity`;  prediction `predicted`
    spares     none: a spare would hold units all the time, and no policy asks for one

Full: REPEATS of each policy, in an order shuffled by the seed, at LEAST_S or more; more than four hours in all. It may be stopped at any time: what
is done is in `.sluice/bench/live/`, and the next call with the same seed and profile goes on from there. `--quick` is a smoke run of two
policies and a few seconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from autoscaler.graph.reader import parse_pipeline
from autoscaler.planner.profile import Profile, profile_path, read_profile
from bench.host import settle
from bench.live import figure, tuning, verdict
from bench.live.contender import FIXED, TODAY, Contender, defaults, words
from bench.live.files import PIPELINE, with_slo
from bench.live.load import Load, load, measured_on, tuned_on
from bench.live.plans import SIZES, UNIT, Planner, slo_ms
from bench.live.setting import Setting
from bench.live.stand import live
from bench.live.store import TRIES, Planned, Store, counted, remaining
from bench.report import environment, progress, table
from bench.rig import SLUICE, rig
from jobs.embedded.paths import ROOT, SLUICE_DIR
from operators.profile_cli import this_machine

FOLDER = SLUICE_DIR / "bench" / "live"
PROFILE = FOLDER / "live.profile.yaml"
TIME_FACTOR = 2
REPEATS, LEAST_S = 3, 300
WARM_S = 30
QUICK_S, QUICK_WARM_S = 5, 5
QUICK = ("sluice", "hpa")
SLOTS = 4
SETTLE_S = 120.0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench live", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of two policies, whose figures mean nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--policies", metavar="NAMES", help="only these, divided by commas")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--seconds", type=int, help=f"of a run; default the whole window, {LEAST_S} at least are asked for")
    chosen = parser.parse_args(arguments)
    figures = _quick(chosen.seed) if chosen.quick else _full(chosen.seed, chosen.policies, chosen.repeats, chosen.seconds)
    if chosen.json:
        print(json.dumps({**figures, "quick": chosen.quick, "seed": chosen.seed, **environment()}))
    return 0


def _full(seed: int, policies: str | None, repeats: int, seconds: int | None) -> dict[str, Any]:
    setting = _setting(_profile(), seconds, WARM_S)
    folder = FOLDER / setting.digest(seed)
    contenders = [*FIXED, *_today(setting, folder, seed, policies)]
    wanted = [one for one in contenders if policies is None or one.name in policies.split(",")]
    if not wanted:
        raise SystemExit(f"none of {policies} is a policy; there are {', '.join(one.name for one in contenders)}")
    store = Store(folder)
    _make(setting, store, wanted, repeats, seed)
    return _report(setting, store, wanted, repeats)


def _quick(seed: int) -> dict[str, Any]:
    setting = _setting(_smoke_profile(), QUICK_S, QUICK_WARM_S)
    store = Store(FOLDER / "quick")
    shutil.rmtree(store.folder, ignore_errors=True)
    contenders = [one for one in (*FIXED, *(defaults(name, setting.planner.problem(1.0), TIME_FACTOR) for name in TODAY)) if one.name in QUICK]
    _make(setting, store, contenders, 1, seed, is_smoke=True)
    return _report(setting, store, contenders, 1)


def _setting(profile: Profile, seconds: int | None, warm_s: int) -> Setting:
    """Says what follows from the profile."""
    shipped = parse_pipeline(PIPELINE.read_text(encoding="utf-8"), str(PIPELINE))
    described = with_slo(slo_ms(shipped, profile))
    planner = Planner(parse_pipeline(yaml.safe_dump(described), str(PIPELINE)), profile)
    raw, peak = measured_on(), planner.peak()
    rate_factor = peak / load("the whole window", raw, TIME_FACTOR, 1.0).peak
    setting = Setting(described, planner, load("Themis' window", raw, TIME_FACTOR, rate_factor, seconds), warm_s)
    share = planner.plan(float(peak))
    assert share is not None
    print(f"SLO {setting.slo_ms:g} ms; parts of a core by {profile.parts}, {profile.machine}")
    print(f"load: {setting.load.name}, {setting.load.seconds} s at {TIME_FACTOR} times its pace, {setting.load.rate_factor:.3f} events/s for one of the trace: "
          f"mean {setting.load.mean:.0f}, peak {setting.load.peak:.0f} events/s")
    print(f"the peak of {peak} events/s needs {planner.need(float(peak)):g} units of {UNIT} cores: {share.replicas} x {share.option.units:g} cores, "
          f"batches of {share.option.batch}; the mean needs {planner.need(setting.load.mean):g}")
    return setting


# profile


def _profile() -> Profile:
    """The cached one, where it is of this machine; else measured."""
    found = _cached()
    if found is not None:
        return found
    progress("measuring the profile, about ten minutes; nothing else should run now")
    settle(SETTLE_S)
    FOLDER.mkdir(parents=True, exist_ok=True)
    subprocess.run([*SLUICE, "profile", str(PIPELINE), "--out", str(PROFILE), "--cores", ",".join(f"{size:g}" for size in SIZES)], check=True, cwd=ROOT,
                   stdout=sys.stderr)
    return read_profile(PROFILE)


def _smoke_profile() -> Profile:
    """The cached one, or that beside the pipeline, which may be of another machine: good enough to see that all works."""
    return _cached() or read_profile(profile_path(PIPELINE))


def _cached() -> Profile | None:
    if not PROFILE.exists():
        return None
    found = read_profile(PROFILE)
    return found if found.machine == this_machine() and found.parts else None


# contenders


def _today(setting: Setting, folder: Path, seed: int, policies: str | None) -> list[Contender]:
    """With defaults, and tuned where such a one is asked for; what was found is kept."""
    asked = [name for name in TODAY if policies is None or f"{name}_tuned" in policies.split(",")]
    kept = folder / "tuned.json"
    found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    missing = [name for name in asked if name not in found]
    if missing:
        slice_s = setting.load.seconds
        there = Setting(setting.described, setting.planner, load("a day before", tuned_on(), TIME_FACTOR, setting.load.rate_factor, slice_s), 0)
        progress(f"tuning {', '.join(missing)} in the simulator, on the {slice_s * TIME_FACTOR} s a day before the window: "
                 f"mean {there.load.mean:.0f}, peak {there.load.peak:.0f} events/s")
        static_peak = next(one for one in FIXED if one.name == "static_peak")
        for name, tried in tuning.tune(there, static_peak, missing, seed, progress).items():
            found[name] = {"best": tuning.best(tried, tuning.most_unit_s(there, static_peak)).contender.data(),
                           "tried": [[dict(one.contender.parameters), one.violation_share, one.unit_s] for one in tried]}
        folder.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(found), encoding="utf-8")
    shipped = [defaults(name, setting.planner.problem(1.0), TIME_FACTOR) for name in TODAY]
    both = [*shipped, *(Contender.of(found[name]["best"]) for name in asked)]
    for one in both:
        print(f"{one.name}: {words(one.parameters)}")
    return both


# runs


def _make(setting: Setting, store: Store, contenders: Sequence[Contender], repeats: int, seed: int, is_smoke: bool = False) -> None:
    """All that are not there yet. is_smoke: whatever disturbs, once."""
    def following() -> Planned | None:
        return next(remaining(store.runs(), contenders, repeats, seed, 1 if is_smoke else TRIES), None)

    if following() is None:
        return
    with rig(slots=SLOTS) as machine:
        number = 0
        while (planned := following()) is not None:
            if not is_smoke:
                settle(SETTLE_S)
            run = live(machine, setting, planned, number, seed)
            store.write(run)
            number += 1
            _say(planned, run)


def _say(planned: Planned, run: Mapping[str, Any]) -> None:
    told = (f"{planned.contender.name}, repeat {planned.repeat + 1}: {run['violation_share']:.2%} violations (simulated "
            f"{run['predicted']['violation_share']:.2%}), {run['unit_s']:,.0f} unit-s (simulated {run['predicted']['unit_s']:,.0f}), accuracy "
            f"{run['accuracy']:.4f}; replicas waited {run['machine']['waited']:.1%}, others took {run['machine']['others']:.2f} cores")
    progress(told + (f"; INVALID: {'; '.join(run['invalid'])}" if run["invalid"] else ""))


def _report(setting: Setting, store: Store, contenders: Sequence[Contender], repeats: int) -> dict[str, Any]:
    runs = store.runs()
    counting = {one.name: [run for repeat, run in sorted(counted(runs, one).items()) if repeat < repeats] for one in contenders}
    found = {name: verdict.figures(each) for name, each in counting.items() if each}
    print(table(["policy", "violations %", "simulated %", "late", "shed", "dead", "unanswered", "p99 ms", "accuracy", "unit-s", "simulated", "cpu-s",
                 "decisions", "changes", "stalls", "runs", "invalid"],
                [[name, f"{100 * one['violation_share']:.2f}", f"{100 * one['predicted_violation_share']:.2f}", one["late"], one["shed"],
                  one["dead_lettered"], one["unanswered"], one["p99_ms"], f"{one['accuracy']:.4f}", one["unit_s"], one["predicted_unit_s"], one["cpu_s"],
                  one["decisions"], one["changes"], one["stalls"], one["runs"], sum(map(bool, one["invalid"]))] for name, one in found.items()]))
    told = verdict.targets(found)
    for name, target in told.items():
        print(f"{name}: {verdict.word(target)}")
    shown = {name: next((run for run in each if not run["invalid"]), each[0]) for name, each in counting.items() if each}
    path = figure.draw(shown, f"SLO {setting.slo_ms:g} ms, units of {UNIT} cores", store.folder / "over_time.png")
    print(f"figure: {path.relative_to(ROOT)}")
    parts = sorted({run["parts"] for each in counting.values() for run in each})
    return {**found, "targets": told, "setting": _told(setting.load, setting.slo_ms, parts, setting.planner)}


def _told(own: Load, slo: float, parts: Sequence[str], planner: Planner) -> dict[str, Any]:
    return {"slo_ms": slo, "parts": ", ".join(parts), "unit_cores": UNIT, "seconds": own.seconds, "time_factor": own.time_factor,
            "rate_factor": round(own.rate_factor, 4), "peak_rps": round(own.peak, 1), "mean_rps": round(own.mean, 1),
            "peak_units": planner.need(own.peak), "mean_units": planner.need(own.mean)}
