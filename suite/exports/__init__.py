"""Results in the formats of others: what finished cells scored on test, for leaderboards and model pages.

    eee           Every Eval Ever's JSON, one file a row and task: a model there is a variant on a task
    model-index   front matter of a model card, one a cell
    hub           `.eval_results/*.yaml` of a model's folder on the hub, one a cell and benchmark

A format is a function from models to files: their text by path. The same models give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from suite.errors import UserError
from suite.exports import eee, hub, model_index
from suite.exports.models import Model as Model
from suite.exports.models import all_models as all_models
from suite.exports.models import models as models
from suite.store import Store, write_whole

FORMATS: dict[str, Callable[[Sequence[Model]], dict[str, str]]] = {
    "eee": eee.files,
    "model-index": model_index.files,
    "hub": hub.files,
}


def write(store: Path, to: Path, form: str, benchmarks: Sequence[str] = ()) -> int:
    """Write a store's results as `form` below `to`, which is empty or not there yet; how many files.

    `benchmarks` are more of what the hub knows, as EVALUATION=OWNER/DATASET:TASK. Raises UserError where
    there is nothing to write.
    """
    if form not in FORMATS:
        raise UserError(f"--format {form!r}: expected one of {', '.join(FORMATS)}")
    if benchmarks and form != "hub":
        raise UserError(f"--benchmark {benchmarks[0]!r} belongs to --format hub; leave it out")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(f"--to {str(to)!r} is there and not an empty folder; give another")
    records = Store(store).records()
    found = all_models(records)
    if not found:
        raise UserError(f"store {str(store)!r} has no finished cell that was read on test: nothing to export")
    if form == "hub":
        known = {**hub.BENCHMARKS, **dict(map(hub.benchmark, benchmarks))}
        hub.check(found, known)
        files = hub.files(found, known)
    else:
        files = FORMATS[form](found)
    if not files:
        raise UserError(f"store {str(store)!r} has no score of the outcomes of its items: nothing to export")
    for path, text in files.items():
        write_whole(to / path, text)
    return len(files)
