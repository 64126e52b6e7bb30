"""The command line. What is heavy is imported inside the commands: `suite --help` answers at once."""

from suite.cli import look, records, run, work
from suite.cli.app import app

__all__ = ["app", "look", "main", "records", "run", "work"]


def main() -> None:
    """Entry point of `suite`."""
    app()
