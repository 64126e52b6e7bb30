"""The records that are published: readable, whole, and what the README's table is made of."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from suite.record import Record
from suite.standings import standings
from suite.standings_table import markdown
from suite.store import Store
from suite.tuning import choose, searches

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return Store(ROOT / "leaderboard" / "published" / "pocket").records()


def test_the_protocol_is_whole(records: list[Record]) -> None:
    found = searches(records)
    assert len(found) == 18
    for members in found.values():
        choice = choose(members)
        assert choice.seeds == (0, 1, 2) and choice.trials - choice.added == 7 and choice.rate is not None
        read = {(one.cell.learning_rate, one.cell.seed) for one in members if one.read}
        wanted = {(rate, seed) for rate in (choice.rate, choice.default) for seed in choice.seeds}
        assert read == wanted  # test was read for the winner and the documented rate, and for nothing else


def test_it_was_made_by_clean_code_of_one_commit(records: list[Record]) -> None:
    assert Counter(one.provenance.dirty for one in records) == {False: len(records)}
    assert len({one.provenance.commit for one in records}) == 1


def test_the_readme_shows_what_the_command_prints(records: list[Record]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [line for line in markdown(standings(records)).splitlines() if line.startswith("|")]
    assert len(rows) > 8 and "\n".join(rows) in readme
