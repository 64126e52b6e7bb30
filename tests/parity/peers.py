"""What the parity tests share: peft's side of a comparison, the same start for both, one run of each side."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from suite.record import Recipe
from suite.training.batches import Encoded, order
from suite.training.train import Member, train
from variants import Adapter, routed

LEAVES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RANK, ALPHA = 8, 12
PREFIX = "base_model.model."
KEY = ("parity", 0)
RATE = 5e-3

# Configurations of the tiny model. At this initial scale 20 steps take the loss down by a fifth.
MODELS: dict[str, dict[str, Any]] = {
    "plain": {"initializer_range": 0.1},
    "biases": {"initializer_range": 0.1, "attention_bias": True, "mlp_bias": True},
}

# Clipping is on in some of the steps at least (test_trajectories checks it).
RECIPE = Recipe(steps=20, batch_size=8, schedule="cosine", warmup=0.1, clip=1.0, weight_decay=0.01)


@dataclass(frozen=True)
class Case:
    """One of our variants, and peft's configuration of the same method."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)


def _case(name: str, config: dict[str, Any] | None = None, **settings: Any) -> Case:
    return Case(name, {"rank": RANK, "alpha": ALPHA, **settings}, config or {})


CASES: dict[str, Case] = {
    "lora": _case("lora"),
    "rslora": _case("rslora", {"use_rslora": True}),
    "rslora-as-a-setting": _case("lora", {"use_rslora": True}, rslora=True),
    "pissa": _case("pissa", {"init_lora_weights": "pissa"}),
    "pissa-rslora": _case("pissa", {"init_lora_weights": "pissa", "use_rslora": True}, rslora=True),
    "pissa-niter": _case("pissa", {"init_lora_weights": "pissa_niter_4"}, niter=4),
    "olora": _case("olora", {"init_lora_weights": "olora"}),
    "dora": _case("dora", {"use_dora": True}),
    "lora-plus": _case("lora-plus"),
}


class Peer:
    """A peft LoRA on a model of its own. Layers and weights go by our names."""

    def __init__(self, model: Any, **config: Any) -> None:
        settings = {"r": RANK, "lora_alpha": ALPHA, "target_modules": LEAVES, **config}
        self.pretrained = {n: p.detach().clone() for n, p in model.named_parameters()}
        self.model = get_peft_model(model, LoraConfig(**settings))
        self.layers: dict[str, Any] = {
            n.removeprefix(PREFIX): m for n, m in self.model.named_modules() if hasattr(m, "lora_A")
        }

    def parameters(self) -> list[nn.Parameter]:
        """What trains."""
        return [p for p in self.model.parameters() if p.requires_grad]

    def factors(self, name: str) -> dict[str, Tensor]:
        """A and B of a layer, and DoRA's magnitude where there is one. Writing to them writes to peft's."""
        return {key: p.T if turned else p for key, (p, turned) in self._held(name).items()}

    def gradients(self) -> dict[str, Tensor]:
        """Gradients by our parameter names."""
        held = {f"{n}.{key}": pair for n in self.layers for key, pair in self._held(n).items()}
        return {
            key: p.grad.T if turned else p.grad for key, (p, turned) in held.items() if p.grad is not None
        }

    def _held(self, name: str) -> dict[str, tuple[nn.Parameter, bool]]:
        """(parameter, whether it is our factor transposed): an embedding's B is our A, and its A our B."""
        layer = self.layers[name]
        if layer.lora_embedding_A:
            turned = layer.lora_embedding_B["default"], layer.lora_embedding_A["default"]
            return {"A": (turned[0], True), "B": (turned[1], True)}
        found = {"A": (layer.lora_A["default"].weight, False), "B": (layer.lora_B["default"].weight, False)}
        if layer.lora_magnitude_vector:
            found["magnitude"] = (layer.lora_magnitude_vector["default"].weight, False)
        return found

    def deltas(self) -> dict[str, Tensor]:
        """Weight of every adapted layer by peft's own merge, minus the pretrained one."""
        merged = copy.deepcopy(self.model).merge_and_unload()
        return {
            f"{n}.weight": merged.get_parameter(f"{n}.weight").detach() - self.pretrained[f"{n}.weight"]
            for n in self.layers
        }


@torch.no_grad()
def same_start(adapter: Adapter, peer: Peer) -> None:
    """Give our factors peft's values, and with them the product that a pinned start takes off again."""
    assert list(peer.layers) == adapter.adapted()
    for name, site in adapter.sites.items():
        theirs = peer.factors(name)
        for key in ("A", "B"):
            site.get_parameter(key).copy_(theirs[key])
            if getattr(site, "pinned", False):
                site.get_buffer(f"{key}0").copy_(theirs[key])


@torch.no_grad()
def move(adapter: Adapter, peer: Peer, size: float = 0.02) -> None:
    """The same step away from the start on both sides, so that no gradient is zero by construction."""
    for name, site in adapter.sites.items():
        theirs = peer.factors(name)
        for key, p in site.trained().items():
            noise = size * torch.randn_like(p)
            p.add_(noise)
            theirs[key].add_(noise)


def biased(model: Any) -> Any:
    """The model with its biases drawn at random (a fresh model has them at zero)."""
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith(".bias"):
                p.copy_(0.02 * torch.randn(p.shape, generator=rng))
    return model


def examples(count: int = 48) -> list[Encoded]:
    """Rows of 8 to 20 random tokens of 27 kinds, of which all but the first 1 to 6 are learned."""
    rng = torch.Generator().manual_seed(5)

    def draw(low: int, high: int, size: int = 1) -> list[int]:
        return torch.randint(low, high, (size,), generator=rng).tolist()

    return [Encoded(tuple(draw(3, 30, draw(8, 21)[0])), draw(1, 7)[0]) for _ in range(count)]


def token_loss(model: Any, rows: Sequence[Encoded], per_row: bool = False) -> Tensor:
    """The mean loss per learned token; or summed over each row's tokens, averaged over rows.

    Written apart from the suite's: whole logits, attention mask, shifted labels.
    """
    length = max(len(row.ids) for row in rows)
    ids, mask = torch.zeros(len(rows), length, dtype=torch.long), torch.zeros(len(rows), length)
    labels = torch.full_like(ids, -100)
    for b, row in enumerate(rows):
        ids[b, : len(row.ids)] = torch.tensor(row.ids)
        mask[b, : len(row.ids)] = 1
        labels[b, row.first : len(row.ids)] = torch.tensor(row.ids[row.first :])
    logits = model(input_ids=ids, attention_mask=mask).logits
    total = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    return total / (len(rows) if per_row else (labels[:, 1:] != -100).sum())


def factor(recipe: Recipe) -> Callable[[int], float]:
    """Warm-up over the first share of the steps, then the schedule; written apart from the suite's."""
    warm = round(recipe.warmup * recipe.steps)

    def at(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        done = (step - warm) / (recipe.steps - warm)
        return {"cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done, "constant": 1.0}[
            recipe.schedule
        ]

    return at


def adamw(groups: Any, recipe: Recipe, rate: float) -> torch.optim.AdamW:
    """Torch's AdamW, one tensor after the other."""
    return torch.optim.AdamW(
        groups, lr=rate, betas=recipe.betas, weight_decay=recipe.weight_decay, foreach=False, fused=False
    )


@dataclass
class Path:
    """A run: the loss before every step, and the gradient norm before clipping."""

    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)


def theirs(peer: Peer, optimizer: torch.optim.Optimizer, recipe: Recipe = RECIPE) -> Path:
    """Train peft's model: AdamW or its kin, clip_grad_norm_, LambdaLR, batches in the suite's order."""
    rows, batches = examples(), order(len(examples()), recipe.batch_size, KEY)
    schedule, path = LambdaLR(optimizer, factor(recipe)), Path()
    for _ in range(recipe.steps):
        loss = token_loss(peer.model, [rows[i] for i in next(batches)])
        loss.backward()
        norm = nn.utils.clip_grad_norm_(peer.parameters(), recipe.clip, foreach=False)
        optimizer.step(), schedule.step(), optimizer.zero_grad()
        path.losses.append(loss.item()), path.norms.append(norm.item())
    return path


def ours(adapter: Adapter, rate: float, recipe: Recipe = RECIPE) -> Path:
    """Train our adapter by the suite's own loop."""
    (training,) = train(adapter.model, [Member(adapter, examples(), recipe, rate, KEY)], pad=0)
    assert training.status == "ok", training.error
    return Path([point.loss for point in training.curve])


def backward(adapter: Adapter, rows: Sequence[Encoded]) -> dict[str, Tensor]:
    """Our gradients at these rows, by parameter name."""
    with routed(adapter.model, adapter):
        token_loss(adapter.model, rows).backward()
    params = {key: p for group in adapter.groups() for key, p in group.params.items()}
    return {key: p.grad for key, p in params.items() if p.grad is not None}


def gap(mine: Tensor, other: Tensor) -> float:
    """Largest difference over largest magnitude; 0 where both are zero throughout."""
    assert mine.shape == other.shape, f"{tuple(mine.shape)} beside {tuple(other.shape)}"
    apart, size = (mine - other).abs().max().item(), other.abs().max().item()
    return apart / size if size else (math.inf if apart else 0.0)


def turned(mine: Tensor, other: Tensor, dim: int) -> Tensor:
    """`mine` with each of its directions along `dim` given the sign that `other` has."""
    return mine * (mine * other).sum(dim=1 - dim, keepdim=True).sign()


def widest(mine: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The widest gap over tensors of the same names."""
    assert mine.keys() == other.keys(), sorted(mine.keys() ^ other.keys())
    return max(gap(mine[key], other[key]) for key in mine)


def apart(mine: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The widest ||mine - other|| / ||other|| (Frobenius) over tensors of the same names."""
    assert mine.keys() == other.keys(), sorted(mine.keys() ^ other.keys())
    return max(((mine[key] - other[key]).norm() / other[key].norm()).item() for key in mine)


def loss_gap(mine: Path, other: Path) -> float:
    """The widest relative difference of the losses of two runs, step by step."""
    pairs = zip(mine.losses, other.losses, strict=True)
    return max(abs(a - b) / b for a, b in pairs)
