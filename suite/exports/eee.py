"""Every Eval Ever: JSON files that any leaderboard of the EvalEval coalition reads, with our intervals.

    data/lora-suite-<track>/lora-suite/<model>/<uuid>.json

Written after schema 0.2.2 (every_eval_ever/schemas/eval.schema.json of evaleval/every_eval_ever at commit
21b3d1ab3894e9b9aaceca285548accfaa71b333; its README tells paths and names). A score is the mean over seeds
and items after training, a proportion, with a 95 % interval over both. The format's files of single items
want every prompt, which records do not hold: they are left out, and the records have the outcomes.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Sequence
from typing import Any

from suite import statistics
from suite.comparable import recipe_hash
from suite.errors import UserError
from suite.exports.hub import BENCHMARKS
from suite.exports.models import Model
from suite.record import Record, Score

SCHEMA = "0.2.2"
OURS = "lora-suite"
METRICS = {"acc": "accuracy", "exact_match": "exact-match", "pass@1": "pass-at-1"}  # ours -> the registry's
METHOD = "seeds and items, t with fitted degrees of freedom (suite/statistics/intervals.py)"
LEVEL = 1 - statistics.LEVEL


def files(models: Sequence[Model]) -> dict[str, str]:
    """One file a model, by its path. Models without a date or without a score of items have none."""
    found = {}
    for model in models:
        content = log(model)
        if content is not None:
            name = _uuid(content["evaluation_id"])
            folder = f"data/{OURS}-{_plain(model.row.track)}/{content['model_info']['id']}"
            text = json.dumps(content, indent=1, ensure_ascii=True, allow_nan=False)
            found[f"{folder}/{name}.json"] = text + "\n"
    return dict(sorted(found.items()))


def log(model: Model) -> dict[str, Any] | None:
    """One model's results as the format has them; None where it has nothing to say."""
    first, made = model.cells[0], model.made
    evaluation = first.cell.evaluation
    names = [*evaluation.target, *evaluation.general]
    identity = f"{OURS}/{_plain(f'{model.row.base}-{model.row.label}-{model.task}')}-{model.key[:8]}"
    if made is None:
        return None
    epoch = str(int(made.timestamp()))
    named = f"{OURS}-{_plain(model.row.track)}/{identity}/{epoch}"
    results = [result for name in names if (result := _result(model, name, named)) is not None]
    if not results:
        return None
    return {
        "schema_version": SCHEMA,
        "evaluation_id": named,
        "evaluation_timestamp": made.isoformat(),
        "retrieved_timestamp": epoch,
        "source_metadata": {
            "source_name": OURS,
            "source_type": "evaluation_run",
            "source_organization_name": OURS,
            "evaluator_relationship": "first_party",
            "additional_details": _texts(
                {
                    "commit": first.provenance.commit,
                    "command": first.provenance.command,
                    "track": model.row.track,
                }
            ),
        },
        "eval_library": {
            "name": "lm_eval",
            "version": first.provenance.versions.get("lm-eval", "unknown"),
            "additional_details": _texts({"revision of the suite's evaluation": evaluation.revision}),
        },
        "model_info": _model_info(model, identity),
        "evaluation_results": results,
    }


def _model_info(model: Model, identity: str) -> dict[str, Any]:
    first = model.cells[0]
    engine = first.cell.evaluation.engine
    return {
        "name": f"{model.row.base}, {model.row.label} on {model.task}",
        "id": identity,
        "developer": OURS,
        "inference_engine": {"name": engine, "version": first.provenance.versions.get(engine, "unknown")},
        "additional_details": _texts(
            {
                "base": first.cell.base.name,
                "base_digest": first.cell.base.digest,
                "variant": first.cell.variant.name,
                "settings": json.dumps(first.cell.variant.settings, sort_keys=True),
                "tuning": model.row.kind,
                "learning_rate": first.cell.learning_rate,
                "trained_on": f"{first.cell.task.label} ({first.cell.task.digest})",
                "recipe_hash": recipe_hash(first.cell),
                "trainable_parameters": first.trainable_parameters,
                "total_parameters": first.total_parameters,
                "seeds": ", ".join(str(record.cell.seed) for record in model.cells),
                "records": ", ".join(record.id for record in model.cells),
            }
        ),
    }


def _result(model: Model, name: str, named: str) -> dict[str, Any] | None:
    """One evaluation with its interval; None where its score is no share of items that are right."""
    first = _score(model.cells[0], name)
    try:
        found = statistics.interval(statistics.score(model.cells, name))
    except UserError:
        return None
    if first is None or not 0 <= found.value <= 100:
        return None
    untouched = _score(model.cells[0], name, before=True)
    return {
        "evaluation_result_id": f"{named}#{name}",
        "evaluation_name": name,
        "source_data": _source(model.cells[0], name),
        "metric_config": {
            "evaluation_description": "after fine-tuning, mean over the seeds of training",
            "metric_id": METRICS.get(first.metric, f"lm_eval.{first.metric}"),
            "metric_name": first.metric,
            "metric_unit": "proportion",
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0,
            "max_score": 1,
        },
        "score_details": {
            "score": found.value / 100,
            "details": _texts(
                {"seeds": found.seeds, "before_training": untouched.value if untouched else None}
            ),
            "uncertainty": {
                "standard_error": {"value": found.se / 100, "method": METHOD},
                "confidence_interval": {
                    "lower": found.low / 100,
                    "upper": found.high / 100,
                    "confidence_level": LEVEL,
                    "method": METHOD,
                },
                "num_samples": found.items,
            },
        },
        "generation_config": _generation(model.cells[0]),
    }


def _score(record: Record, name: str, before: bool = False) -> Score | None:
    scores = record.before if before else record.after
    return {**scores.target, **scores.general}.get(name) if scores else None


def _source(record: Record, name: str) -> dict[str, Any]:
    """The data set of an evaluation: the hub's where it is one, else our own by digest."""
    if name in BENCHMARKS:
        return {"dataset_name": name, "source_type": "hf_dataset", "hf_repo": BENCHMARKS[name][0]}
    evaluation = record.cell.evaluation
    version = record.cell.task.digest if name in evaluation.target else evaluation.general_digest
    return {
        "dataset_name": name,
        "source_type": "other",
        **_texts({"source_id": name, "source_version": version}),
    }


def _generation(record: Record) -> dict[str, Any]:
    settings = record.cell.evaluation
    longest = {} if settings.max_new_tokens is None else {"max_tokens": settings.max_new_tokens}
    more = {
        "shots": settings.shots,
        "limit": settings.limit,
        "samples": settings.samples,
        "chat_template": settings.chat_template,
        "sampling_seed": settings.seed,
    }
    return {
        "generation_args": {"temperature": settings.temperature, **longest},
        "additional_details": _texts(more),
    }


def _texts(values: dict[str, Any]) -> dict[str, str]:
    """Details are texts there; what is not known is left out."""
    return {name: str(value) for name, value in values.items() if value is not None}


def _plain(text: str) -> str:
    """A part of a path: letters, digits, '.', '_', '-'; never empty, never a dot in front."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:80] or "unnamed"


def _uuid(text: str) -> str:
    """A UUID of version 4 that is the same for the same text."""
    return str(uuid.UUID(bytes=hashlib.sha256(text.encode("utf-8", "replace")).digest()[:16], version=4))
