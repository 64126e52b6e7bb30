"""The schema: what a cell trained here always says, and what follows from the facts."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from suite.record import Effect, Record
from tests.example_records.make import LORA, cell, imported, record


def test_a_cell_trained_here_says_how() -> None:
    recipe, rate, seed = cell(LORA, "sums", 1).how
    assert (recipe.steps, rate, seed) == (200, 0.005, 1)
    with pytest.raises(AssertionError, match="is not trained here"):
        _ = imported("first", 0.5).cell.how


def test_what_was_read_is_part_of_a_cell() -> None:
    one = imported("first", 0.5).cell
    assert one.id != one.model_copy(update={"source": "0" * 16}).id
    assert cell(LORA, "sums", 0).source is None


def test_without_a_score_before_there_is_no_gain() -> None:
    one = imported("first", 0.5)
    assert (one.score, one.gain, one.forgetting, one.forgetting_by_skill) == (50.0, None, None, {})
    assert imported("first", None).score is None
    assert record(cell(LORA, "sums", 0)).gain == record(cell(LORA, "sums", 0)).score == 50.0


def test_another_schema_is_no_record() -> None:
    content = record(cell(LORA, "sums", 0)).model_dump(mode="json")
    assert content["schema_version"] == 4 and Record.model_validate(content).id == content["id"]
    for version in (1, 2, "3", None):
        with pytest.raises(ValidationError):
            Record.model_validate({**content, "schema_version": version})


def test_the_norm_of_all_deltas() -> None:
    norms = {"a": 2.0, "b": 3.0, "c": 6.0}
    one = Effect(text_digest="0", from_base=1, from_start=1, delta_norms=norms, reload_error=None)
    assert one.delta_norm == 7.0
