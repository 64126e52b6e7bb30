"""`model-index`: the scores of a cell as front matter of its model card, <record id>/README.md.

`suite export` writes the whole card beside the weights; this is for those that lie elsewhere already. The
format has no place for an interval: what seeds and items leave open stays with the board.
"""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from suite.card import metadata
from suite.export import hub_id
from suite.exports.models import Model

_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the same text, ten times as fast
_WIDE = 1 << 20  # one value a line


def files(models: Sequence[Model]) -> dict[str, str]:
    """One card's front matter a cell, by its path."""
    found = {}
    for record in sorted((record for model in models for record in model.cells), key=lambda one: one.id):
        content = metadata(record, None, hub_id(record.cell.base.name)).to_dict()
        text = yaml.dump(content, Dumper=_DUMPER, sort_keys=False, width=_WIDE)
        found[f"{record.id}/README.md"] = f"---\n{text}---\n"
    return found
