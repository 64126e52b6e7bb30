"""The page of a cell: what the record says is on the screen, and nothing of it runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from suite import prompts
from suite.record import Item, Record
from suite.store import Store
from tests.example_records.make import LORA, cell, record
from tests.leaderboard.browser.drilled import PUBLISHED, drilled, faults, published, wide

READ = "025470f4bea29ad5"  # lori-d on code: its test split was read
EVIL = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\u202egnp.exe\u0007 \u200b'\""
Open = Callable[..., Page]
Url = Callable[[str], str]


@pytest.fixture(scope="module")
def read() -> Record:
    return Store(PUBLISHED).read(READ)


def test_a_cell_shows_its_numbers_and_how_to_make_it_again(page: Page, url: Url, read: Record) -> None:
    page.goto(url(f"cell.html#{READ}"))
    expect(page.locator("h1")).to_have_text("lori-d on code")
    assert read.gain is not None and read.after is not None
    expect(page.locator(".tile", has_text="Gain")).to_contain_text(f"+{read.gain:.1f}")
    expect(page.get_by_role("region", name="Before and after")).to_contain_text("pocket_winogrande")
    expect(page.locator(".command").first).to_have_text(f"suite verify {READ} --store STORE")
    expect(page.locator(".command").nth(1)).to_have_text(read.provenance.command)
    for text in (read.provenance.commit or "", read.provenance.device or "", read.rows or ""):
        expect(page.locator("#cell")).to_contain_text(text)
    expect(page.locator("svg.curve path.line")).to_have_count(1)
    expect(page).to_have_title("lori-d on code \u00b7 LoRA suite")


def test_items_are_paged_filtered_searched_and_kept_in_the_address(
    page: Page, url: Url, read: Record
) -> None:
    assert read.before is not None and read.after is not None
    before, after = (side.target["pocket_code"].items for side in (read.before, read.after))
    page.goto(url(f"cell.html#{READ}"))
    items = page.locator("details.item")
    expect(items).to_have_count(25)
    page.get_by_role("button", name="Next").first.click()
    expect(items.first).to_have_attribute("id", "item-26")
    assert "page=2" in page.url
    page.get_by_label("Show").select_option("gained")
    gained = [at for at in range(250) if (after[at].correct or 0) > (before[at].correct or 0)]
    expect(page.get_by_role("status").first).to_contain_text(f"of {len(gained)} items")
    wrong = [at for at in range(250) if after[at].correct == 0]
    page.get_by_label("Show").select_option("wrong")
    expect(page.get_by_role("status").first).to_contain_text(f"of {len(wrong)} items")
    page.get_by_label("Show").select_option("")
    page.get_by_label("Search in outputs").fill("max(x, 9)")
    found = sum(
        any("max(x, 9)" in (one.response or "") for one in (before[at], after[at])) for at in range(250)
    )
    expect(page.get_by_role("status").first).to_contain_text(f"of {found} items")
    page.reload()
    expect(page.get_by_role("status").first).to_contain_text(f"of {found} items")
    page.get_by_label("Search in outputs").fill("")
    page.get_by_label("Go to item").fill("130")
    expect(page.locator("#item-130")).to_have_attribute("open", "")
    expect(page.locator("#item-130 .sides pre").nth(1)).to_have_text(after[129].response or "")
    page.get_by_label("Evaluation").select_option("pocket_arc")
    expect(page.get_by_role("status").first).to_contain_text("of 366 items")
    assert "evaluation=pocket_arc" in page.url and "item=" not in page.url


def test_a_prompt_and_its_answer_are_loaded_when_an_item_is_opened(
    page: Page, url: Url, read: Record
) -> None:
    assert read.after is not None
    kept = prompts.read(PUBLISHED, read.after.target["pocket_code"].prompts or "")
    assert kept is not None
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if "/prompts/" in one.url else None)
    page.goto(url(f"cell.html#{READ}"))
    expect(page.locator("details.item")).to_have_count(25)
    assert asked == []
    assert page.locator("#items span[aria-label]").count() == 0, "a span without a role has no name"
    expect(page.locator("#item-3 > summary .visually-hidden")).to_have_text("then")
    page.locator("#item-3 > summary").click()
    expect(page.locator("#item-3 .asked pre").first).to_have_text(kept.prompts["2"])
    expect(page.locator("#item-3 .asked")).to_contain_text("Right answer")
    assert len(asked) == 1


@pytest.mark.parametrize("name", ["0000000000000000", "nonsense", "../../etc", "%3Cscript%3E", "constructor"])
def test_an_unknown_cell_is_told_plainly(page: Page, url: Url, name: str) -> None:
    page.goto(url(f"cell.html#{name}"))
    expect(page.get_by_role("alert")).to_contain_text("There is no record")


def test_without_an_id_the_page_says_what_it_is(page: Page, url: Url) -> None:
    page.goto(url("cell.html"))
    expect(page.locator("#cell")).to_contain_text("A cell is one training run")


def test_a_trial_says_that_its_test_split_was_not_read(page: Page, url: Url) -> None:
    trial = next(one for one in published() if not one.read)
    page.goto(url(f"cell.html#{trial.id}"))
    expect(page.locator(".tags")).to_contain_text("test split not read")
    expect(page.locator("#cell header")).to_contain_text("stands in no row")


def test_the_curve_can_be_saved(page: Page, url: Url, read: Record) -> None:
    page.goto(url(f"cell.html#{READ}"))
    with page.expect_download() as saved:
        page.get_by_role("button", name=f"Download {READ}-curve.csv").click()
    lines = Path(saved.value.path()).read_text().splitlines()
    assert lines[0] == "phase,step,loss,learning_rate" and len(lines) == 1 + len(read.curve)
    assert float(lines[1].split(",")[2]) == pytest.approx(read.curve[0].loss, rel=1e-5)


def _hostile() -> Record:
    one = record(cell(LORA, "sums", 0), notes=[EVIL], error=None, start_loss=float("nan"))
    assert one.after is not None
    responses = [EVIL, "x" * 25_000, "a\u0000b", "=cmd()"]
    said = [Item(id=str(at), correct=1.0, response=text) for at, text in enumerate(responses)]
    target = one.after.target["sums_test"].model_copy(update={"items": said, "value": 1.0})
    made = one.provenance.model_copy(update={"command": EVIL})
    return one.model_copy(
        update={
            "after": one.after.model_copy(update={"target": {"sums_test": target}}),
            "provenance": made,
        }
    )


def test_hostile_outputs_are_shown_and_do_nothing(open_page: Open, tmp_path: Path) -> None:
    one = _hostile()
    drilled(tmp_path, [one])
    page = open_page(viewport={"width": 390, "height": 800})
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.goto(f"{tmp_path.as_uri()}/cell.html?item=1#{one.id}")
    output = page.locator("#item-1 .sides pre").nth(1)
    expect(output).to_contain_text(
        "<img src=x onerror=alert(1)></script><script>alert(2)</script>U+202Egnp.exe\u2407"
    )
    assert output.evaluate("one => getComputedStyle(one).unicodeBidi") == "isolate"
    expect(page.locator(".notes li")).to_contain_text("U+202E")
    assert page.locator("#cell img, #cell script").count() == 0
    page.goto(f"{tmp_path.as_uri()}/cell.html?item=2#{one.id}")
    page.locator("#item-2 .sides summary").click()
    expect(page.locator("#item-2 .sides")).to_contain_text("the whole output has 25,000 characters")
    assert page.locator("#item-2").inner_text().count("x") >= 20_000
    assert wide(page) <= 0, "an endless line wraps"


def test_a_damaged_prompts_file_is_named_and_stops_nothing(page: Page, tmp_path: Path) -> None:
    one = record(cell(LORA, "sums", 0))
    digest = "0123456789abcdef"
    assert one.after is not None
    target = one.after.target["sums_test"].model_copy(update={"prompts": digest})
    one = one.model_copy(update={"after": one.after.model_copy(update={"target": {"sums_test": target}})})
    store = tmp_path / "store"
    (store / "prompts").mkdir(parents=True)
    wrong = {"evaluation": "e", "digest": digest, "prompts": {"0": "?"}}
    (store / "prompts" / f"{digest}.json").write_text(json.dumps(wrong))
    drilled(tmp_path / "site", [one], [store])
    page.goto(f"{(tmp_path / 'site').as_uri()}/cell.html?item=1#{one.id}")
    expect(page.locator("#item-1 .asked")).to_contain_text("Prompt not shown: prompts/0123456789abcdef.json")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_no_serious_accessibility_fault(open_page: Open, url: Url, width: int, scheme: str) -> None:
    page = open_page(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    page.goto(url(f"cell.html?item=2#{READ}"))
    expect(page.locator("#item-2 .sides")).to_be_visible()
    page.evaluate("document.querySelectorAll('details.more').forEach(one => { one.open = true; })")
    assert faults(page) == []
    assert wide(page) <= 0


def test_a_text_of_nothing_but_control_characters_makes_few_elements(
    page: Page, url: Callable[[str], str]
) -> None:
    page.goto(url("cell.html"))
    parts, shown = page.evaluate(
        """() => { const all = drill.visible("\\u0001".repeat(20000));
        return [all.length, all.map((part) => part.textContent ?? part).join("").length]; }"""
    )
    assert parts < 1100 and shown == 20_000
