"""`suite export`: folders that plain peft and transformers load, their cards, vLLM's limits, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCardData
from huggingface_hub.repocard import RepoCard
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from suite import weights
from suite.cli import app
from suite.effect import logits, reopened
from suite.errors import UserError
from suite.export import export
from suite.record import Record
from suite.serving import vllm
from suite.store import Store

IDS = torch.arange(3, 60)[None]
load: Any = AutoModelForCausalLM.from_pretrained


@pytest.fixture
def store(trained_store: Path, tmp_path: Path) -> Path:
    """A copy of the trained store that a test may change."""
    return Path(shutil.copytree(trained_store, tmp_path / "store"))


def record(store: Path, variant: str) -> Record:
    return next(one for one in Store(store).records() if one.cell.variant.name == variant)


def kept_logits(store: Path, variant: str, base: Path) -> torch.Tensor:
    """What the kept weights compute, read as a run reads them."""
    folder = store / "adapters" / record(store, variant).id
    with reopened(load(base).eval(), folder, "float32") as (model, adapters):
        return logits(model, IDS, *adapters)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("variant", ["lora", "loftq"])
def test_an_adapter_loads_in_plain_peft(variant: str, store: Path, tiny_base: Path, tmp_path: Path) -> None:
    from peft import AutoPeftModelForCausalLM, PeftModel

    one, to = record(store, variant), tmp_path / "out"
    lines = export(one.id[:6], store, to, base=str(tiny_base))
    assert lines[0] == f"PEFT folder of record {one.id}: {to}"
    want = kept_logits(store, variant, tiny_base)
    base = to / "base" if variant == "loftq" else tiny_base
    with torch.no_grad():
        got = PeftModel.from_pretrained(load(base), str(to)).eval()(IDS).logits[0]
        auto = AutoPeftModelForCausalLM.from_pretrained(str(to)).eval()(IDS).logits[0]
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)
    assert torch.equal(auto, got), "the configuration says where the base lies"


@pytest.mark.parametrize(
    ("variant", "merged"), [("lora", True), ("loftq", True), ("fullft", True), ("fullft", False)]
)
def test_plain_weights_load_alone(
    variant: str, merged: bool, store: Path, tiny_base: Path, tmp_path: Path
) -> None:
    to = tmp_path / "out"
    lines = export(record(store, variant).id, store, to, merged, str(tiny_base))
    assert lines[0].startswith("plain weights") and not (to / weights.ADAPTER).exists()
    with torch.no_grad():
        got = load(to)(IDS).logits[0]
    torch.testing.assert_close(got, kept_logits(store, variant, tiny_base), rtol=0, atol=1e-5)
    assert AutoTokenizer.from_pretrained(to)("abc").input_ids


def test_the_card_is_valid_and_says_it_all(store: Path, tiny_base: Path, tmp_path: Path) -> None:
    one, to = record(store, "lora"), tmp_path / "out"
    export(one.id, store, to, base=str(tiny_base))
    card = RepoCard.load(to / "README.md")
    data = ModelCardData(**card.data.to_dict())
    assert data.library_name == "peft" and data.base_model is None and "license" not in card.content
    facts = data.to_dict()["lora_suite"]
    assert facts["record"] == one.id and facts["command"] == one.provenance.command
    assert facts["base"] == {"name": "tiny", "digest": one.cell.base.digest}
    assert one.after is not None and data.eval_results is not None
    told = {result.dataset_type: result.metric_value for result in data.eval_results}
    scores = {**one.after.target, **one.after.general}
    assert told == {name: score.value for name, score in scores.items()}
    assert f'PeftModel.from_pretrained(model, "{to.name}")' in card.text
    assert f"| pocket_math | exact_match | 2 | 0.0 | {100 * told['pocket_math']:.1f} |" in card.text


def test_a_base_on_the_hub_is_named_as_such(store: Path, tiny_base: Path, tmp_path: Path) -> None:
    one = record(store, "lora")
    cell = one.cell.model_copy(update={"base": one.cell.base.model_copy(update={"name": "owner/model"})})
    renamed = one.model_copy(update={"cell": cell, "id": cell.id})
    Store(store).write(renamed)
    (store / "adapters" / one.id).rename(store / "adapters" / cell.id)
    export(cell.id, store, tmp_path / "out", base=str(tiny_base))
    config = json.loads((tmp_path / "out" / weights.ADAPTER).read_text())
    assert config["base_model_name_or_path"] == "owner/model"
    assert RepoCard.load(tmp_path / "out" / "README.md").data.to_dict()["base_model"] == "owner/model"


def refusal(store: Path, name: str, to: Path, **more: Any) -> str:
    with pytest.raises(UserError) as error:
        export(name, store, to, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_cannot_be_exported_is_refused(store: Path, tiny_base: Path, tmp_path: Path) -> None:
    one, base, to = record(store, "lora"), str(tiny_base), tmp_path / "out"
    assert "no model folder 'tiny'" in (told := refusal(store, one.id, to)) and "--model FOLDER" in told
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").write_text("x")
    assert "has something in it" in refusal(store, one.id, full, base=base)
    assert "is a file" in refusal(store, one.id, full / "file", base=base)
    other = Path(shutil.copytree(tiny_base, tmp_path / "other"))
    (other / "generation_config.json").write_text("{}")
    assert "has content" in refusal(store, one.id, to, base=str(other))
    folder = store / "adapters" / one.id
    (folder / weights.ADAPTER).write_text("{}")
    assert "are not those of record" in refusal(store, one.id, to, base=base)
    shutil.rmtree(folder)
    assert "no weights of record" in refusal(store, one.id, to, base=base)
    Store(store).write(one.model_copy(update={"weights": None}))
    assert "kept no weights" in (told := refusal(store, one.id, to)) and "without --no-weights" in told
    Store(store).write(one.model_copy(update={"weights": None, "status": "diverged"}))
    assert "ended as diverged" in refusal(store, one.id, to)
    assert not to.exists() and "no record 'zzz'" in refusal(store, "zzz", to)


def test_the_command_prints_and_refuses_in_one_line(store: Path, tiny_base: Path, tmp_path: Path) -> None:
    words = ["export", record(store, "lora").id, "--store", str(store), "--model", str(tiny_base), "--to"]
    done = CliRunner().invoke(app, [*words, str(tmp_path / "deep" / "out")])
    assert done.exit_code == 0, done.output
    assert "vLLM: loads with --enable-lora --max-lora-rank 8 (rank 4) on BASE" in done.stdout
    again = CliRunner().invoke(app, [*words, str(tmp_path / "deep" / "out")])
    assert again.exit_code == 2 and again.stderr.startswith("error: ") and again.stderr.count("\n") == 1
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


PLAIN = {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "bias": "none"}
LIMITS = [
    ({}, "loads with --enable-lora --max-lora-rank 16 (rank 16)"),
    ({"r": 17}, "--max-lora-rank 32 (rank 17)"),
    ({"r": 300}, "--max-lora-rank 320 (rank 300)"),
    ({"r": 512}, "--max-lora-rank 512 (rank 512)"),
    ({"r": 513}, "rank 513 is above its largest, 512"),
    ({"rank_pattern": {"a": 40}, "alpha_pattern": {"a": 80}}, "--max-lora-rank 64 (rank 40)"),
    ({"rank_pattern": {"a": 8}}, "one alpha/r for all layers"),
    ({"alpha_pattern": {"a": 8}}, "one alpha/r for all layers"),
    ({"use_rslora": True, "rank_pattern": {"a": 4}, "alpha_pattern": {"a": 16}}, "loads with"),
    ({"use_dora": True}, "no DoRA"),
    ({"bias": "all"}, "no trained biases"),
    ({"modules_to_save": ["lm_head"]}, "no modules_to_save"),
    ({"target_parameters": ["a"]}, "no target_parameters"),
    ({"peft_type": "IA3"}, "serves LoRA, not IA3"),
]


@pytest.mark.parametrize(("changes", "told"), LIMITS, ids=[str(changes) for changes, _ in LIMITS])
def test_the_limits_of_vllm(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    import numpy as np

    (tmp_path / weights.ADAPTER).write_text(json.dumps({**PLAIN, **changes}))
    save_file(
        {"base_model.model.a.q_proj.lora_A.weight": np.zeros(1)}, tmp_path / "adapter_model.safetensors"
    )
    (line,) = vllm(tmp_path)
    assert told in line and ("--merged" in line) is ("does not load" in line)


def test_vllm_on_heads_own_bases_and_plain_weights(tmp_path: Path) -> None:
    import numpy as np

    (tmp_path / weights.MODEL).write_text("{}")
    assert vllm(tmp_path) == ["vLLM: plain weights, served as they are: vllm serve FOLDER"]
    (tmp_path / weights.ADAPTER).write_text(json.dumps(PLAIN))
    names = ("model.embed_tokens.lora_embedding_A", "lm_head.lora_A.weight")
    tensors = {f"base_model.model.{name}": np.zeros(1) for name in names}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    (tmp_path / "base").mkdir()
    loads, ends = vllm(tmp_path)
    assert loads.endswith("on FOLDER/base") and ends.startswith("vLLM: adapts embed_tokens and lm_head only")
