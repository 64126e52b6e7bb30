"""What `suite doctor` found, as tables for a terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from suite.doctor import Demand, Diagnosis, gib
from suite.words import count

MARKS = {"ok": "[green]ok[/]", "missing": "[bold red]missing[/]", "note": "[dim]note[/]"}


def show(found: Diagnosis, console: Any) -> None:
    """The diagnosis as tables."""
    model = found.model
    console.print(
        f"[bold]{escape(model.name)}[/]: {model.architecture}, {count(model.parameters)} parameters, "
        f"{count(model.embedding)} of them in embeddings{' (tied)' if model.tied else ''}; "
        f"context {model.context or 'not said'}, attention {model.attention}"
    )
    table = Table(box=box.SIMPLE_HEAD, title=f"a step of {found.work}, {found.device}")
    for name in ("variant", "base", "modules", "trainable", "memory", f"of {gib(found.free)} free"):
        table.add_column(name, justify="left" if name == "variant" else "right", overflow="fold")
    for one in found.demands:
        modules = str(sum(one.adapted.values())) if one.adapted else ""
        table.add_row(escape(one.variant), one.precision, modules, count(one.trainable), *_verdict(one))
    console.print(table)
    for layers, names in _by_layers(found).items():
        console.print(f"{escape(', '.join(names))}: {escape(layers)}", highlight=False)
    for one in found.demands:
        if one.error is not None:
            console.print(f"{MARKS['missing']} {escape(one.variant)}: {escape(one.error)}")
    for finding in found.findings:
        console.print(f"{MARKS[finding.state]} {finding.what}: {escape(finding.told)}")


def _by_layers(found: Diagnosis) -> dict[str, list[str]]:
    """What is adapted, in words, and by which variants: "16 x q_proj, k_proj; 1 x lm_head"."""
    same: dict[str, list[str]] = {}
    for one in found.demands:
        times: dict[int, list[str]] = {}
        for leaf, number in one.adapted.items():
            times.setdefault(number, []).append(leaf)
        words = "; ".join(f"{n} x {', '.join(leaves)}" for n, leaves in times.items())
        if words:
            same.setdefault(words, []).append(one.variant)
    return same


def _verdict(one: Demand) -> tuple[str, str]:
    if one.peak is None:
        return "", "[bold red]cannot run[/]"
    told = "[green]fits[/]" if one.fits else f"[yellow]micro-batch {one.micro_batch}[/]"
    return gib(one.peak), told if one.micro_batch else "[bold red]not one row fits[/]"
