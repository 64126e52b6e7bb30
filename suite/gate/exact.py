"""What does not depend on the seed: it must be the same, and one difference is enough."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from scipy import stats

from suite.gate.facts import Facts
from suite.gate.groups import Group
from suite.gate.report import Row
from suite.gate.settings import Settings

SAME_RATE = 1e-6  # relative: two computations of one schedule
NEIGHBOUR = 2.0  # of two rates, a step on a grid of four a decade apart
HALF_PRECISION = (
    20  # how much coarser the rounding of a base in bfloat16 is, for what `Settings.rounding` allows
)


def status(group: Group, settings: Settings) -> Row:
    """Whether the cells are there and finished."""
    what = (group.variant, group.task, "status")
    if not group.candidate:
        told = "its search chose no rate" if group.kind == "tuned" else "the candidate has no cell of it"
        return Row(*what, "fail", f"missing: {told}", moved=True)
    old, new = ({one.cell.seed: one for one in side} for side in (group.baseline, group.candidate))
    bad = [one for one in group.candidate if one.status != "ok"]
    broken = [s for s, one in new.items() if one.status != "ok" and s in old and old[s].status == "ok"]
    bad_before = sum(one.status != "ok" for one in group.baseline)
    ends = (float(bad_before), float(len(bad)))
    if not bad or (not broken and len(bad) * len(old) <= bad_before * len(new)):
        return Row(*what, "pass", f"{len(new) - len(bad)} of {len(new)} cells finished", *ends)
    told = f"{_statuses(bad)} of {len(new)} cells, {bad_before} of {len(old)} in the baseline: {_why(bad[0])}"
    if broken or (not bad_before and group.kind != "trial"):
        return Row(*what, "fail", told, *ends, moved=True)
    wrong = len(bad) + bad_before  # Fisher's exact test: how these would fall on the two sides by chance
    p = float(stats.hypergeom.sf(len(bad) - 1, len(old) + len(new), wrong, len(new)))
    unknown = "pass" if group.kind == "trial" else "inconclusive"  # a trial may lie where some seeds diverge
    verdict = "fail" if p < settings.alpha else unknown
    return Row(*what, verdict, told, *ends, p=p, moved=True)


def exact(group: Group) -> list[Row]:
    """What was shown, parameters, modules, steps and rates, tokens of equal seeds; or a tuned rate."""
    old, new = group.baseline, group.candidate
    if not new:
        return []
    if group.kind == "tuned":
        return [_tuned(group)]
    rows = [
        _shown(group),
        _counted(group, "trainable parameters", [one.trainable_parameters for one in old], new),
        _counted(group, "total parameters", [one.total_parameters for one in old], new),
        _modules(group),
    ]
    rows += [_seeds(group), _moved(group)]
    done = [[one for one in side if one.status == "ok" and one.schedule] for side in (old, new)]
    if all(done):
        rows.append(_schedule(group, *done))
    return [row for row in rows if row is not None] + _tokens(group)


def base(groups: Sequence[Group], settings: Settings) -> list[Row]:
    """The untouched base's own scores, once a task: they depend on no training."""
    rows = {}
    for group in groups:
        old, new = (
            next((one for one in side if one.before), None) for side in (group.baseline, group.candidate)
        )
        if old is None or not group.candidate:
            continue
        row = _base(group, old, new, settings)
        if group.task not in rows or rows[group.task].verdict == "pass":
            rows[group.task] = row
    return list(rows.values())


def _base(group: Group, old: Facts, new: Facts | None, settings: Settings) -> Row:
    what = ("", group.task, "base")
    if new is None:
        return Row(*what, "fail", "the candidate has no scores of the untouched base", moved=True)
    precise = old.cell.recipe is None or old.cell.recipe.precision == "float32"
    rounding = settings.rounding * (1 if precise else HALF_PRECISION)
    for name in sorted({*old.before, *new.before}):
        a, b = old.before.get(name), new.before.get(name)
        if a is None or b is None:
            missing = "the baseline" if a is None else "the candidate"
            return Row(*what, "fail", f"{name} of the untouched base is not in {missing}", a, b, moved=True)
        n = old.items.get(name)
        allowed = max(1.0, settings.flips * n) / n + 1e-9 if n else rounding * max(abs(a), abs(b))
        if abs(a - b) > allowed:
            told = f"{name} of the untouched base went from {a:.4g} to {b:.4g}, before any training: "
            why = "the evaluation, the labels or the data changed"
            return Row(*what, "fail", told + why, a, b, b - a, moved=True)
    return Row(*what, "pass", f"{len(old.before)} scores of the untouched base are the same")


def _shown(group: Group) -> Row | None:
    """Training rows as tokens with their mask, and prompts: by their digests, which both sides must know."""
    what = (group.variant, group.task, "data shown")
    old = {name: key for one in group.baseline for name, key in one.shown.items()}
    new = {name: key for one in group.candidate for name, key in one.shown.items()}
    if changed := sorted(name for name in old.keys() & new.keys() if old[name] != new[name]):
        told = f"{changed[0]} changed: tokens, loss mask, template or data are not the baseline's"
        return Row(*what, "fail", told, moved=True)
    both = len(old.keys() & new.keys())
    return Row(*what, "pass", f"{both} digests of training rows and prompts are the same") if both else None


def _tuned(group: Group) -> Row:
    """The rate that the search chose: its noise may move it by a step of the grid, not by more."""
    what = (group.variant, group.task, "rate chosen")
    old, new = (side[0].cell.learning_rate or 0.0 for side in (group.baseline, group.candidate))
    if old == new:
        return Row(*what, "pass", f"{old:g} on both sides", old, new, 0.0)
    far = max(old, new) > NEIGHBOUR * min(old, new)
    told = f"{new:g}, and {old:g} in the baseline: {'further than' if far else 'a step that'} noise moves it"
    return Row(*what, "inconclusive" if far else "pass", told, old, new, moved=True)


def _counted(group: Group, metric: str, old: Sequence[int | None], new: Sequence[Facts]) -> Row | None:
    """A number that all cells of a group share."""
    field = metric.replace(" ", "_")
    before = Counter(value for value in old if value is not None)
    now = [(getattr(one, field), one) for one in new]
    if not before or not any(one.status == "ok" for one in new):
        return None
    usual = before.most_common(1)[0][0]
    what = (group.variant, group.task, metric)
    for value, one in now:
        if value is None and one.status == "ok":
            return Row(
                *what,
                "fail",
                f"the candidate does not say them ({usual:,} in the baseline)",
                usual,
                moved=True,
            )
        if value is not None and value not in before:
            told = f"{value:,}, and {usual:,} in the baseline"
            return Row(*what, "fail", told, usual, value, value - usual, moved=True)
    return Row(*what, "pass", f"{usual:,}", usual, usual, 0)


def _modules(group: Group) -> Row | None:
    old, new = ({m for one in side for m in one.modules} for side in (group.baseline, group.candidate))
    if not old or not any(one.status == "ok" for one in group.candidate):
        return None
    what, sizes = (group.variant, group.task, "adapted modules"), (len(old), len(new), len(new) - len(old))
    if lost := sorted(old - new):
        return Row(*what, "fail", f"{len(lost)} no longer adapted, such as {lost[0]}", *sizes, moved=True)
    if more := sorted(new - old):
        return Row(*what, "fail", f"{len(more)} more are adapted, such as {more[0]}", *sizes, moved=True)
    return Row(*what, "pass", f"the same {len(old)}", *sizes)


def _schedule(group: Group, old: Sequence[Facts], new: Sequence[Facts]) -> Row:
    """The steps of each phase and the learning rate of each step."""
    what, usual = (group.variant, group.task, "steps and rates"), old[0].schedule
    steps = sum(map(len, usual))
    for one in new:
        now = sum(map(len, one.schedule))
        if [len(phase) for phase in one.schedule] != [len(phase) for phase in usual]:
            told = f"{_phases(one.schedule)} steps, and {_phases(usual)} in the baseline"
            return Row(*what, "fail", told, steps, now, now - steps, moved=True)
        for phase, (rates, others) in enumerate(zip(usual, one.schedule, strict=True)):
            for step, (a, b) in enumerate(zip(rates, others, strict=True)):
                if not _same_rate(a, b):
                    told = f"step {step} of phase {phase} was taken at rate {b}, and at {a} in the baseline"
                    return Row(*what, "fail", told, a, b, moved=True)
    return Row(*what, "pass", f"{_phases(usual)} steps, each at the same rate", steps, steps, 0)


def _seeds(group: Group) -> Row | None:
    """Whether the seed still reaches the order of the data and the start: other seeds, other numbers."""
    what = (group.variant, group.task, "seeds")
    looked = [name for name in ("training loss", "tokens") if _distinct(group.baseline, name) > 1]
    seeds = len({one.cell.seed for one in group.candidate if one.status == "ok"})
    if not looked or seeds < 2:
        return None
    if same := [name for name in looked if _distinct(group.candidate, name) == 1]:
        return Row(*what, "fail", f"{same[0]} is the same for all of {seeds} seeds, and was not", moved=True)
    return Row(*what, "pass", f"{seeds} seeds give different runs")


def _moved(group: Group) -> Row | None:
    """Whether the same weights train: one that moved in every cell and now moves in none, or the reverse."""
    what = (group.variant, group.task, "weights moved")
    sides = [
        [set(one.still) for one in side if one.still is not None]
        for side in (group.baseline, group.candidate)
    ]
    if not all(sides):
        return None
    (always, ever), (always_now, ever_now) = ((set.intersection(*s), set.union(*s)) for s in sides)
    if stopped := sorted(always_now - ever):
        told = f"{len(stopped)} weights no longer move in training, such as {stopped[0]}"
        return Row(*what, "fail", told, 0, len(stopped), len(stopped), moved=True)
    if started := sorted(always - ever_now):
        told = f"{len(started)} weights move that did not, such as {started[0]}"
        return Row(*what, "fail", told, len(started), 0, -len(started), moved=True)
    return Row(*what, "pass", f"the same; {len(always)} stand still on both sides" if always else "the same")


def _distinct(side: Sequence[Facts], name: str) -> int:
    return len({one.values[name] for one in side if name in one.values})


def _tokens(group: Group) -> list[Row]:
    """Tokens trained on, where both sides have the seed; other seeds are compared as a noisy quantity."""
    old = {one.cell.seed: one.tokens for one in group.baseline if one.status == "ok"}
    pairs = [
        (one.cell.seed, old[one.cell.seed], one.tokens)
        for one in group.candidate
        if one.status == "ok" and old.get(one.cell.seed) is not None
    ]
    what = (group.variant, group.task, "tokens of a seed")
    for seed, a, b in pairs:
        if a is not None and b != a:
            told = f"seed {seed} trained on {b} tokens, and on {a} in the baseline"
            return [Row(*what, "fail", told, a, b, moved=True)]
    return [Row(*what, "pass", f"the same for {len(pairs)} seeds")] if pairs else []


def _same_rate(a: float | None, b: float | None) -> bool:
    return a == b or (
        a is not None and b is not None and math.isclose(a, b, rel_tol=SAME_RATE, abs_tol=1e-15)
    )


def _phases(schedule: Sequence[Sequence[object]]) -> str:
    return " + ".join(str(len(phase)) for phase in schedule)


def _statuses(cells: Iterable[Facts]) -> str:
    return ", ".join(f"{n} {status}" for status, n in sorted(Counter(one.status for one in cells).items()))


def _why(one: Facts) -> str:
    return " ".join((one.error or "no reason given").split())[:160]
