"""Where each file of a data folder comes from: one table, relative file -> data set on the Hugging Face hub.

    gsm8k/train.jsonl   openai/gsm8k, config main, split train: main/train-*.parquet at one commit, MIT

A file holds the columns that it has on the hub, as JSON lines, in the order of the hub's own files. Commits
are pinned where other public projects pin them too; where none is known (None), the one found when a folder
is made is written into its manifest and used for every file of that data set. Nothing here fetches anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from tasks.interface import TaskError

PINS: dict[str, str | None] = {
    "openai/gsm8k": "740312add88f781978c0658806c59bc2815b9866",
    "meta-math/MetaMathQA": "aa4f34d3d2d3231299b5b03d9b3e5a20da45aa18",
    "open-web-math/open-web-math": "fde8ef8de2300f5e778f56261843dab89f230815",
    "EleutherAI/hendrycks_math": "21a5633873b6a120296cce3e2df9d5550074f4a3",
    "openai/openai_humaneval": "7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
    "google-research-datasets/mbpp": "4bb6404fdc6cacfda99d4ac4205087b89d32030c",
    "sahil2801/CodeAlpaca-20k": "152bb5e9a29651266b018106053980070a0521a1",
    "ise-uiuc/Magicoder-Evol-Instruct-110K": "b0079beaa0361d82412520b873715bee59cc7dd4",
    "bigcode/starcoderdata": "9fc30b578cedaec69e47302df72cf00feed7c8c4",
    "tatsu-lab/alpaca": "dce01c9b08f87459cf36a430d809084718273017",
    "allenai/tulu-3-sft-mixture": "b14afda60f1bbebe55d5d2fa1e4df5042f97f8be",
    "google/IFEval": "966cd89545d6b6acfd7638bc708b98261ca58e84",
    "Rowan/hellaswag": "218ec52e09a7e7462a5400043bb9a69a41d06b76",
    "allenai/winogrande": "01e74176c63542e6b0bcb004dcdea22d94fb67b5",
    "allenai/ai2_arc": "210d026faf9955653af8916fad021475a3f00453",
    "allenai/c4": "1588ec454efa1a09f29cd18ddd04fe05fc8653a2",
    "wikimedia/wikipedia": "b04c8d1ceb2f5cd4588862100d08de323dccfbaa",
}
RESERVE = 1000  # rows fetched beyond a budget: what is held out of training is no part of it


@dataclass(frozen=True)
class Source:
    """A split of a data set on the hub.

    `pattern` names its files in the repository (fnmatch), `columns` what is kept, `rows` how many of its
    first rows (None: all). A `large` split is read only as far as the budget of training data needs.
    """

    dataset: str
    config: str
    split: str
    pattern: str
    columns: tuple[str, ...]
    licence: str
    rows: int | None = None
    large: bool = False

    @property
    def revision(self) -> str | None:
        """The pinned commit; None: the newest when it is fetched."""
        return PINS[self.dataset]


@dataclass(frozen=True)
class Package:
    """A file inside a package of NLTK's own index (https://www.nltk.org/nltk_data/)."""

    package: str
    member: str
    licence: str


INSTRUCTION = ("instruction", "input", "output")
ARC = ("id", "question", "choices", "answerKey")
MBPP = ("task_id", "text", "code", "test_list", "test_setup_code", "challenge_test_list")
HUMANEVAL = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
HELLASWAG = (
    *("ind", "activity_label", "ctx_a", "ctx_b", "ctx", "endings"),
    *("source_id", "split", "split_type", "label"),
)
MATH = ("problem", "level", "type", "solution")
SUBJECTS = (
    *("algebra", "counting_and_probability", "geometry", "intermediate_algebra"),
    *("number_theory", "prealgebra", "precalculus"),
)
PUNKT = "nltk_data/tokenizers/punkt_tab/english"
PUNKT_FILES = ("abbrev_types.txt", "collocations.tab", "ortho_context.tab", "sent_starters.txt")
SENTENCES = tuple(f"{PUNKT}/{name}" for name in PUNKT_FILES)  # what IFEval's checks split sentences with


def _splits(
    folder: str, dataset: str, config: str, place: str, splits: str, columns: tuple[str, ...], licence: str
) -> dict[str, Source]:
    """Parquet splits of one configuration: `<folder>/<split>.jsonl` from `<place>/<split>-*.parquet`."""
    return {
        f"{folder}/{split}.jsonl": Source(
            dataset, config, split, f"{place}/{split}-*.parquet", columns, licence
        )
        for split in splits.split()
    }


FILES: dict[str, Source | Package] = {
    **_splits("gsm8k", "openai/gsm8k", "main", "main", "train test", ("question", "answer"), "MIT"),
    "metamathqa/train.jsonl": Source(
        *("meta-math/MetaMathQA", "default", "train", "MetaMathQA-395K.json"),
        columns=("type", "query", "original_question", "response"),
        licence="MIT",
        large=True,
    ),
    "openwebmath/train.jsonl": Source(
        *("open-web-math/open-web-math", "default", "train", "data/train-*.parquet"),
        columns=("text",),
        licence="ODC-BY 1.0",
        large=True,
    ),
    **_splits(
        *("humaneval", "openai/openai_humaneval", "openai_humaneval", "openai_humaneval", "test"),
        columns=HUMANEVAL,
        licence="MIT",
    ),
    **_splits(
        *("mbpp", "google-research-datasets/mbpp", "full", "full", "prompt train validation test"),
        columns=MBPP,
        licence="CC BY 4.0",
    ),
    "codealpaca/train.jsonl": Source(
        *("sahil2801/CodeAlpaca-20k", "default", "train", "code_alpaca_20k.json", INSTRUCTION),
        licence="CC BY-NC 4.0",
    ),
    "magicoder/train.jsonl": Source(
        *("ise-uiuc/Magicoder-Evol-Instruct-110K", "default", "train"),
        pattern="data-evol_instruct-decontaminated.jsonl",
        columns=("instruction", "response"),
        licence="Apache 2.0",
        large=True,
    ),
    "starcoder/train.jsonl": Source(
        *("bigcode/starcoderdata", "python", "train", "python/train-*.parquet"),
        columns=("content",),
        licence="terms of The Stack; every file under its own permissive licence",
        large=True,
    ),
    "alpaca/train.jsonl": Source(
        *("tatsu-lab/alpaca", "default", "train", "data/train-*.parquet", INSTRUCTION),
        licence="CC BY-NC 4.0",
    ),
    "tulu3/train.jsonl": Source(
        *("allenai/tulu-3-sft-mixture", "default", "train", "data/train-*.parquet"),
        columns=("id", "messages", "source"),
        licence="ODC-BY 1.0",
        large=True,
    ),
    "ifeval/train.jsonl": Source(
        *("google/IFEval", "default", "train", "ifeval_input_data.jsonl"),
        columns=("key", "prompt", "instruction_id_list", "kwargs"),
        licence="Apache 2.0",
    ),
    **_splits("hellaswag", "Rowan/hellaswag", "default", "data", "validation", HELLASWAG, "MIT"),
    **_splits(
        *("winogrande", "allenai/winogrande", "winogrande_xl", "winogrande_xl", "validation"),
        columns=("sentence", "option1", "option2", "answer"),
        licence="Apache 2.0",
    ),
    **_splits(
        *("arc_challenge", "allenai/ai2_arc", "ARC-Challenge", "ARC-Challenge", "train test"),
        columns=ARC,
        licence="CC BY-SA 4.0",
    ),
    **_splits(
        *("arc_easy", "allenai/ai2_arc", "ARC-Easy", "ARC-Easy", "train test"),
        columns=ARC,
        licence="CC BY-SA 4.0",
    ),
    **{
        file: source
        for subject in SUBJECTS
        for file, source in _splits(
            *(f"hendrycks_math/{subject}", "EleutherAI/hendrycks_math", subject, subject, "train test"),
            columns=MATH,
            licence="MIT",
        ).items()
    },
    "c4/validation.jsonl": Source(
        *("allenai/c4", "en", "validation", "en/c4-validation.*.json.gz", ("text",)),
        licence="ODC-BY 1.0",
        rows=300,
    ),
    "wiki/validation.jsonl": Source(
        *("wikimedia/wikipedia", "20231101.en", "train", "20231101.en/train-*.parquet", ("text",)),
        licence="CC BY-SA 3.0, GFDL",
        rows=30,
    ),
    **{
        f"{PUNKT}/{name}": Package("punkt_tab", f"punkt_tab/english/{name}", "Apache 2.0")
        for name in PUNKT_FILES
    },
}


def find(file: str) -> Source | Package:
    """Where a file comes from; TaskError if nothing is known of it."""
    if file not in FILES:
        near = get_close_matches(file, FILES, n=1, cutoff=0.0)[0]
        raise TaskError(f"no data set is known for {file!r}; did you mean {near!r}?")
    return FILES[file]
