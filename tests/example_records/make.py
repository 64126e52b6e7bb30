"""Made-up records: no model was trained. They feed the tests of the store, the summary and the page.

python -m tests.example_records.make        writes them again after the schema changed
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from suite.record import (
    BaseRef,
    Cell,
    Cost,
    CurvePoint,
    Effect,
    EvaluationSettings,
    Item,
    Provenance,
    Recipe,
    Record,
    Score,
    Scores,
    Source,
    Status,
    TaskRef,
    VariantRef,
)
from suite.seeds import digest
from suite.store import Store

FOLDER = Path(__file__).parent
SKILLS = ("synthetic_endings", "synthetic_pronouns", "synthetic_science")
LORA = VariantRef(name="synthetic-lora", settings={"rank": 16, "alpha": 32, "targets": "all"}, revision=1)
PISSA = VariantRef(name="synthetic-pissa", settings={"rank": 16, "alpha": 16, "targets": "all"}, revision=1)
SPARSE = VariantRef(name="synthetic-sparse", settings={"rank": 32, "sparsity": 0.9}, revision=2)
STEPS = {"sums": 200, "words": 250}
EFFECT = Effect(
    text_digest="feedfacefeedface",
    from_base=3.25,
    from_start=3.0,
    delta_norms={"model.layers.0.self_attn.q_proj.weight": 3.0, "model.layers.0.mlp.up_proj.weight": 4.0},
    reload_error=1e-6,
)


def cell(variant: VariantRef, task: str, seed: int, /, **changes: Any) -> Cell:
    """A cell of the synthetic track; `changes` replaces fields of it."""
    fields: dict[str, Any] = {
        "track": "synthetic@1",
        "base": BaseRef(name="synthetic-base", digest="0123456789abcdef"),
        "variant": variant,
        "task": TaskRef(name=task, source="pocket", revision=1, digest="fedcba9876543210"),
        "recipe": Recipe(steps=STEPS[task], batch_size=16),
        "learning_rate": 0.005,
        "seed": seed,
        "evaluation": EvaluationSettings(target=[f"{task}_test"], general=list(SKILLS), limit=4),
    }
    return Cell(**{**fields, **changes})


def score(evaluation: str, right: int, of: int = 4, response: str | None = None) -> Score:
    """A score with `right` of `of` items right."""
    items = [Item(id=str(i), correct=float(i < right), response=response) for i in range(of)]
    value = right / of
    return Score(
        evaluation=evaluation, metric="acc", value=value, n=of, metrics={"acc,none": value}, items=items
    )


def scores(target: str, right: int, skills: tuple[int, int, int], log_loss: float, bits: float) -> Scores:
    """Scores of one model: `right` of 4 on `target`, `skills` of 4 on the general skills."""
    return Scores(
        target={target: score(target, right, response="#### 4")},
        general={name: score(name, value) for name, value in zip(SKILLS, skills, strict=True)},
        log_loss={"validation": log_loss, "test": log_loss + 0.01},
        bits_per_byte=bits,
    )


def record(cell: Cell, right: int = 2, skills: tuple[int, int, int] = (3, 2, 2), **changes: Any) -> Record:
    """A finished cell that scores `right` of 4; `changes` replaces fields of the record."""
    target = cell.evaluation.target[0]
    fields: dict[str, Any] = {
        "id": cell.id,
        "cell": cell,
        "status": "ok",
        "before": scores(target, 0, (3, 3, 2), log_loss=1.5, bits=2.0),
        "after": scores(target, right, skills, log_loss=0.5, bits=2.125),
        "curve": [CurvePoint(phase=1, step=1, loss=2.5, learning_rate=cell.learning_rate)],
        "trainable_parameters": 4096 * int(cell.variant.settings.get("rank", 1)),
        "total_parameters": 3_200_000,
        "adapted_modules": ["model.layers.0.self_attn.q_proj"],
        "cost": Cost(
            train_wall_s=20.0 + (cell.seed or 0),
            train_cpu_s=19.5,
            evaluate_wall_s=8.0,
            evaluate_cpu_s=7.5,
            peak_memory_bytes=150 * 2**20,
            memory_method="live-tensors",
            tokens=100_000,
        ),
        "provenance": Provenance(
            created="2026-01-02T03:04:05+00:00",
            command="suite run --variants synthetic-lora,synthetic-pissa,synthetic-sparse --seeds 0,1",
            device="synthetic",
            threads=1,
            versions={"torch": "0.0.0"},
            commit="0" * 40,
        ),
    }
    return Record(**{**fields, **changes})


def stopped(cell: Cell, status: Status, error: str, **changes: Any) -> Record:
    """A cell that did not finish: no scores after, no cost."""
    return record(cell, **{"status": status, "error": error, "after": None, "cost": None, **changes})


def examples() -> list[Record]:
    """Three variants, two tasks, two seeds: one cell diverged, one ran out of memory, one has an effect."""
    nan = CurvePoint(phase=1, step=7, loss=float("nan"), learning_rate=0.005)
    return [
        record(cell(LORA, "sums", 0), right=2, effect=EFFECT, weights="00112233aabbccdd"),
        record(cell(LORA, "sums", 1), right=3),
        record(cell(LORA, "words", 0), right=1, skills=(3, 3, 2)),
        record(cell(LORA, "words", 1), right=1, skills=(2, 3, 2)),
        record(cell(PISSA, "sums", 0), right=4, skills=(1, 2, 2)),
        stopped(cell(PISSA, "sums", 1), "diverged", "loss is nan at step 7", curve=[nan]),
        record(cell(PISSA, "words", 0), right=2),
        record(cell(PISSA, "words", 1), right=2),
        record(cell(SPARSE, "sums", 0, learning_rate=0.04), right=0, skills=(3, 3, 3)),
        stopped(
            cell(SPARSE, "words", 0, learning_rate=0.02),
            "oom",
            "2.1 GiB asked, 1.9 GiB free",
            trainable_parameters=None,
        ),
    ]


def imported(name: str, score: float | None, **changes: Any) -> Record:
    """A record of a track that others ran: a score after training, and nothing of what they do not say."""
    field = "/result/forgetting"
    source = Source(
        kind="imported",
        origin="synthetic/elsewhere results",
        label=name,
        commit="1" * 40,
        file=f"{name}.json",
        sha256=digest(name) * 4,
        fields={"/result/accuracy": score, field: 0.25, "/name": name, "/seed": None},
        notes={field: "change of a loss, nats; not points"},
    )
    one = Cell(
        track="synthetic-elsewhere@1",
        base=BaseRef(name="synthetic/other-base", digest="unknown"),
        variant=VariantRef(name=f"elsewhere-{name}", settings={"r": 8}, revision=None),
        task=TaskRef(name="sums", source="elsewhere", revision=None, digest="abcdef0123456789"),
        recipe=None,
        learning_rate=0.001,
        seed=None,
        evaluation=EvaluationSettings(target=["sums_test"], general=[], revision=None),
        source=digest(name),
    )
    measured = Score(evaluation="sums_test", metric="accuracy", value=score or 0.0, n=None, metrics={})
    after = Scores(target={"sums_test": measured}, general={}, log_loss={}, bits_per_byte=None)
    fields: dict[str, Any] = {
        "status": "ok",
        "before": None,
        "after": None if score is None else after,
        "curve": [CurvePoint(phase=0, step=10, loss=1.5, learning_rate=None)],
        "trainable_parameters": None,
        "adapted_modules": [],
        "cost": Cost(train_wall_s=99.0),
        "source": source,
        "provenance": Provenance(
            created=None, command="made up", device=None, threads=None, versions={}, commit=source.commit
        ),
    }
    return record(one, **{**fields, **changes})


def examples_of_others() -> list[Record]:
    """Three runs of others, on a board of their own; one did not finish and does not say its rate."""
    silent = imported("third", None)
    cell = silent.cell.model_copy(update={"learning_rate": None})
    stopped = {"status": "failed", "error": "it says: cancelled", "cost": None, "cell": cell, "id": cell.id}
    return [imported("first", 0.5), imported("second", 0.625), silent.model_copy(update=stopped)]


if __name__ == "__main__":
    for old in (FOLDER / "records").glob("*.json"):
        old.unlink()
    for example in (*examples(), *examples_of_others()):
        print(Store(FOLDER).write(example))
