"""Prompts: kept once beside the records, checked by their digest, and rendered again where they were not."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from suite import prompts
from suite.cli import app
from suite.engines.local import Done, Started
from suite.plan import Request, resolve
from suite.prompts import Prompts, digest_of, publish, read, write
from suite.record import EvaluationSettings, Record
from suite.rendering import fill, wanted
from suite.run import Runner
from suite.scoring.evaluate import evaluate
from suite.scoring.prompts import rendered
from suite.store import Store, StoreError
from tasks import registry
from tests.example_records.make import LORA, cell, record
from tests.suite.test_verify import _Silent

TEXTS = {"0": "2 + 2 =", "1": "<b>'\u202e\n"}


def some(**changes: Any) -> Prompts:
    fields: dict[str, Any] = {"evaluation": "sums", "digest": digest_of(TEXTS.values()), "prompts": TEXTS}
    return Prompts(**{**fields, **changes})


def test_they_come_back_equal_plain_and_packed(tmp_path: Path) -> None:
    one = some(choices={"0": [" 4", " 5"]}, targets={"0": " 4"})
    plain, packed = write(tmp_path, one), write(tmp_path / "packed", one, packed=True)
    assert plain == tmp_path / "prompts" / f"{one.digest}.json"
    assert packed.name == f"{one.digest}.json.gz" and gzip.decompress(packed.read_bytes()).count(b"\n") == 1
    assert read(tmp_path, one.digest) == one == read(Store(tmp_path / "packed"), one.digest)
    assert read(tmp_path, "0" * 16) is None is read(tmp_path / "nowhere", one.digest)
    other = read(tmp_path, one.digest, "products")
    assert other is not None and (other.evaluation, other.choices, other.targets) == ("products", {}, {})
    assert other.prompts == TEXTS and read(tmp_path, one.digest, "sums") == one


def test_they_are_written_once(tmp_path: Path) -> None:
    file = write(tmp_path, some(targets={"0": "4"}))
    before = file.stat().st_mtime_ns, file.read_bytes()
    assert write(tmp_path, some(evaluation="other")) == file == write(tmp_path, some(), packed=True)
    assert (file.stat().st_mtime_ns, file.read_bytes()) == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("name", ["../records/0123456789abcdef", "0123456789ABCDEF", "", "0" * 17, "a\n"])
def test_a_name_from_a_record_is_no_path(name: str, tmp_path: Path) -> None:
    for folder in ("records", "prompts"):
        (tmp_path / folder).mkdir()
    (tmp_path / "records" / "0123456789abcdef.json").write_text("{}")
    assert read(tmp_path, name) is None and not prompts.kept(tmp_path, name)


def _set(**changes: Any) -> Callable[[dict[str, Any]], str]:
    return lambda content: json.dumps({**content, **changes})


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_set(prompts={**TEXTS, "1": "other"}), "its prompts have digest"),
        (_set(prompts=dict(reversed(TEXTS.items()))), "its prompts have digest"),
        (_set(prompts={"0": TEXTS["0"]}), "its prompts have digest"),
        (_set(digest="0" * 16), "its prompts have digest"),
        (_set(targets={"2": "4"}), "items without a prompt, such as '2'"),
        (_set(choices={"7": []}), "items without a prompt, such as '7'"),
        (_set(more=1), "more: Extra inputs are not permitted"),
        (_set(prompts=["a"]), "prompts: Input should be"),
        (_set(prompts={"0": 1}), "prompts.0: Input should be a valid string"),
        (lambda content: json.dumps(content)[:-9], "Invalid JSON"),
        (lambda content: "[" * 100_000, "Invalid JSON"),
        (lambda content: '{"evaluation": "\\ud800"}', "Invalid JSON"),
    ],
)
def test_a_file_that_is_not_what_its_name_says(
    spoil: Callable[[dict[str, Any]], str], why: str, tmp_path: Path
) -> None:
    file = write(tmp_path, some())
    file.write_text(spoil(json.loads(file.read_text())))
    with pytest.raises(StoreError, match=why) as error:
        read(tmp_path, some().digest)
    assert str(file) in str(error.value) and "\n" not in str(error.value)


def test_a_renamed_file_and_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, some())
    file.rename(file.with_name("0" * 16 + ".json"))
    with pytest.raises(StoreError, match=r"holds the prompts .*; was it renamed"):
        read(tmp_path, "0" * 16)
    monkeypatch.setattr(prompts, "LARGEST", 1000)
    (file.parent / ("1" * 16 + ".json.gz")).write_bytes(gzip.compress(b" " * 1001))
    with pytest.raises(StoreError, match="more than 1000 bytes"):
        read(tmp_path, "1" * 16)


def test_they_are_published_packed_and_those_of_others_are_not(tmp_path: Path) -> None:
    ours, others, lost = (some(prompts={"0": t}, digest=digest_of([t])) for t in ("ours", "others", "lost"))
    for one in (ours, others, some()):
        write(tmp_path / "mine", one)
    store = Store(tmp_path / "mine")
    for seed, one, data in ((0, ours, {}), (1, others, {"a/test.jsonl": "0" * 64}), (2, lost, {})):
        store.write(asking(seed, one.digest, data))
    for _ in range(2):
        told = CliRunner().invoke(app, ["publish", "--store", str(store.path), "--to", str(tmp_path / "to")])
        assert told.exit_code == 0, told.output
        assert told.stdout.endswith(
            "prompts of 1 evaluations; 1 not copied, made from data sets that are not ours\n"
        )
    (file,) = (tmp_path / "to" / "prompts").iterdir()
    assert file.name == f"{ours.digest}.json.gz" and read(tmp_path / "to", ours.digest) == ours
    store.write(asking(3, others.digest, {}))
    assert publish(store, tmp_path / "to", store.records()) == (2, 0), "a record without a data folder has it"


def asking(seed: int, name: str, data: dict[str, str]) -> Record:
    """A record of which one evaluation asked the prompts of this digest."""
    one = record(cell(LORA, "sums", seed), data=data)
    assert one.after is not None
    target = {key: score.model_copy(update={"prompts": name}) for key, score in one.after.target.items()}
    return one.model_copy(update={"after": one.after.model_copy(update={"target": target})})


@pytest.fixture(scope="module")
def evaluations() -> list[Any]:
    """Every kind of the pocket world: generation, choices, code, and text without prompts."""
    own = [one for name in registry.pocket_names() for one in registry.get(name).evaluations]
    general = registry.general()
    assert general.text is not None
    return [*own, *general.evaluations, general.text]


def test_rendered_prompts_are_those_that_are_scored(
    evaluations: list[Any], make_model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a scored model was asked, item by item; and the same without a model."""
    from suite.scoring.lm import PackLM

    asked: list[str] = []

    def hear(lm: Any, requests: list[Any]) -> list[Any]:
        asked.extend(one.args[0] for one in requests)
        return ["" for _ in requests]

    monkeypatch.setattr(PackLM, "generate_until", hear)
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 1024, "pad_token_id": 0}
    settings = EvaluationSettings(target=[], general=[], limit=3)
    chosen = [one for one in evaluations if not one.runs_code]
    kept: dict[str, Prompts] = {}
    scores = evaluate(
        make_model(**sizes, bos_token_id=None, eos_token_id=0),
        tokenizer,
        chosen,
        settings=settings,
        on_prompts=lambda one: kept.update({one.evaluation: one}),
    )
    assert kept == rendered(chosen, settings)
    assert kept.keys() == {name for name, one in scores.items() if one.items[0].correct is not None}
    assert len(kept) == len(chosen) - 1, "text has no prompts"
    for name, one in kept.items():
        assert one.digest == scores[name].prompts
        assert list(one.prompts) == [item.id for item in scores[name].items] == list(one.targets)
    generated = [text for name, one in kept.items() if not one.choices for text in one.prompts.values()]
    assert sorted(generated) == sorted(asked)


def test_choices_and_right_answers_can_be_read(evaluations: list[Any]) -> None:
    found = rendered(evaluations, EvaluationSettings(target=[], general=[], limit=5))
    with_choices = {name: one for name, one in found.items() if one.choices}
    assert len(with_choices) >= 3
    own = 0
    for name, one in with_choices.items():
        for item, choices in one.choices.items():
            assert len(choices) == len(set(choices)) >= 2 and choices.count(one.targets[item]) == 1, name
            whole = choices[0].startswith(one.prompts[item])
            own += whole  # of evaluations whose choices stand before what is scored
            assert all(text[:1] == " " or whole for text in choices)
    assert 0 < own < sum(len(one.choices) for one in with_choices.values())
    (math,) = registry.get("math").evaluations
    examples = registry.get("math").examples("test")[:5]
    assert list(found[math.name].prompts.values()) == [one.prompt for one in examples]
    for example, target in zip(examples, found[math.name].targets.values(), strict=True):
        assert example.response.strip() == target.strip()


def test_shots_and_limit_change_them(evaluations: list[Any]) -> None:
    one = [each for each in evaluations if not each.runs_code][:1]
    few = rendered(one, EvaluationSettings(target=[], general=[], limit=2))
    more = rendered(one, EvaluationSettings(target=[], general=[], limit=3))
    (a,), (b,) = few.values(), more.values()
    assert a.digest != b.digest and list(b.prompts.items())[:2] == list(a.prompts.items())


def test_a_chat_template_is_in_the_prompt(
    make_model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from suite.scoring.lm import PackLM

    chat, asked = deepcopy(tokenizer), list[str]()
    chat.chat_template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"
    monkeypatch.setattr(
        PackLM, "generate_until", lambda lm, all: [asked.append(one.args[0]) or "" for one in all]
    )
    settings = EvaluationSettings(target=[], general=[], limit=1, chat_template=True)
    (math,) = registry.get("math").evaluations
    one = rendered([math], settings, chat)[math.name]
    plain = rendered([math], settings.model_copy(update={"chat_template": False}))[math.name].prompts["0"]
    assert one.prompts["0"] == f"[user]{plain}[assistant]"
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 1024, "pad_token_id": 0}
    model = make_model(**sizes, bos_token_id=None, eos_token_id=0)
    scores = evaluate(model, chat, [math], settings=settings)
    assert scores[math.name].prompts == one.digest and asked == [one.prompts["0"]]


def test_a_run_keeps_them_and_does_not_need_them(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def engine(make: Any, jobs: Iterator[Any], workers: int, threads: int | None) -> Iterator[Any]:
        shop = make()
        for job in jobs:
            yield Started(0, job)
            yield Done(0, job, shop(job, lambda *told: None))

    monkeypatch.setattr("suite.run.local.run", engine)
    store = Store(tmp_path / "store")
    told = Request(variants="lora:rank=2", tasks="math", model=str(tiny_base), steps="2", limit="2")

    def run() -> list[Record]:
        plan = resolve(told)
        return Runner(plan, store, "suite run").run(_Silent(), 1, 1).records  # pyright: ignore

    (one,) = run()
    names = wanted(store)
    assert {name for name, _ in names} == {*one.cell.evaluation.target, *one.cell.evaluation.general}
    for evaluation, name in names:
        found = read(store, name)
        assert found is not None and found.evaluation == evaluation and len(found.prompts) == 2
    assert len(list((store.path / "prompts").iterdir())) == len(names), "and none of text"
    shutil.rmtree(store.path / "prompts")
    assert run() == [one] and not (store.path / "prompts").exists(), "nothing to do"
    (store.path / "records" / f"{one.id}.json").unlink()
    run()
    assert all(prompts.kept(store, name) for _, name in names), "the base was scored before"


@pytest.fixture
def published(trained_store: Path, tmp_path: Path) -> Store:
    """Packed records without their prompts."""
    store = Store(tmp_path / "published")
    for one in Store(trained_store).records():
        store.write(one, packed=True)
    return store


def test_they_are_rendered_for_records_from_before(published: Store, trained_store: Path) -> None:
    found = fill(published)
    assert sorted(found.written) == sorted(wanted(published)) and not (found.had or found.missing)
    for evaluation, name in found.written:
        assert (published.path / "prompts" / f"{name}.json.gz").is_file()
        assert read(published, name) == read(trained_store, name), evaluation
    again = fill(published)
    assert sorted(again.had) == sorted(found.written) and not (again.written or again.missing)


def test_what_comes_out_otherwise_is_told(published: Store) -> None:
    one = published.records()[0]
    assert one.after is not None and one.before is not None
    (name, target), *_ = one.after.target.items()
    forged = {name: target.model_copy(update={"prompts": "0" * 16})}
    for each in published.records()[1:]:
        (published.path / "records" / f"{each.id}.json.gz").unlink()
    scores = {when: getattr(one, when).model_copy(update={"target": forged}) for when in ("before", "after")}
    published.write(one.model_copy(update=scores))
    told = CliRunner().invoke(app, ["prompts", "--store", str(published.path)])
    kept = len(one.after.general)
    assert told.exit_code == 1 and f"prompts of {kept} evaluations kept now, 0 were kept" in told.stdout
    assert f"no prompts of {name} ({'0' * 16}): rendered here, its prompts have digest" in told.stderr
    assert sorted(file.name for file in (published.path / "prompts").iterdir()) == sorted(
        f"{score.prompts}.json" for score in one.after.general.values()
    )


def test_a_record_whose_data_are_not_here(published: Store) -> None:
    one = published.records()[0]
    elsewhere = one.cell.model_copy(update={"task": one.cell.task.model_copy(update={"source": "gsm8k"})})
    for each in published.records():
        (published.path / "records" / f"{each.id}.json.gz").unlink()
    published.write(one.model_copy(update={"cell": elsewhere, "id": elsewhere.id}))
    found = fill(published)
    assert not found.written and len(found.missing) == len(wanted(published))
    assert all("needs a data folder" in why for why in found.missing.values())
