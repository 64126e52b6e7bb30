"""One record for a reader: `suite show`."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from statistics import median

from pydantic import ValidationError
from rich.console import Group
from rich.table import Table
from rich.text import Text

from suite.comparable import recipe_hash
from suite.errors import UserError, nearest
from suite.record import Effect, Latency, Record, Score, Scores
from suite.store import Store, reason
from suite.words import ABSENT, count, duration, points, rate, recipe_line, score, seeds_line


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
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return Record.model_validate_json(file.read().decode())
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
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
        ("recipe hash", recipe_hash(cell) or ABSENT),
        ("learning rate", rate(cell.learning_rate)),
        ("seed", seeds_line(cell)),
        ("trainable", f"{count(record.trainable_parameters)} of {count(record.total_parameters)} parameters"),
        *_losses(record),
        *_effects(record),
        *_costs(record),
        *_overlaps(record),
        ("made", f"{record.provenance.created or ABSENT} on {record.provenance.device or ABSENT}"),
        *_code(record),
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
    speed = "" if cost.tokens_per_s is None else f", {count(round(cost.tokens_per_s))} tokens/s"
    beside = f" beside {cost.pack - 1} more" if cost.pack is not None and cost.pack > 1 else ""
    train = f"{duration(cost.train_wall_s)}{beside}{cpu}, {count(cost.tokens)} tokens{speed}"
    rows = [("training", train), ("scoring", duration(cost.evaluate_wall_s))]
    if cost.start_s is not None:
        rows.append(("start", f"{cost.start_s:.2g} s"))
    if cost.peak_memory_bytes is not None:
        method = cost.memory_method or "method not known"
        reserved = cost.reserved_memory_bytes
        held = "" if reserved is None else f", {reserved / 2**20:.1f} MiB reserved"
        rows.append(("peak memory", f"{cost.peak_memory_bytes / 2**20:.1f} MiB ({method}){held}"))
    if one := cost.flops:
        told = f"{one.forward / 1e9:.3g} GFLOP forward, {one.backward / 1e9:.3g} backward"
        rows.append(("a step", f"{told}, {one.per_token / 1e6:.3g} MFLOP a token"))
    if cost.adapter_bytes is not None:
        rows.append(("exported", f"{cost.adapter_bytes / 2**20:.2f} MiB of weights"))
    return rows if cost.latency is None else [*rows, *_inference(cost.latency)]


def _inference(latency: Latency) -> list[tuple[str, str]]:
    """Milliseconds of a forward, with the adapter beside the base, merged into it, and without."""
    merged, rows = latency.merged, []
    for name, of in (
        (f"{latency.tokens} tokens in", lambda times: times.prompt_ms),
        ("one token in", lambda times: times.token_ms),
    ):
        inside = "not merged" if merged is None else f"{of(merged):.3g} merged"
        rows.append((name, f"{of(latency.adapter):.3g} ms, {inside}, {of(latency.base):.3g} the base alone"))
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
            *_ranks(effect),
            ("reloaded", "not tried" if error is None else f"logits agree to {error:.2g}"),
        ]
    return rows if record.weights is None else [*rows, ("weights", f"SHA-256 {record.weights}...")]


def _ranks(effect: Effect) -> list[tuple[str, str]]:
    """The median over the deltas of each rank, and of `ninety` as a share of what the weight could have."""
    ranks = effect.ranks.values()
    if not ranks:
        return []
    numeric, ninety, stable, share = (
        median(values)
        for values in (
            [one.numeric for one in ranks],
            [one.ninety for one in ranks],
            [one.stable for one in ranks],
            [one.ninety / one.full for one in ranks],
        )
    )
    held = f"{ninety:g} hold 90 % ({100 * share:.2g} % of full rank)"
    return [("rank of deltas", f"{numeric:g} in the median, of which {held}; stable rank {stable:.3g}")]


def _overlaps(record: Record) -> list[tuple[str, str]]:
    """What of each evaluation stands in the training set; those of which nothing does are one row."""
    clean = [one.evaluation for one in record.contamination if not one.found]
    rows = []
    for one in record.contamination:
        if one.found:
            some = f"{one.found} of {one.items} items share a run of {one.n} words, {one.mostly} nearly all"
            told = f"{some}; such as {', '.join(one.examples)}"
            rows.append((f"{one.evaluation} in training", told))
    return [*rows, *([("not in training", ", ".join(clean))] if clean else [])]


def _code(record: Record) -> list[tuple[str, str]]:
    """The commit, and whether the checkout had changes."""
    made = record.provenance
    if made.commit is None or record.source is not None:
        return []
    return [("suite", made.commit + (" with changes" if made.dirty else ""))]


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
