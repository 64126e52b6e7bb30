"""Numbers as a reader sees them, the same in the terminal and on the page. Absent is a dash, never zero."""

from __future__ import annotations

from collections.abc import Sequence

from suite.record import Cell, Recipe

ABSENT = "-"
_THOUSANDS = ((1e9, "B"), (1e6, "M"), (1e3, "K"))


def points(value: float | None) -> str:
    """A difference of scores in points, with its sign: '+4.2'."""
    if value is None:
        return ABSENT
    rounded = round(value, 1)
    return f"{rounded:+.1f}" if rounded else "0.0"


def nats(value: float | None) -> str:
    """A change of a loss, with its sign: '-0.412'."""
    if value is None:
        return ABSENT
    rounded = round(value, 3)
    return f"{rounded:+.3f}" if rounded else "0.000"


def score(value: float | None) -> str:
    """A score in points (0..100), without a sign: '47.8'."""
    return ABSENT if value is None else f"{value:.1f}"


def count(value: int | None) -> str:
    """A number of things, short: '73.7K'."""
    if value is None:
        return ABSENT
    number, unit = scaled(value, _THOUSANDS)
    return f"{number}{unit}"


def scaled(value: float, units: Sequence[tuple[float, str]]) -> tuple[str, str]:
    """A number in the largest of `units` that it reaches, to three digits, and the name of that unit.

    `units` are (size, name), the largest first.
    What rounds to a thousand of a unit is one of the next where that is a thousand too ('1M', not '1e+03K');
    else it is written out ('1,010' KiB). The name is '' where it reaches none.
    """
    for at, (size, name) in enumerate(units):
        if value < size:
            continue
        if float(f"{value / size:.3g}") < 1000:
            return f"{value / size:.3g}", name
        if at and units[at - 1][0] == 1000 * size:
            return f"{value / units[at - 1][0]:.3g}", units[at - 1][1]
        return f"{value / size:,.0f}", name
    return str(value), ""


def numbered(number: int, noun: str) -> str:
    """'1 pair', '1,200 pairs', '2 series'."""
    return f"{number:,} {plural(noun, number)}"


def plural(noun: str, number: int) -> str:
    """The noun as it is said of so many."""
    return noun if number == 1 or noun.endswith("s") else f"{noun}s"


def duration(seconds: float | None) -> str:
    """A time: '8.4 s', '3 min 05 s', '2 h 10 min'."""
    if seconds is None:
        return ABSENT
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def rate(value: float | None) -> str:
    """A learning rate: '0.005'."""
    return ABSENT if value is None else f"{value:g}"


def rates(by_task: dict[str, float | None]) -> str:
    """Learning rates: the one they share, or the span from lowest to highest of those that are known."""
    known = [value for value in by_task.values() if value is not None]
    if not known:
        return ABSENT
    low, high = min(known), max(known)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def outcome(statuses: dict[str, int]) -> str:
    """How the cells of a row ended: '4 ok, 2 diverged'."""
    return ", ".join(f"{n} {status}" for status, n in statuses.items())


def recipe_line(recipe: Recipe | None) -> str:
    """A recipe in plain words."""
    if recipe is None:
        return "not trained here: each record keeps what its source says of the training"
    return (
        f"{recipe.steps} steps of {recipe.batch_size} examples (up to {recipe.max_length} tokens), "
        f"{recipe.schedule} schedule, {recipe.precision}, loss on {recipe.loss_on}, {recipe.batching} rows"
    )


def seeds_line(cell: Cell) -> str:
    """A cell's seed, and those of its streams that do not follow it: '0 (data 3)'."""
    if cell.seed is None:
        return ABSENT
    fixed = {"data": cell.data_seed, "adapter": cell.adapter_seed, "sampling": cell.evaluation.seed or None}
    others = ", ".join(f"{name} {value}" for name, value in fixed.items() if value is not None)
    return f"{cell.seed} ({others})" if others else str(cell.seed)


def title(cell: Cell) -> str:
    """A cell in a few words: 'lora on math, lr 0.005, seed 0'; what a source does not say is left out."""
    parts = [f"{cell.variant.name} on {cell.task.label}"]
    if cell.learning_rate is not None:
        parts.append(f"lr {rate(cell.learning_rate)}")
    if cell.seed is not None:
        parts.append(f"seed {cell.seed}")
    for name, value in (("data", cell.data_seed), ("adapter", cell.adapter_seed)):
        if value is not None:
            parts.append(f"{name} seed {value}")
    return ", ".join(parts)
