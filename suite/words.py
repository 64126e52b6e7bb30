"""Numbers as a reader sees them, the same in the terminal and on the page. Absent is a dash, never zero."""

from __future__ import annotations

from suite.record import Recipe

ABSENT = "-"


def points(value: float | None) -> str:
    """A difference of scores in points, with its sign: '+4.2'."""
    if value is None:
        return ABSENT
    rounded = round(value, 1)
    return f"{rounded:+.1f}" if rounded else "0.0"


def count(value: int | None) -> str:
    """A number of things, short: '73.7K'."""
    if value is None:
        return ABSENT
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return str(value)


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


def rates(by_task: dict[str, float]) -> str:
    """Learning rates: the one they share, or the span from lowest to highest."""
    low, high = min(by_task.values()), max(by_task.values())
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def outcome(statuses: dict[str, int]) -> str:
    """How the cells of a row ended: '4 ok, 2 diverged'."""
    return ", ".join(f"{n} {status}" for status, n in statuses.items())


def recipe_line(recipe: Recipe) -> str:
    """A recipe in plain words."""
    return (
        f"{recipe.steps} steps of {recipe.batch_size} examples (up to {recipe.max_length} tokens), "
        f"{recipe.schedule} schedule, {recipe.precision}, loss on {recipe.loss_on}"
    )
