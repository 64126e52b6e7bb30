"""Where a record comes from and what its adapter does: the parts that are about a run, not its scores."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Scalar = str | int | float | bool | None


class Fact(BaseModel):
    """A frozen piece of a record; an unknown key is an error.

    A diverged run has a loss of NaN or infinity; JSON has no such number, so they are written as strings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Provenance(Fact):
    """Where and when the numbers were made: never part of a cell's identity.

    Of an imported record: what the source says of its run; `command` is the import.
    """

    created: str | None
    command: str
    device: str | None
    threads: int | None
    versions: dict[str, str]
    commit: str | None = Field(description="of the suite's checkout; the source's code for imported records")
    dirty: bool | None = Field(
        default=None, description="whether tracked files of that checkout had changes; null where not known"
    )
    settings: dict[str, str] = Field(
        default_factory=dict, description="of the worker: what decides whether a run can be repeated in bits"
    )

    @property
    def instant(self) -> datetime | None:
        """`created` in UTC; None where it is not said, or no date of ISO 8601."""
        try:
            found = datetime.fromisoformat(self.created or "")
            return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
        except (ValueError, OverflowError):
            return None


class Overlap(Fact):
    """How much of one evaluation is found, word for word, in a training set (`suite.contamination`).

    An item is looked for by its runs of `n` words. One that is shorter is looked for as a whole.
    """

    evaluation: str
    n: int = Field(description="words of a run, from the lengths of the items (8 to 13)")
    items: int = Field(description="items looked for")
    short: int = Field(description="of these, items shorter than `n` words")
    found: int = Field(description="items of which any run is in the training set")
    mostly: int = Field(description="items of which at least 70 % of the runs are")
    grams: int = Field(description="different runs of all items, without those that a tenth of them share")
    grams_found: int = Field(description="of these, runs that are in the training set")
    examples: list[str] = Field(default_factory=list, description="ids of up to three, most found first")

    @property
    def share(self) -> float:
        """Share of the items of which anything was found."""
        return self.found / self.items if self.items else 0.0

    @property
    def share_of_grams(self) -> float:
        """Share of the runs that were found."""
        return self.grams_found / self.grams if self.grams else 0.0


class DeltaRank(Fact):
    """Of how many directions a weight change consists, by its singular values (`suite.spectrum`)."""

    numeric: int = Field(ge=0, description="singular values above float32's eps * max(m, n) * the largest")
    stable: float = Field(
        ge=0, allow_inf_nan=False, description="squared Frobenius norm / squared largest singular value"
    )
    ninety: int = Field(ge=0, description="singular values that hold 90 % of the squared Frobenius norm")
    full: int = Field(gt=0, description="the most that there can be: min(m, n)")


class Effect(Fact):
    """That an adapter does something: how far it moves logits on fixed text, and how large its deltas are.

    `ranks` came later: a record of schema 4 that was made before has none, and is read as one without.
    """

    text_digest: str = Field(description="of the token ids that the logits were computed on")
    from_base: float = Field(description="largest absolute change of a logit against the untouched base")
    from_start: float = Field(description="the same against the adapter before training")
    delta_norms: dict[str, float] = Field(description="weight name -> Frobenius norm of its delta")
    ranks: dict[str, DeltaRank] = Field(
        default_factory=dict, description="weight name -> ranks of its delta; of matrices only"
    )
    reload_error: float | None = Field(
        description="largest absolute logit difference of the saved and reloaded adapter; null if it "
        "did not fit into memory"
    )

    @property
    def delta_norm(self) -> float:
        """Frobenius norm of all deltas together."""
        return math.sqrt(math.fsum(norm * norm for norm in self.delta_norms.values()))


class Source(Fact):
    """Where a record comes from that was not trained here, and everything that the source says.

    `fields` holds every scalar fact of the source verbatim, by its place in it (a JSON pointer, RFC 6901).
    A number that JSON has no word for (NaN, infinity, more than 64 bits) is kept as text.
    """

    kind: Literal["imported", "evaluated"] = Field(
        description="'imported': trained and scored elsewhere; 'evaluated': trained elsewhere, scored here"
    )
    origin: str = Field(description="project and folder, or the place, that it comes from")
    label: str | None = Field(default=None, description="what the source calls the run")
    commit: str | None = Field(default=None, description="commit of the code that made it")
    file: str | None = Field(default=None, description="name of the file or folder")
    sha256: str | None = Field(default=None, description="of that file, 64 hex digits")
    fields: dict[str, Scalar] = Field(default_factory=dict)
    notes: dict[str, str] = Field(
        default_factory=dict, description="what a field means that could be taken for a measure of ours"
    )
