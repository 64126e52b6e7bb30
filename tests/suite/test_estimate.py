"""What a plan will cost: measured where the store has it, and never from a record that does not say."""

from __future__ import annotations

from pathlib import Path

from suite.estimate import estimates
from suite.plan import Request, resolve
from suite.record import Cost
from suite.store import Store
from tests.example_records.make import imported, record


def test_times_that_are_not_known_are_not_averaged(tiny_base: Path, tmp_path: Path) -> None:
    flags = {"variants": "lora:rank=2", "tasks": "math", "seeds": "0,1,2", "steps": "1", "device": "cpu"}
    plan, store = resolve(Request(model=str(tiny_base), **flags)), Store(tmp_path)
    store.write(imported("first", 0.5))
    (rule, *_) = estimates(plan, store, plan.cells)
    assert not rule.measured and rule.seconds > 0
    for cell, seconds in zip(plan.cells, (3.0, 5.0, None), strict=True):
        store.write(record(cell, cost=Cost(train_wall_s=seconds)))
    found = estimates(plan, store, [])
    assert [(one.seconds, one.measured, one.finished) for one in found] == [(4.0, True, True)] * 3
