"""What a training step of every variant computes beside full fine-tuning's, counted and timed.

    python -m benchmarks.flops                                          # pocket and Llama-3.2-1B, counted
    python -m benchmarks.flops --shape pocket --time --threads 1        # and timed beside it
    python -m benchmarks.flops --shape llama-3.2-1b --time --device cuda --precision bfloat16

The count is that of a record (`suite.flops`), made on the meta device: no weights, no numbers, every product
that training runs. Rows are of one length, a quarter of it the prompt.

LoRA Without Regret (2025) counts, for a weight of N x N and a token, 3N^2 multiplications in full fine-tuning
and 2N^2 + 6NR under LoRA of rank R: a little over two thirds. A table beside the count holds that up to it:
the paper's sum over the adapted weights, and what is left: the attention, the output embedding, and (less
than the paper counts) the gradient that nothing asks for before LoRA's first layers; in bfloat16 on a GPU
also LoRA's own products, which are split in two there. A ratio within --near of what the paper says is called
shown, any other refuted.

Times are the median over the rounds of a variant's seconds / FullFT's, all on one model, in turns, so that a
busy machine weighs on all alike. They need the real model; FLOPs are not time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.train_sides import KEY, PROMPT, SHAPES, config_of, mixed, model_of, rows_of
from suite import model as models
from suite.record import Recipe, StepFlops
from suite.training import memory
from suite.training.encode import Encoded
from suite.training.train import Loop, Member, Run
from variants import registry, targets
from variants.interface import Variant

FULL, PLAIN = "fullft", "lora"
SHOWN = ("pocket", "llama-3.2-1b")
RATE = 1e-5
OBSERVED = 2  # rows that a data-driven start looks at: what a step computes does not depend on it


@dataclass(frozen=True)
class Paper:
    """The paper's count of one step, multiplications and additions, over the adapted weights."""

    full: int
    low: int


def chosen(given: argparse.Namespace) -> dict[str, Variant]:
    """The variants by name, all that have a rank at the same one; FullFT is always there."""
    names = given.variants.split(",") if given.variants else registry.names()
    found = {}
    for name in dict.fromkeys([FULL, PLAIN, *(name for name in names if name != "peft")]):
        kind = registry.parse(name)
        has_rank = any(field.name == "rank" for field in fields(kind))
        found[name] = registry.build(kind.name, {**kind.settings(), "rank": given.rank}) if has_rank else kind
    return found


def counted(shape: str, variants: dict[str, Variant], given: argparse.Namespace) -> dict[str, StepFlops]:
    """The operations of a step of each variant, without weights."""
    row = Encoded((0,) * given.length, given.length // PROMPT)
    recipe = Recipe(steps=2, batch_size=given.batch, precision=given.precision)
    work = memory.Work(recipe, given.length, (row,) * given.batch)
    with tempfile.TemporaryDirectory() as folder:
        config_of(shape, given).save_pretrained(folder)
        return {
            name: memory.needs(Path(folder), variant, work, given.device).flops
            for name, variant in variants.items()
        }


def paper(shape: str, given: argparse.Namespace) -> Paper:
    """3 and 2 products of every adapted weight with every token, and 3 of each of its two factors."""
    with tempfile.TemporaryDirectory() as folder:
        config_of(shape, given).save_pretrained(folder)
        layers = targets.select(models.skeleton(Path(folder))).values()
    tokens = given.batch * given.length
    whole = sum(out * inside for out, inside in (layer.sides for layer in layers))
    factors = sum(given.rank * sum(layer.sides) for layer in layers)
    return Paper(2 * tokens * 3 * whole, 2 * tokens * (2 * whole + 3 * factors))


def timed(shape: str, variants: dict[str, Variant], given: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of a step of each variant on one model, round by round; the order turns with the rounds."""
    model = model_of(shape, given)
    rows = rows_of(given, model.config.vocab_size)
    recipe = Recipe(
        steps=10**6, batch_size=given.batch, schedule="constant", warmup=0, max_length=given.length
    )
    device, calibration = torch.device(given.device), memory._calibration(model, rows[:OBSERVED])
    found: dict[str, list[float]] = {name: [] for name in variants}
    runs = {
        name: Run(Member(variant.attach(model, 0, calibration), rows, recipe, RATE, KEY))
        for name, variant in variants.items()
    }
    names = list(runs)
    for i in range(given.rounds + 2):  # the first two warm up: the optimiser's states come in the first
        for name in names[i % len(names) :] + names[: i % len(names)]:
            seconds = _step(Loop(model, 0, device, None), runs[name], given)
            if i >= 2:
                found[name].append(seconds)
    return found


def _step(loop: Loop, run: Run, given: argparse.Namespace) -> float:
    """Seconds of one step."""
    cuda = loop.device.type == "cuda"
    if cuda:
        torch.cuda.synchronize()
    begun = time.perf_counter()
    with mixed(given):
        (point,) = loop.step([run])
    if cuda:
        torch.cuda.synchronize()
    assert point is not None, run.training.error
    return time.perf_counter() - begun


def variants_table(title: str, counts: dict[str, StepFlops], seconds: dict[str, list[float]] | None) -> Table:
    """One row a variant: operations, their share of FullFT's, and that of its time."""
    table = Table(title=title, title_justify="left")
    table.add_column("variant")
    heads = [
        "forward GFLOP",
        "backward",
        "MFLOP a token",
        "of FullFT",
        *(["ms", "of its time"] if seconds else []),
    ]
    for head in heads:
        table.add_column(head, justify="right")
    for name, one in sorted(counts.items(), key=lambda pair: pair[1].total):
        numbers = [f"{one.forward / 1e9:.2f}", f"{one.backward / 1e9:.2f}", f"{one.per_token / 1e6:.2f}"]
        numbers.append(f"{one.total / counts[FULL].total:.3f}")
        if seconds:
            ratio = statistics.median(a / b for a, b in zip(seconds[name], seconds[FULL], strict=True))
            numbers += [f"{1e3 * statistics.median(seconds[name]):.1f}", f"{ratio:.2f}"]
        table.add_row(name, *numbers)
    return table


def claim_table(counts: dict[str, StepFlops], said: Paper, rank: int) -> Table:
    """The paper's sum over the adapted weights, what is left, and the count."""
    full, low = counts[FULL].total, counts[PLAIN].total
    table = Table(title=f"LoRA of rank {rank} against the paper's count", title_justify="left")
    for head in ("", "FullFT GFLOP", "LoRA GFLOP", "ratio"):
        table.add_column(head, justify="right" if head else "left")
    for name, a, b in (
        ("adapted weights, as the paper counts", said.full, said.low),
        ("attention and output embedding", full - said.full, low - said.low),
        ("counted", full, low),
    ):
        table.add_row(name, f"{a / 1e9:.2f}", f"{b / 1e9:.2f}", f"{b / a:.3f}")
    return table


def verdicts(counts: dict[str, StepFlops], said: Paper, near: float) -> list[str]:
    """Whether the count agrees with the paper's formula here, and with two thirds."""
    found = counts[PLAIN].total / counts[FULL].total
    lines = []
    for what, expected in (("3N^2 against 2N^2 + 6NR", said.low / said.full), ("two thirds", 2 / 3)):
        off = found / expected - 1
        word = "shown" if abs(off) <= near else "refuted"
        lines.append(f"{what}, {expected:.3f} here: {word}, counted {found:.3f} ({off:+.1%})")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, time if asked, and print."""
    given = parsed(arguments)
    if given.threads is not None:
        torch.set_num_threads(given.threads)
    console, variants = Console(), chosen(given)
    for shape in given.shape or SHOWN:
        counts, said = counted(shape, variants, given), paper(shape, given)
        seconds = timed(shape, variants, given) if given.time else None
        title = (
            f"{shape}, {given.batch} x {given.length}, rank {given.rank}, {given.precision} on {given.device}"
        )
        console.print(variants_table(title, counts, seconds))
        console.print(claim_table(counts, said, given.rank))
        for line in verdicts(counts, said, given.near):
            console.print(line, highlight=False)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--shape", choices=list(SHAPES), action="append", help=f"default: {', '.join(SHOWN)}")
    parser.add_argument("--variants", default="", help="names, comma-separated; default: all built-in ones")
    parser.add_argument("--rank", type=int, default=16, help="of all that have one")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--device", default="cpu", help="for the count: whose products, cpu or cuda")
    parser.add_argument("--precision", choices=["float32", "bfloat16", "mixed"], default="float32")
    parser.add_argument("--time", action="store_true", help="time real steps too")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--near", type=float, default=0.05, help="relative distance that counts as shown")
    parser.set_defaults(compile=False)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
