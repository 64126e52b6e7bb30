"""One result file of huggingface/peft's method_comparison/MetaMathQA -> one record.

Such a file holds run_info (train_config, peft_config), train_info (status, metrics, memory, counts) and
meta_info (versions, digests of model and data). Fields came and went over the years: what a file lacks is
null, what it has more is kept among the source's facts, and what is not what its name says is refused.
The scores are theirs: GSM8K's test split, no example in the prompt, their own reading of the answer.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from suite.facts import facts, plain, printable, visible
from suite.peft_schema import MetaInfo, Result, RunInfo, TrainInfo
from suite.record import (
    BaseRef,
    Cell,
    Cost,
    CurvePoint,
    EvaluationSettings,
    Provenance,
    Record,
    Score,
    Scores,
    Source,
    Status,
    TaskRef,
    VariantRef,
)
from suite.seeds import digest

ORIGIN = "huggingface/peft method_comparison/MetaMathQA/results"
TRACK = "peft-metamathqa"
REVISION = 1  # of this reading
TARGET = "gsm8k"
UNKNOWN = "unknown"
PROTOCOL = ("dtype", "max_seq_length", "batch_size", "max_steps", "query_template", "generation_kwargs")
OF_OTHER_SUITES = {"resolution", "instance_prompts", "sample_image_prompts", "num_inference_steps"}
BOOKKEEPING = {
    "peft_type",
    "peft_version",
    "base_model_name_or_path",
    "inference_mode",
    "task_type",
    "auto_mapping",
}
FORGETTING = (
    "mean token cross-entropy on general wiki text, after minus before training, nats, smaller is better; "
    "not this suite's forgetting (points lost on general skills); peft corrected its measure in July 2026 "
    "(pull request 3419), so values of earlier files are others"
)


class ResultError(ValueError):
    """A file that is no such result: one line with the reason."""


def record_of(content: Any, file: str, sha256: str, command: str) -> Record:
    """The record of one file's JSON `content`; ResultError or pydantic's ValidationError if it is none."""
    _check_is_metamathqa(content)
    result = Result.model_validate(content)
    run, train, meta = result.run_info, result.train_info or TrainInfo(), result.meta_info or MetaInfo()
    cell = _cell(run, meta, content["run_info"], sha256)
    status, error = _status(run, train)
    measured = [m.accuracy for m in train.metrics or () if m.accuracy is not None]
    found = facts(content)
    packages = meta.package_info or {}
    commit = str(packages.get("peft-commit-hash"))
    source = Source(
        kind="imported",
        origin=ORIGIN,
        label=run.experiment_name or printable(file.removesuffix(".json"), 200),
        commit=commit if re.fullmatch("[0-9a-f]{7,40}", commit) else None,
        file=printable(file, 200),
        sha256=sha256,
        fields=found,
        notes={at: FORGETTING for at, value in found.items() if _is_their_forgetting(at, value)},
    )
    return Record(
        id=cell.id,
        cell=cell,
        status=status,
        error=error,
        after=_scores(measured[-1]) if measured and status == "ok" else None,
        curve=_curve(train),
        trainable_parameters=train.num_trainable_params,
        total_parameters=train.num_total_params,
        cost=_cost(train),
        source=source,
        provenance=_provenance(run, meta, source, command),
    )


def _check_is_metamathqa(content: Any) -> None:
    """Refuse what is no result of this comparison before looking closer."""
    run = content.get("run_info") if isinstance(content, dict) else None
    config = run.get("train_config") if isinstance(run, dict) else None
    if not isinstance(config, dict):
        raise ResultError("no result file of method_comparison: it has no run_info with a train_config")
    if config.keys() & OF_OTHER_SUITES:
        raise ResultError("a result of method_comparison/image-gen; only those of MetaMathQA are read")
    data = _inside(content, "meta_info", "dataset_info")
    metrics = _inside(content, "train_info", "metrics")
    names = (
        {key for one in metrics if isinstance(one, dict) for key in one} if isinstance(metrics, list) else ()
    )
    telling = {"query_template", "metamath", "gsm8k", "test accuracy", "valid accuracy"}
    if not telling & {*config, *(data if isinstance(data, dict) else ()), *names}:
        raise ResultError("nothing in it speaks of MetaMathQA and GSM8K: a result of another comparison?")


def _inside(content: dict[str, Any], part: str, name: str) -> Any:
    found = content.get(part)
    return found.get(name) if isinstance(found, dict) else None


def _cell(run: RunInfo, meta: MetaInfo, raw: dict[str, Any], sha256: str) -> Cell:
    config, peft, optimizer = run.train_config, run.peft_config, run.train_config.optimizer_kwargs
    base = config.model_id or (peft.base_model_name_or_path if peft else None)
    if base is None:
        raise ResultError("run_info.train_config.model_id: it names no base model")
    shas = {name: one.sha if one else None for name, one in sorted((meta.dataset_info or {}).items())}
    protocol = {name: plain(raw["train_config"].get(name)) for name in PROTOCOL}
    model_sha = meta.model_info.sha if meta.model_info else None
    return Cell(
        track=f"{TRACK}@{digest([REVISION, protocol, shas])[:6]}",
        base=BaseRef(name=base, digest=model_sha or UNKNOWN),
        variant=VariantRef(name=_method(run), settings=_settings(raw), revision=None),
        task=TaskRef(name=f"metamathqa/{TARGET}", source="elsewhere", revision=None, digest=digest(shas)),
        recipe=None,
        learning_rate=optimizer.lr if optimizer else None,
        seed=config.seed,
        evaluation=EvaluationSettings(target=[TARGET], general=[], revision=None),
        source=sha256[:16],
    )


def _method(run: RunInfo) -> str:
    """'peft-' and the type of the config; a null config is full fine-tuning, a missing one is not known."""
    if run.peft_config is None:
        return "full-finetuning" if "peft_config" in run.model_fields_set else UNKNOWN
    return f"peft-{(run.peft_config.peft_type or UNKNOWN).lower()}"


def _settings(run: dict[str, Any]) -> dict[str, Any]:
    """What the peft config sets, and under 'training' all of the training but base, rate and seed."""
    config, training = run.get("peft_config") or {}, dict(run["train_config"])
    for name in ("model_id", "seed"):
        training.pop(name, None)
    if isinstance(training.get("optimizer_kwargs"), dict):
        training["optimizer_kwargs"] = {k: v for k, v in training["optimizer_kwargs"].items() if k != "lr"}
    chosen = {name: value for name, value in config.items() if name not in BOOKKEEPING}
    return {**_set_ones(chosen), "training": _set_ones(training)}


def _set_ones(settings: dict[str, Any]) -> dict[str, Any]:
    """Without what is null or empty: versions of peft differ in which of those they write."""
    return {visible(k): plain(v) for k, v in settings.items() if v is not None and v != {} and v != []}


def _status(run: RunInfo, train: TrainInfo) -> tuple[Status, str | None]:
    """Their word for how it ended, in ours. They call a run that ran out of memory or raised cancelled."""
    told = printable(run.error_msg or "", 300)
    word = train.status
    scored = any(one.accuracy is not None for one in train.metrics or ())
    if word == "success" or (word is None and scored):
        return "ok", told or None
    if "out of memory" in told.lower():
        return "oom", told
    if word is None:
        return "failed", told or "the file does not say how the run ended"
    return "failed", told if told and word == "failed" else f"{word}: {told or 'no reason given'}"


def _scores(accuracy: float) -> Scores:
    """Their test accuracy; how many items it is over, they do not say."""
    name = "test accuracy"
    score = Score(evaluation=TARGET, metric=name, value=accuracy, n=None, metrics={name: accuracy})
    return Scores(target={TARGET: score}, general={}, log_loss={}, bits_per_byte=None)


def _curve(train: TrainInfo) -> list[CurvePoint]:
    """Their train loss (mean of the steps since the last point), each step once."""
    points = {one.step: one.loss for one in reversed(train.metrics or ()) if one.loss is not None}
    steps = sorted((step, loss) for step, loss in points.items() if step is not None)
    return [CurvePoint(phase=0, step=step, loss=loss, learning_rate=None) for step, loss in steps]


def _cost(train: TrainInfo) -> Cost | None:
    tokens = [one.tokens for one in train.metrics or () if one.tokens is not None]
    peaks = {name: getattr(train, name) for name in ("accelerator_memory_max", "cuda_memory_max")}
    method = next((name for name, peak in peaks.items() if peak is not None), None)
    cost = Cost(
        train_wall_s=train.train_time,
        peak_memory_bytes=peaks[method] if method else None,
        memory_method=method,
        tokens=tokens[-1] if tokens else None,
    )
    return None if cost == Cost() else cost


def _is_their_forgetting(place: str, value: Any) -> bool:
    return bool(re.fullmatch(r"/train_info/metrics/\d+/forgetting", place)) and isinstance(value, int | float)


def _provenance(run: RunInfo, meta: MetaInfo, source: Source, command: str) -> Provenance:
    """Of their run: when, on what, with which versions."""
    system = meta.system_info or {}
    device = next((name for key in ("accelerator", "gpu") if isinstance(name := system.get(key), str)), None)
    versions = {
        printable(name.removesuffix("-version"), 64): printable(value, 64)
        for name, value in (meta.package_info or {}).items()
        if name.endswith("-version") and isinstance(value, str)
    }
    return Provenance(
        created=_instant(run.created_at),
        command=command,
        device=printable(device, 200) if device else None,
        threads=None,
        versions=versions,
        commit=source.commit,
    )


def _instant(text: Any) -> str | None:
    """An ISO 8601 time with its zone, in UTC; None for anything else."""
    try:
        found = datetime.fromisoformat(text if isinstance(text, str) else "")
        return found.astimezone(UTC).isoformat(timespec="seconds") if found.tzinfo else None
    except (ValueError, OverflowError):
        return None
