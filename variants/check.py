"""Conformance checks: whether a variant, ours or a stranger's, is what its interface says.

    probe = Probe(make_model, tokens, reload)
    for result in check_variant(MiCA(rank=8), probe): print(result.check, result.status, result.note)

Each check is a function of (variant, probe) that gives a short note, or raises `Fault` or `NotClaimed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from variants.conformance import of_model, of_training
from variants.conformance.probes import Fault, NotClaimed, Probe
from variants.conformance.surroundings import contained
from variants.interface import Variant
from variants.spec import said

__all__ = ["CHECKS", "Probe", "Result", "check_variant"]

Status = Literal["passed", "failed", "skipped"]

Check = Callable[[Variant, Probe], str]

CHECKS: dict[str, Check] = {
    "class": of_training.the_class,
    "settings survive JSON": of_training.settings_survive,
    "attaches": of_training.attaches,
    "trains": of_training.trains,
    "phases": of_training.phases_in_order,
    "same seed, same bits": of_training.same_seed,
    "identity at start": of_model.starts_at_base,
    "groups complete": of_training.groups_are_complete,
    "trainable counts": of_training.counts_are_true,
    "effect": of_training.has_an_effect,
    "rows apart": of_model.rows_are_apart,
    "adapters apart": of_model.adapters_are_apart,
    "packed = solo": of_model.packs,
    "base untouched": of_model.base_outside,
    "detach exact": of_model.detaches,
    "modules named": of_model.names_what_it_adapts,
    "deltas = merge": of_model.deltas_merge,
    "export reloads": of_model.exports,
}


@dataclass(frozen=True)
class Result:
    """What one check found. `note` says what was measured, what is wrong, or why the check does not apply."""

    check: str
    status: Status
    note: str


def check_variant(variant: Variant, probe: Probe, checks: Mapping[str, Check] = CHECKS) -> list[Result]:
    """Each check in turn. None of them raises: what goes wrong in one is that check's result.

    A check that could not be made because another one failed is skipped, and says which.
    """
    results: list[Result] = []
    because: dict[str, str] = {}
    for name, check in checks.items():
        try:
            with contained():
                results.append(Result(name, "passed", check(variant, probe)))
        except NotClaimed as reason:
            results.append(Result(name, "skipped", str(reason)))
        except Fault as fault:
            if fault.of not in (None, name):
                because[name] = fault.of
            results.append(Result(name, "failed", str(fault)))
        except (Exception, SystemExit) as error:  # a stranger's code may raise anything
            results.append(Result(name, "failed", said(error)))
    failed = {result.check for result in results if result.status == "failed"} - because.keys()
    return [
        replace(result, status="skipped", note=f"not made: {because[result.check]!r} failed")
        if because.get(result.check) in failed
        else result
        for result in results
    ]
