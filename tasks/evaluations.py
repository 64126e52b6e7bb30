"""lm-eval's stock tasks by name, over the files of a data folder: stock prompts, shots, filters and scoring.

What a row must have is what the stock task reads, and it is checked before a model has run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from tasks import general, math, sources
from tasks.interface import Evaluation, TaskError
from tasks.lm_eval import as_is, prepare

NLTK = "nltk_data"
PUNKT = tuple(
    f"{NLTK}/{prepare.PUNKT}/{name}"
    for name in ("abbrev_types.txt", "collocations.tab", "ortho_context.tab", "sent_starters.txt")
)
SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
# What the stock checks of IFEval know (lm_eval/tasks/ifeval/instructions_registry.py).
INSTRUCTIONS = {
    "keywords": ("existence", "frequency", "forbidden_words", "letter_frequency"),
    "language": ("response_language",),
    "length_constraints": (
        "number_sentences",
        "number_paragraphs",
        "number_words",
        "nth_paragraph_first_word",
    ),
    "detectable_content": ("number_placeholders", "postscript"),
    "detectable_format": (
        *("number_bullet_lists", "constrained_response", "number_highlighted_sections"),
        *("multiple_sections", "json_format", "title"),
    ),
    "combination": ("two_responses", "repeat_prompt"),
    "startend": ("end_checker", "quotation"),
    "change_case": ("capital_word_frequency", "english_capital", "english_lowercase"),
    "punctuation": ("no_comma",),
}
KNOWN = frozenset(f"{group}:{name}" for group, names in INSTRUCTIONS.items() for name in names)


@dataclass(frozen=True)
class Stock:
    """A stock task: its file under lm_eval/tasks, its headline, and the rows that it scores.

    `shots` is the file that its few-shot examples are drawn from; without one they are in the task file, or
    there are none. `extra` are files that the scoring needs.
    """

    include: str
    metric: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    check: Callable[[dict[str, Any]], str | None]
    filter: str = "none"
    shots: str = ""
    extra: tuple[str, ...] = ()
    runs_code: bool = False
    prepare: Callable[[Path], None] = field(default=lambda data: None)
    check_installed: Callable[[], None] = field(default=lambda: None)

    @property
    def files(self) -> tuple[str, ...]:
        """All that it reads of a data folder."""
        return (*((self.shots,) if self.shots else ()), *self.rows, *self.extra)

    def over(self, name: str, data: Path) -> Evaluation:
        """The evaluation on the files of a folder. Raises TaskError where one is missing or malformed."""
        self.check_installed()
        for extra in self.extra:
            sources.sha256(data / extra)
        rows = [row for file in self.rows for row in self._read(data, file)]
        shots = self._read(data, self.shots) if self.shots else None
        ready = partial(self.prepare, data)
        config = as_is(self.include, name, rows, shots)
        return Evaluation(name, self.metric, config, self.filter, self.runs_code, ready)

    def _read(self, data: Path, file: str) -> list[dict[str, Any]]:
        return sources.local(data, file, self.columns, self.check)


def check_humaneval(row: dict[str, Any]) -> str | None:
    """What is wrong with a row of HumanEval, if anything."""
    return sources.strings(row, "prompt", "canonical_solution", "test", "entry_point")


def check_mbpp(row: dict[str, Any]) -> str | None:
    """What is wrong with a row of MBPP, if anything: its prompt shows three tests."""
    return sources.strings(row, "text", "code") or sources.texts(row, "test_list", 3)


def check_ifeval(row: dict[str, Any]) -> str | None:
    """What is wrong with a row of IFEval, if anything."""
    if problem := sources.strings(row, "prompt") or sources.texts(row, "instruction_id_list"):
        return problem
    if unknown := set(row["instruction_id_list"]) - KNOWN:
        return f"column 'instruction_id_list' has {sorted(unknown)[0]!r}, which IFEval's checks do not know"
    given = row.get("kwargs")
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        return f"column 'kwargs' must be a list of objects, got {sources.shown(given)}"
    if len(given) != len(row["instruction_id_list"]):
        return f"'kwargs' has {len(given)} entries for {len(row['instruction_id_list'])} instructions"
    return (
        None
        if isinstance(row.get("key"), int)
        else f"column 'key' must be a number, got {sources.shown(row.get('key'))}"
    )


def check_math(row: dict[str, Any]) -> str | None:
    """What is wrong with a row of MATH, if anything: its answer is in the last box of the solution."""
    if problem := sources.strings(row, "problem", "solution"):
        return problem
    boxed = "\\boxed{" in row["solution"] or "\\boxed " in row["solution"]
    return (
        None
        if boxed
        else f"column 'solution' must hold '\\boxed{{...}}', got {sources.shown(row['solution'])}"
    )


def _code(include: str, metric: str, filter_: str, file: str, columns: tuple[str, ...], check: Any) -> Stock:
    ready = lambda data: prepare.code(include)  # noqa: E731
    return Stock(include, metric, (file,), columns, check, filter_, runs_code=True, prepare=ready)


STOCK: dict[str, Stock] = {
    "gsm8k": Stock(
        "gsm8k/gsm8k.yaml",
        "exact_match",
        (math.FILES[1],),
        math.GSM8K.columns,
        math.check,
        "strict-match",
        shots=math.FILES[0],
    ),
    "minerva_math": Stock(
        "minerva_math/minerva_math_algebra.yaml",
        "exact_match",
        tuple(f"hendrycks_math/{subject}/test.jsonl" for subject in SUBJECTS),
        ("problem", "solution"),
        check_math,
        check_installed=prepare.check_minerva,
    ),
    "humaneval": _code(
        "humaneval/humaneval.yaml",
        "pass@1",
        "create_test",
        "humaneval/test.jsonl",
        ("prompt", "canonical_solution", "test", "entry_point"),
        check_humaneval,
    ),
    "mbpp": _code(
        "mbpp/mbpp.yaml", "pass_at_1", "none", "mbpp/test.jsonl", ("text", "code", "test_list"), check_mbpp
    ),
    "ifeval": Stock(
        "ifeval/ifeval.yaml",
        "prompt_level_strict_acc",
        ("ifeval/train.jsonl",),
        ("key", "prompt", "instruction_id_list", "kwargs"),
        check_ifeval,
        extra=PUNKT,
        prepare=lambda data: prepare.ifeval(data / NLTK),
    ),
    **{
        skill: Stock(include, metric, (general.FILES[skill],), general.COLUMNS[skill], general.CHECKS[skill])
        for skill, (include, metric) in general.STOCK.items()
    },
}


def files(names: Sequence[str]) -> tuple[str, ...]:
    """What these evaluations read of a data folder."""
    return tuple(dict.fromkeys(file for name in names for file in named(name).files))


def named(name: str) -> Stock:
    """A stock task by its name; TaskError tells the nearest."""
    if name not in STOCK:
        near = get_close_matches(name, STOCK, n=1, cutoff=0.0)[0]
        raise TaskError(f"no evaluation {name!r}; did you mean {near!r}? (of {', '.join(STOCK)})")
    return STOCK[name]


def build(names: Sequence[str], data: Path) -> tuple[Evaluation, ...]:
    """These evaluations on the files of a folder."""
    return tuple(named(name).over(name, data) for name in names)
