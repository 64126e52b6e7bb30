"""What a board's tuned rows scored, in the formats of others: one archive a board and format.

    exports/eee-<board>.zip            Every Eval Ever, one JSON file a row and task, in its folders
    exports/model-index-<board>.zip    front matter of a model card, one a cell
    exports/hub-<board>.zip            `.eval_results/*.yaml`, where the hub has an evaluation as a benchmark

Rows whose rate was not searched for are no results for the boards of others; `suite export-results` writes
them too.
"""

from __future__ import annotations

import io
import zipfile

from leaderboard.files import Files
from leaderboard.site import BoardView, Site
from suite.exports import FORMATS, Model, models

FOLDER = "exports"
TITLES = {"eee": "Every Eval Ever", "model-index": "model-index", "hub": "the hub's .eval_results"}
README = "README.txt"
_DAY = (1980, 1, 1, 0, 0, 0)  # of every file in an archive: the earliest that a zip can say


def path(board: str, form: str) -> str:
    """Where the archive of a board (by its id) lies in the site."""
    return f"{FOLDER}/{form}-{board}.zip"


def offered(view: BoardView) -> list[tuple[str, str]]:
    """(what a reader calls the format, path of its archive) of a board; empty where nothing was tuned."""
    return [(TITLES[form], path(view.id, form)) for form in _forms(_tuned(view))]


def write(files: Files, site: Site) -> None:
    """Every archive that is offered."""
    for view in site.boards:
        found = _tuned(view)
        for form in _forms(found):
            files.bytes(path(view.id, form), _archive(view, form, FORMATS[form](found)))


def _tuned(view: BoardView) -> list[Model]:
    known = {entry.record.id: entry.record for row in view.rows for entry in row.entries}
    rows = [row.place.row for row in view.rows if row.place.row.kind == "tuned"]
    return models(view.standings.board, known, rows)


def _forms(found: list[Model]) -> list[str]:
    """Formats of which there is something: the hub's needs an evaluation that the hub knows."""
    return [form for form in FORMATS if found and (form != "hub" or FORMATS[form](found))]


def _archive(view: BoardView, form: str, texts: dict[str, str]) -> bytes:
    """A zip with the same bytes for the same texts."""
    told = f"{TITLES[form]}: {len(texts)} files of the tuned rows of {view.title}, written by lora-suite.\n"
    whole = {README: told, **texts}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, text in whole.items():
            entry = zipfile.ZipInfo(name, _DAY)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # as made on Unix, wherever it is made
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text.encode("utf-8", "replace"))
    return stream.getvalue()
