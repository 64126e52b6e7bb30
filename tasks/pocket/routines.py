"""Routines: two people, each busy with an ordered chore and a thing of their own (HellaSwag's shape).

    {"activity_label": "Making tea and painting a fence",
     "ctx_a": "Mara fills the kettle from Rome with water. Tom brushes the dirt off the fence from Oslo.",
     "ctx_b": "", "label": "2", "endings": ["Mara puts the kettle from Oslo on the stove.", ...]}

To choose the ending one needs the order of the chore, whose turn it is, and where whose thing is from.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from tasks.pocket.draw import rng, split_of, zipf
from tasks.pocket.names import PEOPLE, PLACES

SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}

SWAPPED = 0.7  # share of items with the right step on a thing from the other person's place


class Routine(NamedTuple):
    """A chore: label, the thing it is done with, its steps in order ({o} is the thing)."""

    label: str
    thing: str
    steps: tuple[str, ...]


ROUTINES = tuple(
    Routine(label, thing, tuple(steps.split("; ")))
    for label, thing, steps in (
        (
            "making tea",
            "kettle",
            "fills {o} with water; puts {o} on the stove; waits until {o} sings;"
            " takes {o} off the fire; pours the tea from {o}; rinses {o} and sits down",
        ),
        (
            "painting",
            "fence",
            "brushes the dirt off {o}; opens a tin of paint; paints the top of {o};"
            " paints the foot of {o}; lets {o} dry in the sun; washes the brush",
        ),
        (
            "mending",
            "shirt",
            "finds a hole in {o}; threads a needle; sews a patch on {o};"
            " cuts the thread; irons {o}; hangs {o} in the wardrobe",
        ),
        (
            "planting",
            "pot",
            "fills {o} with soil; makes a hole in the soil; drops a seed into {o};"
            " covers the seed; waters {o}; sets {o} on the window sill",
        ),
        (
            "sending a letter",
            "envelope",
            "writes a page; folds the page; slips the page into {o};"
            " glues {o} shut; sticks a stamp on {o}; throws {o} into the post box",
        ),
        (
            "baking",
            "bowl",
            "breaks two eggs into {o}; adds sugar to {o}; stirs the dough in {o};"
            " heats the oven; empties {o} into a tin; licks {o} clean",
        ),
        (
            "fishing",
            "rod",
            "digs for worms; carries {o} to the lake; ties a hook to {o};"
            " swings {o} over the water; pulls in a fish with {o}; walks home with {o}",
        ),
        (
            "washing",
            "car",
            "fetches a bucket; wets {o} all over; rubs {o} with soap;"
            " rinses {o} with the hose; dries {o} with a cloth; parks {o} in the shade",
        ),
        (
            "riding",
            "bicycle",
            "pumps up the wheels of {o}; puts on a helmet; rolls {o} to the road;"
            " rides {o} up the hill; leans {o} on a wall; locks {o} with a chain",
        ),
        (
            "camping",
            "tent",
            "looks for flat ground; unrolls {o}; lifts the poles of {o};"
            " ties down {o}; lights a fire near {o}; crawls into {o} to sleep",
        ),
        (
            "flying",
            "kite",
            "unwinds the string of {o}; runs into the wind; throws {o} up;"
            " lets {o} climb; pulls {o} down again; folds {o} for the way home",
        ),
        (
            "reading",
            "book",
            "takes {o} from the shelf; sits by the lamp; opens {o};"
            " turns the pages of {o}; lays a ribbon into {o}; brings {o} back to the shelf",
        ),
        (
            "feeding",
            "dog",
            "whistles for {o}; opens a can; fills the bowl of {o};"
            " watches {o} eat; brushes {o}; takes {o} for a walk",
        ),
        (
            "building",
            "shed",
            "draws a plan of {o}; saws the boards; nails the walls of {o};"
            " lays the roof of {o}; hangs the door of {o}; puts the tools into {o}",
        ),
        (
            "sailing",
            "boat",
            "pushes {o} into the water; climbs into {o}; sets the sail of {o};"
            " steers {o} round the island; takes down the sail; ties {o} to the pier",
        ),
        (
            "wrapping",
            "box",
            "places a gift in {o}; closes the lid of {o}; cuts some paper;"
            " folds the paper around {o}; ties a bow on {o}; hides {o} under the bed",
        ),
        (
            "tuning",
            "guitar",
            "lifts {o} out of its case; plucks a string of {o}; listens closely;"
            " turns a peg of {o}; plays a song on {o}; puts {o} back in its case",
        ),
        (
            "picking fruit",
            "basket",
            "carries {o} to the orchard; climbs a ladder; lays ripe plums in {o};"
            " climbs down with {o}; weighs {o}; sells the plums from {o}",
        ),
        (
            "cleaning",
            "carpet",
            "rolls up {o}; drags {o} outside; hangs {o} over a rail;"
            " beats the dust out of {o}; carries {o} in; spreads {o} on the floor",
        ),
        (
            "skating",
            "sledge",
            "puts on warm gloves; pulls {o} up the slope; sits down on {o};"
            " slides down on {o}; shakes the snow off {o}; stores {o} in the barn",
        ),
    )
)


class Plot(NamedTuple):
    """One person with a chore, and where the thing is from."""

    person: str
    routine: int
    place: str

    def step(self, k: int, place: str | None = None, routine: int | None = None) -> str:
        """Sentence of step k, with another place or chore where given."""
        chore = ROUTINES[self.routine if routine is None else routine]
        return f"{self.person} {chore.steps[k].format(o=f'the {chore.thing} from {place or self.place}')}."


def _plots(random_: random.Random, split: str) -> tuple[Plot, Plot]:
    """Two plots of `split`; the places and people differ, the chore may be the same."""
    while True:
        people, places = random_.sample(PEOPLE, 2), random_.sample(PLACES, 2)
        chores = [zipf(random_, range(len(ROUTINES)), 6) for _ in range(2)]
        plots = [Plot(p, r, c) for p, r, c in zip(people, chores, places, strict=True)]
        if all(split_of(SHARES, "routine", *plot) == split for plot in plots):
            return plots[0], plots[1]


def _label(first: Plot, second: Plot) -> str:
    labels = list(dict.fromkeys(ROUTINES[p.routine].label for p in (first, second)))
    return " and ".join(labels).capitalize()


def _interleaved(random_: random.Random, plots: tuple[Plot, Plot], lengths: tuple[int, int]) -> list[str]:
    """Sentences of both plots up to `lengths`, in a random order that keeps each plot's own."""
    turns = [0] * lengths[0] + [1] * lengths[1]
    random_.shuffle(turns)
    done = [0, 0]
    sentences = []
    for who in turns:
        sentences.append(plots[who].step(done[who]))
        done[who] += 1
    return sentences


def story(random_: random.Random) -> str:
    """A training document: one person's routine, or two interleaved, of the train split only."""
    first, second = _plots(random_, "train")
    if random_.random() < 0.25:  # one person alone
        return f"{_label(first, first)}: {' '.join(first.step(k) for k in range(6))}"
    return f"{_label(first, second)}: {' '.join(_interleaved(random_, (first, second), (6, 6)))}"


def item(random_: random.Random, split: str) -> dict[str, Any]:
    """A held-out item in HellaSwag's columns."""
    plots = _plots(random_, split)
    hero, other = plots
    own, others = random_.randrange(1, 6), random_.randrange(1, 6)
    context = _interleaved(random_, plots, (own, others))
    right = hero.step(own)
    swapped = hero.step(own, place=other.place)
    behind = hero.step(random_.randrange(own))
    ahead = [hero.step(k) for k in range(own + 1, 6)]
    strays = [r for r in range(len(ROUTINES)) if r not in (hero.routine, other.routine)]
    stray = other.routine if other.routine != hero.routine else random_.choice(strays)
    foreign = hero.step(min(others, 5), routine=stray)
    wrong = [random_.choice(ahead) if ahead else foreign, behind]
    wrong.append(swapped if random_.random() < SWAPPED else foreign)
    wrong = list(dict.fromkeys(w for w in wrong if w != right))
    while len(wrong) < 3:
        extra = hero.step(random_.randrange(6), routine=random_.choice(strays))
        if extra not in wrong:
            wrong.append(extra)
    endings = [right, *wrong]
    random_.shuffle(endings)
    return {
        "activity_label": _label(hero, other),
        "ctx_a": " ".join(context),
        "ctx_b": "",
        "endings": endings,
        "label": str(endings.index(right)),
    }


def items(split: str, count: int) -> list[dict[str, Any]]:
    """`count` distinct held-out items of one split."""
    random_, seen = rng("routines", split), {}
    while len(seen) < count:
        row = item(random_, split)
        seen.setdefault((row["ctx_a"], *sorted(row["endings"])), row)
    return list(seen.values())
