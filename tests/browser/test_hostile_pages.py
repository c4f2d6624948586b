"""Whatever a model, a server or a data set wrote is text in the page: nothing runs, nothing is fetched."""

from __future__ import annotations

import json

import pytest
from pages import page_of

from pytest_llmeval.report import links
from pytest_llmeval.schema import (
    Completion,
    Outcome,
    Program,
    Prompt,
    PromptStyle,
    Record,
    Sample,
    Timing,
    Verdict,
)

HOST = "http://127.0.0.1:9/"
PAYLOADS = [
    "<script>window.pwned = 1</script>",
    f"<script src={HOST}a.js></script>",
    "</script><script>window.pwned = 2</script>",
    "</style><style>*{display:none!important}</style>",
    "</pre></div></details></template></table><img src=x onerror='window.pwned=3'>",
    f"<img src={HOST}b.png>",
    "<svg onload='window.pwned=4'><script>window.pwned=5</script></svg>",
    "<svg><animate onbegin=window.pwned=6 attributeName=x dur=1s></svg>",
    f"<iframe src='{HOST}c'></iframe><iframe srcdoc='<script>parent.pwned=7</script>'></iframe>",
    "<iframe src='javascript:parent.pwned=8'></iframe>",
    "<a href='javascript:window.pwned=9' autofocus onfocus='window.pwned=10'>x</a>",
    f"<link rel=stylesheet href={HOST}d.css><meta http-equiv=refresh content='0;url={HOST}e'>",
    f"<base href={HOST}><form action={HOST}f><button autofocus>x</button></form>",
    f"<object data='{HOST}g'></object><embed src='{HOST}h'><video src={HOST}i autoplay></video>",
    "<details open ontoggle=window.pwned=11><input autofocus onfocus=window.pwned=12>",
    "' onmouseover='window.pwned=13' autofocus onfocus='window.pwned=14' x='",
    '" onmouseover="window.pwned=15" autofocus onfocus="window.pwned=16" x="',
    f"@import url({HOST}j.css); body {{ background: url({HOST}k) }}",
    "data:text/html,<script>window.pwned=17</script>",
    "<!--<script>window.pwned=18<!--", "]]><![CDATA[<script>window.pwned=19</script>",
    "&lt;script&gt;window.pwned=20&lt;/script&gt;", "{{constructor.constructor('window.pwned=21')()}}",
    "\x00<scr\x00ipt>window.pwned=22</scr\x00ipt>", "\ud800<script>window.pwned=23</script>",
    "\u202e<script>\u2066window.pwned=24</script>", "\x1b]8;;http://127.0.0.1:9/l\x07x\x1b]8;;\x07\x9b31m",
    "E <span class=error onclick=window.pwned=25>",  # pytest-html wraps lines that start with E
]  # fmt: skip
EVERYTHING = "\n".join(PAYLOADS)
TOLD = EVERYTHING.replace(
    "\ud800", ""
)  # what an engine says of itself was decoded, and has no lone surrogates


def hostile(model: str, task: str, *, n: int = 1) -> Record:
    """Every text that is not ours says everything above."""
    samples = tuple(
        Sample(
            index,
            Completion(EVERYTHING, EVERYTHING, 5, 20, timing=Timing(1, 0.1, 0.1, 0.1, 0.3)),
            Program(f"x = '''{EVERYTHING}'''\n# {EVERYTHING}\n", EVERYTHING, (EVERYTHING,)),
            Verdict(Outcome.EXCEPTION, EVERYTHING, EVERYTHING, 0.1),
        )
        for index in range(n)
    )
    prompt = Prompt(PromptStyle.CHAT, EVERYTHING, EVERYTHING)
    return Record(model, "made_up", task, prompt, samples)


@pytest.fixture(scope="module", params=["in the page", "beside it"])
def page(request, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "beside it":
            patch.setattr(links, "EMBEDDED_SAMPLES", 0)
        records = [hostile("evil", payload.replace("\ud800", "")) for payload in PAYLOADS]
        folder = tmp_path_factory.mktemp("run")
        finding = {
            "model": TOLD, "rule": f"accuracy[{TOLD}]", "conclusion": "regressed", "says": TOLD, "details": [TOLD],
            "figures": {"worse": [TOLD], "better": [TOLD]},
        }  # fmt: skip
        verdict = {
            "baseline": TOLD,
            "changed": {TOLD: [TOLD]},
            "findings": [finding, {**finding, "rule": TOLD}],
        }
        (folder / "findings.json").write_text(json.dumps(verdict))
        return page_of(
            folder,
            *records,
            hostile("evil", "Made/n", n=3),
            models={"evil": {"name": "evil", "model": TOLD, "description": TOLD}},
            engines={"evil": {"facts": {TOLD: TOLD}}},
            states={"evil": {"unavailable": None, "fault": TOLD, "batch_s": 1.0}},
        )


ATTRIBUTES = ("autofocus", "onerror", "onload", "onfocus", "onmouseover", "ontoggle", "onbegin", "srcdoc")
SELECTORS = (
    *("iframe", "object", "embed", "base", "link", "form", "meta[http-equiv=refresh]"),
    *("a[href^='javascript:' i]", "a[href^='data:' i]"),
    *(f"[{name}]" for name in ATTRIBUTES),
)
STRANGE = f"[...document.querySelectorAll(`{', '.join(SELECTORS)}`)].map(e => e.outerHTML)"


def is_inert(tab, page) -> None:
    for script in ("0", "for (const d of document.querySelectorAll('details')) d.open = true",
                   "document.querySelectorAll('#results-table .collapsible td').forEach(c => c.click())",
                   "dispatchEvent(new Event('focus'))", "new Promise(done => setTimeout(done, 300))"):  # fmt: skip
        tab.run(script)
    assert tab.run("window.pwned ?? null") is None
    assert tab.reached() == {page.resolve().as_uri()}
    assert tab.complaints() == []
    assert tab.run(STRANGE) == []


def test_nothing_in_the_page_runs_or_fetches(tab, page):
    tab.open(page)
    is_inert(tab, page)
    assert tab.run("document.querySelectorAll('script').length") == 2  # pytest-html's and ours
    assert tab.run("getComputedStyle(document.querySelector('.board')).display") != "none"


def test_nothing_in_an_items_page_runs_or_fetches_and_the_text_is_all_there(tab, page):
    tab.open(page)
    link = tab.run("document.querySelector('.grid td a').href")
    if "#" not in link:
        target = next((page.parent / "items").rglob("*.html"))
        tab.open(target)
        is_inert(tab, target)
    text = tab.run("[...document.querySelectorAll('pre')].map(p => p.textContent).join('')")
    for payload in PAYLOADS:
        if payload.isprintable():
            assert payload in text


def test_a_cell_leads_to_an_item_whatever_the_task_is_called(tab, page):
    tab.open(page)
    addresses = tab.run("[...document.querySelectorAll('.grid td a')].map(a => a.getAttribute('href'))")
    assert len(addresses) == len(PAYLOADS) + 1
    missing = "document.getElementById(a.hash.slice(1)) === null"
    if addresses[0].startswith("#"):
        assert tab.run(f"[...document.querySelectorAll('.grid td a')].filter(a => {missing}).length") == 0
    else:
        assert all((page.parent / "items").rglob("*.html"))
        tab.run("document.querySelector('.grid td a').click()")
        tab.wait_for("Page.frameNavigated")


def test_what_is_invisible_is_spelled_out(page):
    for path in [page, *page.parent.rglob("items/**/*.html")]:
        text = path.read_text(encoding="utf-8")
        for character in "\x00\x1b\x9b\x07\u202e\u2066\ud800":
            assert character not in text
