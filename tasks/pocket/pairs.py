"""Pairs of known things that differ in one property (WinoGrande's shape).

    {"sentence": "The elephant and the mouse were put on the scale. The _ was heavier.",
     "option1": "elephant", "option2": "mouse", "answer": "1"}

The last words (heavier, lighter) decide; each pair comes with both. A pair of the validation or test
split never occurs in training in that property, its two things do, beside others.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from tasks.pocket.draw import number, rng, split_of, zipf

SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}


class Property(NamedTuple):
    """A scale: sentences that put two things on it, words for its ends, 18 things from high to low."""

    name: str
    scenes: tuple[str, ...]
    high: tuple[str, ...]
    low: tuple[str, ...]
    ranked: str

    @property
    def things(self) -> tuple[str, ...]:
        """From high to low."""
        return tuple(self.ranked.split())


PROPERTIES = (
    Property(
        "weight",
        ("The {a} and the {b} were put on the scale.", "Someone lifted the {a} and then the {b}."),
        ("was heavier", "weighed more"),
        ("was lighter", "weighed less"),
        "truck tractor elephant statue piano anchor barrel goat bicycle"
        " suitcase chair pumpkin mouse button coin ribbon leaf feather",
    ),
    Property(
        "speed",
        ("The {a} raced against the {b}.", "The {a} and the {b} set off at noon."),
        ("was faster", "arrived first"),
        ("was slower", "arrived last"),
        "rocket plane arrow falcon train cheetah bus horse wolf"
        " rabbit dog boat duck cow turtle worm snail slug",
    ),
    Property(
        "heat",
        ("Somebody touched the {a} and the {b}.", "The {a} and the {b} lay side by side."),
        ("was hotter", "felt warm"),
        ("was colder", "felt cool"),
        "lava furnace torch oven stove candle tea soup bread"
        " bath blanket pillow cellar frost snow ice icicle glacier",
    ),
    Property(
        "price",
        ("The shop sold the {a} and the {b}.", "A buyer asked for the {a} and the {b}."),
        ("cost more", "was expensive"),
        ("cost less", "was cheap"),
        "palace castle yacht crown diamond necklace guitar watch carpet"
        " table coat lamp candy apple egg pencil nail match",
    ),
    Property(
        "noise",
        ("At night one could hear the {a} and the {b}.", "The {a} stood near the {b}."),
        ("was louder", "made more noise"),
        ("was quieter", "made less noise"),
        "thunder cannon siren trumpet lion drum parrot violin kettle"
        " door cat clock book moth spider cushion cloud shadow",
    ),
    Property(
        "age",
        ("The museum showed the {a} and the {b}.", "The {a} was kept beside the {b}."),
        ("was older", "came from long ago"),
        ("was newer", "came from our days"),
        "mountain comet fossil mammoth pyramid temple abbey sword scroll"
        " lute windmill carriage camera radio plastic scooter laptop robot",
    ),
)

APART = range(3, 18)  # ranks between the two things of a pair in training
CLOSE = range(2, 10)  # and in an item: neighbours are hard
# How often a thing is spoken of has nothing to do with its rank.
COMMON = {p.name: sorted(p.things, key=lambda thing: number("common", thing)) for p in PROPERTIES}


def _pair(random_: random.Random, split: str, apart: range) -> tuple[Property, str, str]:
    """A property, its higher and its lower thing, `apart` ranks from each other, owned by `split`."""
    while True:
        prop = random_.choice(PROPERTIES)
        things = [zipf(random_, COMMON[prop.name], 6) for _ in range(2)]
        above, below = sorted(things, key=prop.things.index)
        if prop.things.index(below) - prop.things.index(above) not in apart:
            continue
        if split_of(SHARES, "pair", prop.name, above, below) == split:
            return prop, above, below


def _told(random_: random.Random, split: str, apart: range) -> tuple[str, str, str, str]:
    """Scene, thing that the last words fit, the other thing, last words."""
    prop, above, below = _pair(random_, split, apart)
    up = random_.random() < 0.5
    fits, other = (above, below) if up else (below, above)
    first, second = (fits, other) if random_.random() < 0.5 else (other, fits)
    scene = random_.choice(prop.scenes).format(a=first, b=second)
    return scene, fits, other, random_.choice(prop.high if up else prop.low)


def document(random_: random.Random) -> str:
    """A training document: a few pairs, each told with its right thing."""
    told = [_told(random_, "train", APART) for _ in range(random_.randrange(1, 4))]
    return " ".join(f"{scene} The {fits} {words}." for scene, fits, _, words in told)


def items(split: str, count: int) -> list[dict[str, Any]]:
    """`count` distinct items in WinoGrande's columns."""
    random_, seen = rng("pairs", split), {}
    while len(seen) < count:
        scene, fits, other, words = _told(random_, split, CLOSE)
        options = [fits, other]
        random_.shuffle(options)
        row = {
            "sentence": f"{scene} The _ {words}.",
            "option1": options[0],
            "option2": options[1],
            "answer": str(1 + options.index(fits)),
        }
        seen.setdefault(row["sentence"], row)
    return list(seen.values())
