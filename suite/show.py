"""One record for a reader: `suite show`."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from rich.console import Group
from rich.table import Table
from rich.text import Text

from suite.errors import UserError, nearest
from suite.record import Record, Score, Scores
from suite.store import Store, reason
from suite.words import ABSENT, count, duration, points, rate, recipe_line, score


def find(name: str, store: Path) -> Record:
    """The record of a file, or of the cell in `store` whose id begins with `name`."""
    path = Path(name)
    if path.is_file():
        return _read(path)
    if path.suffix == ".json" or "/" in name:
        raise UserError(f"no record file {name!r}; expected a file, or the beginning of a record's id")
    known = [record.id for record in Store(store).records()]
    matches = [one for one in known if name and one.startswith(name)]
    if len(matches) == 1:
        return Store(store).read(matches[0])
    if matches:
        raise UserError(f"record {name!r} is ambiguous: {', '.join(matches[:5])}; give more of the id")
    hint = f"; did you mean {nearest(name, known)!r}?" if known else ""
    raise UserError(f"no record {name!r} among the {len(known)} of store {str(store)!r}{hint}")


def _read(path: Path) -> Record:
    try:
        return Record.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    except ValidationError as error:
        raise UserError(f"{path} is no record: {reason(error)}") from None


def view(record: Record) -> Group:
    """What a reader wants to know of one record."""
    cell = record.cell
    settings = ", ".join(f"{key}={value}" for key, value in cell.variant.settings.items())
    facts = Table.grid(padding=(0, 2))
    for name, value in [
        ("record", record.id),
        ("status", record.status if record.error is None else f"{record.status}: {record.error}"),
        ("track", f"{cell.track} on {cell.base.name} ({cell.base.digest})"),
        ("variant", f"{cell.variant.name} ({settings})" if settings else cell.variant.name),
        ("task", f"{cell.task.name} ({cell.task.source}, {cell.task.digest})"),
        ("recipe", recipe_line(cell.recipe)),
        ("learning rate", rate(cell.learning_rate)),
        ("seed", ABSENT if cell.seed is None else str(cell.seed)),
        ("trainable", f"{count(record.trainable_parameters)} of {count(record.total_parameters)} parameters"),
        *_losses(record),
        *_effects(record),
        *_costs(record),
        ("made", f"{record.provenance.created or ABSENT} on {record.provenance.device or ABSENT}"),
        ("command", record.provenance.command),
        *[("note", note) for note in record.notes],
        *[("data", f"{file}, SHA-256 {sha[:16]}...") for file, sha in record.data.items()],
        *_sources(record),
    ]:
        facts.add_row(Text(name, style="dim"), Text(value))
    measured = record.before or record.after
    return Group(facts) if measured is None else Group(facts, "", _scores(record, measured))


def _losses(record: Record) -> list[tuple[str, str]]:
    if not record.curve:
        return []
    return [("training loss", f"{record.curve[0].loss:.3f} -> {record.curve[-1].loss:.3f} nats per token")]


def _costs(record: Record) -> list[tuple[str, str]]:
    cost = record.cost
    if cost is None:
        return []
    cpu = "" if cost.train_cpu_s is None else f" ({duration(cost.train_cpu_s)} of CPU)"
    train = f"{duration(cost.train_wall_s)}{cpu}, {count(cost.tokens)} tokens"
    rows = [("training", train), ("scoring", duration(cost.evaluate_wall_s))]
    if cost.peak_memory_bytes is not None:
        method = cost.memory_method or "method not known"
        rows.append(("peak memory", f"{cost.peak_memory_bytes / 2**20:.1f} MiB ({method})"))
    return rows


def _effects(record: Record) -> list[tuple[str, str]]:
    """How far the adapter moves the logits, and which file holds it."""
    rows = []
    if effect := record.effect:
        moved = f"{effect.from_base:.3g} from the base, {effect.from_start:.3g} from the start"
        deltas = f"{effect.delta_norm:.3g} over {len(effect.delta_norms)} weights"
        error = effect.reload_error
        rows = [
            ("effect", f"logits move by up to {moved}"),
            ("norm of deltas", deltas),
            ("reloaded", "not tried" if error is None else f"logits agree to {error:.2g}"),
        ]
    return rows if record.weights is None else [*rows, ("weights", f"SHA-256 {record.weights}...")]


def _sources(record: Record) -> list[tuple[str, str]]:
    """Where a record comes from that was not trained here, and what could be taken for a measure of ours."""
    source = record.source
    if source is None:
        return []
    rows = [("source", f"{source.kind}: {source.label or ABSENT}, from {source.origin}")]
    if source.file is not None:
        rows.append(("source file", source.file))
    if source.sha256 is not None:
        rows.append(("its SHA-256", source.sha256))
    if source.commit is not None:
        rows.append(("its commit", source.commit))
    for place, note in source.notes.items():
        rows.append((f"its {place.rpartition('/')[2]}", f"{source.fields.get(place)} ({note})"))
    return [*rows, ("its facts", f"{len(source.fields)}, word for word in the record file")]


def _scores(record: Record, measured: Scores) -> Table:
    """Before, after and the change of everything `measured`. Points are after minus before here."""
    before, after = record.before, record.after
    table = Table()
    table.add_column("measured")
    for name in ("items", "before", "after", "change"):
        table.add_column(name, justify="right")
    for kind in ("target", "general"):
        for name, one in getattr(measured, kind).items():
            old, new = (
                _points(getattr(scores, kind).get(name)) if scores else None for scores in (before, after)
            )
            change = None if old is None or new is None else new - old
            items = ABSENT if one.n is None else str(one.n)
            table.add_row(Text(f"{name} ({one.metric})"), items, score(old), score(new), points(change))
    for split in measured.log_loss:
        losses = (scores.log_loss.get(split) if scores else None for scores in (before, after))
        table.add_row(Text(f"{split} loss"), "", *_numbers(*losses))
    if measured.bits_per_byte is not None:
        bits = (scores.bits_per_byte if scores else None for scores in (before, after))
        table.add_row("bits per byte", "", *_numbers(*bits))
    return table


def _points(score: Score | None) -> float | None:
    return None if score is None else 100 * score.value


def _numbers(old: float | None, new: float | None) -> tuple[str, str, str]:
    change = ABSENT if old is None or new is None else f"{new - old:+.3f}"
    return _loss(old), _loss(new), change


def _loss(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3f}"
