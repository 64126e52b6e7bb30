"""The history of a track: moments in their order, planted changes found, and unlike moments left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from suite.history import Chronicle, Line, Series, common, history
from suite.reading import Kept
from suite.statistics.steps import FEWEST
from tests.example_records.make import LORA
from tests.suite.nightly import commit, nights, one, slower


def only(entries: list[Kept]) -> Chronicle:
    (found,) = history(entries)
    return found


def line(found: Chronicle, name: str = LORA.name) -> Line:
    (each,) = [one for one in found.lines if one.variant == name]
    return each


def series(found: Line, quantity: str) -> Series:
    (each,) = [one for one in found.series if one.quantity == quantity]
    return each


def changed(entry: Kept, **fields: Any) -> Kept:
    """The same with other provenance."""
    told = entry.record.provenance.model_copy(update=fields)
    return replace(entry, record=entry.record.model_copy(update={"provenance": told}))


def test_planted_changes_are_found_and_no_others() -> None:
    found = only(nights(16, slower))
    assert [each.variant for each in found.lines] == ["synthetic-lora", "synthetic-pissa"]
    for each in found.lines:
        for of in each.series:
            at = [step.at for step in of.steps.steps]
            expected = {"gain": [8] if each.variant == LORA.name else [], "memory": [6]}
            assert at == expected.get(of.quantity, []), (each.variant, of.quantity)
            assert of.sure == bool(at)
    (step,) = series(line(found), "gain").steps.steps
    assert step.change == pytest.approx(-8, abs=1.5)
    assert line(found).moments[step.at].commit == commit(8)
    assert line(found).moments[step.at].day == "2026-03-09"
    assert (found.single, found.undated) == (0, 0)


def test_a_value_is_the_mean_over_the_seeds() -> None:
    entries = nights(3)
    mine = [e.record for e in entries if e.store == "night-001" and e.record.cell.variant == LORA]
    gain = series(line(only(entries)), "gain")
    assert gain.values[1] == pytest.approx(sum(r.gain or 0 for r in mine) / 3)
    assert (gain.seeds, gain.at, gain.steps.p) == ((0, 1, 2), (0, 1, 2), None)


def test_the_order_of_the_records_changes_nothing() -> None:
    entries = nights(9, slower)
    assert history(entries) == history(entries[::-1])


def test_one_night_has_no_history() -> None:
    found = only(nights(1))
    assert (found.lines, found.single) == ((), 2)


def test_nothing_has_none() -> None:
    assert history([]) == []


def test_moments_that_lack_a_seed_are_left_out() -> None:
    entries = [e for e in nights(10) if not (e.store == "night-004" and e.record.cell.seed == 1)]
    gain = series(line(only(entries)), "gain")
    assert (gain.seeds, gain.left_out, 4 in gain.at, len(gain.values)) == ((0, 1, 2), 1, False, 9)


def test_cells_that_went_wrong_are_counted_and_not_averaged() -> None:
    entries = nights(10)
    wrong = [
        replace(e, record=e.record.model_copy(update={"status": "diverged"}))
        if e.store == "night-004" and e.record.cell.seed == 1
        else e
        for e in entries
    ]
    found = line(only(wrong))
    assert (found.lost, series(found, "gain").left_out) == (1, 1)


def test_what_a_record_lacks_is_not_measured() -> None:
    entries = nights(3)
    for field, value in (("target", {}), ("general", {"other": None})):
        lacking = []
        for e in entries:
            assert e.record.after is not None
            after = e.record.after.model_copy(update={field: value})
            lacking.append(replace(e, record=e.record.model_copy(update={"after": after})))
        known = {one.quantity for one in line(only(lacking)).series}
        missing = "gain" if field == "target" else "forgetting"
        assert {"gain", "loss", "forgetting", "time", "memory"} - known == {missing}


def test_times_are_of_one_device() -> None:
    entries = [changed(e, device="another") if e.store < "night-003" else e for e in nights(12)]
    found = line(only(entries))
    time, memory = series(found, "time"), series(found, "memory")
    assert (time.alike, len(time.values), time.left_out) == ("synthetic", 9, 3)
    assert (memory.alike, len(memory.values)) == ("live-tensors", 12)


def test_one_commit_in_one_store_is_one_moment_even_over_midnight() -> None:
    entries = [
        changed(e, created="2026-04-01T23:59:00+00:00") if e.record.cell.seed == 0 else e
        for e in [changed(e, created="2026-04-02T00:01:00+00:00") for e in nights(1)]
    ]
    more = nights(3)[12:]
    moments = line(only([*entries, *more])).moments
    assert [(m.day, m.commit) for m in moments] == [("2026-03-03", commit(2)), ("2026-04-01", commit(0))]


def test_a_commit_that_ran_on_two_days_is_two_moments() -> None:
    entries = [changed(e, commit="same") for e in nights(2)]
    assert [m.day for m in line(only(entries)).moments] == ["2026-03-01", "2026-03-02"]


@pytest.mark.parametrize(
    "created", [None, "", "yesterday", "2026-13-99T00:00:00", "9999-12-31T23:59:59-23:00"]
)
def test_what_does_not_say_when_is_counted(created: str | None) -> None:
    entries = [changed(e, created=created) if e.store == "night-001" else e for e in nights(3)]
    found = only(entries)
    assert (found.undated, len(line(found).moments)) == (6, 2)


def test_a_new_revision_of_the_variant_is_the_same_line_and_another_rate_is_not() -> None:
    newer = LORA.model_copy(update={"revision": 2})
    entries = [e for e in nights(3) if e.record.cell.variant == LORA]
    later = [Kept(one(newer, seed, 5, {}), "later", None, ()) for seed in range(3)]
    found = line(only([*entries, *later]))
    assert [m.revisions for m in found.moments] == [(1,), (1,), (1,), (2,)]
    other = []
    for e in later:
        cell = e.record.cell.model_copy(update={"learning_rate": 0.5})
        other.append(replace(e, record=e.record.model_copy(update={"cell": cell, "id": cell.id})))
    found = only([*entries, *other])
    assert (len(line(found).moments), found.single) == (3, 1)


def test_trials_and_what_others_ran_have_no_history() -> None:
    trials = [replace(e, record=e.record.model_copy(update={"measured": "validation"})) for e in nights(3)]
    assert history(trials) == []


def test_a_step_that_one_of_many_series_may_show_by_chance_is_not_sure() -> None:
    entries = nights(FEWEST, lambda variant, night: {"gain": -9.0 * (variant == LORA.name and night >= 4)})
    gain = series(line(only(entries)), "gain")
    assert gain.steps.p is not None and gain.steps.p < 0.05 and gain.steps.steps
    assert gain.p is not None and gain.p > 0.05 and not gain.sure


@pytest.mark.parametrize(
    ("seeds", "at", "chosen"),
    [
        ([{0, 1}, {0, 1}, {0}], [0, 1], (0, 1)),
        ([{0}, {0}, {0}, {0, 1}], [0, 1, 2, 3], (0,)),
        ([{0}, {1}, {2}], [], ()),
        ([{0}], [], ()),
        ([], [], ()),
    ],
)
def test_seeds_that_most_moments_have(seeds: list[set[int]], at: list[int], chosen: tuple[int, ...]) -> None:
    assert common(seeds) == (at, chosen)
