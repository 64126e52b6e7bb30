"""One record for a reader: `suite show`."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from rich.console import Group
from rich.table import Table
from rich.text import Text

from suite.errors import UserError, nearest
from suite.record import Record, Scores
from suite.store import Store
from suite.words import count, duration, points, recipe_line


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
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path} is no record: {place}: {first['msg']}") from None


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
        ("learning rate", f"{cell.learning_rate:g}"),
        ("seed", str(cell.seed)),
        ("trainable", f"{count(record.trainable_parameters)} of {count(record.total_parameters)} parameters"),
        *_losses(record),
        *_costs(record),
        ("made", f"{record.provenance.created} on {record.provenance.device}"),
        ("command", record.provenance.command),
    ]:
        facts.add_row(Text(name, style="dim"), Text(value))
    return Group(facts) if record.before is None else Group(facts, "", _scores(record, record.before))


def _losses(record: Record) -> list[tuple[str, str]]:
    if not record.curve:
        return []
    return [("training loss", f"{record.curve[0].loss:.3f} -> {record.curve[-1].loss:.3f} nats per token")]


def _costs(record: Record) -> list[tuple[str, str]]:
    cost = record.cost
    if cost is None:
        return []
    train = (
        f"{duration(cost.train_wall_s)} ({duration(cost.train_cpu_s)} of CPU), {count(cost.tokens)} tokens"
    )
    rows = [("training", train), ("scoring", duration(cost.evaluate_wall_s))]
    if cost.peak_memory_bytes is not None:
        rows.append(("peak memory", f"{cost.peak_memory_bytes / 2**20:.1f} MiB ({cost.memory_method})"))
    return rows


def _scores(record: Record, before: Scores) -> Table:
    """Before, after and the change of everything measured. Points are after minus before here."""
    after = record.after
    table = Table()
    table.add_column("measured")
    for name in ("items", "before", "after", "change"):
        table.add_column(name, justify="right")
    for kind in ("target", "general"):
        for name, score in getattr(before, kind).items():
            scored = getattr(after, kind).get(name) if after else None
            new = scored.value if scored else None
            change = None if new is None else 100 * (new - score.value)
            row = (f"{100 * score.value:.1f}", "-" if new is None else f"{100 * new:.1f}", points(change))
            table.add_row(f"{name} ({score.metric})", str(score.n), *row)
    for split, loss in before.log_loss.items():
        table.add_row(f"{split} loss", "", *_numbers(loss, after.log_loss.get(split) if after else None))
    if before.bits_per_byte is not None:
        now = after.bits_per_byte if after else None
        table.add_row("bits per byte", "", *_numbers(before.bits_per_byte, now))
    return table


def _numbers(old: float, new: float | None) -> tuple[str, str, str]:
    if new is None:
        return f"{old:.3f}", "-", "-"
    return f"{old:.3f}", f"{new:.3f}", f"{new - old:+.3f}"
