"""What a worker keeps between jobs: one loaded model at a time, the tasks, their tokens."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from suite.baseline import parts
from suite.record import Cell, Effect, EvaluationSettings, HeldOut, Latency, Recipe, Record, Score
from suite.seeds import seed_for
from suite.setup import Setup

if TYPE_CHECKING:
    from torch import Tensor

    from suite.training.batches import Encoded
    from tasks.general import General
    from tasks.interface import Evaluation, Task
    from variants.interface import Adapter, Calibration

HELD_OUT = ("validation", "test")
TELL_EVERY_S = 0.2


class Report(Protocol):
    """How a job tells how far it is: a stage, step of steps, and the training loss where there is one."""

    def __call__(self, stage: str, step: int, steps: int, loss: float | None = None) -> None: ...


class Workshop:
    """A base in a worker, ready for jobs. Everything is made on first use and kept.

    Trained weights are kept in the folder `keep`, prompts in `store`, where they are given.
    """

    def __init__(
        self, setup: Setup, threads: int | None, keep: Path | None = None, store: Path | None = None
    ) -> None:
        import torch

        self.setup, self.keep, self.store = setup, keep, store
        if threads is not None:
            torch.set_num_threads(threads)
        self.threads = torch.get_num_threads()
        torch.use_deterministic_algorithms(True, warn_only=True)
        self.model: Any = None
        self.tokenizer: Any = None
        self._opened: tuple[Path, str] | None = None
        self._tasks: dict[tuple[Any, ...], Task] = {}
        self._general: General | None = None
        self._encoded: dict[tuple[Any, ...], list[Encoded]] = {}
        self._trained_on: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._notes: list[str] = []
        self.started: WeakKeyDictionary[Adapter, float] = WeakKeyDictionary()

    def __call__(self, job: Any, report: Report) -> Any:
        """Run one job."""
        self._notes.clear()
        return job.run(self, report)

    def open(self, precision: str, folder: Path | None = None) -> None:
        """Load the model of `folder` (the base, if not given) in this precision, in the place of any other.

        A folder without a tokenizer is read with the base's.
        """
        wanted = (folder or self.setup.base, precision)
        if wanted != self._opened:
            from suite import model as models

            self.model = self._opened = None
            self.model = models.weights(*wanted, self.setup.device, self.setup.attention)
            has_own = any(wanted[0].glob("tokenizer*"))
            self.tokenizer = models.tokenizer(wanted[0] if has_own else self.setup.base)
            self._encoded.clear()
            self._opened = wanted

    def computing(self) -> AbstractContextManager[Any]:
        """Around everything that runs the model: bfloat16 arithmetic where float32 weights ask for it."""
        import torch

        mixed = self._opened is not None and self._opened[1] == "mixed"
        device = torch.device(self.setup.device).type
        return torch.autocast(device, torch.bfloat16) if mixed else nullcontext()

    @contextmanager
    def training(self) -> Iterator[None]:
        """Around training: activations are recomputed in place of kept where the setup says so."""
        with self.computing():
            if not self.setup.checkpointing:
                yield
                return
            from suite.kernels import checkpointing

            with checkpointing(self.model, True):
                yield

    def take_notes(self) -> list[str]:
        """What a reader of the scores made since the last call should know, each line once."""
        taken, self._notes = list(dict.fromkeys(self._notes)), []
        return taken

    @property
    def settings(self) -> dict[str, str]:
        """What decides whether this process repeats itself bit for bit."""
        from suite.provenance import settings

        return settings(self.setup.device)

    @property
    def pad(self) -> int:
        """The token that fills a row."""
        return self.tokenizer.pad_token_id

    def attach(self, cell: Cell) -> Adapter:
        """The cell's variant on the model; its draws follow from the cell's seed alone.

        `started` then has the seconds that it took, without reading the examples that a start looks at.
        """
        from suite.cost import Stopwatch
        from variants import registry

        variant = registry.build(cell.variant.name, cell.variant.settings)
        seed = seed_for("adapter", cell.seeds["adapter"])
        rows = variant.calibration_rows
        examples = self.calibration(cell, rows) if rows else None
        watch = Stopwatch()
        with watch.on(self.setup.device):
            adapter = variant.attach(self.model, seed, examples)
        self.started[adapter] = watch.wall
        return adapter

    def load(self, folder: Path) -> Adapter:
        """The adapter of a PEFT folder, on the model that is open."""
        from variants import peft_config

        return peft_config.load(self.model, folder)

    @contextmanager
    def kept(self, record: Record, folder: Path) -> Iterator[tuple[Adapter, ...]]:
        """The kept weights of a record on their model: an adapter, or none on a model that is all its own.

        Raises UserError where they are not those that the record names.
        """
        from suite import weights
        from suite.errors import UserError

        if not weights.are(folder, record.weights):
            raise UserError(f"the weights of record {record.id} are not in {folder}; run the cell again")
        self.open(record.cell.how.recipe.precision, weights.own_base(folder))
        adapters = (self.load(folder),) if (folder / weights.ADAPTER).is_file() else ()
        try:
            yield adapters
        finally:
            for adapter in adapters:
                adapter.detach()

    def calibration(self, cell: Cell, count: int) -> Calibration:
        """`count` training examples of the cell's task (or all), drawn by its seed, one unpadded row each."""
        from suite.training.batches import collate, order, row_mean, token_losses
        from variants.interface import Calibration

        rows = self.encoded(self.task(cell, cell.how.recipe), "train", cell.how.recipe)
        key = ("calibration", cell.seeds["data"], cell.task.name)
        chosen = next(order(len(rows), min(count, len(rows)), key))
        device = next(self.model.parameters()).device

        def losses() -> Iterator[Tensor]:
            for i in chosen:
                batch = collate([rows[i]], self.pad, multiple=1).to(device)
                yield row_mean(token_losses(self.model, batch), batch.labels)

        return Calibration(losses)

    def logits(self, *adapters: Adapter) -> Tensor:
        """Logits on the fixed text of `suite.effect`."""
        from suite.effect import logits

        with self.computing():
            return logits(self.model, self._probe(), *adapters)

    def latency(self, adapter: Adapter) -> Latency | None:
        """How long inference takes on that text; None where it does not fit into memory."""
        from suite.cost import out_of_memory
        from suite.latency import latency

        try:
            with self.computing():
                return latency(self.model, self._probe(), adapter)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            return None

    def prove(
        self, cell: Cell, adapter: Adapter, start: Tensor
    ) -> tuple[Effect, str | None, str | None, int]:
        """(effect, why the cell fails if it does, digest of the weights if they are kept, their bytes).

        The adapter is exported, read back, and held against what it was before training.
        """
        from suite import weights
        from suite.cost import exported_bytes
        from suite.effect import prove

        folder = None if self.keep is None else self.keep / cell.id
        with self.computing(), weights.exported(adapter, folder, cell.base.name) as made:
            effect, fault = prove(self.model, self._probe(), adapter, start, made, cell.how.recipe.precision)
            digest = None if folder is None else weights.digest(made)[:16]
            return effect, fault, digest, exported_bytes(made)

    def _probe(self) -> Tensor:
        from suite.effect import probe

        return probe(self.tokenizer, getattr(self.model.config, "max_position_embeddings", None))

    def task(self, cell: Cell, recipe: Recipe) -> Task:
        """The task of a cell, read once."""
        given = (cell.task.name, cell.task.source, tuple(cell.evaluation.target))
        key = (*given, recipe.examples, recipe.tokens)
        if key not in self._tasks:
            from tasks import registry

            name, source, evaluations = given
            budget = {"examples": recipe.examples, "tokens": recipe.tokens}
            self._tasks[key] = registry.get(name, self.setup.places, source, evaluations, **budget)
        return self._tasks[key]

    @property
    def general(self) -> General:
        """What forgetting is measured on, read once."""
        if self._general is None:
            from tasks import registry

            self._general = registry.general(self.setup.places.data)
        return self._general

    def encoded(self, task: Task, split: str, recipe: Recipe) -> list[Encoded]:
        """The tokenised examples of a split, made once."""
        from suite.training.batches import encode_all

        how = (recipe.max_length, recipe.loss_on, recipe.chat_template)
        key = (task.name, task.source, task.digest, split, *how, recipe.tokens)
        if key not in self._encoded:
            tokens = recipe.tokens if split == "train" else None
            self._encoded[key] = encode_all(task.stream(split), self.tokenizer, *how, tokens=tokens)
        return self._encoded[key]

    def trained_on(self, cell: Cell) -> dict[str, Any]:
        """Digest of a cell's training rows as tokens, and what of its evaluations they hold; made once.

        Nothing where the model could not be opened.
        """
        if self._opened is None:
            return {}
        from suite.contamination import overlaps
        from suite.training.encode import digest_of, within

        recipe, limit = cell.how.recipe, cell.evaluation.limit
        task = self.task(cell, recipe)
        how = (recipe.max_length, recipe.loss_on, recipe.chat_template)
        key = (task.name, task.source, task.digest, *how, recipe.tokens, limit)
        if key not in self._trained_on:
            examples = within(task.stream("train"), self.tokenizer, *how, tokens=recipe.tokens)
            found = overlaps(task, parts(self.general), examples, limit)
            rows = digest_of(self.encoded(task, "train", recipe))
            self._trained_on[key] = {"rows": rows, "contamination": found}
        return self._trained_on[key]

    def held_out(
        self,
        task: Task,
        recipe: Recipe,
        limit: int | None,
        adapters: Sequence[Adapter],
        report: Report,
        splits: Sequence[str] = HELD_OUT,
    ) -> dict[str, HeldOut]:
        """What the model makes of each held-out split under these adapters."""
        from suite.training.batches import held_out
        from variants.route import routed

        found = {}
        for i, split in enumerate(splits):
            report("held-out loss", i, len(splits))
            rows = self.encoded(task, split, recipe)[:limit]
            with self.computing(), routed(self.model, *adapters):
                found[split] = held_out(self.model, rows, self.pad, say=self._notes.append)
        return found

    def scores(
        self,
        evaluations: Sequence[Evaluation],
        settings: EvaluationSettings,
        adapters: Sequence[Adapter],
        report: Report,
        folder: Path | None = None,
    ) -> dict[str, Score]:
        """lm-eval's scores of the model under these adapters; `folder` is where another engine finds them."""
        from suite.prompts import write
        from suite.scoring.evaluate import AS_IS, evaluate

        report("score", 0, 0)

        told = time.monotonic()

        def on_progress(done: int, total: int) -> None:
            nonlocal told
            if time.monotonic() - told > TELL_EVERY_S:
                told = time.monotonic()
                report("score", done, total)

        how: Any = {"on_progress": on_progress, "on_note": self._notes.append}
        if self.store is not None:
            how["on_prompts"] = partial(write, self.store)
        if settings.engine != AS_IS.engine:
            from suite.engines import vllm

            base, precision = self.setup.base, self._opened[1] if self._opened else "float32"
            return vllm.evaluate(folder or base, base, evaluations, settings, precision, **how)
        with self.computing():
            how |= {"adapters": adapters, "settings": settings}
            return evaluate(self.model, self.tokenizer, evaluations, **how)
