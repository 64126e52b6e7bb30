"""`suite doctor`: figures, what is missing, exit by what it finds, nothing fetched but configuration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from suite import doctor
from suite.errors import UserError
from suite.store import Store
from suite.training import memory

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


def examine(model: Path, **given: str) -> doctor.Diagnosis:
    return doctor.examine(
        str(model), **{"variants": "lora:rank=4", "batch": "2", "length": "16", "device": "cpu", **given}
    )


def states(found: doctor.Diagnosis) -> dict[str, str]:
    return {finding.what: finding.state for finding in found.findings}


def test_a_model_and_its_variants(tiny_base: Path) -> None:
    found = examine(tiny_base, variants="lora:rank=4,fullft")
    assert found.ok and (found.batch, found.length) == (2, 16)
    assert found.model.architecture == "LlamaForCausalLM" and found.model.tied
    assert found.model.embedding == 257 * 32 and found.model.context == 1024
    lora, full = found.demands
    assert lora.adapted == dict.fromkeys(
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], 2
    )
    assert lora.trainable == 2 * 4 * (4 * 64 + 3 * 96) and full.trainable == found.model.parameters
    assert lora.fits and lora.micro_batch == 2 and lora.peak is not None and lora.peak < (full.peak or 0)


def test_weights_that_are_not_there(tiny_base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    (folder / "model.safetensors").unlink()
    found = examine(folder)
    assert not found.ok and states(found)["weights"] == "missing"
    assert found.demands[0].peak
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (weights,) = (f for f in examine(folder).findings if f.what == "weights")
    assert weights.state == "missing" and weights.told.startswith("2 of 2 files")


def test_a_device_that_is_too_small(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need = examine(tiny_base, batch="8").demands[0].peak or 0
    monkeypatch.setattr(memory, "capacity", lambda device: int(0.7 * need))
    (demand,) = examine(tiny_base, batch="8").demands
    assert not demand.fits and demand.micro_batch in (2, 4)
    monkeypatch.setattr(memory, "capacity", lambda device: 1000)
    found = examine(tiny_base, batch="8")
    assert found.demands[0].micro_batch is None and not found.ok


def test_a_variant_that_does_not_fit_the_model_is_told(tiny_base: Path) -> None:
    found = examine(tiny_base, variants="lora:rank=4,lora:rank=64")
    assert found.demands[1].error and "at most 32" in found.demands[1].error
    assert found.demands[1].peak is None and not found.ok


def test_data_and_context(tiny_base: Path, tmp_path: Path) -> None:
    found = examine(tiny_base, data=str(tmp_path), length="2048")
    assert states(found)["data"] == "missing" and states(found)["context"] == "missing"
    assert "gsm8k/train.jsonl" in str([finding.told for finding in found.findings]) or not found.ok


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch": "none"}, "--batch"),
        ({"length": "0"}, "--length"),
        ({"device": "tpu"}, "unknown device"),
        ({"track": "opn"}, "unknown track"),
    ],
)
def test_a_mistake_is_one_line(given: dict[str, str], message: str, tiny_base: Path) -> None:
    with pytest.raises(UserError, match=message) as told:
        examine(tiny_base, **given)
    assert "\n" not in str(told.value)


def test_command_prints_and_says_whether_all_can_run(
    tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given: Any = (str(tiny_base), "lora:rank=4", None, "2", "16", None, "cpu")
    assert doctor.command(*given, True)
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] and told["demands"][0]["variant"].startswith("lora:") and told["model"]["tied"]
    assert doctor.command(*given, False)
    shown = capsys.readouterr().out
    assert "LlamaForCausalLM" in shown and "fits" in shown and "tokenizer" in shown


def test_what_is_said_of_a_tasks_own_rows_is_what_a_run_records(trained_store: Path, tiny_base: Path) -> None:
    """Steps of examples as they are: neither full rows nor every token learned."""
    used = {
        one.cell.variant.name: one.cost.peak_memory_bytes
        for one in Store(trained_store).records()
        if one.cost
    }
    specs = "lora:rank=4,alpha=8,loftq:rank=4,fullft"
    found = doctor.examine(str(tiny_base), specs, "pocket", device="cpu", tasks="math")
    assert found.work.startswith("8 examples of math:pocket (") and len(used) == 3
    for demand in found.demands:
        assert demand.peak == pytest.approx(used[demand.variant.partition(":")[0]], rel=0.01)
    full = doctor.examine(str(tiny_base), "lora", "pocket", length="256", device="cpu", tasks="math")
    assert full.work == "8 rows of 256 tokens" and full.demands[0].peak > max(
        d.peak or 0 for d in found.demands
    )
