"""Scores: a model (under its adapters) on evaluations, by lm-eval, with the outcome of every item."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from suite.prompts import Prompts
from suite.record import EvaluationSettings, Item, Score
from suite.scoring import harness
from suite.seeds import digest
from tasks import sandbox
from tasks.interface import Evaluation, TaskError
from tasks.lm_eval.code_eval import estimate

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from variants.interface import Adapter

Progress = Callable[[int, int], None]
AS_IS = EvaluationSettings(target=[], general=[])


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    evaluations: Sequence[Evaluation],
    *,
    settings: EvaluationSettings = AS_IS,
    adapters: Sequence[Adapter] = (),
    limit: int | None = None,
    batch_size: int = 64,
    on_progress: Progress | None = None,
    on_note: Callable[[str], None] = lambda line: None,
    on_prompts: Callable[[Prompts], None] = lambda prompts: None,
) -> dict[str, Score]:
    """Score `model` on every evaluation in one pass; a Score by evaluation name.

    `adapters` are routed around the model; none scores the untouched base. `limit` takes the first items of
    each evaluation (the settings' own number where it is None). `on_progress(done, total)` counts requests;
    `on_note` hears a line of what a reader of the scores should know: prompts that were cut, a batch that
    was halved; `on_prompts` is given what was asked. The same call gives the same scores, drawn answers (from
    the settings' seed) included; the global random state is left alone.

    Raises TaskError where an evaluation runs model-written code and no sandbox is to be had, where the
    model's context is too short for what the evaluation generates, or where it lacks what the settings ask.
    """
    if not evaluations:
        return {}
    if settings.engine != "transformers":
        raise ValueError(f"a loaded model is scored by transformers; for {settings.engine} see suite.engines")
    training = model.training
    with harness.tamed():
        from suite.scoring.lm import PackLM

        lm = PackLM(
            model, tokenizer, adapters=adapters, batch_size=batch_size, seed=settings.seed, say=on_note
        )
        try:
            return score(lm, evaluations, settings, limit or settings.limit, on_progress, on_note, on_prompts)
        finally:
            model.train(training)


def score(
    lm: Any,
    evaluations: Sequence[Evaluation],
    settings: EvaluationSettings,
    limit: int | None,
    on_progress: Progress | None = None,
    on_note: Callable[[str], None] = lambda line: None,
    on_prompts: Callable[[Prompts], None] = lambda prompts: None,
) -> dict[str, Score]:
    """The scores of an lm-eval model object, inside `harness.tamed`."""
    from suite.scoring.lm import Heard
    from suite.scoring.prompts import of_task

    _check_sandbox(evaluations)
    if settings.chat_template and not getattr(lm.tokenizer, "chat_template", None):
        raise TaskError("this model's tokenizer has no chat template; use chat_template: false")
    if settings.samples > 1 and not settings.temperature:
        raise TaskError(
            f"at temperature 0 all {settings.samples} samples are one answer; set temperature above 0"
        )
    samples = {one.name: settings.samples if one.runs_code else 1 for one in evaluations}
    tasks = {one.name: task_of(one, settings) for one in evaluations}
    for name, task in tasks.items():
        _check_room(name, task, lm)
        _check_shots(name, task, settings.shots)
    if on_progress is not None:
        total = sum(samples[name] * _requests(task, limit) for name, task in tasks.items())
        lm.cache_hook = Heard(_counter(total, on_progress))  # lm-eval tells it every finished request
    results = harness.run(
        lm,
        list(tasks.values()),
        limit=limit,
        shots=settings.shots,
        chat_template=settings.chat_template,
    )
    found = {}
    for one in evaluations:
        if (asked := of_task(one.name, tasks[one.name])) is not None:
            on_prompts(asked)
        made = _score(one, results)
        if samples[one.name] > 1:
            made = _with_samples(made, one, tasks[one.name], lm, samples[one.name])
        found[one.name] = _with_notes(made, lm, on_note)
    return found


def _check_sandbox(evaluations: Sequence[Evaluation]) -> None:
    """Refuse to run model-written code unprotected."""
    names = [evaluation.name for evaluation in evaluations if evaluation.runs_code]
    if names and (reason := sandbox.available()):
        raise TaskError(f"{names[0]} runs model-written code, and there is no sandbox for it: {reason}")


def _check_room(name: str, task: Any, lm: Any) -> None:
    """Refuse a generation that leaves no room for its prompt."""
    if task.OUTPUT_TYPE != "generate_until":
        return
    new = task.config.generation_kwargs.get("max_gen_toks", lm.max_gen_toks)
    if new >= lm.max_length:
        raise TaskError(
            f"{name} generates up to {new} tokens, and this model's context is {lm.max_length}; "
            f"set max_new_tokens well below {lm.max_length}, or use a base with a longer context"
        )


def _check_shots(name: str, task: Any, shots: int | None) -> None:
    """Refuse to show more examples than there are; those that are scored are not shown."""
    if not shots or task.config.num_fewshot == 0:
        return
    given = task.fewshot_cfg.split is not None or task.fewshot_cfg.samples is not None
    there_are = given or task.has_training_docs() or task.has_validation_docs()
    known = len(list(task.fewshot_docs())) if there_are else 0
    if known < shots:
        raise TaskError(f"{name} has {known} examples to show, and {shots} are asked for; use shots: {known}")


def task_of(evaluation: Evaluation, settings: EvaluationSettings) -> Any:
    """lm-eval's task object for an evaluation, under these settings."""
    evaluation.prepare()
    task = harness.load(evaluation.config)
    if task.OUTPUT_TYPE == "generate_until":
        changed: dict[str, Any] = {}
        if settings.max_new_tokens is not None:
            changed["max_gen_toks"] = settings.max_new_tokens
        if evaluation.runs_code and settings.temperature > 0:
            changed |= {"do_sample": True, "temperature": settings.temperature}
        own = task.config.generation_kwargs or {}  # may be shared with others: never changed in its place
        task.set_config(key="generation_kwargs", value={**own, **changed})
    return task


def _score(evaluation: Evaluation, results: Mapping[str, Any]) -> Score:
    """lm-eval's results on one task as a Score; items in document order, from the headline's filter."""
    metrics = {
        name: float(value)
        for name, value in results["results"][evaluation.name].items()
        if "," in name and "_stderr," not in name and isinstance(value, int | float)
    }
    samples = [s for s in results["samples"][evaluation.name] if s["filter"] == evaluation.filter]
    return Score(
        evaluation=evaluation.name,
        metric=evaluation.metric,
        value=metrics[f"{evaluation.metric},{evaluation.filter}"],
        n=len(samples),
        metrics=metrics,
        items=[_item(sample, evaluation.metric) for sample in sorted(samples, key=lambda s: s["doc_id"])],
        prompts=digest([sample["prompt_hash"] for sample in sorted(samples, key=lambda s: s["doc_id"])]),
    )


def _item(sample: Mapping[str, Any], metric: str) -> Item:
    """One item. A metric that is not a number per item (bits per byte weighs pages) has no right or wrong."""
    value, response = sample[metric], sample["resps"][0][0]
    return Item(
        id=str(sample["doc_id"]),
        correct=None if isinstance(value, tuple) else float(value),
        response=response if isinstance(response, str) else None,
    )


def _with_samples(first: Score, evaluation: Evaluation, task: Any, lm: Any, samples: int) -> Score:
    """The same with `samples` answers an item, of which `first` holds the first.

    Every answer is filtered and scored as the stock task does it. An item's `correct` is the share of its
    answers that are right; pass@k is the mean of its unbiased estimate (Chen et al. 2021, equation 1).
    """
    right = [float(item.correct or 0) for item in first.items]
    for lm.draw in range(1, samples):
        for instance, answer in zip(task.instances, lm.generate_until(task.instances), strict=True):
            instance.resps, instance.filtered_resps = [answer], {}
        task.apply_filters()
        for i, instance in enumerate(sorted(task.instances, key=lambda one: one.doc_id)):
            found = task.process_results(instance.doc, [instance.filtered_resps[evaluation.filter]])
            right[i] += float(found[evaluation.metric])
    lm.draw = 0
    sizes = sorted({2**i for i in range(samples.bit_length())} | {samples})
    passes = {
        f"pass@{k},{evaluation.filter}": sum(estimate(samples, round(c), k) for c in right) / len(right)
        for k in sizes
    }
    value = sum(right) / (samples * len(right))
    items = [
        item.model_copy(update={"correct": c / samples}) for item, c in zip(first.items, right, strict=True)
    ]
    metrics = {**first.metrics, f"{evaluation.metric},{evaluation.filter}": value, **passes}
    return first.model_copy(update={"value": value, "metrics": metrics, "items": items})


def _with_notes(score: Score, lm: Any, on_note: Callable[[str], None]) -> Score:
    """The same with what the model object saw of it: prompts that were cut, answers that a batch moved."""
    name, metrics = score.evaluation, score.metrics
    if cut := getattr(lm, "truncated", {}).get(name, 0):
        metrics = {**metrics, "truncated_prompts": float(cut)}
        on_note(f"{name}: {cut} requests were longer than the context and lost the beginning of the prompt")
    changes = getattr(lm, "changes", {}).get(name)
    return score.model_copy(update={"metrics": metrics, "batch_changes": changes})


def _counter(total: int, on_progress: Progress) -> Callable[[], None]:
    """What lm-eval's model calls for every finished request."""
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        on_progress(min(done, total), total)

    return count


def _requests(task: Any, limit: int | None) -> int:
    """How many requests a task makes, taking its first item for all."""
    docs = task.task_docs
    choices = len(task.doc_to_choice(docs[0])) if task.OUTPUT_TYPE == "multiple_choice" else 1
    return choices * min(len(docs), limit or len(docs))
