"""lm-eval itself, called once for all tasks: quiet, offline, and leaving the process as it was."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

PYTHON_SEED = 0  # of lm-eval's command line: some checks of IFEval draw; `tamed` puts the state back
FEWSHOT_SEED = 1234  # of lm-eval's command line, so that the examples shown are its own


def run(
    lm: Any, tasks: Sequence[Any], *, limit: int | None, shots: int | None, chat_template: bool
) -> Mapping[str, Any]:
    """One call of lm-eval for all tasks, without its scan of stock files, bootstrap and global seeds.

    `shots` None keeps each task's own number; a task whose file says 0 keeps 0 in any case, as lm-eval has
    it. With a chat template, examples are turns of the conversation, as on lm-eval's command line.
    """
    import lm_eval
    from lm_eval.tasks import TaskManager

    simple_evaluate: Any = lm_eval.simple_evaluate  # a decorator hides its type from a checker
    results = simple_evaluate(
        model=lm,
        tasks=list(tasks),
        limit=limit,
        num_fewshot=shots,
        apply_chat_template=chat_template,
        fewshot_as_multiturn=chat_template,
        bootstrap_iters=0,
        log_samples=True,
        task_manager=TaskManager(include_defaults=False),
        random_seed=PYTHON_SEED,
        numpy_random_seed=None,
        torch_random_seed=None,
        fewshot_random_seed=FEWSHOT_SEED,
        confirm_run_unsafe_code=True,  # in tasks/sandbox.py; `suite.scoring.evaluate` has made sure of it
    )
    assert results is not None, "lm-eval returns nothing only on other ranks of a distributed run"
    return results


def load(config: Mapping[str, Any]) -> Any:
    """A complete configuration as lm-eval's task object; an `include` is resolved by lm-eval's own loader."""
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    own = {key: value for key, value in config.items() if key != "include"}
    include = config.get("include")
    whole = {**(load_yaml(include) if include else {}), **own}
    whole.pop("tag", None)  # as lm-eval's own factory does: it is not about one task
    if callable(process := whole.get("process_docs")):
        whole["process_docs"] = cache(process)  # lm-eval asks five times for the same documents
    return ConfigurableTask(config=whole)


@contextmanager
def tamed() -> Iterator[None]:
    """lm-eval without its log lines, progress bars, machine report and repeated compiling of templates."""
    import datasets
    import lm_eval.api.task
    import lm_eval.evaluator
    import lm_eval.utils

    loggers = [logging.getLogger(name) for name in ("lm_eval", "transformers")]
    levels = [logger.level for logger in loggers]
    bars, drawn = datasets.are_progress_bars_disabled(), random.getstate()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        with (
            _replaced(lm_eval.api.task, tqdm=lambda rows, **_: rows),
            _replaced(lm_eval.evaluator, add_env_info=_nothing, get_git_commit_hash=_nothing),
            _replaced(lm_eval.utils, apply_template=_apply_template),
        ):
            yield
    finally:
        random.setstate(drawn)  # lm-eval draws task names that nobody uses
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if not bars:
            datasets.enable_progress_bars()


def _nothing(*_: Any, **__: Any) -> None:
    """Two seconds of asking pip and git about the machine, per call; a record has its own provenance."""


def _apply_template(template: str, doc: dict[str, Any]) -> str:
    """lm-eval's own, which compiles the template anew for each of a task's thousands of uses."""
    return _compiled(template).render(**doc)


@cache
def _compiled(template: str) -> Any:
    from lm_eval.utils import env

    return env.from_string(template)


@contextmanager
def _replaced(module: ModuleType, **values: Any) -> Iterator[None]:
    """Other values for names of a module, inside a with block."""
    before = {name: getattr(module, name) for name in values}
    for name, value in values.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)
