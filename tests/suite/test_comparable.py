"""The recipe hash and what may be compared: every ingredient tells, chance and method do not."""

from __future__ import annotations

from typing import Any

import pytest

from suite.comparable import board_key, check, differences, recipe_hash, recipe_key
from suite.errors import UserError
from suite.record import BaseRef, Cell, Record
from tests.example_records.make import LORA, PISSA, cell, imported, record


def changed(part: str, **values: Any) -> Cell:
    """A cell of which one part is other."""
    one = cell(LORA, "sums", 0)
    return one.model_copy(update={part: getattr(one, part).model_copy(update=values)})


INGREDIENTS = {
    "data content": changed("task", digest="0" * 16),
    "training set": changed("task", source="other"),
    "task revision": changed("task", revision=2),
    "examples": changed("recipe", examples=10),
    "tokens": changed("recipe", tokens=1000),
    "prompt's length": changed("recipe", max_length=128),
    "chat template": changed("recipe", chat_template=True),
    "loss mask": changed("recipe", loss_on="all"),
    "optimiser": changed("recipe", betas=(0.9, 0.95)),
    "weight decay": changed("recipe", weight_decay=0.1),
    "clip": changed("recipe", clip=0.5),
    "schedule": changed("recipe", schedule="linear"),
    "warm-up": changed("recipe", warmup=0.1),
    "steps": changed("recipe", steps=7),
    "batch": changed("recipe", batch_size=4),
    "batching": changed("recipe", batching="packed"),
    "precision": changed("recipe", precision="bfloat16"),
    "training revision": changed("recipe", revision=2),
    "evaluations": changed("evaluation", target=["other"]),
    "skills": changed("evaluation", general=["other"]),
    "data of the skills": changed("evaluation", general_digest="0"),
    "items": changed("evaluation", limit=3),
    "shots": changed("evaluation", shots=3),
    "new tokens": changed("evaluation", max_new_tokens=3),
    "samples": changed("evaluation", samples=3),
    "temperature": changed("evaluation", temperature=0.5),
    "evaluation's chat template": changed("evaluation", chat_template=True),
    "engine": changed("evaluation", engine="vllm"),
    "evaluation's revision": changed("evaluation", revision=9),
}
CHANCE = {
    "variant": cell(PISSA, "sums", 0),
    "rate": cell(LORA, "sums", 0, learning_rate=0.1),
    "seed": cell(LORA, "sums", 1),
    "data seed": cell(LORA, "sums", 0, data_seed=3),
    "adapter seed": cell(LORA, "sums", 0, adapter_seed=3),
    "sampling seed": changed("evaluation", seed=3),
    "track": cell(LORA, "sums", 0, track="other@1"),
}


@pytest.mark.parametrize("name", INGREDIENTS)
def test_every_ingredient_changes_the_hash_and_forbids_a_comparison(name: str) -> None:
    one, other = cell(LORA, "sums", 0), INGREDIENTS[name]
    assert recipe_hash(other) != recipe_hash(one)
    assert differences(one, other) and differences(one, one) == []
    if other.task.label == one.task.label:  # a task with two training sets is two tasks
        with pytest.raises(UserError, match=f"{one.id}.*{other.id}.*cannot be compared: "):
            check([_record(one), _record(other)])


def test_the_hashes_are_all_different() -> None:
    assert len({recipe_hash(one) for one in INGREDIENTS.values()}) == len(INGREDIENTS)


def test_no_setting_of_recipe_or_evaluation_is_forgotten() -> None:
    """A field that is added to the schema has to be decided about here."""
    one = cell(LORA, "sums", 0)
    for part, alone in (("recipe", {"optimizer"}), ("evaluation", {"seed"})):
        mine = getattr(one, part).model_dump()
        told = {
            name
            for c in INGREDIENTS.values()
            for name, v in getattr(c, part).model_dump().items()
            if v != mine[name]
        }
        assert told == set(mine) - alone, "optimizer has one value; the seed is chance"


@pytest.mark.parametrize("name", CHANCE)
def test_method_and_chance_do_not_change_the_hash(name: str) -> None:
    assert recipe_hash(CHANCE[name]) == recipe_hash(cell(LORA, "sums", 0)) is not None


def test_the_hash_is_the_same_tomorrow() -> None:
    assert recipe_hash(cell(LORA, "sums", 0)) == "1672c34b1f14529c"


def test_a_chat_template_is_the_base_s() -> None:
    other = BaseRef(name="b", digest="1" * 16)
    plain, chat = cell(LORA, "sums", 0), INGREDIENTS["chat template"]
    assert recipe_hash(plain.model_copy(update={"base": other})) == recipe_hash(plain)
    assert recipe_hash(chat.model_copy(update={"base": other})) != recipe_hash(chat)


def test_variants_rates_seeds_and_tasks_are_compared() -> None:
    check([])
    every = [cell(v, t, s) for v in (LORA, PISSA) for t in ("sums", "words") for s in (0, 1)]
    check([_record(one) for one in every], [record(cell(LORA, "sums", 0, learning_rate=0.5))])


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (cell(PISSA, "words", 0, track="synthetic@2"), "track synthetic@1 and synthetic@2"),
        (changed("base", digest="1" * 16), r"base synthetic-base \(0123456789abcdef\) and synth.*\(1111"),
        (changed("recipe", steps=7), "steps 200 and 7"),
        (changed("evaluation", limit=None), "evaluation's limit 4 and not given"),
        (changed("evaluation", engine="vllm"), "evaluation's engine transformers and vllm"),
        (cell(PISSA, "sums", 0, data_seed=3), "fixed data seed not given and 3"),
    ],
)
def test_the_error_names_both_values(other: Cell, told: str) -> None:
    with pytest.raises(UserError, match=told):
        check([_record(cell(LORA, "sums", 0))], [_record(other)])


def test_a_base_is_its_content_and_not_its_name() -> None:
    one = cell(LORA, "sums", 0)
    renamed = changed("base", name="elsewhere")
    check([_record(one), _record(renamed)])
    assert board_key(one) == board_key(renamed)
    unknown = [changed("base", name=name, digest="unknown") for name in ("a", "b")]
    with pytest.raises(UserError, match="base a and b"):
        check([_record(other) for other in unknown])


def test_bfloat16_is_compared_with_mixed_between_variants_only() -> None:
    half = changed("recipe", precision="bfloat16")
    mixed = changed("recipe", precision="mixed").model_copy(update={"variant": PISSA})
    assert recipe_hash(half) != recipe_hash(mixed) and recipe_key(half) == recipe_key(mixed)
    check([_record(half), _record(mixed)])
    with pytest.raises(UserError, match="precision bfloat16 and mixed"):
        check([_record(half), _record(mixed.model_copy(update={"variant": LORA}))])
    with pytest.raises(UserError, match="precision float32 and bfloat16"):
        check([_record(cell(LORA, "sums", 0)), _record(mixed)])


def test_two_stores_need_a_task_in_common() -> None:
    sums, words = _record(cell(LORA, "sums", 0)), _record(cell(LORA, "words", 0))
    check([sums, words], [words])
    with pytest.raises(UserError, match="no task in common: sums, and words"):
        check([sums], [words])
    with pytest.raises(UserError, match="no task in common: sums, and no records"):
        check([sums], [])


def test_what_was_really_read_has_to_agree() -> None:
    one, other = _record(cell(LORA, "sums", 0)), _record(cell(PISSA, "sums", 0))
    check([one.model_copy(update={"rows": "a"}), other])
    with pytest.raises(UserError, match="training rows as tokens a and b"):
        check([one.model_copy(update={"rows": "a"}), other.model_copy(update={"rows": "b"})])
    with pytest.raises(UserError, match="prompts of sums_test a and b"):
        check([_prompted(one, "a"), _prompted(other, "b")])


def test_what_was_not_trained_here_has_no_recipe() -> None:
    one, other = imported("first", 0.5), imported("second", 0.5)
    assert recipe_hash(one.cell) is None
    check([one, other])


def _record(one: Cell) -> Record:
    return (
        record(one)
        if one.evaluation.target == [f"{one.task.name}_test"]
        else record(cell(LORA, one.task.name, 0)).model_copy(update={"cell": one, "id": one.id})
    )


def _prompted(one: Record, digest: str) -> Record:
    assert one.after is not None
    target = {name: score.model_copy(update={"prompts": digest}) for name, score in one.after.target.items()}
    return one.model_copy(update={"after": one.after.model_copy(update={"target": target})})
