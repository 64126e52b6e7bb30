"""What only an accelerator shows: kernels, memory, a whole run. `pytest -m gpu`; LORA_SUITE_GPU names another
device, so that the tests themselves can be tried on a CPU.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig
from typer.testing import CliRunner

from suite import model as models
from suite.cli import app
from suite.kernels import checkpointing
from suite.record import Recipe
from suite.scoring.decode import Decoder
from suite.scoring.rows import Ask
from suite.store import Store
from suite.training.encode import Encoded
from suite.training.memory import Work, needs
from suite.training.train import Member, Training, train
from tests import folders
from tests.needs import real_data
from variants import registry

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")]

DEVICE = os.environ.get("LORA_SUITE_GPU", "cuda")
ON_GPU = DEVICE.startswith("cuda")
SIZES: dict[str, Any] = {
    "vocab_size": 4096,
    "hidden_size": 512 if ON_GPU else 64,
    "intermediate_size": 1536 if ON_GPU else 128,
    "num_hidden_layers": 8 if ON_GPU else 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 0,
}
LENGTH = 512 if ON_GPU else 48


def loaded(precision: str = "float32") -> Any:
    """A random Llama on the device, the same weights every time."""
    torch.manual_seed(0)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    made: Any = AutoModelForCausalLM.from_config(LlamaConfig(**SIZES), dtype=dtype)
    return made.to(DEVICE).eval().requires_grad_(False)


def trained(model: Any, spec: str, rows: list[Encoded], recipe: Recipe, **how: Any) -> Training:
    """Some steps of one variant, as a worker takes them."""
    mixed = recipe.precision == "mixed"
    again = how.pop("again", False)
    with torch.autocast(DEVICE, torch.bfloat16) if mixed else nullcontext(), checkpointing(model, again):
        adapter = registry.parse(spec).attach(model, 0)
        (found,) = train(model, [Member(adapter, rows, recipe, 1e-4, ("rows",))], 0, **how)
    adapter.detach()
    return found


def texts(count: int, longest: int) -> list[Encoded]:
    """Rows of many lengths."""
    rng = torch.Generator().manual_seed(0)
    lengths = torch.randint(8, longest, (count,), generator=rng).tolist()
    return [Encoded(tuple(torch.randint(1, 4096, (n,), generator=rng).tolist()), n // 3) for n in lengths]


@pytest.mark.parametrize("spec", ["lora:rank=8", "qlora:rank=8", "pissa:rank=8", "fullft"])
def test_the_memory_that_is_said_is_used(spec: str, tmp_path: Path) -> None:
    LlamaConfig(**SIZES).save_pretrained(tmp_path)
    precision = "mixed" if spec == "fullft" else "bfloat16"
    recipe = Recipe(steps=3, batch_size=8, max_length=LENGTH, precision=precision)
    rows = [Encoded(tuple(range(1, LENGTH + 1)), 1)] * 8
    said = needs(tmp_path, registry.parse(spec), Work(recipe, LENGTH), DEVICE).peak
    found = trained(loaded(precision), spec, rows, recipe)
    assert found.peak_memory_bytes == pytest.approx(said, rel=0.15)


@pytest.mark.parametrize("how", [{"micro_batch": 2}, {"again": True}, {"batching": "packed"}])
def test_one_step_is_one_step_however_it_is_taken(how: dict[str, Any]) -> None:
    """Losses of the first steps in float32: the second and third depend on the gradients before."""
    recipe = Recipe(
        steps=3, batch_size=8, max_length=LENGTH, batching=how.pop("batching", "padded"), warmup=0
    )
    rows = texts(16, LENGTH)
    plain = trained(loaded(), "lora:rank=8", rows, recipe.model_copy(update={"batching": "padded"}))
    other = trained(loaded(), "lora:rank=8", rows, recipe, **how)
    near = [point.loss for point in plain.curve]
    assert [point.loss for point in other.curve] == pytest.approx(near, rel=1e-4)


@pytest.mark.skipif(not ON_GPU, reason="a CPU has no limit to be set")
def test_memory_that_runs_out_halves_the_batch() -> None:
    recipe = Recipe(steps=2, batch_size=32, max_length=LENGTH)
    rows = [Encoded(tuple(range(1, LENGTH + 1)), 1)] * 32
    free = trained(loaded(), "lora:rank=8", rows, recipe)
    total = torch.cuda.get_device_properties(0).total_memory
    assert free.peak_memory_bytes
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.6 * free.peak_memory_bytes / total)
    try:
        tight = trained(loaded(), "lora:rank=8", rows, recipe)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert tight.status == "ok" and tight.micro_batch and tight.micro_batch < 32 and tight.notes
    losses = [point.loss for point in free.curve]
    assert [point.loss for point in tight.curve] == pytest.approx(losses, rel=1e-4)


def test_answers_do_not_depend_on_the_batch() -> None:
    model = loaded()
    prompts = [list(row.ids[: 4 + 3 * i]) for i, row in enumerate(texts(12, LENGTH // 2))]
    tokenizer = folders.tokenizer(real_data(), 4096)
    asks = [Ask(prompt, 16) for prompt in prompts]
    found = []
    with torch.no_grad():
        for rows in (1, 5, 12):
            found.append(Decoder(model, tokenizer, rows=rows)(asks))
    assert found[0] == found[1] == found[2]


def test_a_whole_run_of_the_open_track_in_little(tmp_path: Path) -> None:
    base = folders.write(tmp_path / "base", LlamaConfig(**SIZES), folders.tokenizer(real_data(), 4096))
    given = ["run", "--track", "tiny-open", "--data", str(real_data()), "--model", str(base)]
    told = CliRunner().invoke(
        app, [*given, "--device", DEVICE, "--store", str(tmp_path / "store"), "--limit", "4"]
    )
    assert told.exit_code == 0, told.stderr
    records = Store(tmp_path / "store").records()
    assert len(records) == 18 and {record.status for record in records} == {"ok"}
    kinds = {record.cell.how.recipe.precision for record in records}
    assert kinds == ({"bfloat16", "mixed"} if ON_GPU else {"float32"})
    assert models.context_length(base) == 2048
