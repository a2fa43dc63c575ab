"""Hot updates of the stages: carries out what rollouts ask for, watches what comes of it, and tells how far they are.

One rollout at a time and stage. What callers may do is what they may load and unload (operators/repository_api.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from operators import repository as stored
from operators.evidence import Served, all_of
from operators.hosted import HostedStage
from operators.known_states import named
from operators.lanes import LaneSetting
from operators.operator import Variant
from operators.refusal import Fault, Refused
from operators.rollout import Load, Observation, Phase, Promote, Return, Rollout, RolloutPlan, Step, ToCanary, ToShadow
from operators.serving import Serving, SettingError, initial_replicas
from operators.telemetry import RATIO, Ledger
from operators.twins import Twins, meaning, of_turns

log = logging.getLogger(__name__)

OBSERVE_S = 0.1
PLAN = ("canary", "shadow", "for_s", "for_rows", "agreement")


class Part:
    """An update at one stage: its lanes, and what is seen there."""

    def __init__(self, hosted: HostedStage, new: Variant, plan: RolloutPlan) -> None:
        self.hosted, self.new = hosted, new
        self._has_canary = plan.canary > 0
        self.before = _replaced(hosted, new)
        """The lane whose rows the new version is to take."""
        self.old = self.before.setting.variant
        self.twins: Twins | None = None
        hosted.failed.pop(new.served, None)
        hosted.telemetry.copies = Ledger()
        self._deaths = self._died()
        self._base = self._served(new), self._served(self.old)

    def carry_out(self, step: Step) -> None:
        if not isinstance(step, Load):
            self.hosted.twins = None
        match step:
            case Load():
                self._lanes(old=1.0, new=0.0, shadow=True)
            case ToShadow(share):
                said = meaning(self.hosted.spec.output.fields)
                self.twins = self.hosted.twins = Twins(share, said if self.hosted.states is None else of_turns(said))
            case ToCanary(share):
                self._lanes(old=1 - share, new=share)
            case Promote():
                self._lanes(new=1.0)
            case Return():
                self._lanes(old=1.0)

    def seen(self) -> Observation:
        hosted, stage, copies = self.hosted, self.hosted.stage, self.hosted.telemetry.copies.tally
        lane, died = stage.find(self.new.name, self.new.version), self._died()
        return Observation(
            loaded=lane is not None and lane.proven and lane.stage.ready > 0,
            settled=stage.settled,
            problem=hosted.failed.get(self.new.served),
            states=hosted.states_objection(self.new.served, _beside(hosted, self.old, self.new, self._has_canary)),
            final=hosted.states is not None and hosted.states.no_way_back(self.old.served, self.new.served),
            deaths=died[0] - self._deaths[0] - (died[1] - self._deaths[1]),
            new=self._served(self.new).since(self._base[0]),
            old=self._served(self.old).since(self._base[1]),
            copies=Served(copies.answered + copies.failed, copies.failed),
            compared=self.twins.compared if self.twins is not None else 0,
            agreed=self.twins.agreed if self.twins is not None else 0,
        )

    def _lanes(self, old: float | None = None, new: float | None = None, shadow: bool = False) -> None:
        """The two versions' parts of what the old one had, None = not at all. Other lanes, and what was set meanwhile, stay."""
        lanes = [lane for lane in self.hosted.stage.settings if lane.setting.variant.served not in (self.old.served, self.new.served)]
        now = {lane.setting.variant.served: lane.setting for lane in self.hosted.stage.settings}
        of_old = now.get(self.old.served, self.before.setting)
        if old is not None and self.old != self.new:
            lanes.append(LaneSetting(of_old, self.before.share * old))
        if new is not None:
            setting = now.get(self.new.served) or replace(of_old, variant=self.new)
            if not setting.replicas:  # it was unloaded, perhaps in this very version
                setting = replace(setting, replicas=initial_replicas(self.hosted.spec))
            share = self.before.share * (new if self.old != self.new else 1.0)
            lanes.append(LaneSetting(setting, share, shadow and self.old != self.new))
        self.hosted.change(lanes)

    def _died(self) -> tuple[int, int]:
        return self.hosted.deaths.get(self.new.served, 0), self.hosted.deaths.get(self.old.served, 0)

    def _served(self, variant: Variant) -> Served:
        ledger, labels = self.hosted.telemetry.ledger(variant), self.hosted.labels.of(variant)
        rows = ledger.tally.answered + ledger.tally.failed
        return Served(rows, ledger.tally.failed, ledger.parts.counts.copy(), labels.labelled, labels.right)


class Update:
    """One rollout on its way, at all stages that it is for. `ended` is set when it is over."""

    def __init__(self, parts: Sequence[Part], plan: RolloutPlan) -> None:
        self.parts = parts
        self.new, self.old = parts[0].new, parts[0].old
        self.rollout = Rollout(plan, RATIO)
        self.ended = asyncio.Event()
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._over: float | None = None
        for part in parts:
            part.hosted.updating = True

    async def run(self) -> None:
        changes = [asyncio.ensure_future(self._watch(part.hosted)) for part in self.parts]
        try:
            self._carry_out(self.rollout.begin())
            while not self.rollout.ended:
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), OBSERVE_S)
                self._carry_out(self.rollout.observe(self.seen(), self._loop.time()))
        finally:
            self._over = self._loop.time()
            for change in changes:
                change.cancel()
            for part in self.parts:
                part.hosted.updating, part.hosted.twins = False, None
            self.ended.set()
        log.info("stages %s: %s", ", ".join(part.hosted.spec.name for part in self.parts), self.said()["text"])

    def abort(self, reason: str) -> None:
        self._carry_out(self.rollout.abort(reason))
        self._news.set()

    def seen(self) -> Observation:
        """At all stages together."""
        return together([part.seen() for part in self.parts])

    def said(self) -> dict[str, Any]:
        """For people and programs: phase, versions, what was seen."""
        rollout, seen = self.rollout, self.seen()
        left_s, left_rows = rollout.left(seen, self._loop.time())
        text = f"{named(self.old.served)} -> {named(self.new.served)} {rollout.phase}" + (f": {rollout.reason}" if rollout.reason else "")
        if left_s or left_rows:
            text += f", {left_s:.0f} s and {left_rows} rows to go"
        return {
            "stages": [part.hosted.spec.name for part in self.parts],
            "phase": rollout.phase,
            "text": text,
            "reason": rollout.reason,
            "old": {"variant": self.old.name, "version": self.old.version, **_counted(seen.old)},
            "new": {"variant": self.new.name, "version": self.new.version, **_counted(seen.new)},
            "copies": {**_counted(seen.copies), "compared": seen.compared, "agreed": seen.agreed},
            "seconds": round((self._loop.time() if self._over is None else self._over) - self._began, 6),
            "ended": rollout.ended,
        }

    def _carry_out(self, steps: Sequence[Step]) -> None:
        """At all stages before anything else happens, so that they change over together."""
        for step in steps:
            for part in self.parts:
                part.carry_out(step)

    async def _watch(self, hosted: HostedStage) -> None:
        while True:
            hosted.changed.clear()
            await hosted.changed.wait()
            self._news.set()


class Updates:
    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self.last: dict[str, Update] = {}
        self._previous: dict[str, Variant] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, hosted: HostedStage, plan: RolloutPlan, variant: str | None = None, version: str | None = None) -> Update:
        """Starts one: the version (default: the newest) of a variant (default: the primary lane's) takes over. Its files are verified first."""
        name = hosted.spec.name
        self._free(hosted)
        try:
            new = self._serving.stored_version(name, variant, version)
        except SettingError as error:
            raise Refused(Fault.INVALID, str(error)) from error
        if hosted.model is not None:
            try:
                await asyncio.to_thread(stored.resolve, self._serving.repository, hosted.model, new, new.version)
            except stored.RepositoryError as error:
                raise Refused(Fault.INVALID, str(error)) from error
        if (plan.canary or plan.shadow) and any(lane.setting.variant.served == new.served for lane in hosted.stage.settings):
            raise Refused(Fault.INVALID, f"version {new.version} of {new.name} serves stage {name} already; there is nothing to try out")
        stages = self._together(hosted, new)
        for one in stages:
            self._free(one)
        parts = [(one, self._serving.stored_version(one.spec.name, new.name, new.version)) for one in stages]
        for one, variant in parts:
            objection = one.states_objection(variant.served, _beside(one, _replaced(one, variant).setting.variant, variant, plan.canary > 0))
            if objection is not None:  # known from when it was loaded before
                raise Refused(Fault.INVALID, f"stage {one.spec.name}: {objection}")
        update = Update([Part(one, variant, plan) for one, variant in parts], plan)
        self.last |= {one.spec.name: update for one in stages}
        task = asyncio.ensure_future(self._run(update))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return update

    def _together(self, hosted: HostedStage, new: Variant) -> list[HostedStage]:
        """The stage, and those that run the same version of the same model: an event that passes several of them meets one version."""
        old = _replaced(hosted, new).setting.variant
        if hosted.model is None or old.name != new.name:
            return [hosted]
        others = [one for one in self._serving.stages.values() if one is not hosted and (one.operator, one.model) == (hosted.operator, hosted.model)]
        return [hosted, *(one for one in others if any(lane.setting.variant.served == old.served for lane in one.stage.settings))]

    async def roll_back(self, hosted: HostedStage) -> Update:
        """Ends the rollout that is on its way; without one, brings back the version before the last that took over."""
        name = hosted.spec.name
        update = self.last.get(name)
        if update is not None and not update.rollout.ended:
            if update.rollout.is_final(update.seen()):
                text = f"stage {name}: {named(update.old.served)} does not read the states of keys that {named(update.new.served)} has written by now"
                raise Refused(Fault.INVALID, f"{text}; bring a version that does (docs/state.md)")
            update.abort("asked for")
            await update.ended.wait()
            return update
        before = self._previous.get(name)
        if before is None:
            raise Refused(Fault.INVALID, f"stage {name} has had no other version since the service started; update it to the one you want")
        return await self.begin(hosted, RolloutPlan(), before.name, before.version)

    def versions(self, hosted: HostedStage) -> list[dict[str, Any]]:
        """Stored and serving ones, by variant, oldest first."""
        found: list[dict[str, Any]] = []
        for spec in hosted.spec.variants:
            serving = {lane.variant.version: lane for lane in hosted.stage.lanes if lane.variant.name == spec.name}
            known = stored.versions(self._serving.repository, hosted.model, spec.name) if hosted.model is not None else []
            for version in known or list(serving):
                lane = serving.get(version)
                found.append({"variant": spec.name, "version": version, "ready": lane.stage.ready if lane is not None else 0,
                              "share": lane.share if lane is not None and not lane.leaving else 0.0, "shadow": lane is not None and lane.shadow})
        return found

    def _free(self, hosted: HostedStage) -> None:
        if hosted.updating:
            said = self.last[hosted.spec.name].said()["text"]
            raise Refused(Fault.INVALID, f"stage {hosted.spec.name} is being updated ({said}); roll that back first, or wait for its end")

    async def _run(self, update: Update) -> None:
        await update.run()
        for part in update.parts:
            hosted, seen = part.hosted, part.seen()
            hosted.copies["agreed"] += seen.agreed
            hosted.copies["differed"] += seen.compared - seen.agreed
            hosted.updates[update.rollout.phase] += 1
            if update.rollout.phase is Phase.DONE and part.old != part.new:
                self._previous[hosted.spec.name] = part.old


def together(seen: Sequence[Observation]) -> Observation:
    """What several stages saw, as one."""
    return Observation(
        loaded=all(one.loaded for one in seen),
        settled=all(one.settled for one in seen),
        problem=next((one.problem for one in seen if one.problem is not None), None),
        states=next((one.states for one in seen if one.states is not None), None),
        final=any(one.final for one in seen),
        deaths=sum(one.deaths for one in seen),
        new=all_of([one.new for one in seen]),
        old=all_of([one.old for one in seen]),
        copies=all_of([one.copies for one in seen]),
        compared=sum(one.compared for one in seen),
        agreed=sum(one.agreed for one in seen),
    )


def plan_of(wanted: Mapping[str, Any]) -> RolloutPlan:
    """From a request's fields; Refused for what is none."""
    for key in PLAN:
        value = wanted.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise Refused(Fault.INVALID, f"{key} is {value!r}; use a number")
    given = {key: wanted[key] for key in PLAN if wanted.get(key) is not None}
    try:
        return RolloutPlan(**given)
    except ValueError as error:
        raise Refused(Fault.INVALID, str(error)) from error


def _replaced(hosted: HostedStage, new: Variant) -> LaneSetting:
    """The lane whose rows the new version is to take: that of its variant, else the primary one."""
    settings = hosted.stage.settings
    of_variant = [lane for lane in settings if lane.setting.variant.name == new.name]
    primary = next(lane for lane in settings if lane.setting == hosted.stage.setting)
    return of_variant[0] if of_variant else primary


def _beside(hosted: HostedStage, old: Variant, new: Variant, canary: bool) -> list[tuple[str, str]]:
    """What takes rows at the same time as the new version: the old one during a canary, and the stage's other lanes."""
    away = {new.served} if canary else {new.served, old.served}
    return [lane.setting.variant.served for lane in hosted.stage.settings if not lane.shadow and lane.setting.variant.served not in away]


def _counted(served: Served) -> dict[str, int]:
    return {"rows": served.rows, "failed": served.failed, "labelled": served.labelled, "right": served.right}
