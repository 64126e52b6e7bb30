"""The command line. What is heavy is imported inside the commands: `suite --help` answers at once."""

from suite.cli import compare, gate, look, rates, records, run, table, verify, work
from suite.cli.app import app

__all__ = ["app", "compare", "gate", "look", "main", "rates", "records", "run", "table", "verify", "work"]


def main() -> None:
    """Entry point of `suite`."""
    app()
