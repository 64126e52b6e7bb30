"""One's own rows: a JSON-lines file of instructions and responses, conversations, or plain text.

    {"instruction": "Name a prime above 10.", "response": "11"}
    {"instruction": "Add them.", "input": "3, 4", "output": "7"}
    {"prompt": "The capital of Peru is", "completion": " Lima."}
    {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello!"}]}
    {"text": "Any text."}

The first row says which form a file has, and every row must have it. A row goes to validation (5 of 100),
test (5 of 100) or training by a hash of its prompt and response: the same row always to the same split, in
whatever file it stands. A file so small that no row falls to a held-out split gives it the training row of
the smallest hash. At most MOST rows of a held-out split are used, the file's first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tasks import sources
from tasks.forms import Chat, Form, Pair, Text
from tasks.interface import Budget, Example, TaskError
from tasks.portions import Meter, Portion, Walk, key, too_few, within
from tasks.sets import Domain

NAME = "own"
REVISION = 2
SHARES = {"validation": 5, "test": 5}  # of 100 rows
MOST = 500
FORMS: tuple[Form, ...] = (
    Chat(),
    Pair("instruction", "response"),
    Pair("instruction", "output", context="input"),
    Pair("prompt", "completion", prompt="{instruction}", before=""),
    Text(),
)
DOMAIN = Domain(NAME, "rows of your own (--data FILE.jsonl), scored by their held-out loss")


def form_of(path: Path) -> Form:
    """The form of a file's first row. Raises TaskError where it has none of those above."""
    for number, line in enumerate(sources.lines(path), 1):
        if line.strip():
            row = sources.parse(path, number, line, lambda row: None)
            found = next((form for form in FORMS if set(form.columns) <= set(row)), None)
            if found is None:
                raise TaskError(
                    f"{path}:{number}: columns {sorted(row)} are of no known form; expected instruction and "
                    "response (or output), prompt and completion, messages, or text"
                )
            return found
    raise TaskError(f"{path}: no rows; expected JSON lines, one object each")


def split_of(example: Example) -> str:
    """The split of an example by its hash."""
    place = int.from_bytes(key(example)[:8], "big") % 100
    for split, share in SHARES.items():
        if place < share:
            return split
        place -= share
    return "train"


def rules(path: Path) -> str:
    """All that decides which examples a file has, beside its rows: for the digest."""
    return f"{form_of(path)!r} {SHARES} {MOST}"


def read(path: Path, budget: Budget) -> Portion:
    """The examples of a file. Raises TaskError naming file and line where a row is malformed."""
    form = form_of(path)
    walk, meter = Walk(path, form), Meter(budget)
    held_out: dict[str, list[Example]] = {split: [] for split in SHARES}
    smallest: dict[bytes, Example] = {}
    passed = 0
    for example in walk:
        split = split_of(example)
        if split != "train":
            if len(held_out[split]) < MOST:
                held_out[split].append(example)
        else:
            if not meter.full():
                passed += 1
                meter.add(example)
            smallest[key(example)] = example  # whatever the budget: it is the same row for every one
            if len(smallest) > len(SHARES) + 1:
                del smallest[max(smallest)]
        if meter.full() and all(held_out.values()):
            break
    there = passed + sum(map(len, held_out.values()))
    moved, notes = _fill(held_out, smallest)
    if not smallest:
        raise TaskError(too_few(path, there))

    def train() -> Iterator[Example]:
        rows = (example for example in Walk(path, form) if split_of(example) == "train")
        return within(rows, budget, moved)

    return Portion(held_out, train, {path: walk.sha256}, (*walk.notes(), *notes), walk.line)


def _fill(held_out: dict[str, list[Example]], smallest: dict[bytes, Example]) -> tuple[set[bytes], list[str]]:
    """Give an empty split a training row, taken out of `smallest`; what was taken, and what to say of it."""
    moved: set[bytes] = set()
    notes = []
    for split, rows in held_out.items():
        if not rows and len(smallest) > 1:
            least = min(smallest)
            rows.append(smallest.pop(least))
            moved.add(least)
            notes.append(f"own rows: too few for a {split} split by hash; it has one row taken from training")
        elif not rows:
            smallest.clear()
    return moved, notes
