"""What the tests of the conformance checks share: a small probe, and results sorted by how they ended."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from functools import cache, partial

from suite import checking
from variants import Variant
from variants.check import CHECKS, Probe, check_variant

SETTINGS, SEED, PACK = "settings survive JSON", "same seed, same bits", "packed = solo"
START, DELTAS, EXPORT = "identity at start", "deltas = merge", "export reloads"
GROUPS, COUNTS, ROWS = "groups complete", "trainable counts", "rows apart"
BASE, DETACH, NAMED = "base untouched", "detach exact", "modules named"


@cache
def small(**config: object) -> Probe:
    """The tiny model with one block."""
    one = {**checking.TINY, "num_hidden_layers": 1, **config}
    return checking._probe_of(partial(deepcopy, checking._tiny(**one)))


def found(
    variant: Variant, probe: Probe | None = None, only: Iterable[str] = CHECKS
) -> dict[str, dict[str, str]]:
    """Notes by check, for each of passed, failed and skipped."""
    checks = {name: CHECKS[name] for name in CHECKS if name in set(only)}
    with checking._quiet():
        results = check_variant(variant, probe or small(), checks)
    assert [result.check for result in results] == list(checks)
    return {s: {r.check: r.note for r in results if r.status == s} for s in ("passed", "failed", "skipped")}
