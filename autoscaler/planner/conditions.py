"""Which stages' variants settle another stage's rate or accuracy, and what these are once they are settled.

    mix(u)       the variants at work in stage u, each with its count of `parts` equal parts of the rows; one variant with all where
                 the stage shares nothing
    rate(v)      sum over v's terms of factor * mean over mix(origin) of by_variant * rate(origin)
    accuracy(v)  of own variant m, given the mix of another stage: mean over that mix of table[theirs, m]; m is out where a pair is missing
    scope(v)     the stages whose mix rate(v) and accuracy(v) hang on, and v itself where another's do on its

A factor that is the same for every variant of the origin settles nothing and is no condition.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping

from autoscaler.planner.model import Problem, RateTerm

Mix = tuple[tuple[str, int], ...]
"""(variant, parts) of each variant at work."""


class Conditions:
    """Of one problem. origins: the stages whose mix is settled first, in the order of the problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.stages = {stage.name: stage for stage in problem.stages}
        self.parts = {stage.name: 1 if stage.share_step is None else round(1 / stage.share_step) for stage in problem.stages}
        self.variants = {stage.name: list(dict.fromkeys(option.variant for option in stage.options)) for stage in problem.stages}
        self._check()
        asked = {term.origin for stage in problem.stages for term in stage.rate_terms() if self.varies(term)}
        asked |= {stage.accuracy_given.origin for stage in problem.stages if stage.accuracy_given}
        self.origins = [stage.name for stage in problem.stages if stage.name in asked]
        self._rate_scopes: dict[str, frozenset[str]] = {}
        for name in self.ordered():
            self._rate_scopes[name] = frozenset().union(*(self._of_term(term) for term in self.stages[name].rate_terms()))
        self._rates: dict[tuple, float] = {}

    def _check(self) -> None:
        known = set(self.stages)
        if len(known) < len(self.problem.stages):
            raise ValueError("two stages have the same name")
        for stage in self.problem.stages:
            origins = [term.origin for term in stage.rate_terms() if term.origin is not None]
            origins += [stage.accuracy_given.origin] if stage.accuracy_given else []
            if unknown := set(origins) - known:
                raise ValueError(f"stage {stage.name} asks for {', '.join(sorted(unknown))}, which no stage is named")

    def varies(self, term: RateTerm) -> bool:
        """Whether the variant of the origin settles anything."""
        return term.origin is not None and len({term.by_variant.get(variant, 1.0) for variant in self.variants[term.origin]}) > 1

    def _of_term(self, term: RateTerm) -> frozenset[str]:
        if term.origin is None:
            return frozenset()
        return self._rate_scopes[term.origin] | ({term.origin} if self.varies(term) else set())

    def ordered(self) -> list[str]:
        """Every stage behind those its rate comes from. ValueError for a circle."""
        done: dict[str, None] = {}
        on_the_way: set[str] = set()
        for name in self.stages:
            stack = [name]
            while stack:
                top = stack[-1]
                missing = [term.origin for term in self.stages[top].rate_terms() if term.origin is not None and term.origin not in done]
                if top in done or not missing:
                    done[top] = None
                    on_the_way.discard(top)
                    stack.pop()
                    continue
                if on_the_way & set(missing) or top in missing:
                    raise ValueError(f"the rate of stage {top} depends on itself")
                on_the_way.add(top)
                stack.append(missing[0])
        return list(done)

    def scope(self, name: str) -> tuple[str, ...]:
        """In the order of `origins`."""
        given = self.stages[name].accuracy_given
        found = self._rate_scopes[name] | ({given.origin} if given else set()) | {name}
        return tuple(origin for origin in self.origins if origin in found)

    def rate(self, name: str, setting: Mapping[str, Mix]) -> float:
        """rows/s, with the mixes of its scope settled."""
        stack = [name]
        while stack:
            top = stack[-1]
            terms = self.stages[top].rate_terms()
            missing = [term.origin for term in terms if term.origin is not None and self._key(term.origin, setting) not in self._rates]
            stack += missing
            if not missing:
                key = self._key(top, setting)
                if key not in self._rates:
                    self._rates[key] = sum(self._from(term, setting) for term in terms)
                stack.pop()
        return self._rates[self._key(name, setting)]

    def _key(self, name: str, setting: Mapping[str, Mix]) -> tuple:
        scope = self._rate_scopes[name]
        return (name, *(setting[origin] for origin in self.origins if origin in scope)) if scope else (name,)

    def _from(self, term: RateTerm, setting: Mapping[str, Mix]) -> float:
        if term.origin is None:
            return term.factor * self.problem.rate
        mean = 1.0
        if self.varies(term):
            mean = sum(count * term.by_variant.get(variant, 1.0) for variant, count in setting[term.origin]) / self.parts[term.origin]
        elif term.by_variant and self.variants[term.origin]:
            mean = term.by_variant.get(self.variants[term.origin][0], 1.0)
        return term.factor * mean * self._rates[self._key(term.origin, setting)]

    def accuracy(self, name: str, setting: Mapping[str, Mix]) -> dict[str, float] | None:
        """By own variant; None where the options say it."""
        given = self.stages[name].accuracy_given
        if given is None:
            return None
        mix, parts = setting[given.origin], self.parts[given.origin]
        return {own: sum(count * given.table[theirs, own] for theirs, count in mix) / parts for own in self.variants[name]
                if all((theirs, own) in given.table for theirs, _ in mix)}

    def mixes(self, name: str) -> Iterator[Mix]:
        """Every way to share the rows of the stage; C(parts + variants - 1, parts) of them."""
        variants, parts = self.variants[name], self.parts[name]
        if not variants:
            return
        for bars in itertools.combinations(range(parts + len(variants) - 1), len(variants) - 1):
            counts = [after - before - 1 for before, after in itertools.pairwise((-1, *bars, parts + len(variants) - 1))]
            yield tuple((variant, count) for variant, count in zip(variants, counts, strict=True) if count)

    def count(self, name: str) -> int:
        """Of the mixes."""
        variants = len(self.variants[name])
        return math.comb(self.parts[name] + variants - 1, variants - 1) if variants else 0


