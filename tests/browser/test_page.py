"""What people do with the page: sort, filter, follow a cell, open an item, with scripts and without."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pages import RIGHT, WRONG, a_record, page_of

CELLS = "[...document.querySelectorAll('.board.main tbody tr')].map(r => r.querySelector('b').textContent)"
SHOWN = "[...document.querySelectorAll('.grid tbody tr')].filter(r => r.offsetHeight).map(r => r.cells[0].textContent)"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    records = [
        *(a_record("one", task, RIGHT if task % 2 else WRONG) for task in range(12)),
        *(a_record("two", task, RIGHT if task > 2 else WRONG) for task in range(12)),
    ]
    fault = {"two": {"unavailable": None, "fault": "died\nof old age", "batch_s": 2.0}}
    return page_of(tmp_path_factory.mktemp("run"), *records, states=fault)


def test_the_page_says_first_who_is_ahead_and_complains_about_nothing(tab, page):
    tab.open(page)
    assert tab.complaints() == []
    assert tab.reached() == {page.as_uri()}
    first = tab.run("document.querySelector('.headline').textContent")
    assert first.startswith("one has pass@1 50.0 %")
    assert "two had faults." in first
    top = "document.querySelector('.headline').getBoundingClientRect().top"
    assert tab.run(f"{top} < document.getElementById('environment').getBoundingClientRect().top")


def test_the_leaderboard_is_sorted_by_a_click(tab, page):
    tab.open(page)
    assert tab.run(CELLS) == ["one", "two"]
    heads = "[...document.querySelectorAll('.board th')].find(h => h.textContent === 'pass@1')"
    tab.run(f"{heads}.click()")
    assert tab.run(CELLS) == ["two", "one"]
    assert tab.run(f"{heads}.getAttribute('aria-sort')") == "descending"
    tab.run(f"{heads}.click()")
    assert tab.run(CELLS) == ["one", "two"]


def test_the_grid_has_the_hardest_problem_first_and_can_be_narrowed(tab, page):
    tab.open(page)
    rows = tab.run(SHOWN)
    assert rows[:2] == ["Made/0", "Made/2"]  # nobody solves them
    tab.run("document.getElementById('ll-differ').click()")
    assert "Made/0" not in tab.run(SHOWN)
    tab.run("document.getElementById('ll-differ').click()")
    filled = "const f = document.getElementById('ll-filter'); f.value = 'made/1'; f.dispatchEvent(new Event('input'))"
    tab.run(f"{{{filled}}}")
    assert sorted(tab.run(SHOWN)) == ["Made/1", "Made/10", "Made/11"]


def test_a_cell_leads_to_its_item_and_shows_the_failing_assertion(tab, page):
    tab.open(page)
    tab.run("document.querySelector('.grid td.fail a').click()")
    shown = "document.querySelector('details.item[open]')"
    assert "assert candidate(2) == 3: got 1" in tab.run(f"{shown}.innerText")
    assert (
        tab.run(f"{shown}.querySelector('a').getAttribute('href')")
        == "predictions/one/made_up/Made%252F0.json"
    )
    assert tab.run("document.querySelectorAll('details.item[open]').length") == 1


def test_pytest_htmls_own_table_lists_every_item_and_leads_there_too(tab, page):
    tab.open(page)
    rows = "document.querySelectorAll('#results-table .collapsible')"
    assert tab.run(f"{rows}.length") == 24
    tab.run(f"{rows}[0].querySelector('td').click()")
    tab.run("document.querySelector('#results-table .extra a').click()")
    assert tab.run("document.querySelector('details.item[open] .verdict').textContent").startswith(
        "wrong_answer"
    )


def test_without_scripts_a_cell_still_leads_to_its_item(tab, page):
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(page)
    assert tab.run("document.querySelectorAll('#results-table .collapsible').length") == 0  # they are off
    tab.open(page, tab.run("document.querySelector('.grid td.fail a').getAttribute('href')"))
    tab.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "assert candidate(2) == 3" in tab.run("document.querySelector('details.item[open]').innerText")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_both_colour_schemes(tab, page, scheme):
    tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    tab.open(page)
    tab.run("for (const item of document.querySelectorAll('details')) item.open = true")
    assert tab.run(CONTRASTS) == []
    tab.call("Emulation.setEmulatedMedia", features=[])


# Text whose contrast with what lies behind it is below 4.5 (WCAG 2.2, AA): tag, class, ratio.
CONTRASTS = """
(() => {
  const rgb = (c) => { const m = c.match(/[\\d.]+/g).map(Number); return m.length > 3 ? m : [...m, 1]; };
  const linear = (v) => v <= 10.3 ? v / 3294.6 : ((v / 255 + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const base = matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18] : [255, 255, 255];
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour[3] > 0) return colour;
    }
    return base;
  };
  const poor = new Set();
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.getClientRects().length) continue;
    const style = getComputedStyle(e);
    const pair = [light(rgb(e.closest('svg') ? style.fill : style.color)), light(behind(e))].sort((x, y) => y - x);
    const ratio = (pair[0] + .05) / (pair[1] + .05);
    if (ratio < 4.5) poor.add(`${e.tagName}.${e.className.baseVal ?? e.className} ${ratio.toFixed(1)}`);
  }
  return [...poor];
})()
"""


@pytest.mark.parametrize("width", [360, 1400])
def test_the_page_itself_never_scrolls_sideways(tab, page, width):
    tab.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
    tab.open(page)
    assert tab.run("document.documentElement.scrollWidth") <= width
    tab.call("Emulation.clearDeviceMetricsOverride")


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """Everything that makes a page wide: long names, two problem sets, pass@k, a baseline's Findings."""
    folder = tmp_path_factory.mktemp("run")
    records = [
        replace(a_record(model, task, *[RIGHT] * right, *[WRONG] * (10 - right)), problem_set=problem_set)
        for problem_set in ("humanevalplus", "mbppplus")
        for model, right in (("qwen3_coder_30b_a3b_instruct", 9), ("deepseek_coder_v2_lite", 4))
        for task in range(4)
    ]
    regressed = {
        "model": "deepseek_coder_v2_lite", "rule": "accuracy[mbppplus]", "conclusion": "regressed",
        "says": "pass@1 60.0 % → 40.0 %", "details": [], "figures": {"worse": ["Made/1", "Made/3"], "better": []},
    }  # fmt: skip
    (folder / "findings.json").write_text(json.dumps({"baseline": "run earlier", "findings": [regressed]}))
    return page_of(folder, *records)


def test_no_table_needs_sideways_scrolling_on_a_desktop_nor_on_a_phone(tab, rich):
    wide = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length"
    for width in (1240, 390):
        tab.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False
        )
        tab.open(rich)
        assert tab.run("document.querySelectorAll('.board.main tbody tr').length") == 4
        assert tab.run(wide) == 0, f"at {width} px"
        assert tab.run("document.documentElement.scrollWidth") <= width
    label = "getComputedStyle(document.querySelector('.board.main td:nth-child(3)'), '::before').content"
    assert tab.run(label) == '"pass@1, right answers, with 95 % intervals"'
    tab.call("Emulation.clearDeviceMetricsOverride")


def test_the_verdict_stands_on_top_and_leads_over_its_findings_to_a_newly_failed_problem(tab, rich):
    tab.open(rich)
    assert tab.run("document.querySelector('.headline.fails').textContent").startswith(
        "The gate fails against run earlier: 1 of 1 Findings: deepseek_coder_v2_lite (regressed accuracy[mbppplus])."
    )
    assert tab.run("[...document.querySelectorAll('.problems a')].map(a => a.textContent)") == [
        "Made/1",
        "Made/3",
    ]
    tab.run("document.querySelector('.problems a').click()")
    opened = "[...document.querySelectorAll('details.item[open] > summary')].map(s => s.textContent)"
    assert tab.run(opened) == ["deepseek_coder_v2_lite · mbppplus Made/1"]


def test_a_name_has_the_whole_width_of_its_card(tab, rich):
    tab.call("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=False)
    tab.open(rich)
    cells = "[...document.querySelectorAll('.board.main tbody td:first-child')]"
    assert tab.run(f"{cells}.every(cell => cell.offsetWidth > .9 * cell.parentElement.clientWidth - 16)")
    tab.call("Emulation.clearDeviceMetricsOverride")


def test_on_paper_the_page_is_ours_alone(tab, rich):
    tab.call("Emulation.setEmulatedMedia", media="print")
    tab.open(rich)
    parts = "['.board.main', 'table.grid', '#results-table', '.tools']"
    assert tab.run(f"{parts}.map(s => document.querySelector(s).offsetHeight > 0)") == [
        True,
        True,
        False,
        False,
    ]
    tab.call("Emulation.setEmulatedMedia", media="")
