"""How fast a training step is, and what memory it takes, beside peft with the plain transformers loop.

    python -m benchmarks.train_step --shape qwen3-0.6b --batch 8 --length 2048 --precision bfloat16
    python -m benchmarks.train_step --shape pocket --batch 8 --length 128 --threads 1

Both train the same random model of the named shape on the same rows, in one process: LoRA of rank 16 on all
linear layers, and full fine-tuning. They take turns, step by step, and a ratio is the median over the rounds
of their seconds / our seconds, so that a busy machine weighs on both alike. The losses of both are compared
at every round; a difference of more than --near ends the run with exit code 1.

Peak memory: on a CPU the bytes of live tensors that a step reads or writes, weights included; on CUDA what
the allocator held at most during the step, less what the other side's model, adapter and optimiser hold.
TFLOP/s are the products of one step (`suite.flops`) over its median seconds; `of card` is their share of
the rate that one large product reaches on the same device, type and run.

--compile compiles the decoder's blocks on both sides. Its seconds are those of the first step less those of a
later one, and the command says after how many steps it pays back. Theirs is peft's model, AdamW (fused),
clipping, a scheduler, an attention mask and labels, as transformers' Trainer has them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import peft
import torch
import transformers
from rich.console import Console
from rich.table import Table

from benchmarks.train_sides import METHODS, SHAPES, Side, ours, theirs
from suite.cost import LiveTensors
from suite.flops import Products

NEAR = {"float32": 1e-4}  # largest relative difference of the two losses; other types NEAR_NARROW
NEAR_NARROW = 2e-2


@dataclass(frozen=True)
class Row:
    """What is printed of one side."""

    method: str
    side: str
    seconds: float
    tokens_per_s: float
    ratio: float
    peak_bytes: int
    tflops: float
    of_card: float
    loss: float
    compile_s: float | None = None


def timed(side: Side, given: argparse.Namespace) -> tuple[float, float]:
    """(seconds, loss) of one step."""
    cuda = torch.device(given.device).type == "cuda"
    if cuda:
        torch.cuda.synchronize()
    begun = time.perf_counter()
    loss = side.step()
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - begun, loss


def built(method: str, given: argparse.Namespace) -> list[Side]:
    """Both sides, each after its first steps, knowing what it holds of a GPU's memory."""
    sides = []
    for make in (ours, theirs):
        before = _allocated(given)
        side = make(method, given)
        side.first = timed(side, given)[0]
        timed(side, given)
        side.held = _allocated(given) - before
        sides.append(side)
    return sides


def _allocated(given: argparse.Namespace) -> int:
    return torch.cuda.memory_allocated() if torch.device(given.device).type == "cuda" else 0


def measured(method: str, given: argparse.Namespace, rate: float) -> list[Row]:
    """Both sides in turns, then their memory and their products."""
    sides = built(method, given)
    for i in range(given.rounds):
        for side in sides if i % 2 == 0 else sides[::-1]:
            seconds, loss = timed(side, given)
            side.seconds.append(seconds)
            side.losses.append(loss)
    for side, other in zip(sides, sides[::-1], strict=True):
        side.peak = peak(side, other, given)
        with Products() as products:
            side.step()
        side.flops = products.forward + products.backward
    one, two = sides
    worst = max(abs(a - b) / abs(b) for a, b in zip(one.losses, two.losses, strict=True))
    near = NEAR.get(given.precision, NEAR_NARROW) if given.near is None else given.near
    if not worst <= near:
        sys.exit(f"{method}: losses differ by {worst:.2g}, more than {near:g}: not the same training")
    return [row(method, side, two, given, rate) for side in sides]


def row(method: str, side: Side, other: Side, given: argparse.Namespace, rate: float) -> Row:
    """One side's numbers; the ratio is against `other`."""
    seconds = statistics.median(side.seconds)
    ratio = statistics.median(b / a for a, b in zip(side.seconds, other.seconds, strict=True))
    tflops = side.flops / seconds / 1e12
    tokens = given.batch * given.length / seconds
    spent = side.first - seconds if given.compile else None
    return Row(
        method, side.title, seconds, tokens, ratio, side.peak, tflops, tflops / rate, side.losses[-1], spent
    )


def peak(side: Side, other: Side, given: argparse.Namespace) -> int:
    """The most bytes that a step of this side holds."""
    if torch.device(given.device).type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        side.step()
        return torch.cuda.max_memory_allocated() - other.held
    with LiveTensors() as live:
        side.step()
    return live.peak


def card(given: argparse.Namespace) -> float:
    """TFLOP/s of one large product in the type that the step computes in: the best of several."""
    cuda = torch.device(given.device).type == "cuda"
    side = 8192 if cuda else 1024
    dtype = torch.float32 if given.precision == "float32" else torch.bfloat16
    one = torch.randn(side, side, device=given.device, dtype=dtype)
    best = float("inf")
    for _ in range(10):
        whole = Side("", lambda: float((one @ one)[0, 0]))
        best = min(best, timed(whole, given)[0])
    return 2 * side**3 / best / 1e12


def tables(rows: Sequence[Row], given: argparse.Namespace, rate: float) -> Iterator[Table]:
    """One table for each method."""
    heads = ("side", "ms a step", "tokens/s", "speed", "peak MiB", "TFLOP/s", "of card", "loss")
    for method in dict.fromkeys(row.method for row in rows):
        title = (
            f"{method}: {given.shape}, {given.batch} x {given.length}, {given.precision} on {given.device}"
        )
        table = Table(*heads, title=title, title_justify="left", caption=f"card: {rate:.3g} TFLOP/s")
        for one in (row for row in rows if row.method == method):
            numbers = (f"{one.seconds * 1e3:.1f}", f"{one.tokens_per_s:.0f}", f"{one.ratio:.2f}x")
            rest = (
                f"{one.peak_bytes / 2**20:.1f}",
                f"{one.tflops:.3g}",
                f"{one.of_card:.0%}",
                f"{one.loss:.5f}",
            )
            table.add_row(one.side, *numbers, *rest)
        yield table


def paid(row: Row, eager: float) -> str:
    """What compiling cost, and after how many steps it has paid back, given the seconds of an eager step."""
    saved = eager - row.seconds
    even = f"{(row.compile_s or 0) / saved:.0f} steps" if saved > 0 else "no number of steps"
    times = f"{eager * 1e3:.1f} ms eager, {row.seconds * 1e3:.1f} ms compiled"
    return f"compiled in {row.compile_s:.1f} s; {times}; pays back after {even}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables, and write the numbers where --json says."""
    given = parsed(arguments)
    if given.threads is not None:
        torch.set_num_threads(given.threads)
    rate = card(given)
    console = Console()
    console.print(
        f"torch {torch.__version__}, peft {peft.__version__}, transformers {transformers.__version__}"
    )
    chosen = [method for method in METHODS if given.method in ("both", METHODS[method].split(":")[0])]
    found = {method: measured(method, given, rate) for method in chosen}
    rows = [row for of_method in found.values() for row in of_method]
    for table in tables(rows, given, rate):
        console.print(table)
    if given.compile:
        given.compile = False
        for method, compiled in found.items():
            for one, eager in zip(compiled, measured(method, given, rate), strict=True):
                console.print(f"{one.side}, {method}: {paid(one, eager.seconds)}")
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            told = {"card_tflops": rate, "given": vars(given), "rows": [asdict(row) for row in rows]}
            json.dump(told, file, indent=2)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--shape", choices=list(SHAPES), default="pocket")
    parser.add_argument("--method", choices=["both", "lora", "fullft"], default="both")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=["float32", "bfloat16", "mixed"], default="float32")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--compile", action="store_true", help="compile the blocks on both sides")
    parser.add_argument("--near", type=float, default=None, help="largest relative difference of losses")
    parser.add_argument("--json", default=None, help="also write the numbers here")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
