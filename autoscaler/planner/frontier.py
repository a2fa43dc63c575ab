"""The best plan for any graph of stages, exact where that can be had, and saying so.

    transform    the graph to one arc, by series, beside and fixing steps                                    (`transform`)
    F[G]         frontier of the whole graph within T = floor(slo / grid) ticks, by those steps              (`search`)
    best         of the labels of F[G] that the objective allows, the one with the greatest value; values 1e-12 apart count as equal
    capacity     a kind enters the labels only after a best plan without it has used more than there is: until then F[G] is that of a
                 problem with fewer constraints, and a best plan of it that keeps them all is best

Exact (`exact`, gap 0) for

    graphs       series-parallel, and others of whose parts each needs at most `transform.MOST_FIXED` = 3 fixings
    rates, accuracy conditioned on variants upstream, by going through the mixes of each scope
    shares       of several variants, on the grid of `share_step`; with a price of change only if it is a sum over the variants
    all          within a limit of counted work, `solve.WORK`

and an anytime plan with a bound beyond (`anytime`). One option per stage, least cost, series-parallel:
O(stages * (options log options + labels per stage * T)) time, O(stages * T) memory. Accuracy or capacities that bind make the number of
labels grow with the number of different totals, in the worst case exponentially: choosing one option per stage within a budget holds the
knapsack problem, on general graphs with deadlines the discrete time-cost trade-off problem, which is strongly NP-hard.

Sources: FA2 (RTAS 2022; its two phases: transformation, dynamic programming); De, Dunne, Ghosh, Wells 1997 (complexity); Bein, Kamburowski,
Stallmann 1992 (fixings, there node reductions).
"""

from __future__ import annotations

from autoscaler.planner import anytime, infeasible
from autoscaler.planner.model import Infeasible, Plan, Problem
from autoscaler.planner.search import Graph
from autoscaler.planner.solve import WORK, exact
from autoscaler.planner.work import TooMuch, Work


def plan(problem: Problem) -> Plan | Infeasible:
    """The best plan, or what stands in its way. ValueError for a circle, a name that no stage has, or a problem without stages."""
    found = attempt(problem)
    return found if isinstance(found, Plan) else infeasible.explained(problem, proven=found.proven)


def attempt(problem: Problem, work: float = WORK) -> Plan | Infeasible:
    """As `plan`, but an infeasible problem is not explained, which takes many times as long as finding it so.

    work: that the exact search may take, in counted array steps; what may follow it takes some times as much.
    """
    if not problem.stages:
        raise ValueError("a problem without stages")
    graph = Graph(problem)
    try:
        found = exact(problem, graph, Work(work))
    except TooMuch:
        return anytime.plan(problem, graph, work / 8)
    return Infeasible(()) if found is None else found
