"""Micro-batches and packed rows against the whole batch: loss, every gradient, dropout, out of memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from suite.errors import UserError
from suite.record import Recipe
from suite.training import losses, step, train
from suite.training.batches import lay
from suite.training.encode import Encoded
from suite.training.packing import check, packed
from suite.training.step import Part, gradients, laid
from suite.training.train import Member
from tests.suite.architectures import OWN, build
from tests.suite.test_losses import alike, rows
from variants import registry

PAD = 0
CPU = torch.device("cpu")
WET = "lora:rank=4,dropout=0.3,targets=all+lm_head"
RECIPE = Recipe(steps=6, batch_size=6, warmup=0)
NO_PACKING = {"opt", "bloom", "mamba"}


def stirred(model: Any, spec: str, seed: int = 0) -> Any:
    """An adapter whose factors are all at work."""
    adapter = registry.parse(spec).attach(model, seed)
    rng = torch.Generator().manual_seed(seed)
    for group in adapter.groups():
        for p in group.params.values():
            p.data += 0.1 * torch.randn(p.shape, generator=rng)
    return adapter


def learned(
    model: Any, adapters: list[Any], size: int | None, batching: str = "padded", length: int = 64
) -> tuple[list[float], list[Any]]:
    """Losses and gradients of one step of batches of 7, 6, ... rows."""
    params = [p for adapter in adapters for group in adapter.groups() for p in group.params.values()]
    for p in params:
        p.grad = None
    recipe = Recipe(steps=4, batch_size=8, batching=batching, max_length=length)
    batches = [rows(seed=i, count=7 - i) for i in range(len(adapters))]
    parts = [Part(one, 1, laid(batch, recipe)) for one, batch in zip(adapters, batches, strict=True)]
    found = gradients(model, parts, PAD, CPU, size)
    return found, [None if p.grad is None else p.grad.clone() for p in params]


@pytest.mark.parametrize("size", [1, 2, 3, 6, 50])
@pytest.mark.parametrize("specs", [[WET], [WET, "dora:rank=4,dropout=0.1", "pissa:rank=4"]])
def test_micro_batches_equal_the_whole_batch(size: int, specs: list[str]) -> None:
    """With dropout, with members of other sizes beside it: the same loss and the same gradients."""
    model = build("llama", tie_word_embeddings=False)
    adapters = [stirred(model, spec, seed) for seed, spec in enumerate(specs)]
    whole, expected = learned(model, adapters, None)
    parts, found = learned(model, adapters, size)
    assert parts == pytest.approx(whole, rel=1e-6)
    assert alike(expected, found) <= 2e-6


@pytest.mark.parametrize(
    "spec",
    [
        "fullft",
        "loftq:rank=4,dropout=0.2",
        "peft:lora,lora_dropout=0.3",
        "peft:boft,boft_dropout=0.5",
        "peft:adalora",
    ],
)
def test_micro_batches_equal_the_whole_batch_for_each_kind(spec: str) -> None:
    model = build("qwen3")
    adapters = [stirred(model, spec)]
    adapters[0].begin(10)
    whole, expected = learned(model, adapters, None)
    parts, found = learned(model, adapters, 2)
    assert parts == pytest.approx(whole, rel=1e-6)
    assert alike(expected, found) <= 5e-6


@pytest.mark.parametrize("size", [None, 2])
def test_the_gradient_is_that_of_the_mean_over_all_labels(size: int | None) -> None:
    """As transformers has it for the whole batch, by labels."""
    model = build("llama")
    found, gradient = learned(model, [stirred(model, "fullft")], size)
    other = build("llama").requires_grad_(True)
    stirred_params = stirred(model, "fullft").params
    for name, p in other.named_parameters():
        p.data.copy_(stirred_params[name])
    batch = lay([[(0, row)] for row in rows(seed=0, count=7)], PAD)
    labels = torch.full_like(batch.ids, losses.IGNORE)
    labels[batch.learned[0], batch.positions[tuple(batch.learned)] + 1] = batch.labels[tuple(batch.learned)]
    theirs = other(input_ids=batch.ids, labels=labels).loss
    theirs.backward()
    assert found == [pytest.approx(theirs.item(), rel=1e-6)]
    assert alike([other.get_parameter(name).grad for name in stirred_params], gradient) <= 2e-6


def test_dropout_drops_and_each_member_by_itself() -> None:
    model = build("llama", tie_word_embeddings=False)
    wet, dry = stirred(model, WET), stirred(model, WET.replace("0.3", "0"))
    assert learned(model, [wet], None)[0] != pytest.approx(learned(model, [dry], None)[0], rel=1e-3)
    alone = learned(model, [wet], None)[0]
    beside = learned(model, [wet, dry], 3)[0]
    assert beside[0] == pytest.approx(alone[0], rel=1e-6)


@pytest.mark.parametrize("family", sorted(set(OWN) - NO_PACKING))
def test_packed_rows_equal_padded_ones(family: str) -> None:
    """Loss and gradients of all parameters, of every family, with sliding windows and the rest."""
    model = build(family)
    check(model, PAD)
    adapters = [stirred(model, "fullft")]
    whole, expected = learned(model, adapters, None)
    found, gradient = learned(model, adapters, None, "packed")
    assert found == pytest.approx(whole, rel=1e-5)
    assert alike(expected, gradient) <= 1e-5


@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_members_keep_their_rows_and_their_dropout(size: int | None, attention: str) -> None:
    model = build("mistral", tie_word_embeddings=False, attn_implementation=attention)
    assert model.config._attn_implementation == attention
    adapters = [stirred(model, WET, 0), stirred(model, "lora:rank=2", 1)]
    whole, expected = learned(model, adapters, None)
    found, gradient = learned(model, adapters, size, "packed")
    assert found == pytest.approx(whole, rel=1e-5)
    assert alike(expected, gradient) <= 1e-5


@pytest.mark.parametrize("batching", ["padded", "packed"])
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize(
    "specs", [[WET, "dora:rank=4,dropout=0.1"], ["peft:lora,lora_dropout=0.3"], ["fullft"]]
)
def test_recomputed_activations_give_the_same_gradients(
    specs: list[str], reentrant: bool, batching: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The forward that runs again in the backward is inside the route, and drops the same entries."""
    model = build("llama", tie_word_embeddings=False)
    adapters = [stirred(model, spec, seed) for seed, spec in enumerate(specs)]
    kept, expected = learned(model, adapters, None, batching)
    model.activation_checkpointing_enable({"use_reentrant": reentrant})
    model.train()
    if reentrant:
        model.enable_input_require_grads()
    runs, forwards = [], []
    model.model.layers[0].self_attn.register_forward_hook(lambda *_: runs.append(1))
    model.model.norm.register_forward_hook(lambda *_: forwards.append(1))
    if not reentrant:
        monkeypatch.setattr(losses, "LIMIT", 160 * 7)
    again, found = learned(model, adapters, 3, batching)
    assert len(runs) > len(forwards), "nothing was computed again"
    assert again == pytest.approx(kept, rel=1e-5)
    assert alike(expected, found) <= 1e-5


@pytest.mark.parametrize("family", sorted(NO_PACKING))
def test_a_model_that_mixes_packed_examples_is_refused(family: str) -> None:
    with pytest.raises(UserError, match="use batching=padded") as told:
        check(build(family), PAD)
    assert "\n" not in str(told.value)


def test_rows_are_filled_and_every_example_is_there_once() -> None:
    batch = list(enumerate(rows(count=12)))
    made = packed(batch, 40)
    assert sorted(one for row in made for one in row) == batch
    assert all(sum(len(one.ids) for _, one in row) <= 40 for row in made) and len(made) < 8
    assert packed(batch, 40) == made


def test_positions_start_again_with_each_example() -> None:
    one, two, three = (Encoded(tuple(range(3, 3 + n)), 1) for n in (3, 2, 4))
    batch = lay([[(0, one), (1, two)], [(2, three)]], PAD)
    assert batch.places is not None
    assert batch.places.tolist() == [[0, 1, 2, 0, 1, 0, 1, 2], [0, 1, 2, 3, 0, 1, 2, 3]]
    assert batch.positions.tolist() == [[0, 1, 3], [0, 1, 2]]
    assert batch.labels.tolist() == [[4, 5, 4], [4, 5, 6]]
    alone = lay([[(1, two)]], PAD)
    assert batch.numbers[0, 3:5].tolist() == alone.numbers[0, :2].tolist()


def test_weights_that_train_are_cast_anew_at_every_step() -> None:
    """autocast keeps what it cast until it is left, which may be after the last step."""
    losses_of = []
    for outer in (True, False):
        model = build("llama")
        members = [Member(registry.parse("fullft").attach(model, 0), rows(), RECIPE, 3e-2, (0, "x"))]
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=outer):
            (found,) = train.train(model, members, PAD)
        losses_of.append([point.loss for point in found.curve])
    assert losses_of[0][-1] < losses_of[0][0] - 0.3
    assert losses_of[0] == pytest.approx(losses_of[1], rel=1e-6)


class Full:
    """Runs out of memory in the n-th call for each n given, or whenever a forward has more rows than fit."""

    def __init__(self, real: Any, calls: tuple[int, ...] = (), fit: int = 10**9) -> None:
        self.real, self.calls, self.fit, self.seen = real, calls, fit, -1

    def __call__(self, model: Any, batch: Any, *rest: Any) -> Any:
        self.seen += 1
        late = self.seen in self.calls
        if len(batch.ids) > self.fit or late:
            if late:
                self.real(model, batch, *rest)  # gradients are there already
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.real(model, batch, *rest)


def trained(spec: str, monkeypatch: pytest.MonkeyPatch, full: Full | None, **more: Any) -> Any:
    model = build("llama", tie_word_embeddings=False)
    recipe = Recipe(steps=5, batch_size=8, warmup=0.2, **more)
    adapter = registry.parse(spec).attach(model, 0)
    with monkeypatch.context() as patch:
        if full is not None:
            patch.setattr(step, "learn", full)
        (found,) = train.train(model, [Member(adapter, rows(count=20), recipe, 1e-2, (0, "x"))], PAD)
    return found


@pytest.mark.parametrize(
    "spec", [WET, "fullft", "lori-s:rank=4", "peft:lora,lora_dropout=0.3", "peft:adalora"]
)
def test_a_step_that_does_not_fit_is_tried_again_in_halves(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows and draws: the curve is that of enough memory, and the notes say what happened."""
    expected = trained(spec, monkeypatch, None)
    found = trained(spec, monkeypatch, Full(step.learn, calls=(2, 4)))
    assert (found.status, found.micro_batch, expected.micro_batch) == ("ok", 2, None)
    first, second = found.notes
    assert first.endswith("step 2: micro-batch halved to 4") and "halved to 2" in second
    for mine, theirs in zip(found.curve, expected.curve, strict=True):
        assert mine.loss == pytest.approx(theirs.loss, rel=1e-4)
    assert found.tokens == expected.tokens and not expected.notes


def test_where_one_row_does_not_fit_the_member_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    found = trained("lora:rank=4", monkeypatch, Full(step.learn, fit=0))
    assert found.status == "oom" and found.error == "out of memory at step 0 with one row at a time"
    assert [note[-1] for note in found.notes] == ["4", "2", "1"]


def test_the_optimiser_running_out_stops_one_member(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("llama")
    recipe = Recipe(steps=3, batch_size=4)
    members = [
        Member(registry.parse("lora:rank=2").attach(model, i), rows(i), recipe, 1e-3, (i, "x"))
        for i in (0, 1)
    ]
    own = torch.optim.AdamW.step
    calls = []

    def full(self: Any, *args: Any) -> Any:
        calls.append(self)
        if len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return own(self, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", full)
    first, second = train.train(model, members, PAD)
    assert (first.status, first.error) == ("oom", "out of memory in the optimiser at step 1")
    assert second.status == "ok" and len(second.curve) == 3


def test_what_a_forward_counts_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A site that keeps a statistic of its inputs sees each row once."""
    model = build("llama")
    adapter = registry.parse("lora:rank=2").attach(model, 0)
    site = adapter.sites["model.layers.0.self_attn.q_proj"]
    site.register_buffer("seen", torch.zeros(()))
    own = site.forward

    def forward(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        site.seen += x.shape[0]
        return own(x, y)

    monkeypatch.setattr(site, "forward", forward)
    monkeypatch.setattr(step, "learn", Full(step.learn, calls=(0, 4)))
    member = Member(adapter, rows(), Recipe(steps=4, batch_size=6), 1e-3, (0, "x"))
    (found,) = train.train(model, [member], PAD)
    assert found.status == "ok" and len(found.notes) == 2
    assert float(site.seen) == 4 * 6


LIMITED = """
import resource, torch
torch.set_num_threads(1)
from suite.record import Recipe
from suite.training.train import Member, train
from suite.training.encode import Encoded
from tests.suite.architectures import build
from variants import registry

model = build("llama", num_hidden_layers=1)
rows = [Encoded(tuple(range(3, 103)), 4)] * 96

def member(size, steps):
    adapter = registry.parse("lora:rank=2").attach(model, 0)
    return Member(adapter, rows[:size], Recipe(steps=steps, batch_size=size), 1e-3, (0,))

train(model, [member(2, 1)], 0)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 20 * 2**20,) * 2)
(found,) = train(model, [member(96, 2)], 0)
print(found.status, found.micro_batch, len(found.curve), *found.notes, sep="|")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS")
def test_a_real_limit_of_memory_halves_the_batch() -> None:
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], cwd=root, capture_output=True, text=True, timeout=120, check=True
    )
    status, size, steps, *notes = done.stdout.strip().splitlines()[-1].split("|")
    assert (status, steps) == ("ok", "2") and int(size) < 96
    assert notes and notes[0].startswith("out of memory at step 0: micro-batch halved to 48")
