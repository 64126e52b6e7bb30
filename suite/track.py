"""Tracks: named, versioned bundles of base, tasks, budget and learning rates, read from `tracks/*.yaml`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from suite.errors import UserError, nearest
from suite.record import Recipe

DEFAULT = "default"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    """A frozen part of a track; an unknown key or a value of another type is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RecipePart(Strict):
    """Recipe settings that a track names; what is left out keeps the default of `suite.record.Recipe`."""

    steps: Annotated[int, Field(gt=0)] | None = None
    batch_size: Annotated[int, Field(gt=0)] | None = None
    schedule: Literal["cosine", "constant", "linear"] | None = None
    warmup: Annotated[float, Field(ge=0, le=1)] | None = None
    clip: Positive | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    max_length: Annotated[int, Field(gt=1)] | None = None
    loss_on: Literal["response", "all"] | None = None
    batching: Literal["padded", "packed"] | None = None
    chat_template: bool | None = None
    examples: Annotated[int, Field(gt=0)] | None = None
    tokens: Annotated[int, Field(gt=0)] | None = None

    def given(self) -> dict[str, Any]:
        """The settings that were named."""
        return self.model_dump(exclude_none=True)


class EvaluationPart(Strict):
    """Evaluation settings that a track names; what is left out keeps `suite.record.EvaluationSettings`."""

    limit: Annotated[int, Field(gt=0)] | None = None
    shots: Whole | None = None
    max_new_tokens: Annotated[int, Field(gt=0)] | None = None
    samples: Annotated[int, Field(gt=0)] | None = None
    temperature: Annotated[float, Field(ge=0)] | None = None
    chat_template: bool | None = None

    def given(self) -> dict[str, Any]:
        """The settings that were named."""
        return self.model_dump(exclude_none=True)


class TaskPart(RecipePart):
    """A task of a track: what differs in its recipe, and which evaluations score it if not its own."""

    evaluations: Annotated[list[str], Field(min_length=1)] | None = None

    def given(self) -> dict[str, Any]:
        """The recipe settings that were named."""
        return self.model_dump(exclude_none=True, exclude={"evaluations"})


class ProtocolPart(Strict):
    """How learning rates are tuned: as many rates and seeds for every variant.

    `rates` are neighbours on a grid of `per_decade` points a decade around the documented rate; up to `edge`
    more are tried where the lowest loss lies on the edge.
    """

    rates: Annotated[int, Field(gt=0)] = 7
    per_decade: Annotated[int, Field(gt=0, le=20)] = 4
    edge: Whole = 2
    seeds: Annotated[list[Whole], Field(min_length=1)] = [0, 1, 2]


class Track(Strict):
    """A named, versioned bundle. Numbers are compared only within a track and revision."""

    name: str
    revision: Annotated[int, Field(gt=0)]
    summary: str
    base: str = Field(description="shipped base, model folder or hub id")
    variants: Annotated[
        list[str], Field(min_length=1, description="default variants, as --variants takes them")
    ]
    seeds: Annotated[list[Whole], Field(min_length=1)] = [0]
    needs_data: bool = Field(default=False, description="real data, in place of the embedded world")
    recipe: RecipePart = Field(default=RecipePart(), description="shared by all tasks")
    tasks: Annotated[dict[str, TaskPart], Field(min_length=1, description="task -> what differs for it")]
    on_request: dict[str, TaskPart] = Field(default={}, description="tasks that run only when asked for")
    evaluation: EvaluationPart = Field(default=EvaluationPart(), description="how everything is scored")
    protocol: ProtocolPart = Field(default=ProtocolPart(), description="how learning rates are tuned")
    learning_rates: dict[str, Positive | dict[str, Positive]] = Field(
        description="variant's label -> rate, or task -> rate; 'default' stands for those not listed"
    )

    @model_validator(mode="after")
    def _complete(self) -> Track:
        """Every task has a budget, and every variant and task a learning rate."""
        for task, part in {**self.tasks, **self.on_request}.items():
            if part.steps is None and self.recipe.steps is None:
                raise ValueError(f"task {task!r} has no steps, neither its own nor in `recipe`")
        if DEFAULT not in self.learning_rates:
            raise ValueError("learning_rates needs a 'default' for the variants that it does not list")
        for name, rate in self.learning_rates.items():
            if isinstance(rate, dict) and DEFAULT not in rate and set(self.tasks) - set(rate):
                raise ValueError(f"learning_rates of {name!r} need every task or a 'default'")
        return self

    @property
    def label(self) -> str:
        """What a cell says about its track: 'pocket@1'."""
        return f"{self.name}@{self.revision}"

    def learning_rate(self, variant: str, task: str) -> float:
        """The documented default rate of a variant, by its label ("lora", "peft:ia3"), on a task.

        A task that the rates do not name (own data) gets the lowest of them.
        """
        known = (variant, variant.partition(":")[0], DEFAULT)
        rate = next(self.learning_rates[name] for name in known if name in self.learning_rates)
        return rate.get(task, rate.get(DEFAULT, min(rate.values()))) if isinstance(rate, dict) else rate

    def part(self, name: str, source: str | None = None) -> TaskPart | None:
        """What the track says of a task: of it with this training set, or of the task; None if nothing."""
        every = {**self.tasks, **self.on_request}
        return every.get(f"{name}:{source}", every.get(name))

    def recipe_for(self, name: str, source: str | None = None, **overrides: Any) -> Recipe:
        """The recipe of a task: the track's shared part, then the task's own, then `overrides`."""
        part = self.part(name, source)
        return Recipe(**{**self.recipe.given(), **(part.given() if part else {}), **overrides})


def names() -> list[str]:
    """The tracks that ship with the suite."""
    folder = files("suite").joinpath("tracks")
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


def describe() -> list[tuple[str, str]]:
    """(name, one line) of each track."""
    return [(name, load(name).summary) for name in names()]


def load(name: str) -> Track:
    """A shipped track by name, or any track by the path of its yaml file."""
    if name in names():
        return parse(files("suite").joinpath("tracks", f"{name}.yaml").read_text(encoding="utf-8"), name)
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        return parse(_text(path), name)
    raise UserError(
        f"unknown track {name!r}; did you mean {nearest(name, names())!r}? (of {', '.join(names())})"
    )


def parse(text: str, where: str) -> Track:
    """A track from yaml text; every fault is a UserError that names `where` and the key."""
    try:
        track = Track.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "track"
        raise UserError(f"track {where!r}: {key}: {first['msg']}, got {_short(first['input'])}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        raise UserError(f"track {where!r} is not yaml: {' '.join(str(error).split())}") from None
    return track.model_copy(update={"learning_rates": _by_variant(track.learning_rates, where)})


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        shipped = ", ".join(names())
        raise UserError(f"no track file {str(path)!r}; expected a yaml file or one of {shipped}") from None
    except OSError as error:
        raise UserError(f"track {str(path)!r}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"track {str(path)!r}: not UTF-8 text (byte {error.start})") from None


def _by_variant(rates: dict[str, Any], where: str) -> dict[str, Any]:
    """Learning rates by the variants' own names, where a file may use an alias."""
    from variants.interface import VariantError

    found: dict[str, Any] = {}
    for name, rate in rates.items():
        try:
            own = name if name == DEFAULT else _label(name)
        except VariantError as error:
            raise UserError(f"track {where!r}: learning_rates: {error}") from None
        if own in found:
            raise UserError(f"track {where!r}: learning_rates: {name!r} is {own!r}, which is given twice")
        found[own] = rate
    return found


def _label(name: str) -> str:
    """A label as records have it: aliases resolved, what follows a colon kept."""
    from variants import registry

    head, colon, rest = name.partition(":")
    return registry.get(head).name + colon + rest


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
