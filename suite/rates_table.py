"""The tables of `suite lr` in a terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from suite.optimum import Optimum, Ratio
from suite.rates import Curve, sparkline
from suite.rates_report import Row, for_model
from suite.rules import Model, Prediction
from suite.words import ABSENT


def tables(rows: Sequence[Row], predicted: Model | None = None) -> RenderableType:
    """The curves, the rules, and (if asked for) the rates for another model; a part per task and base."""
    parts: list[RenderableType] = []
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.curve.group].append(row)
    for group in groups.values():
        parts += [_curves(group), *_partial(group), *_rules(group)]
        if predicted is not None:
            parts += list(_predicted(group, predicted))
    return Group(*parts)


def short(rate: float | None) -> str:
    """A rate to two digits: '3.2e-3'."""
    if rate is None:
        return ABSENT
    digits, _, power = f"{rate:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(power)}"


def optimal(found: Optimum | None) -> str:
    """An optimum with its interval; an end at the edge of what was tried is only a bound."""
    if found is None:
        return "not found"
    sign = {"low": "<", "high": ">"}.get(found.edge or "", "")
    return f"{sign}{short(found.rate)}\n{_interval(found, short)}"


def times(found: Ratio | None) -> str:
    """A ratio with its interval."""
    if found is None:
        return ABSENT
    return f"{found.value:.2g}\n{_interval(found, lambda value: f'{value:.2g}')}"


def _interval(found: Optimum | Ratio, show: object) -> str:
    assert callable(show)
    if found.low is None or found.high is None:
        return "one seed" if isinstance(found, Optimum) and found.seeds == 1 else "no interval"
    low = "<" if found.open_low else ""
    high = ">" if found.open_high else ""
    return f"[{low}{show(found.low)}, {high}{show(found.high)}]"


def _name(row: Row) -> str:
    rank = row.curve.rank
    return row.curve.label if rank is None else f"{row.curve.label} r{rank}"


def _table(title: str, caption: str, *columns: str) -> Table:
    found = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=Text(title),
        caption=Text(caption),
        caption_justify="left",
    )
    found.add_column(columns[0], overflow="fold", min_width=8)
    for name in columns[1:]:
        found.add_column(Text(name), justify="right", no_wrap=True)
    return found


def _curves(group: Sequence[Row]) -> Table:
    first = group[0].curve.records[0].cell
    title = f"{first.task.label} on {first.base.name} ({first.track}), {first.how.recipe.steps} steps"
    caption = (
        "curve: log validation loss by rate, low to high; x diverged, . not run. best: of the rates tried, "
        "with its loss. alike: rates that the seeds cannot tell from it. optimum: of a parabola, with 95 % "
        "interval; < and > are bounds at the edge of what was tried. full: ratio to full fine-tuning's."
    )
    table = _table(title, caption, "variant", "curve, tried", "best", "alike", "optimum", "full")
    for row in group:
        best = _best(row.optimum.best, row.optimum.loss) if row.optimum else _lowest(row.curve)
        table.add_row(
            Text(_name(row)),
            f"{sparkline(row.curve)}\n{_span(row.curve.rates)}",
            best,
            _span(row.alike).replace("..", "..\n") if row.optimum and row.optimum.seeds > 1 else ABSENT,
            optimal(row.optimum),
            times(row.ratio),
        )
    return table


def _partial(group: Sequence[Row]) -> Iterator[Text]:
    """Which curves have rates that some seeds lack: what lies beyond the others is then not looked at."""
    for row in group:
        run, found = int((~np.isnan(row.curve.losses)).sum()), row.optimum
        if found is not None and run > found.rates * found.seeds:
            yield Text(
                f"{_name(row)}: {found.rates} rates of {found.seeds} seeds are looked at, of {run} cells "
                "that were run; the other rates lack seeds"
            )


def _lowest(curve: Curve) -> str:
    loss, rate = min(zip(curve.means.tolist(), curve.rates, strict=True))
    return _best(rate, loss)


def _best(rate: float, loss: float) -> str:
    return f"{short(rate)}\n{loss:.3g}"


def _span(rates: Sequence[float]) -> str:
    if not rates:
        return ABSENT
    return short(rates[0]) if len(rates) == 1 else f"{short(min(rates))}..{short(max(rates))}"


def _rules(group: Sequence[Row]) -> Iterator[RenderableType]:
    """How far each rule was off, and why some say nothing."""
    names = [one.rule for one in group[0].predictions]
    told = [i for i, _ in enumerate(names) if any(row.predictions[i].rate is not None for row in group)]
    if told:
        caption = "in brackets: predicted / measured optimum; ? where that lies at the edge of what was tried"
        table = _table("what the rules predict here", caption, "variant", *[names[i] for i in told])
        for row in group:
            table.add_row(Text(_name(row)), *[_told(row, row.predictions[i]) for i in told])
        yield table
    shown = [i for i, name in enumerate(names) if i in told or name in ("formula", "hessian")]
    yield from _reasons([(row, [row.predictions[i] for i in shown]) for row in group])
    for row in group:
        if row.curvature is not None:
            c = row.curvature
            yield Text(
                f"{_name(row)}: largest eigenvalue {c.top:.4g} nats "
                f"(within {100 * max(c.step_error, c.residual):.1g} %)"
            )


def _told(row: Row, one: Prediction) -> str:
    off = row.off(one)
    if off is None:
        return short(one.rate)
    return f"{short(one.rate)} (x{off:.2g}{'?' if row.optimum and row.optimum.edge else ''})"


def _predicted(group: Sequence[Row], model: Model) -> Iterator[RenderableType]:
    """Rates for a model that was not swept, beside how far the formula was off here."""
    found = [(row, for_model(row, model)) for row in group]
    names = [one.rule for one in found[0][1]]
    width = "" if model.hidden is None else f", hidden size {model.hidden}"
    caption = "formula here: what it predicted on the base that was swept, over the optimum measured there"
    title = f"rates for {model.name} ({model.family}{width})"
    table = _table(title, caption, "variant", *names, "formula here")
    for row, predictions in found:
        off = row.off(row.predictions[0])
        shown = [short(one.rate) for one in predictions]
        table.add_row(Text(_name(row)), *shown, ABSENT if off is None else f"x{off:.2g}")
    yield table
    yield from _reasons(found)


def _reasons(found: Sequence[tuple[Row, Sequence[Prediction]]]) -> Iterator[Text]:
    """Each reason or remark once, with the rule and the variants that it is about."""
    about: dict[tuple[str, str], list[str]] = {}
    for row, predictions in found:
        for one in predictions:
            if one.note:
                about.setdefault((one.note, one.rule if one.rate is None else ""), []).append(_name(row))
    merged: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (note, rule), names in about.items():
        merged[note, tuple(dict.fromkeys(names))].append(rule)
    for (note, names), which in merged.items():
        none = [rule for rule in which if rule]
        rule = f"no {', no '.join(none)} for " if none else ""
        who = "all" if len(names) == len(found) > 1 else ", ".join(names)
        yield Text(f"{rule}{who}: {note}")
