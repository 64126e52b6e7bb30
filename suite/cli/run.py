"""`suite run` and `suite eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.app import (
    DeviceOption,
    ModelOption,
    StoreOption,
    TasksOption,
    TrackOption,
    WorkersOption,
    app,
    broken_plugins,
    command_line,
    execute,
    finish,
    one_line_errors,
    stoppable,
    writable,
)

if TYPE_CHECKING:
    from rich.console import Console

    from suite.plan import Plan
    from suite.request import Request
    from suite.run import Outcome
    from suite.store import Store

DataOption = Annotated[
    list[str] | None,
    typer.Option(help="Folder with real data in hub columns, or a .jsonl file of your own; may be repeated."),
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Never reach for the network.")]
LimitOption = Annotated[str | None, typer.Option(help="Score only the first items of each evaluation.")]
ShotsOption = Annotated[str | None, typer.Option(help="Examples shown, in place of each task's own number.")]
NewTokensOption = Annotated[
    str | None, typer.Option("--max-new-tokens", help="Longest answer, in place of each task's own.")
]
SamplesOption = Annotated[str | None, typer.Option(help="Answers per item that runs code, for pass@k.")]
TemperatureOption = Annotated[str | None, typer.Option(help="Of those answers.")]
DataSeedOption = Annotated[
    str | None, typer.Option("--data-seed", help="Of the data order, in place of the cell's seed.")
]
AdapterSeedOption = Annotated[
    str | None, typer.Option("--adapter-seed", help="Of the adapter's start, in place of the cell's seed.")
]
SamplingSeedOption = Annotated[str | None, typer.Option("--sampling-seed", help="Of those answers.")]
ChatOption = Annotated[
    bool, typer.Option("--chat-template", help="Prompts go through the model's chat template.")
]
PrecisionOption = Annotated[str | None, typer.Option(help="float32, bfloat16 or mixed.")]
AttentionOption = Annotated[str | None, typer.Option(help="sdpa, eager or flash_attention_2.")]


@app.command()
def run(
    variants: Annotated[str | None, typer.Option(help="Such as lora:rank=8,alpha=16,pissa,lori.")] = None,
    tasks: TasksOption = None,
    track: TrackOption = None,
    model: ModelOption = None,
    data: DataOption = None,
    offline: OfflineOption = False,
    seeds: Annotated[str | None, typer.Option(help="Such as 0,1,2.")] = None,
    data_seed: DataSeedOption = None,
    adapter_seed: AdapterSeedOption = None,
    lr: Annotated[
        str | None, typer.Option(help="Learning rates in place of the track's, such as 1e-3,5e-3.")
    ] = None,
    tune: Annotated[
        bool,
        typer.Option("--tune", help="Try the track's grid of rates with its seeds; choose on validation."),
    ] = False,
    steps: Annotated[str | None, typer.Option(help="Training steps in place of the track's.")] = None,
    examples: Annotated[str | None, typer.Option(help="Train on the first examples only.")] = None,
    tokens: Annotated[str | None, typer.Option(help="Train on the first tokens only.")] = None,
    batching: Annotated[str | None, typer.Option(help="padded or packed.")] = None,
    precision: PrecisionOption = None,
    chat_template: ChatOption = False,
    limit: LimitOption = None,
    shots: ShotsOption = None,
    max_new_tokens: NewTokensOption = None,
    samples: SamplesOption = None,
    temperature: TemperatureOption = None,
    sampling_seed: SamplingSeedOption = None,
    store: StoreOption = Path("results"),
    device: DeviceOption = "auto",
    workers: WorkersOption = None,
    micro_batch: Annotated[
        str | None, typer.Option("--micro-batch", help="Rows of one forward; halved when memory runs out.")
    ] = None,
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Recompute activations: slower, less memory.")
    ] = False,
    attention: AttentionOption = None,
    weights: Annotated[
        bool, typer.Option("--weights/--no-weights", help="Keep trained weights in the store, for export.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the cells and their cost; write nothing.")
    ] = False,
) -> None:
    """Fine-tune, score before and after, keep one record per cell, write the leaderboard page."""
    given = dict(locals())
    from rich.console import Console

    console = Console()
    with stoppable(store), one_line_errors():
        request = request_of(given)
        from suite.engines.local import default_workers
        from suite.plan import resolve
        from suite.request import counted

        place = writable(store)
        count = counted("--workers", workers)
        plan = resolve(request)
        for line in broken_plugins():
            typer.echo(f"broken plugin: {line}", err=True)
        count = count or default_workers(plan.setup.device)
        if dry_run:
            _show_plan(plan, place, count, console)
        else:
            finish(_run(plan, place, count, weights), place, console)


@app.command("eval")
def eval_(
    folder: Annotated[str, typer.Argument(help="A PEFT folder or a plain model folder, safetensors only.")],
    model: Annotated[
        str | None, typer.Option(help="The base; the track's for an adapter if not given.")
    ] = None,
    tasks: TasksOption = None,
    track: TrackOption = None,
    data: DataOption = None,
    offline: OfflineOption = False,
    precision: PrecisionOption = None,
    chat_template: ChatOption = False,
    limit: LimitOption = None,
    shots: ShotsOption = None,
    max_new_tokens: NewTokensOption = None,
    samples: SamplesOption = None,
    temperature: TemperatureOption = None,
    sampling_seed: SamplingSeedOption = None,
    store: StoreOption = Path("results"),
    engine: Annotated[str | None, typer.Option(help="What generates: transformers or vllm.")] = None,
    device: DeviceOption = "auto",
    workers: WorkersOption = None,
    attention: AttentionOption = None,
) -> None:
    """Score a folder that was not trained here, and keep one record per task."""
    given = dict(locals())
    from rich.console import Console

    with stoppable(store), one_line_errors():
        request = request_of(given)
        from suite.engines.local import default_workers
        from suite.outside import resolve
        from suite.request import counted
        from suite.run import Runner

        place = writable(store)
        count = counted("--workers", workers)
        found = resolve(folder, request)
        runner = Runner(found.plan, place, command_line(), found.make)
        count = count or default_workers(found.plan.setup.device)
        finish(execute(runner, found.plan, count), place, Console())


def request_of(given: dict[str, object]) -> Request:
    """The flags that say what is run; without a network where that was asked for, before anything loads."""
    from dataclasses import fields

    if given.get("offline"):
        from suite.offline import go_offline

        go_offline()
    from suite.request import Request

    known = {field.name for field in fields(Request)}
    found = {name: value for name, value in given.items() if name in known}
    data = found.pop("data", None) or []
    return Request(**found, data=tuple(data))  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


def _run(plan: Plan, store: Store, workers: int, weights: bool) -> Outcome:
    """All rounds of a plan. Where cells were lost, the same command goes on from there."""
    from suite.protocol import found, rounds, spare
    from suite.run import Outcome, Runner
    from suite.weights import FOLDER, discard

    total = Outcome()
    for number, one in enumerate(rounds(plan, store)):
        runner = Runner(one.plan, store, command_line(), weights=weights)
        outcome = execute(runner, one.plan, workers, one.title, one.scored)
        total.skipped += outcome.skipped if number == 0 else 0
        total.lost |= outcome.lost
    if plan.searches and not total.lost:
        discard(store.path / FOLDER, spare(plan, store))
    total.records = found(plan, store)
    return total


def _show_plan(plan: Plan, store: Store, workers: int, console: Console) -> None:
    from suite.estimate import estimates, table
    from suite.run import unfinished

    console.print(table(estimates(plan, store, unfinished(plan, store)), workers))
    if plan.searches:
        more = f"up to {plan.edge} rates beyond a grid whose best is at its edge, then " if plan.edge else ""
        typer.echo(f"These are trials. After them: {more}test for the winners and documented rates.")
