"""The gate's answer as JUnit XML, which CI services show as tests: what is undecided is skipped."""

from __future__ import annotations

from xml.etree import ElementTree

from suite.gate.report import Report, Row
from suite.gate.words import effect, headline, plain


def junit(report: Report) -> str:
    """One test case a row, in a suite a variant."""
    root = ElementTree.Element("testsuites", _counts("lora-suite gate", report.rows))
    for variant in dict.fromkeys(row.variant for row in report.rows):
        rows = tuple(row for row in report.rows if row.variant == variant)
        suite = ElementTree.SubElement(root, "testsuite", _counts(plain(variant or "untouched base"), rows))
        for row in rows:
            suite.append(_case(row))
        told = ElementTree.SubElement(suite, "system-out")
        told.text = plain(f"gate: {report.verdict}, {headline(report)}")
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _counts(name: str, rows: tuple[Row, ...]) -> dict[str, str]:
    failed = sum(row.verdict == "fail" for row in rows)
    skipped = sum(row.verdict in ("inconclusive", "not judged") for row in rows)
    return {
        "name": name,
        "tests": str(len(rows)),
        "failures": str(failed),
        "errors": "0",
        "skipped": str(skipped),
        "time": "0",
    }


def _case(row: Row) -> ElementTree.Element:
    where = plain(f"{row.variant or 'untouched base'}.{row.task or 'all tasks'}")
    case = ElementTree.Element("testcase", {"classname": where, "name": plain(row.metric), "time": "0"})
    message = plain(f"{row.verdict}: {row.reason}")
    if row.verdict == "fail":
        failure = ElementTree.SubElement(case, "failure", {"message": message, "type": "gate"})
        failure.text = plain(f"{row.place}, {row.metric}: {effect(row)}; {row.reason}")
    elif row.verdict != "pass":
        ElementTree.SubElement(case, "skipped", {"message": message})
    return case
