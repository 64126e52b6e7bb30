"""The model card of an exported folder: metadata that the hub reads, and a page for people."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.comparable import recipe_hash
from suite.model import SHIPPED
from suite.record import Record, Score
from suite.weights import ADAPTER, BASE
from suite.words import ABSENT, count, rate, recipe_line, seeds_line, title

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData


def card(record: Record, folder: Path, name: str, hub_base: str | None, notes: list[str]) -> str:
    """README.md of `folder`, which is to be called `name`. `hub_base` is the base's id if it is on the hub.

    The licence is left out: it is the user's and the base's to say.
    """
    adapter = (folder / ADAPTER).is_file()
    cell = record.cell
    data = metadata(record, "peft" if adapter else "transformers", hub_base)
    parts = [
        f"# {title(cell)}",
        f"Fine-tuned from {cell.base.name} (content {cell.base.digest}) and scored by lora-suite.",
        _loading(name, folder, adapter, hub_base, record),
        "## Scores",
        _scores(record),
        "## How it was made",
        _facts(record),
        "## Serving",
        "\n".join(f"- {note}" for note in notes),
    ]
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"


def metadata(record: Record, library: str | None, hub_base: str | None) -> ModelCardData:
    """What the hub reads of a card: tags, base, the scores as a model-index, where the numbers come from.

    `library` loads the model, None where that is not known.
    """
    from huggingface_hub import ModelCardData

    cell = record.cell
    more: dict[str, Any] = {} if hub_base is None else {"base_model": hub_base}
    more["lora_suite"] = {
        "record": record.id,
        "command": record.provenance.command,
        "base": {"name": cell.base.name, "digest": cell.base.digest},
        "data": {"name": cell.task.name, "source": cell.task.source, "digest": cell.task.digest},
        "track": cell.track,
        "recipe_hash": recipe_hash(cell),
    }
    return ModelCardData(
        library_name=library,
        pipeline_tag="text-generation",
        tags=["lora-suite", cell.variant.name, cell.task.name],
        model_name=f"{cell.variant.name} on {cell.task.name} ({record.id})",
        eval_results=_results(record) or None,
        **more,
    )


def _results(record: Record) -> list[Any]:
    """Every score after training, as the hub's model-index has them."""
    from huggingface_hub import EvalResult

    if record.after is None:
        return []
    task = record.cell.task
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=score.evaluation,
            dataset_name=f"{score.evaluation} ({task.source}, {score.n} items)",
            dataset_revision=task.digest if score.evaluation in record.after.target else None,
            metric_type=score.metric,
            metric_name=score.metric,
            metric_value=score.value,
        )
        for score in _all(record.after.target, record.after.general)
        if math.isfinite(score.value)
    ]


def _all(*groups: dict[str, Score]) -> list[Score]:
    return [score for group in groups for score in group.values()]


def _loading(name: str, folder: Path, adapter: bool, hub_base: str | None, record: Record) -> str:
    """How to load it, as code; a shipped base is found by the suite, one in a folder is to be filled in."""
    ours = record.cell.base.name
    imports = ["from transformers import AutoModelForCausalLM"]
    if not adapter:
        lines = [f'model = AutoModelForCausalLM.from_pretrained("{name}")']
    else:
        where = f'"{hub_base or f"FOLDER OF {ours}"}"'
        if (folder / BASE).is_dir():
            where = f'"{name}/{BASE}"'
        elif ours in SHIPPED:
            imports.append("from suite.model import locate")
            where = f'locate("{ours}")'
        imports.insert(0, "from peft import PeftModel")
        lines = [
            f"model = AutoModelForCausalLM.from_pretrained({where})",
            f'model = PeftModel.from_pretrained(model, "{name}")',
        ]
    return "\n".join(["```python", *imports, "", *lines, "```"])


def _scores(record: Record) -> str:
    """Before and after, in points."""
    if record.after is None:
        return "Not scored."
    before = _all(record.before.target, record.before.general) if record.before else []
    old = {score.evaluation: score.value for score in before}
    rows = ["| evaluation | metric | items | before | after |", "| --- | --- | --- | --- | --- |"]
    for score in _all(record.after.target, record.after.general):
        was = f"{100 * old[score.evaluation]:.1f}" if score.evaluation in old else ABSENT
        rows.append(f"| {score.evaluation} | {score.metric} | {score.n} | {was} | {100 * score.value:.1f} |")
    return "\n".join(rows)


def _facts(record: Record) -> str:
    cell, made = record.cell, record.provenance
    commit = (made.commit or "of an installed package") + (" with changes" if made.dirty else "")
    settings = ", ".join(f"{key}={value}" for key, value in cell.variant.settings.items())
    facts = [
        ("record", record.id),
        ("command", f"`{made.command}`"),
        ("variant", f"{cell.variant.name} ({settings})" if settings else cell.variant.name),
        ("data", f"{cell.task.name} ({cell.task.source}, {cell.task.digest}), track {cell.track}"),
        ("recipe", f"{recipe_line(cell.recipe)}; hash {recipe_hash(cell) or ABSENT}"),
        ("learning rate", f"{rate(cell.learning_rate)}, seed {seeds_line(cell)}"),
        ("trained", f"{count(record.trainable_parameters)} of {count(record.total_parameters)} parameters"),
        ("made", f"{made.created} on {made.device}, suite commit {commit}"),
        ("versions", ", ".join(f"{package} {version}" for package, version in made.versions.items())),
    ]
    if record.effect is not None:
        effect = record.effect
        facts.append(("effect", f"moves logits on fixed text by up to {effect.from_base:.3g}"))
    return "\n".join(f"- {name}: {value}" for name, value in facts)
