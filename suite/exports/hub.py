"""The hub's `.eval_results/*.yaml`: a model's scores on data sets that the hub knows as benchmarks.

    <record id>/.eval_results/<evaluation>.yaml        to be copied into the folder of that cell's weights

Format: https://huggingface.co/docs/hub/eval-results; it has no place for an interval. A benchmark's page
ranks what is found there, so a score over the first items alone (`--limit`) is none and is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from suite.errors import UserError
from suite.exports.models import Model
from suite.record import Record, Score
from suite.words import rate, seeds_line

Benchmarks = Mapping[str, tuple[str, str]]  # evaluation -> (data set on the hub, its task's id there)
BENCHMARKS: Benchmarks = {"gsm8k": ("openai/gsm8k", "gsm8k")}
_GIVEN = re.compile(r"([\w.-]+)=([\w-][\w.-]*/[\w-][\w.-]*):([\w.-]+)")


def benchmark(text: str) -> tuple[str, tuple[str, str]]:
    """EVALUATION=OWNER/DATASET:TASK as typed. Raises UserError."""
    found = _GIVEN.fullmatch(text)
    if found is None:
        raise UserError(
            f"--benchmark {text!r}: expected EVALUATION=OWNER/DATASET:TASK, gsm8k=openai/gsm8k:gsm8k"
        )
    return found[1], (found[2], found[3])


def check(models: Sequence[Model], known: Benchmarks = BENCHMARKS) -> None:
    """Raise UserError, with the next step, where no score of these is of a benchmark."""
    scores = {score.evaluation for model in models for one in model.cells for score in _scores(one)}
    if not scores & known.keys():
        raise UserError(
            f"the hub knows no benchmark for {', '.join(sorted(scores))}; "
            "where it has one, give --benchmark EVALUATION=OWNER/DATASET:TASK"
        )
    if not files(models, known):
        raise UserError("only the first items were scored (--limit), which is no result of a benchmark")


def files(models: Sequence[Model], known: Benchmarks = BENCHMARKS) -> dict[str, str]:
    """One file a cell and benchmark, by its path."""
    if not any(score.evaluation in known for one in models for cell in one.cells for score in _scores(cell)):
        return {}
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    found = {}
    for record in sorted((record for model in models for record in model.cells), key=lambda one: one.id):
        if record.cell.evaluation.limit is not None:
            continue
        for score in _scores(record):
            if score.evaluation in known and math.isfinite(score.value):
                dataset, task = known[score.evaluation]
                made = record.provenance.instant
                entry = EvalResultEntry(
                    dataset_id=dataset,
                    task_id=task,
                    value=100 * score.value,
                    date=made.isoformat() if made else None,
                    notes=_notes(record, score),
                )
                content = yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, width=1 << 20)
                found[f"{record.id}/.eval_results/{score.evaluation}.yaml"] = content
    return found


def _scores(record: Record) -> list[Score]:
    assert record.after is not None, f"{record.id} was not scored"
    return [*record.after.target.values(), *record.after.general.values()]


def _notes(record: Record, score: Score) -> str:
    """What makes this number this number: how it was asked, and what was trained."""
    cell = record.cell
    shots = "" if cell.evaluation.shots is None else f", {cell.evaluation.shots} shots"
    return (
        f"{score.metric}, lm-eval{shots}; {cell.variant.name} on {cell.task.label}, "
        f"rate {rate(cell.learning_rate)}, seed {seeds_line(cell)}; lora-suite record {record.id}"
    )
