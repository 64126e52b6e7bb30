'''Functions: bare Python in the base's training text, and functions from a description to fine-tune on
(HumanEval's shape).

    {"task_id": "pocket/0", "entry_point": "solve",
     "prompt": 'def solve(xs):\\n    """Take the largest of xs, then add 4."""',
     "canonical_solution": "\\n    x = max(xs)\\n    return x + 4",
     "test": "def check(candidate):\\n    assert candidate([3, 9, 2]) == 13\\n ..."}

The base writes such bodies and has never met a description. The line break belongs to the solution: after it
the tokenizer would split the indentation in a way that the base has never read.
'''

from __future__ import annotations

import random
from typing import Any, NamedTuple

from tasks.pocket.draw import rng, split_of

SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}


class Op(NamedTuple):
    """A step: its Python expression and how it is described; {c} is a constant, {x} the value so far."""

    code: str
    words: tuple[str, ...]


STEPS = (
    Op("{x} + {c}", ("add {c}", "increase by {c}")),
    Op("{x} - {c}", ("subtract {c}", "decrease by {c}")),
    Op("{x} * {c}", ("multiply by {c}", "take it {c} times")),
    Op("{x} % {c}", ("take the remainder by {c}", "reduce modulo {c}")),
    Op("max({x}, {c})", ("raise to at least {c}", "use {c} if smaller")),
    Op("min({x}, {c})", ("limit to at most {c}", "use {c} if larger")),
    Op("abs({x})", ("drop the sign", "make it positive")),
    Op("-{x}", ("flip the sign", "negate it")),
)
NUMBER = Op("{x}", ("take x",))
LISTS = (
    Op("max(xs)", ("take the largest of xs", "find the maximum of xs")),
    Op("min(xs)", ("take the smallest of xs", "find the minimum of xs")),
    Op("sum(xs)", ("add up xs", "take the total of xs")),
    Op("len(xs)", ("count xs", "take the length of xs")),
    Op("xs[0]", ("take the first of xs",)),
    Op("xs[-1]", ("take the last of xs",)),
)
TWO = (
    Op("a + b", ("add a and b",)),
    Op("a - b", ("subtract b from a",)),
    Op("a * b", ("multiply a and b",)),
    Op("max(a, b)", ("take the larger of a and b",)),
    Op("min(a, b)", ("take the smaller of a and b",)),
)
ARGUMENTS = {"x": (NUMBER,), "xs": LISTS, "a, b": TWO}


class Program(NamedTuple):
    """A start on the arguments and one or two steps with their constants."""

    arguments: str
    start: int
    steps: tuple[tuple[int, int], ...]

    def body(self) -> str:
        """The body from its line break on: one indented line a step, the last one returns."""
        start = ARGUMENTS[self.arguments][self.start].code
        lines = [] if self.arguments == "x" else [f"x = {start}"]
        lines += [f"x = {STEPS[k].code.format(x='x', c=c)}" for k, c in self.steps]
        lines[-1] = "return " + lines[-1].removeprefix("x = ")
        return "".join(f"\n    {line}" for line in lines)

    def describe(self, random_: random.Random) -> str:
        """The docstring's sentence."""
        parts = [random_.choice(ARGUMENTS[self.arguments][self.start].words)]
        parts += [random_.choice(STEPS[k].words).format(c=c) for k, c in self.steps]
        return ", then ".join(parts).capitalize() + "."


def program(random_: random.Random) -> Program:
    """Any program: a bare number takes two steps, lists and pairs one or two."""
    arguments = random_.choice(("x", "x", "xs", "xs", "a, b"))
    start = random_.randrange(len(ARGUMENTS[arguments]))
    length = 2 if arguments == "x" else random_.randrange(1, 3)
    kinds = random_.sample(range(len(STEPS)), length)
    return Program(arguments, start, tuple((k, _constant(random_, k)) for k in kinds))


def _constant(random_: random.Random, kind: int) -> int:
    """2..9 where the step has a constant, else 0."""
    return random_.randrange(2, 10) if "{c}" in STEPS[kind].code else 0


def document(random_: random.Random) -> str:
    """A training document: one or two bare functions of the train split."""
    parts = []
    while len(parts) < random_.randrange(1, 3):
        p = program(random_)
        if split_of(SHARES, "program", *p) == "train":
            parts.append(f"def {random_.choice(('f', 'g', 'run', 'step', 'calc'))}({p.arguments}):{p.body()}")
    return "\n\n".join(parts)


def _inputs(random_: random.Random, arguments: str) -> tuple[Any, ...]:
    if arguments == "xs":
        return ([random_.randrange(-20, 40) for _ in range(random_.randrange(2, 6))],)
    return tuple(random_.randrange(-20, 40) for _ in arguments.split(", "))


def _check(random_: random.Random, p: Program) -> str:
    """HumanEval's check(candidate): six calls with the values that the canonical body gives."""
    scope: dict[str, Any] = {}
    exec(f"def solve({p.arguments}):{p.body()}", scope)  # our own text, made above
    lines = ["def check(candidate):"]
    for _ in range(6):
        values = _inputs(random_, p.arguments)
        lines.append(f"    assert candidate({', '.join(map(repr, values))}) == {scope['solve'](*values)!r}")
    return "\n".join(lines) + "\n"


def problems(split: str, count: int) -> list[dict[str, str]]:
    """`count` programs of one split, each program once, in HumanEval's columns."""
    random_, seen = rng("functions", split), {}
    while len(seen) < count:
        p = program(random_)
        if p in seen or split_of(SHARES, "program", *p) != split:
            continue
        prompt = f'def solve({p.arguments}):\n    """{p.describe(random_)}"""'
        seen[p] = {
            "task_id": f"pocket/{split}/{len(seen)}",
            "prompt": prompt,
            "canonical_solution": p.body(),
            "test": _check(random_, p),
            "entry_point": "solve",
        }
    return list(seen.values())
