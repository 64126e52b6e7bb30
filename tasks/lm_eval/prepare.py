"""What some of lm-eval's stock tasks need before they are imported, without network.

The code tasks load a metric from the hub when they are imported, and IFEval downloads sentence-splitter data.
Each function here does the import, with what it asks for at hand, and leaves the libraries as they were.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks.interface import TaskError
from tasks.lm_eval import stock_folder

PUNKT = "tokenizers/punkt_tab/english"
LANGUAGE_SEED = 0  # langdetect draws from the system's clock unless it is told a seed


def code(include: str) -> None:
    """Import a stock task file's functions with our metric (tasks/lm_eval/code_eval.py) for "code_eval"."""
    import evaluate
    from lm_eval.tasks._yaml_loader import load_yaml

    from tasks.lm_eval.code_eval import CodeEval

    metric, name = CodeEval(), f"lm_eval.tasks.{Path(include).parent}.utils"
    if name in sys.modules and not any(
        isinstance(held, CodeEval) for held in vars(sys.modules[name]).values()
    ):
        del sys.modules[name]  # imported by somebody else with the hub's metric
    with _replaced(evaluate, "load", lambda *_, **__: metric):
        load_yaml(stock_folder() / include)


def ifeval(nltk_data: Path) -> None:
    """Import IFEval's checks with the sentence splitter of this folder, which NLTK then keeps in memory."""
    import nltk
    from langdetect import DetectorFactory

    DetectorFactory.seed = LANGUAGE_SEED
    with _replaced(nltk.data, "path", [str(nltk_data)]):
        from lm_eval.tasks.ifeval import instructions_util

        instructions_util.count_sentences("One. Two.")
        nltk.word_tokenize("One. Two.")


def check_minerva() -> None:
    """TaskError unless what Minerva's stock checks import is installed."""
    missing = [name for name in ("sympy", "math_verify", "antlr4") if find_spec(name) is None]
    if not missing:
        try:
            found = version("antlr4-python3-runtime")
        except PackageNotFoundError:
            found = "none"
        missing = [] if found.startswith("4.11") else [f"antlr4-python3-runtime 4.11 (found {found})"]
    if missing:
        raise TaskError(f"minerva_math needs {', '.join(missing)}; run: pip install 'lm-eval[math]'")


@contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
