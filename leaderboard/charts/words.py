"""Parts of the sentences that say what a picture shows."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 6  # names in a sentence


def listed(names: Sequence[str], most: int = MOST) -> str:
    """'a', 'a and b', 'a, b and c', 'a, b, c and 4 more'."""
    shown = list(names[:most])
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else "none"


def share(value: float | None) -> str:
    """A probability in percent: '99 %', and never 0 % or 100 % unless it is."""
    if value is None:
        return "not known"
    percent = 100 * value
    if 0 < percent < 1:
        return "< 1 %"
    if 99 < percent < 100:
        return "> 99 %"
    return f"{percent:.0f} %"


def counted(some: int, whole: int) -> str:
    """'all 6', 'none of 6', '2 of 6'."""
    return f"all {whole}" if some == whole else f"{some or 'none'} of {whole}"


def left_over(names: Sequence[str], most: int, what: str) -> str:
    """What is said where a picture has room for some of many."""
    return f" Of {len(names)} {what} the first {most} are drawn." if len(names) > most else ""
