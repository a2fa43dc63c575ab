"""Every policy by the name people type, each listed once.

`build` takes the problem (the model with any rate) and returns the policy with its paper's or product's own defaults; more fields are set
with `dataclasses.replace`. Adding a policy is one import and one line here; the shared suite then runs over it.
"""

from __future__ import annotations

from dataclasses import fields, replace

from autoscaler.planner.model import Problem
from autoscaler.policies.clipper import clipper_ha, clipper_ht
from autoscaler.policies.fa2 import Fa2
from autoscaler.policies.flink_autoscaler import FlinkAutoscaler
from autoscaler.policies.horizontal_only import HorizontalOnly
from autoscaler.policies.hpa import Hpa
from autoscaler.policies.infaas import Infaas
from autoscaler.policies.infadapter import InfAdapter, ms_plus
from autoscaler.policies.inferline import InferLine
from autoscaler.policies.ipa import Ipa, fa2_high, fa2_low
from autoscaler.policies.keda_lag import KedaLag
from autoscaler.policies.loki import Loki
from autoscaler.policies.policy import Levers, Policy, PolicySpec
from autoscaler.policies.proteus import proteus, sommelier
from autoscaler.policies.rim import rim
from autoscaler.policies.sluice import Sluice
from autoscaler.policies.sponge import Fa2InSponge, Sponge
from autoscaler.policies.static import Static
from autoscaler.policies.themis import Themis
from autoscaler.policies.vertical_only import VerticalOnly
from autoscaler.policies.vpa import Vpa, VpaPlus

_NONE = Levers(*[False] * len(fields(Levers)))
_REPLICAS = replace(_NONE, horizontal=True)
_REPLICAS_AND_BATCH = replace(_REPLICAS, batch=True)
_SIZE = replace(_NONE, vertical=True)
_SIZE_AND_BATCH = replace(_SIZE, batch=True)
_BOTH_SCALES = replace(_SIZE_AND_BATCH, horizontal=True)
_VARIANTS_TOO = replace(_REPLICAS_AND_BATCH, variants=True)
_DEVICES_TOO = replace(_VARIANTS_TOO, shares=True, devices=True)

SPECS: tuple[PolicySpec, ...] = (
    PolicySpec("sluice", "Sluice: every lever at once, for what may come, at a price for every change", Sluice),
    PolicySpec("fa2", "FA2: fewest instances of one size, batches within the SLO", Fa2, _REPLICAS_AND_BATCH),
    PolicySpec("themis", "Themis: resizes in place while the load grows, replicas when it does not", Themis, _BOTH_SCALES),
    PolicySpec("horizontal_only", "FA2's plan with Themis' stabilisation", HorizontalOnly, _REPLICAS_AND_BATCH),
    PolicySpec("vertical_only", "Themis' sizes and batches for instances provisioned for the peak", VerticalOnly, _SIZE_AND_BATCH),
    PolicySpec("inferline", "InferLine-like: a greedy plan once, then replicas in proportion to the load", InferLine, _BOTH_SCALES),
    PolicySpec("sponge", "Sponge: one instance, the smallest size that meets the events' remaining deadlines", Sponge, _SIZE_AND_BATCH),
    PolicySpec("sponge_fa2", "FA2 as Sponge compares with it", Fa2InSponge, _REPLICAS_AND_BATCH),
    PolicySpec("static", "what runs, or enough for a peak, for ever", Static, _NONE),
    PolicySpec("hpa", "Kubernetes HorizontalPodAutoscaler on CPU use", Hpa, _REPLICAS),
    PolicySpec("keda_lag", "KEDA on consumer lag", KedaLag, _REPLICAS),
    PolicySpec("flink_autoscaler", "Flink's autoscaler (DS2): true processing rate against the target utilisation", FlinkAutoscaler,
               replace(_REPLICAS, parallelism=True)),
    PolicySpec("vpa", "Kubernetes VerticalPodAutoscaler", Vpa, _SIZE),
    PolicySpec("vpa_plus", "VPA that starts the new size before it stops the old", VpaPlus, _SIZE),
    PolicySpec("infadapter", "InfAdapter: a set of variants at once, accuracy against cores", InfAdapter.of, replace(_SIZE, variants=True, shares=True)),
    PolicySpec("ms_plus", "Model-Switching+: one variant at a time, InfAdapter's baseline", ms_plus, replace(_SIZE, variants=True)),
    PolicySpec("proteus", "Proteus: which variant each device of a fixed cluster hosts, by an exact program", proteus, _DEVICES_TOO),
    PolicySpec("sommelier", "Sommelier-like: variants switched, each device keeps its family", sommelier, _DEVICES_TOO),
    PolicySpec("clipper_ha", "Clipper with the most accurate variants, placed once", clipper_ha, _NONE),
    PolicySpec("clipper_ht", "Clipper with the fastest variants, placed once", clipper_ht, _NONE),
    PolicySpec("infaas", "INFaaS-like: greedy steps in accuracy, family by family", Infaas.of, _DEVICES_TOO),
    PolicySpec("ipa", "IPA: variants, batches and replicas of a pipeline, accuracy against cores", Ipa, _VARIANTS_TOO),
    PolicySpec("ipa_fa2_low", "IPA with the least accurate variants fixed", fa2_low, _REPLICAS_AND_BATCH),
    PolicySpec("ipa_fa2_high", "IPA with the most accurate variants fixed", fa2_high, _REPLICAS_AND_BATCH),
    PolicySpec("rim", "RIM: variants and batches for fixed replicas", rim, replace(_NONE, variants=True, batch=True)),
    PolicySpec("loki", "Loki: a pipeline on a fixed cluster, hardware first, accuracy when that has run out", Loki, _DEVICES_TOO),
)

POLICIES: dict[str, PolicySpec] = {spec.name: spec for spec in SPECS}


def policy(name: str, problem: Problem) -> Policy:
    """The policy of that name for the problem. KeyError with the names there are."""
    if name not in POLICIES:
        raise KeyError(f"no policy is called {name!r}; there are {', '.join(sorted(POLICIES)) or 'none'}")
    return POLICIES[name].build(problem)
