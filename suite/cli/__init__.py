"""The command line. What is heavy is imported inside the commands: `suite --help` answers at once."""

from suite.cli import compare, fill, gate, look, rates, records, run, site, submit, table, verify, work
from suite.cli.app import app

__all__ = [
    "app",
    "compare",
    "fill",
    "gate",
    "look",
    "main",
    "rates",
    "records",
    "run",
    "site",
    "submit",
    "table",
    "verify",
    "work",
]


def main() -> None:
    """Entry point of `suite`."""
    app()
