"""Results in the formats of others: what a format asks for, our numbers in it, the same bytes each time."""

from __future__ import annotations

import json
import math
import re
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from huggingface_hub.repocard import ModelCard
from typer.testing import CliRunner

from suite import statistics
from suite.cli import app
from suite.exports import FORMATS, Model, all_models, eee, hub, model_index
from suite.record import EvaluationSettings, Record, Search
from suite.store import Store
from tests.example_records.make import (
    LORA,
    PISSA,
    SKILLS,
    cell,
    examples,
    examples_of_others,
    imported,
    record,
    score,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def published() -> list[Record]:
    return Store(ROOT / "leaderboard" / "published" / "pocket").records()


@pytest.fixture(scope="module")
def models(published: list[Record]) -> list[Model]:
    return all_models(published)


def texts_only(value: dict[str, Any]) -> bool:
    return all(isinstance(one, str) for one in value.values())


def check_log(content: dict[str, Any]) -> None:
    """What schema 0.2.2 of Every Eval Ever requires of a file, as its schema and documentation say it."""
    required = {"schema_version", "evaluation_id", "retrieved_timestamp", "source_metadata", "model_info"}
    required |= {"eval_library", "evaluation_results"}
    assert required <= content.keys() <= required | {"evaluation_timestamp", "detailed_evaluation_results"}
    assert content["schema_version"] == "0.2.2" and re.fullmatch(r"\d+", content["retrieved_timestamp"])
    source = content["source_metadata"]
    assert {"source_type", "source_organization_name", "evaluator_relationship"} <= source.keys()
    assert source["source_type"] == "evaluation_run" and source["evaluator_relationship"] == "first_party"
    assert texts_only(source["additional_details"])
    assert {"name", "version"} <= content["eval_library"].keys()
    assert {"name", "id"} <= content["model_info"].keys() and texts_only(
        content["model_info"]["additional_details"]
    )
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", content["model_info"]["id"])
    assert content["evaluation_id"].split("/")[1:3] == content["model_info"]["id"].split("/")
    assert content["evaluation_results"]
    for result in content["evaluation_results"]:
        check_result(result)
    ids = [result["evaluation_result_id"] for result in content["evaluation_results"]]
    assert len(set(ids)) == len(ids)


def check_result(result: dict[str, Any]) -> None:
    assert {"evaluation_name", "source_data", "metric_config", "score_details"} <= result.keys()
    data = result["source_data"]
    needed = {"other": set(), "hf_dataset": {"hf_repo"}}[data["source_type"]]
    assert {"dataset_name", *needed} <= data.keys()
    metric = result["metric_config"]
    assert metric["lower_is_better"] is False and metric["score_type"] == "continuous"
    low, high = metric["min_score"], metric["max_score"]  # both are required of a continuous score
    details = result["score_details"]
    interval = details["uncertainty"]["confidence_interval"]
    assert low <= interval["lower"] <= details["score"] <= interval["upper"] <= high
    assert interval["lower"] < interval["upper"] and math.isclose(interval["confidence_level"], 0.95)
    assert details["uncertainty"]["standard_error"]["value"] > 0 and details["uncertainty"]["num_samples"] > 0
    assert texts_only(details["details"]) and texts_only(result["generation_config"]["additional_details"])
    known = {"temperature", "max_tokens"}
    assert set(result["generation_config"]["generation_args"]) <= known


def test_eee_has_a_file_for_each_row_and_task_as_the_schema_wants_it(models: list[Model]) -> None:
    files = eee.files(models)
    assert len(files) == len(models) == 27
    assert files == eee.files(list(reversed(models))) and list(files) == sorted(files)
    for path, text in files.items():
        content = json.loads(text)
        check_log(content)
        data, collection, developer, model, name = path.split("/")
        assert (data, collection) == ("data", "lora-suite-pocket-2")
        assert f"{developer}/{model}" == content["model_info"]["id"]
        assert uuid.UUID(name.removesuffix(".json")).version == 4
    kinds = {json.loads(text)["model_info"]["additional_details"]["tuning"] for text in files.values()}
    assert kinds == {"tuned", "default"}


def test_eee_holds_our_scores_and_intervals(models: list[Model]) -> None:
    model = models[0]
    content = eee.log(model)
    assert content is not None
    names = [result["evaluation_name"] for result in content["evaluation_results"]]
    evaluation = model.cells[0].cell.evaluation
    assert names == [*evaluation.target, *evaluation.general]
    for name, result in zip(names, content["evaluation_results"], strict=True):
        values = []
        for one in model.cells:
            assert one.after
            values.append({**one.after.target, **one.after.general}[name].value)
        assert math.isclose(result["score_details"]["score"], math.fsum(values) / len(values))
        expected = statistics.interval(statistics.score(model.cells, name))
        interval = result["score_details"]["uncertainty"]["confidence_interval"]
        assert math.isclose(interval["lower"], expected.low / 100)
        assert math.isclose(interval["upper"], expected.high / 100)
        assert result["score_details"]["details"]["seeds"] == str(len(model.cells)) == "3"
    before = model.cells[0].before
    assert before
    told = content["evaluation_results"][0]["score_details"]["details"]["before_training"]
    assert float(told) == before.target[names[0]].value


def test_only_finished_cells_that_were_read_on_test(published: list[Record], models: list[Model]) -> None:
    exported = {one.id for model in models for one in model.cells}
    assert exported == {one.id for one in published if one.read and one.status == "ok"}
    made_up = all_models([*examples(), *examples_of_others()])
    assert {one.status for model in made_up for one in model.cells} == {"ok"}
    assert not any(one.source for model in made_up for one in model.cells)
    unread = record(cell(LORA, "sums", 0)).model_copy(update={"measured": "validation"})
    silent = imported("silent", 0.5, source=None)
    assert all_models([unread, silent]) == []


def test_eee_leaves_out_what_is_no_share_of_items_and_what_has_no_date() -> None:
    one = record(cell(LORA, "sums", 0))
    assert one.after and one.before
    names = lambda found: [each["evaluation_name"] for each in found["evaluation_results"]]  # noqa: E731
    (model,) = all_models([one])
    assert names(eee.log(model)) == ["sums_test", *SKILLS]
    no_items = score(SKILLS[0], 2).model_copy(update={"items": []})
    large = score(SKILLS[1], 2)
    sevens = [item.model_copy(update={"correct": 7.0}) for item in large.items]
    large = large.model_copy(update={"items": sevens, "value": 7.0})
    general = {**one.after.general, SKILLS[0]: no_items, SKILLS[1]: large}
    changed = one.model_copy(update={"after": one.after.model_copy(update={"general": general})})
    (model,) = all_models([changed])
    assert names(eee.log(model)) == ["sums_test", SKILLS[2]]
    for created in (None, "yesterday", "9999-12-31T23:59:59-23:00"):
        where = one.provenance.model_copy(update={"created": created})
        (model,) = all_models([one.model_copy(update={"provenance": where})])
        assert eee.log(model) is None and eee.files([model]) == {}


def test_names_of_strangers_stay_inside_the_folder() -> None:
    for evil in ("../../etc", "a/b\\c", "\x00\x1b[31m\u202e", "..", "", "<script>", "x" * 500):
        variant = LORA.model_copy(update={"name": evil})
        base = record(cell(LORA, "sums", 0)).cell.base.model_copy(update={"name": evil})
        (model,) = all_models([record(cell(variant, "sums", 0, track=f"{evil}@1", base=base))])
        for form in ("eee", "model-index"):
            (path,) = FORMATS[form]([model])
            assert re.fullmatch(r"[A-Za-z0-9-][\w.-]*(/[A-Za-z0-9][\w.-]*)*", path) and len(path) < 400, path
        (text,) = model_index.files([model]).values()
        (parsed,) = list(yaml.safe_load_all(text.split("---\n")[1]))
        assert parsed["model-index"][0]["name"].startswith(evil.strip()[:3])


def test_model_index_is_what_the_hub_reads(published: list[Record], models: list[Model]) -> None:
    files = model_index.files(models)
    records = {one.id: one for one in published}
    assert len(files) == 66 and files == model_index.files(list(reversed(models)))
    path, text = next(iter(files.items()))
    one = records[path.partition("/")[0]]
    assert path == f"{one.id}/README.md" and text.startswith("---\n") and text.endswith("\n---\n")
    results = ModelCard(text, ignore_metadata_errors=False).data.eval_results
    assert results and one.after
    expected = [*one.after.target.values(), *one.after.general.values()]
    assert [(each.dataset_type, each.metric_type, each.metric_value) for each in results] == [
        (each.evaluation, each.metric, each.value) for each in expected
    ]


def gsm8k(limit: int | None = None, **changes: Any) -> Record:
    """A cell scored on an evaluation that the hub has as a benchmark."""
    evaluation = EvaluationSettings(target=["gsm8k"], general=[], limit=limit, shots=5)
    one = cell(LORA, "sums", 0, evaluation=evaluation)
    target = {"gsm8k": score("gsm8k", 3).model_copy(update=changes)}
    made = record(cell(LORA, "sums", 0)).after
    assert made
    scores = made.model_copy(update={"target": target, "general": {}})
    plain = cell(LORA, "sums", 0)
    return record(plain).model_copy(update={"id": one.id, "cell": one, "before": scores, "after": scores})


def test_the_hubs_file_is_what_the_hub_reads() -> None:
    one = gsm8k()
    ((path, text),) = hub.files(all_models([one])).items()
    assert path == f"{one.id}/.eval_results/gsm8k.yaml"
    (entry,) = parse_eval_result_entries(yaml.safe_load(text))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("openai/gsm8k", "gsm8k", 75.0)
    assert entry.date == "2026-01-02T03:04:05+00:00"
    assert entry.notes and "5 shots" in entry.notes and one.id in entry.notes and "seed 0" in entry.notes
    assert hub.files(all_models([gsm8k(limit=4)])) == {}, "the first items alone are no benchmark"


def test_the_hub_is_told_of_its_own_benchmarks_alone(tmp_path: Path) -> None:
    store, to = tmp_path / "store", tmp_path / "to"
    Store(store).write(record(cell(LORA, "sums", 0)))
    given = ["export-results", "--store", str(store), "--to", str(to), "--format", "hub"]
    unknown = CliRunner().invoke(app, given)
    assert unknown.exit_code == 2 and "the hub knows no benchmark for sums_test" in unknown.stderr.replace(
        "\n", " "
    )
    named = CliRunner().invoke(app, [*given, "--benchmark", "sums_test=me/sums:default"])
    assert (named.exit_code, named.stdout) == (1, "") or "first items" in named.stderr
    assert not to.exists()
    whole = cell(LORA, "sums", 0).evaluation.model_copy(update={"limit": None})
    other = cell(LORA, "sums", 0, evaluation=whole)
    Store(store).write(record(other))
    named = CliRunner().invoke(app, [*given, "--benchmark", "sums_test=me/sums:default"])
    assert (named.exit_code, named.stdout) == (0, f"{to}: 1 files\n"), named.output
    (file,) = to.rglob("*.yaml")
    assert file.relative_to(to) == Path(other.id, ".eval_results", "sums_test.yaml")
    assert yaml.safe_load(file.read_text())[0]["dataset"] == {"id": "me/sums", "task_id": "default"}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--format", "csv"], "--format 'csv': expected one of eee, model-index, hub"),
        (["--format", "eee", "--benchmark", "a=b/c:d"], "belongs to --format hub"),
        (["--format", "hub", "--benchmark", "gsm8k"], "expected EVALUATION=OWNER/DATASET:TASK"),
        (["--format", "hub", "--benchmark", "a=../b:d"], "expected EVALUATION=OWNER/DATASET:TASK"),
        (["--format", "eee", "--to", "."], "is there and not an empty folder"),
        (["--format", "eee", "--store", "nowhere"], "no finished cell that was read on test"),
    ],
)
def test_mistakes_are_one_line(words: list[str], why: str, tmp_path: Path) -> None:
    Store(tmp_path / "store").write(record(cell(LORA, "sums", 0)))
    given = ["export-results", "--store", str(tmp_path / "store"), "--to", str(tmp_path / "to"), *words]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and why in result.stderr
    assert not (tmp_path / "to").exists()


def test_the_command_writes_the_files(tmp_path: Path) -> None:
    for one in examples():
        Store(tmp_path / "store").write(one)
    for to in ("first", "second"):
        given = [
            "export-results",
            "--store",
            str(tmp_path / "store"),
            "--to",
            str(tmp_path / to),
            "--format",
            "eee",
        ]
        assert CliRunner().invoke(app, given).exit_code == 0
    first, second = (
        {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*.json")}
        for folder in (tmp_path / "first", tmp_path / "second")
    )
    assert first == second and len(first) == 5
    for content in first.values():
        check_log(json.loads(content))


def searched(variant: Any, read: float, seed: int) -> Record:
    """A cell whose rate was searched for."""
    one = record(cell(variant, "sums", seed, learning_rate=read))
    return one.model_copy(update={"search": Search(method="grid", rates=[read], default=read, role="trial")})


def test_the_site_offers_archives_of_tuned_rows(tmp_path: Path) -> None:
    from leaderboard import exports
    from leaderboard.files import Files
    from leaderboard.site import site
    from suite.reading import read

    for seed in (0, 1):
        Store(tmp_path / "store").write(searched(LORA, 0.01, seed))
        Store(tmp_path / "store").write(record(cell(PISSA, "sums", seed)))
    Store(tmp_path / "store").write(imported("first", 0.5))
    whole = site(read([tmp_path / "store"], None, 1))
    (own,) = [view for view in whole.boards if not view.external]
    offered = exports.offered(own)
    assert [title for title, _ in offered] == ["Every Eval Ever", "model-index"]
    assert all(exports.offered(view) == [] for view in whole.boards if view.external)
    written = []
    for out in ("first", "second"):
        files = Files(tmp_path / out)
        exports.write(files, whole)
        assert files.written == {path for _, path in offered}
        written.append([(tmp_path / out / path).read_bytes() for _, path in offered])
    assert written[0] == written[1]
    with zipfile.ZipFile(tmp_path / "first" / offered[0][1]) as archive:
        told, name = archive.namelist()
        assert told == "README.txt" and archive.testzip() is None
        content = json.loads(archive.read(name))
    check_log(content)
    details = content["model_info"]["additional_details"]
    assert (details["variant"], details["tuning"], details["seeds"]) == (LORA.name, "tuned", "0, 1")
