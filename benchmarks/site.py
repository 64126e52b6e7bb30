"""How long a site of many cells takes to build, how much memory, and how large its front page is.

    python -m benchmarks.site --folder /tmp/scale --variants 40 --tasks 5 --seeds 50

makes a store of made-up records (no model was trained), as large as those of the pocket track: 250 items of
the task with their outputs, three skills of 330, held-out losses, a curve of 200 points, norms of 28 weight
changes, what it cost. Outcomes have a part of the item, of the variant, of the seed and a rest. Then it reads
the store, builds its site and builds it again, each in processes of their own whose memory is added up.
"""

from __future__ import annotations

import argparse
import gzip
import math
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from suite.origin import Effect, Overlap, Provenance
from suite.record import (
    BaseRef,
    Cell,
    CurvePoint,
    EvaluationSettings,
    HeldOut,
    Item,
    Recipe,
    Record,
    Score,
    Scores,
    TaskRef,
    VariantRef,
)
from suite.seeds import seed_for
from suite.spent import Cost, Latency, StepFlops, Times

SKILLS = {"made_endings": 320, "made_science": 366, "made_pronouns": 320}
ITEMS, VALIDATION, STEPS = 250, 200, 200
LAYERS = [
    f"model.layers.{n}.{part}_proj" for n in range(4) for part in ("q", "k", "v", "o", "gate", "up", "down")
]
WORDS = (
    "add",
    "take",
    "half",
    "twice",
    "of",
    "the",
    "list",
    "then",
    "sort",
    "it",
    "and",
    "keep",
    "what",
    "is",
)


def cell(variant: int, task: int, seed: int) -> Cell:
    """One cell of the made-up track."""
    return Cell(
        track="made@1",
        base=BaseRef(name="made-base", digest="0123456789abcdef"),
        variant=VariantRef(name=f"made-{variant:03d}", settings={"rank": 2 ** (variant % 8)}, revision=1),
        task=TaskRef(name=f"task{task}", source="pocket", revision=1, digest=f"{task:016x}"),
        recipe=Recipe(steps=STEPS, batch_size=8),
        learning_rate=0.001 * (1 + variant % 5),
        seed=seed,
        evaluation=EvaluationSettings(target=[f"task{task}_test"], general=list(SKILLS)),
    )


def record(variant: int, task: int, seed: int) -> Record:
    """The record of one cell, the same whenever it is made."""
    one, draw = cell(variant, task, seed), np.random.default_rng(seed_for(seed, "cell", variant, task))
    skill = np.random.default_rng(seed_for(0, "variant", variant)).normal(0.5, 0.5)
    loss = 1.5 - 0.3 * skill + 0.02 * draw.normal()
    steps = np.arange(1, STEPS + 1)
    losses = loss + 2 * np.exp(-steps / 40) + 0.1 * draw.normal(size=STEPS)
    return Record(
        id=one.id,
        cell=one,
        status="ok",
        start_loss=2.5,
        before=_scores(one, task, 0.0, 0.0, 2.5, np.random.default_rng(seed_for(0, "before", task))),
        after=_scores(one, task, skill, -0.2 * skill, loss, draw),
        curve=[
            CurvePoint(
                phase=1, step=int(at), loss=float(value), learning_rate=float(0.001 * (1 - at / STEPS))
            )
            for at, value in zip(steps, losses, strict=True)
        ],
        trainable_parameters=10_000 * (1 + variant % 8),
        total_parameters=1_486_240,
        adapted_modules=LAYERS,
        effect=Effect(
            text_digest="feedfacefeedface",
            from_base=float(draw.uniform(3, 20)),
            from_start=float(draw.uniform(3, 20)),
            delta_norms={f"{name}.weight": float(draw.uniform(1, 8)) for name in LAYERS},
            reload_error=0.0,
        ),
        cost=_cost(draw),
        contamination=[
            Overlap(evaluation=name, n=13, items=n, short=0, found=0, mostly=0, grams=9694, grams_found=0)
            for name, n in SKILLS.items()
        ],
        provenance=Provenance(
            created=f"2026-01-{1 + seed % 28:02d}T03:04:05+00:00",
            command="suite run --plan made.yaml",
            device="made",
            threads=1,
            versions={"torch": "0.0.0"},
            commit="0" * 40,
        ),
    )


def _scores(
    one: Cell, task: int, skill: float, lost: float, loss: float, draw: np.random.Generator
) -> Scores:
    target = one.evaluation.target[0]
    nats, tokens = {}, {}
    for split, n in (("validation", VALIDATION), ("test", ITEMS)):
        tokens[split] = [int(v) for v in np.random.default_rng(seed_for(0, split, task)).integers(2, 90, n)]
        nats[split] = [float(v) for v in loss * np.array(tokens[split]) * draw.gamma(20, 1 / 20, n)]
    return Scores(
        target={target: _score(target, ITEMS, skill, draw, said=True)},
        general={name: _score(name, n, lost, draw) for name, n in SKILLS.items()},
        log_loss={name: math.fsum(nats[name]) / sum(tokens[name]) for name in nats},
        bits_per_byte=float(2 + 0.1 * draw.normal()),
        held_out={name: HeldOut(accuracy=0.7, nats=nats[name], tokens=tokens[name]) for name in nats},
    )


def _score(name: str, n: int, skill: float, draw: np.random.Generator, said: bool = False) -> Score:
    hard = np.random.default_rng(seed_for(0, "items", name)).normal(size=n)
    right = (skill + 0.1 * draw.normal() - hard + draw.logistic(0, 0.5, n) > 0).astype(float)
    words = draw.integers(0, len(WORDS), (n, 12)) if said else None
    items = [
        Item(
            id=str(at),
            correct=float(right[at]),
            response=None if words is None else " ".join(WORDS[word] for word in words[at]),
        )
        for at in range(n)
    ]
    value = float(right.mean())
    return Score(
        evaluation=name,
        metric="acc",
        value=value,
        n=n,
        metrics={"acc,none": value},
        items=items,
        prompts="0" * 16,
    )


def _cost(draw: np.random.Generator) -> Cost:
    times = Times(prompt_ms=8.5, token_ms=1.7)
    return Cost(
        pack=1,
        train_wall_s=float(draw.uniform(10, 20)),
        train_cpu_s=float(draw.uniform(10, 20)),
        evaluate_wall_s=15.0,
        evaluate_cpu_s=10.0,
        start_s=0.01,
        peak_memory_bytes=37_688_851,
        memory_method="live-tensors",
        tokens=79_982,
        flops=StepFlops(forward=1_829_404_672, backward=2_078_965_760, tokens=393),
        adapter_bytes=1_571_888,
        latency=Latency(tokens=206, base=times, adapter=times, merged=times),
    )


def make(folder: Path, cells: int, sizes: tuple[int, int, int], workers: int) -> None:
    """Write the first `cells` of variants x tasks x seeds, but for those that are there."""
    (folder / "records").mkdir(parents=True, exist_ok=True)
    every = list(product(*map(range, sizes)))[:cells]
    with ProcessPoolExecutor(workers) as executor:
        list(executor.map(partial(_write, folder), every, chunksize=20))


def _write(folder: Path, at: tuple[int, int, int]) -> None:
    file = folder / "records" / f"{cell(*at).id}.json.gz"
    if not file.exists():  # fast and unsafe, unlike a store's own writing: it can be made again
        file.write_bytes(gzip.compress(record(*at).model_dump_json().encode(), 1, mtime=0))


def measured(work: Callable[..., Any], *arguments: Any) -> str:
    """A call in a process of its own: seconds, of all processors too, and the most MiB held at once."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    began, most = time.perf_counter(), 0
    process.start()
    while process.is_alive():
        most = max(most, sum(map(_resident, _family(process.pid or 0))))
        process.join(0.05)
    assert process.exitcode == 0, f"{work.__name__} ended with {process.exitcode}"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    work_s = after.ru_utime + after.ru_stime - spent.ru_utime - spent.ru_stime
    return f"{time.perf_counter() - began:.1f} s, {work_s:.1f} s of processors, {most / 2**20:.0f} MiB"


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        inner = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has ended
        return []
    return [pid, *(one for child in inner for one in _family(int(child)))]


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def reading(folder: Path, workers: int) -> None:
    """Read the store."""
    from suite.reading import read

    found = read([folder], None, workers)
    assert not found.rejected, found.rejected[:3]


def building(folder: Path, out: Path, workers: int) -> None:
    """Build the site."""
    from leaderboard.build import build

    built = build(folder, out, workers)
    print(f"  {built.records} records, fresh: {built.fresh}")


def main() -> None:
    """Make the store, then measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="the store, and beside it <folder>-site")
    for name, number in (("variants", 40), ("tasks", 5), ("seeds", 50), ("cells", 10_000), ("workers", 2)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--only-read", action="store_true", help="build nothing")
    asked = parser.parse_args()
    began = time.perf_counter()
    make(asked.folder, asked.cells, (asked.variants, asked.tasks, asked.seeds), asked.workers)
    print(f"made in {time.perf_counter() - began:.0f} s")
    print("read:", measured(reading, asked.folder, asked.workers))
    if asked.only_read:
        return
    out = asked.folder.with_name(asked.folder.name + "-site")
    for name in ("build", "again"):
        print(f"{name}:", measured(building, asked.folder, out, asked.workers))
    sizes = {file.name: file.stat().st_size for file in (out / "index.html",)}
    print(f"front page: {sizes['index.html'] / 1000:.0f} KB")


if __name__ == "__main__":
    main()
