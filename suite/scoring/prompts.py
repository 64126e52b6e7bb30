"""The prompts of an lm-eval task: taken from the requests that were scored, or rendered without a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar

from lm_eval.api.model import LM
from lm_eval.models import huggingface

from suite.prompts import Prompts, digest_of
from suite.record import EvaluationSettings
from suite.scoring import harness
from tasks.interface import Evaluation

HFLM: Any = huggingface.HFLM  # its registering decorator hides the type from a checker
ROLLING = "loglikelihood_rolling"  # text is scored as it is: there is no prompt


def of_task(name: str, task: Any) -> Prompts | None:
    """What lm-eval asked for each item of a task whose requests are built; None of one without prompts."""
    if task.OUTPUT_TYPE == ROLLING:
        return None
    asked: dict[int, list[Any]] = {}
    for instance in task.instances:
        asked.setdefault(instance.doc_id, []).append(instance)
    prompts: dict[str, str] = {}
    choices: dict[str, list[str]] = {}
    targets: dict[str, str] = {}
    for item in sorted(asked):
        requests, key = sorted(asked[item], key=lambda one: one.idx), str(item)
        prompts[key] = requests[0].arguments[0]
        if task.OUTPUT_TYPE == "multiple_choice":
            choices[key] = _choices(requests)
        targets[key] = _target(task, requests[0].doc, choices.get(key))
    digest = digest_of(prompts.values())
    return Prompts(evaluation=name, digest=digest, prompts=prompts, choices=choices, targets=targets)


def _choices(requests: Sequence[Any]) -> list[str]:
    """What the prompt goes on with in each choice, or prompt and all where each has a prompt of its own.

    Requests without a prompt, by which lm-eval measures how likely a choice is by itself, are no choices.
    """
    first = requests[0].arguments[0]
    pairs = [one.arguments for one in requests if one.arguments[0] or not first]
    alike = all(before == first for before, _ in pairs)
    return [after if alike else before + after for before, after in pairs]


def _target(task: Any, doc: Any, choices: Sequence[str] | None) -> str:
    """The right answer; of choices the text of the right one, of several right ones all of them as JSON."""
    gold = task.doc_to_text(doc) if choices and task.multiple_input else task.doc_to_target(doc)
    if choices and isinstance(gold, int) and 0 <= gold < len(choices):
        return choices[gold]
    return gold if isinstance(gold, str) else json.dumps(gold, ensure_ascii=False, default=str)


class _Asked(Exception):
    """All requests are built, and the first of them is put to the model."""


class _Listener(LM):
    """In a model's place: it hears the first request and answers none."""

    chat_template_args: ClassVar[dict[str, Any]] = {}  # as `PackLM` has them
    apply_chat_template = HFLM.apply_chat_template

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    @property
    def tokenizer_name(self) -> str:
        """Names a cache that is not used."""
        return ""

    def loglikelihood(self, requests: Any) -> Any:
        raise _Asked

    loglikelihood_rolling = generate_until = loglikelihood


def rendered(
    evaluations: Sequence[Evaluation], settings: EvaluationSettings, tokenizer: Any = None
) -> dict[str, Prompts]:
    """The prompts of each evaluation by name, as `evaluate` would have them under these settings.

    Nothing is scored and no code runs. `tokenizer` has the chat template, where the settings ask for one.
    Raises TaskError where an evaluation's data are not there.
    """
    from suite.scoring.evaluate import task_of

    if not evaluations:
        return {}
    with harness.tamed():
        tasks = {one.name: task_of(one, settings) for one in evaluations}
        how: Any = {"limit": settings.limit, "shots": settings.shots}
        with suppress(_Asked):
            harness.run(
                _Listener(tokenizer), list(tasks.values()), chat_template=settings.chat_template, **how
            )
        found = {name: of_task(name, task) for name, task in tasks.items()}
    return {name: one for name, one in found.items() if one is not None}
