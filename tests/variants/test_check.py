"""The conformance checks find planted faults: each check fails on one, and the other checks let it pass."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from tests.variants import faulty as bad
from tests.variants import faulty_adapters as off
from tests.variants.checked import (
    BASE,
    COUNTS,
    DELTAS,
    DETACH,
    EXPORT,
    GROUPS,
    NAMED,
    PACK,
    ROWS,
    SEED,
    SETTINGS,
    START,
    found,
    small,
)
from tests.variants.faulty import faulty
from variants import Variant, parse
from variants.check import CHECKS

# One for each check at least, and what else fails where more than one promise is broken.
FAULTS: dict[str, tuple[Variant, set[str]]] = {
    "undecorated": (bad.Undecorated(), {"class"}),
    "a tuple": (bad.TupleSetting(), {SETTINGS}),
    "another variant": (bad.OtherVariant(), {"attaches"}),
    "nan gradients": (faulty(bad.NanGradient), {"trains"}),
    "enter without super": (faulty(adapter=off.NoSuper, phases=2), {"phases"}),
    "torch's random numbers": (faulty(start=bad.from_global), {SEED}),
    "hash()": (faulty(make_site=bad.from_hash), {SEED}),
    "not at the base": (faulty(start=bad.both_random), {START, DELTAS}),
    "left out of groups": (faulty(adapter=off.Forgetful), {GROUPS}),
    "boasts": (faulty(adapter=off.Boastful), {COUNTS}),
    "of no effect": (faulty(bad.Whisper), {"effect"}),
    "mixes rows in training": (faulty(bad.OverRowsInTraining), {ROWS}),
    "sees ahead": (faulty(bad.SeesAhead), {ROWS}),
    "mixes rows": (faulty(bad.OverRows), {ROWS, DELTAS, EXPORT}),
    "shares sites": (bad.Shared(), {"adapters apart", SEED, START, PACK, DELTAS}),
    "not to be grouped": (faulty(bad.OwnForward), {PACK}),
    "not put back": (faulty(adapter=off.NotPutBack), {BASE}),
    "leaves a hook of its training": (faulty(adapter=off.HookInTraining), {DETACH}),
    "leaves a hook": (faulty(adapter=off.LeavesHook), {DETACH}),
    "names too much": (faulty(adapter=off.AllModules), {NAMED}),
    "delta transposed": (faulty(bad.Transposed), {DELTAS}),
    "exports another scale": (faulty(bad.WrongFactors), {EXPORT}),
}

# More faults, each tried only on the checks that must fail.
MORE: dict[str, tuple[Variant, set[str]]] = {
    "no summary": (bad.NoSummary(), {"class"}),
    "a ClassVar lost": (bad.LostFact(), {"class"}),
    "a set": (bad.SetSetting(), {SETTINGS}),
    "a path": (bad.PathSetting(), {SETTINGS}),
    "nan": (bad.NanSetting(), {SETTINGS}),
    "a list that grows": (bad.MutableSetting(), {SETTINGS}),
    "remembers": (bad.Remembers(), {SETTINGS}),
    "raises SystemExit": (bad.Raises(), {"attaches"}),
    "another seed": (faulty(adapter=off.OtherSeed), {"attaches"}),
    "zero gradients": (faulty(start=bad.both_zero), {"trains"}),
    "nothing in phase 1": (faulty(adapter=off.EmptySecond, phases=2), {"phases"}),
    "nothing at all": (faulty(start=bad.no_gradients), {"phases"}),
    "Python's random numbers": (faulty(start=bad.from_python), {SEED}),
    "counts its draws": (faulty(start=bad.counted()), {SEED}),
    "torch's dropout": (faulty(bad.GlobalDropout), {SEED, PACK}),
    "torch's dropout where it is set": (faulty(bad.SettingsDropout), {SEED, PACK}),
    "the default type": (faulty(adapter=off.ChangesDefault), {SEED}),
    "base not frozen": (faulty(adapter=off.Warm), {GROUPS}),
    "a rate below zero": (faulty(lr_scale=lambda self, parameter: -1.0), {GROUPS}),
    "counts the frozen": (faulty(bad.Counted), {COUNTS}),
    "takes steps back": (faulty(adapter=off.Still), {"effect", COUNTS}),
    "drops at all times": (faulty(bad.AlwaysDropout), {ROWS, SEED, PACK, DELTAS, EXPORT}),
    "writes in place": (faulty(adapter=off.InPlace), {BASE, DETACH}),
    "registers sites": (faulty(adapter=off.Registers), {BASE, "phases"}),
    "trains in place": (bad.TrainsBase(), {BASE, "adapters apart", DELTAS}),
    "leaves an attribute": (faulty(adapter=off.LeavesAttribute), {DETACH}),
    "leaves it frozen": (faulty(adapter=off.LeavesFrozen), {DETACH}),
    "leaves a module": (faulty(adapter=off.LeavesModule), {DETACH}),
    "leaves a parameter's hook": (faulty(adapter=off.LeavesTensorHook), {DETACH}),
    "says attached": (faulty(adapter=off.StaysAttached), {DETACH}),
    "names too little": (faulty(adapter=off.SomeModules), {NAMED}),
    "delta without scale": (faulty(bad.Unscaled), {DELTAS}),
    "delta of another shape": (faulty(bad.Narrow), {DELTAS}),
    "delta of before": (faulty(bad.Stale), {DELTAS}),
    "exports a part": (faulty(adapter=off.HalfExport), {EXPORT}),
    "exports nothing": (faulty(adapter=off.EmptyExport), {EXPORT}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    variant, expected = FAULTS[fault]
    result = found(variant)
    assert set(result["failed"]) == expected, result["failed"]
    assert all(note and "\n" not in note for note in result["failed"].values())


@pytest.mark.parametrize("fault", MORE)
def test_more_faults_are_found(fault: str) -> None:
    variant, expected = MORE[fault]
    assert set(found(variant, only=expected)["failed"]) == expected


def test_every_check_has_a_fault_that_fails_it() -> None:
    assert set().union(*(expected for _, expected in FAULTS.values())) == set(CHECKS)


def test_the_sound_part_of_the_faulty_ones_is_sound() -> None:
    assert found(bad.Plain())["failed"] == {}


def test_a_check_that_could_not_be_made_says_why() -> None:
    result = found(bad.Raises())
    assert set(result["passed"]) == {"class"} and set(result["failed"]) == {"attaches"}
    assert set(result["skipped"].values()) == {"not made: 'attaches' failed"}
    assert START in found(bad.Raises(), only=[START])["failed"], "what it waits for was not made"


def test_what_is_not_given_is_left_out() -> None:
    result = found(parse("lora:rank=2"), replace(small(), reload=None))
    assert result["failed"] == {} and result["skipped"] == {EXPORT: "nothing was given that reloads a folder"}


def test_checking_leaves_the_process_as_it_was() -> None:
    before = torch.get_rng_state(), random.getstate(), torch.get_default_dtype()
    for variant in (
        faulty(start=bad.from_global),
        faulty(start=bad.from_python),
        faulty(adapter=off.ChangesDefault),
    ):
        found(variant, only=["attaches", SEED])
    after = torch.get_rng_state(), random.getstate(), torch.get_default_dtype()
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]
    assert hash("text") == "text".__hash__()
