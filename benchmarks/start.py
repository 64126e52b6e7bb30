"""How fast and how exact the starts are that decompose the weight, beside peft's.

    python -m benchmarks.start --shapes 2048x2048,2048x8192 --rank 16,128 --threads 1

Each start runs on one d_out x d_in layer: ours by the variant's `start`, peft's by adding its adapter to an
nn.Linear. All take turns in one process, `--rounds` times; a row's seconds are their median, its speed the
median over the rounds of reference seconds / own seconds, so that a busy machine weighs on both alike.

The errors are against LAPACK's SVD in float64: the largest relative error of a singular value, and the sines
of the principal angles between the span of B's columns and the true singular subspace (largest, mean). The
last column is the gap after the wanted singular values over the largest of all: below 1e-7, float32 cannot
tell the subspace from its neighbours. Spectra: `flat` (Gaussian), `decaying` (1/i), `spikes` (a power law of
spikes over a Gaussian bulk, most below its edge).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import peft
import torch
from rich.console import Console
from rich.table import Table
from sklearn.utils.extmath import randomized_svd
from torch import Tensor, nn

import variants
from variants import decompose, registry
from variants.lowrank import LowRankVariant
from variants.site import generator

Factors = tuple[Tensor, Tensor]  # A [r, d_in], B [d_out, r]


@dataclass(frozen=True)
class Way:
    """One way to start a layer: its title, the title it is timed against, and what its errors are against.

    `end` is "top" or "bottom" of the spectrum, or "" for starts that are no singular subspace.
    """

    title: str
    against: str
    end: str
    run: Callable[[Tensor, int], Factors]


def by_variant(name: str, **settings: object) -> Callable[[Tensor, int], Factors]:
    """The start of one of our variants, at alpha = rank."""

    def run(weight: Tensor, rank: int) -> Factors:
        variant = variants.build(name, {"rank": rank, **settings})
        assert isinstance(variant, LowRankVariant)
        start = variant.start(weight, generator(0, "start"))
        return start.A, start.B

    return run


def by_peft(word: str) -> Callable[[Tensor, int], Factors]:
    """peft's adapter with init_lora_weights=`word` put into an nn.Linear; its start changes the weight."""

    def run(weight: Tensor, rank: int) -> Factors:
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta").to_empty(device="cpu")
        layer.weight.data = weight.clone()
        config = peft.LoraConfig(r=rank, lora_alpha=rank, init_lora_weights=word, target_modules=["0"])  # type: ignore
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # svd_lowrank draws from the global generator
            parts = dict(peft.inject_adapter_in_model(config, nn.Sequential(layer)).named_parameters())
        return parts["0.lora_A.default.weight"].detach(), parts["0.lora_B.default.weight"].detach()

    return run


def halved(U: Tensor, S: Tensor, Vh: Tensor) -> Factors:
    """Singular triplets as the factors that PiSSA and MiLoRA make of them."""
    return S.sqrt()[:, None] * Vh, U * S.sqrt()


def by_full_svd(weight: Tensor, rank: int) -> Factors:
    """The smallest triplets by the full SVD in float32, as MiLoRA's authors take them."""
    U, S, Vh = torch.linalg.svd(weight, full_matrices=False)
    return halved(U[:, -rank:], S[-rank:], Vh[-rank:])


def by_sklearn(weight: Tensor, rank: int) -> Factors:
    """sklearn's randomised SVD as it comes."""
    parts = randomized_svd(weight.numpy(), n_components=rank, random_state=0)
    return halved(*(torch.from_numpy(part) for part in parts))


EXACT, FULL, QR = "peft pissa", "torch full SVD", "peft olora"
OURS = (
    Way("pissa", EXACT, "top", by_variant("pissa")),
    Way("pissa niter=16", "peft pissa_niter_16", "top", by_variant("pissa", niter=16)),
    Way("loftq iterations=1", EXACT, "", by_variant("loftq", iterations=1)),
    Way("qpissa iterations=1", EXACT, "top", by_variant("qpissa", iterations=1)),
    Way("milora", FULL, "bottom", by_variant("milora")),
    Way("olora", QR, "", by_variant("olora")),
)
OTHERS = (
    Way(EXACT, EXACT, "top", by_peft("pissa")),
    Way("peft pissa_niter_4", EXACT, "top", by_peft("pissa_niter_4")),
    Way("peft pissa_niter_16", EXACT, "top", by_peft("pissa_niter_16")),
    Way("sklearn randomised", EXACT, "top", by_sklearn),
    Way("decompose.top", EXACT, "top", lambda W, r: halved(*decompose.top(W, r))),
    Way(FULL, FULL, "bottom", by_full_svd),
    Way(QR, QR, "", by_peft("olora")),
)


def ways() -> list[Way]:
    """Every way whose variant is there; peft first, then ours."""
    there = registry.names()
    return [*OTHERS, *(way for way in OURS if way.title.split()[0] in there)]


def weights(rows: int, columns: int) -> Iterator[tuple[str, Tensor]]:
    """(spectrum, float32 [rows, columns]), seeded."""
    rng = torch.Generator().manual_seed(0)
    side = min(rows, columns)
    left, right = (torch.linalg.qr(torch.randn(n, side, generator=rng))[0] for n in (rows, columns))
    bulk = torch.randn(rows, columns, generator=rng) / (rows**0.5 + columns**0.5)  # largest value 1
    i = torch.arange(1, side + 1)
    few = max(1, side // 8)
    yield "flat", bulk
    yield "decaying", (left / i) @ right.T
    yield "spikes", bulk + (left[:, :few] * 4 * i[:few] ** -0.5) @ right[:, :few].T


@dataclass(frozen=True)
class Truth:
    """The float64 SVD of one weight."""

    U: Tensor
    S: Tensor

    def errors(self, way: Way, factors: Factors) -> list[str]:
        """Largest relative error of a value, largest and mean sine, relative gap after the wanted values."""
        if not way.end:
            return ["", "", "", ""]
        A, B = (factor.double() for factor in factors)
        rank = len(A)
        Q, R = torch.linalg.qr(B)
        S = torch.linalg.svdvals(R @ A)
        wanted = slice(0, rank) if way.end == "top" else slice(len(self.S) - rank, len(self.S))
        edge = rank if way.end == "top" else len(self.S) - rank
        gap = (self.S[edge - 1] - self.S[edge]) / self.S[0] if 0 < edge < len(self.S) else torch.tensor(1.0)
        true = self.U[:, wanted]
        sines = torch.linalg.svdvals(Q - true @ (true.T @ Q))
        relative = (S - self.S[wanted]).abs() / self.S[wanted]
        return [f"{float(x):.0e}" for x in (relative.max(), sines.max(), sines.mean(), gap)]


def report(title: str, weight: Tensor, truth: Truth, rank: int, rounds: int) -> Table:
    """One table: every way on one weight, each timed once a round."""
    heads = ("start", "seconds", "speed", "times", "values", "max sine", "mean sine", "gap")
    table = Table(*heads, title=title, title_justify="left")
    chosen = ways()
    seconds: dict[str, list[float]] = {way.title: [] for way in chosen}
    errors: dict[str, list[str]] = {}
    for _ in range(rounds):
        for way in chosen:
            begun = time.perf_counter()
            factors = way.run(weight, rank)
            seconds[way.title].append(time.perf_counter() - begun)
            errors[way.title] = truth.errors(way, factors)
    for way in chosen:
        own, other = seconds[way.title], seconds[way.against]
        speed = statistics.median(b / a for a, b in zip(own, other, strict=True))
        row = (f"{statistics.median(own):.3f}", f"{speed:.1f}x", way.against, *errors[way.title])
        table.add_row(way.title, *row)
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for every shape, spectrum and rank."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--shapes", default="2048x2048,2048x8192", help="d_out x d_in, comma between")
    parser.add_argument("--rank", default="16,128", help="comma between")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    console = Console()
    versions = f"torch {torch.__version__}, peft {peft.__version__}"
    console.print(f"{versions}, {given.threads} threads, {given.rounds} rounds")
    for shape in given.shapes.split(","):
        rows, columns = (int(side) for side in shape.split("x"))
        for spectrum, weight in weights(rows, columns):
            truth = Truth(*torch.linalg.svd(weight.double(), full_matrices=False)[:2])
            for rank in map(int, given.rank.split(",")):
                title = f"{shape}, rank {rank}, {spectrum} spectrum"
                console.print(report(title, weight, truth, rank, given.rounds))


if __name__ == "__main__":
    main()
