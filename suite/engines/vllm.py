"""Scores from vLLM: an exported adapter on its base, or whole weights, through lm-eval's own vLLM model.

Its kernels round otherwise than transformers', so that its scores are compared with its own only: the engine
is part of a cell's evaluation settings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from suite import serving
from suite.errors import UserError
from suite.prompts import Prompts
from suite.record import EvaluationSettings, Score
from suite.scoring import harness
from suite.scoring.evaluate import Progress, score
from suite.weights import ADAPTER, own_base
from tasks.interface import Evaluation


def evaluate(
    folder: Path,
    base: Path,
    evaluations: Sequence[Evaluation],
    settings: EvaluationSettings,
    precision: str,
    *,
    on_progress: Progress | None = None,
    on_note: Callable[[str], None] = lambda line: None,
    on_prompts: Callable[[Prompts], None] = lambda prompts: None,
) -> dict[str, Score]:
    """A Score by evaluation name of what lies in `folder`: an adapter (of `base`) or a whole model.

    Raises UserError where vLLM is not installed, finds no GPU, does not load the folder, or is asked for
    drawn answers, whose draws the suite could not repeat.
    """
    check(folder, settings, precision)
    with harness.tamed():
        from lm_eval.models.vllm_causallms import VLLM

        lm = VLLM(**arguments(folder, base, precision))
        on_note("vLLM cuts the beginning of prompts longer than its context, and does not count them")
        return score(lm, evaluations, settings, settings.limit, on_progress, on_note, on_prompts)


def check(folder: Path, settings: EvaluationSettings, precision: str) -> None:
    """UserError, in one line, where vLLM cannot score this folder here under these settings."""
    import torch

    if find_spec("vllm") is None:
        raise UserError(
            "engine vllm is asked for and vLLM is not installed; pip install vllm, or engine: transformers"
        )
    if not torch.cuda.is_available():
        raise UserError("engine vllm needs an NVIDIA GPU, and none is there; use engine: transformers")
    if precision == "mixed":
        raise UserError("engine vllm has no precision mixed; use float32 or bfloat16")
    if settings.temperature > 0:
        raise UserError(
            f"engine vllm scores greedy answers, and temperature is {settings.temperature:g}; "
            "use temperature: 0, or engine: transformers"
        )
    if (folder / ADAPTER).is_file() and (refusal := _refusal(folder)):
        raise UserError(refusal)


def arguments(folder: Path, base: Path, precision: str) -> dict[str, Any]:
    """What lm-eval's vLLM model is built with."""
    shared = {"dtype": precision, "batch_size": "auto", "seed": harness.FEWSHOT_SEED}
    if not (folder / ADAPTER).is_file():
        has_own = any(folder.glob("tokenizer*"))
        return {"pretrained": str(folder), "tokenizer": str(folder if has_own else base), **shared}
    config = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
    rank = max(config["r"], *(config.get("rank_pattern") or {"": 0}).values())
    return {
        "pretrained": str(own_base(folder) or base),
        "tokenizer": str(base),
        "lora_local_path": str(folder),
        "max_lora_rank": next(known for known in serving.RANKS if known >= rank),
        **shared,
    }


def _refusal(folder: Path) -> str | None:
    """Why vLLM does not load an adapter, as `suite export` says it."""
    first = serving.vllm(folder)[0]
    return first if first.startswith("vLLM: does not load it") else None
