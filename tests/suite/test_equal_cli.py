"""Item by item, our path gives what lm-eval's own command line gives on the same files.

The command line gets lm-eval's stock task files, pointed at the local rows, and nothing of ours: its own
Hugging Face model, few-shot sampler, filters and scoring. Only "code_eval" is written here, because the
stock one is fetched from the hub.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lm_eval
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from suite.record import EvaluationSettings
from suite.scoring.evaluate import evaluate
from tasks import evaluations as stock
from tasks import pocket, registry
from tests.needs import real_data, refused

POCKET = Path(pocket.__file__).parent / "base"
# Stock task -> its file, and split -> rows. The other splits that the file names are cleared.
TASKS: dict[str, tuple[str, dict[str, str]]] = {
    "hellaswag": ("hellaswag/hellaswag.yaml", {"validation": "hellaswag/validation.jsonl"}),
    "arc_challenge": ("arc/arc_challenge.yaml", {"test": "arc_challenge/test.jsonl"}),
    "winogrande": ("winogrande/default.yaml", {"validation": "winogrande/validation.jsonl"}),
    "gsm8k": ("gsm8k/gsm8k.yaml", {"train": "gsm8k/train.jsonl", "test": "gsm8k/test.jsonl"}),
    "humaneval": ("humaneval/humaneval.yaml", {"test": "humaneval/test.jsonl"}),
    "mbpp": ("mbpp/mbpp.yaml", {"test": "mbpp/test.jsonl"}),
    "ifeval": ("ifeval/ifeval.yaml", {"train": "ifeval/train.jsonl"}),
}
SPLITS = {"training_split": "train", "validation_split": "validation"}
GENERATED = ("gsm8k", "humaneval", "mbpp", "ifeval")
TEXT = """
task: local_text
dataset_path: json
dataset_kwargs: {{data_files: {{test: [{data}/c4/validation.jsonl, {data}/wiki/validation.jsonl]}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: text
metric_list:
  - {{metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}}
"""
CODE_EVAL = '''
import subprocess
import sys

import datasets
import evaluate


class CodeEval(evaluate.Metric):
    """Programs in a process of their own; they are what a random model wrote."""

    def _info(self):
        text = datasets.Value("string")
        features = datasets.Features({"predictions": datasets.Sequence(text), "references": text})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references, k):
        passed = []
        for programs, test in zip(predictions, references):
            for program in programs:
                words = [sys.executable, "-I", "-S", "-c", f"exec({program + chr(10) + test!r}, {{}})"]
                try:
                    passed.append(subprocess.run(words, capture_output=True, timeout=15).returncode == 0)
                except subprocess.TimeoutExpired:
                    passed.append(False)
        return {"pass@1": sum(passed) / len(passed)}, {}
'''
# Without a seed langdetect, which some of IFEval's checks ask, draws from the clock.
SITE = "from langdetect import DetectorFactory\nDetectorFactory.seed = 0\n"


@dataclass(frozen=True)
class Told:
    """What the command line says of a task: aggregates by 'metric,filter', and its items by filter."""

    metrics: dict[str, float]
    samples: dict[str, list[dict[str, Any]]] = field(repr=False)


def write_tasks(data: Path, folder: Path, names: list[str]) -> None:
    """The task files for the command line, called local_<name>, and the metric that the code tasks load."""
    (folder / "tasks").mkdir()
    for name in names:
        include, files = TASKS[name]
        rows = ", ".join(f"{split}: {data / file}" for split, file in files.items())
        lines = [
            f"include: {Path(lm_eval.__file__).parent / 'tasks' / include}",
            f"task: local_{name}",
            "dataset_path: json",
            "dataset_name: null",
            f"dataset_kwargs: {{data_files: {{{rows}}}}}",
            *(f"{key}: null" for key, split in SPLITS.items() if split not in files),
        ]
        (folder / "tasks" / f"local_{name}.yaml").write_text("\n".join(lines))
    (folder / "tasks" / "local_text.yaml").write_text(TEXT.format(data=data))
    (folder / "code_eval").mkdir()
    (folder / "code_eval" / "code_eval.py").write_text(CODE_EVAL)
    (folder / "sitecustomize.py").write_text(SITE)


def command_line(
    base: Path, data: Path, folder: Path, names: list[str], limit: int, new_tokens: int | None, *flags: str
) -> dict[str, Told]:
    """One run of `lm_eval` on these tasks and the text; `flags` are further ones."""
    write_tasks(data, folder, names)
    options = {
        "--model": "hf",
        "--model_args": f"pretrained={base},dtype=float32",
        "--tasks": ",".join(f"local_{name}" for name in [*names, "text"]),
        "--include_path": str(folder / "tasks"),
        "--limit": str(limit),
        "--batch_size": "16",
        "--device": "cpu",
        "--output_path": str(folder / "out"),
        **({"--gen_kwargs": f"max_gen_toks={new_tokens}"} if new_tokens else {}),
    }
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "home"),
        "HF_ALLOW_CODE_EVAL": "1",
        "NLTK_DATA": str(data / "nltk_data"),
        "PYTHONPATH": str(folder),
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
    }
    words = [word for option in options.items() for word in option]
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "lm_eval",
            "run",
            *words,
            "--log_samples",
            "--confirm_run_unsafe_code",
            *flags,
        ],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    (summary,) = (folder / "out").rglob("results_*.json")
    results = json.loads(summary.read_text())["results"]
    return {name: told(folder / "out", name, results[f"local_{name}"]) for name in [*names, "text"]}


def told(out: Path, name: str, metrics: dict[str, Any]) -> Told:
    """What was written about one task."""
    (file,) = out.rglob(f"samples_local_{name}_*.jsonl")
    samples: dict[str, list[dict[str, Any]]] = {}
    for line in file.read_text().split("\n")[:-1]:
        sample = json.loads(line)
        samples.setdefault(sample["filter"], []).append(sample)
    for found in samples.values():
        found.sort(key=lambda sample: sample["doc_id"])
    return Told(metrics, samples)


def random_llama(data: Path, folder: Path) -> Path:
    """A two-layer Llama with sharp opinions (ten times the usual weights), and a tokenizer of real text."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    options: dict[str, Any] = {"special_tokens": ["<s>", "</s>"], "show_progress": False}
    trainer = trainers.BpeTrainer(
        vocab_size=2000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **options
    )
    lines = (data / "gsm8k" / "train.jsonl").read_text().splitlines()[:2000]
    bpe.train_from_iterator([text for line in lines for text in json.loads(line).values()], trainer)
    words = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", model_max_length=4096
    )
    torch.manual_seed(3)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            initializer_range=0.2,
            bos_token_id=0,
            eos_token_id=1,
        )
    )
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def draws(samples: list[dict[str, Any]]) -> bool:
    """Whether a check of IFEval draws from the global random state: for a "letter" that is none (a "#")."""
    letters = [kwargs.get("letter") for sample in samples for kwargs in sample["doc"]["kwargs"]]
    return any(letter and not (letter.isascii() and letter.isalpha()) for letter in letters)


def compare(
    base: Path, data: Path, theirs: dict[str, Told], limit: int, new_tokens: int | None, cut: set[str]
) -> None:
    """Every item's outcome and text, and every aggregate, against the same by our path.

    `cut` are the evaluations some of whose prompts are longer than the context.
    """
    general = registry.general(data)
    assert general.text is not None
    generated = stock.build([name for name in theirs if name in GENERATED], data)
    asked = [*general.evaluations, *generated, general.text]
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    settings = EvaluationSettings(target=[], general=[], limit=limit, max_new_tokens=new_tokens)
    scores = evaluate(model, AutoTokenizer.from_pretrained(base), asked, settings=settings)
    assert set(scores) == set(theirs)
    for one in asked:
        score, samples = scores[one.name], theirs[one.name].samples[one.filter]
        assert score.n == len(samples) == limit
        if one is not general.text:
            assert [item.correct for item in score.items] == [float(s[one.metric]) for s in samples], one.name
        if one in generated:
            texts = [sample["resps"][0][0] for sample in samples]
            assert [item.response for item in score.items] == texts, one.name
            assert len(set(texts)) > limit // 4, f"{one.name}: one answer to everything"
        metrics = {
            key: value
            for key, value in score.metrics.items()
            if "," in key and not (key.startswith("inst_level") and draws(samples))
        }
        assert metrics == pytest.approx({key: theirs[one.name].metrics[key] for key in metrics}, rel=1e-6)
        assert ("truncated_prompts" in score.metrics) == (one.name in cut), (one.name, score.metrics)


@pytest.fixture
def data() -> Path:
    if reason := refused():
        pytest.skip(reason)
    return real_data()


def test_every_task_on_the_pocket_base(data: Path, tmp_path: Path) -> None:
    """Few items and tokens; the pocket base's context cuts prompts that show examples, here as there."""
    theirs = command_line(POCKET, data, tmp_path, list(TASKS), 6, 16)
    compare(POCKET, data, theirs, 6, 16, {"gsm8k", "mbpp"})


@pytest.mark.slow
def test_a_hundred_items_on_the_pocket_base(data: Path, tmp_path: Path) -> None:
    theirs = command_line(POCKET, data, tmp_path, list(TASKS), 100, 64)
    compare(POCKET, data, theirs, 100, 64, {"gsm8k", "mbpp"})


@pytest.mark.slow
def test_a_hundred_items_on_a_random_llama(data: Path, tmp_path: Path) -> None:
    """With each task's own number of tokens."""
    base = random_llama(data, tmp_path / "base")
    theirs = command_line(base, data, tmp_path, list(TASKS), 100, None)
    compare(base, data, theirs, 100, None, set())


@pytest.mark.slow
def test_through_a_chat_template(data: Path, tmp_path: Path) -> None:
    """Two examples shown, as turns of the conversation."""
    base = random_llama(data, tmp_path / "base")
    words = AutoTokenizer.from_pretrained(base)
    words.chat_template = (
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"
    )
    words.chat_template += "{% if add_generation_prompt %}[assistant]{% endif %}"
    words.save_pretrained(base)
    flags = ("--apply_chat_template", "--num_fewshot", "2")
    theirs = command_line(base, data, tmp_path, ["gsm8k", "ifeval"], 20, 32, *flags)
    settings = EvaluationSettings(
        target=[], general=[], limit=20, max_new_tokens=32, shots=2, chat_template=True
    )
    model, asked = AutoModelForCausalLM.from_pretrained(base), stock.build(["gsm8k", "ifeval"], data)
    for one, score in zip(asked, evaluate(model, words, asked, settings=settings).values(), strict=True):
        samples = theirs[one.name].samples[one.filter]
        assert [(item.correct, item.response) for item in score.items] == [
            (float(s[one.metric]), s["resps"][0][0]) for s in samples
        ]
