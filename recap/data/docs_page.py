"""Data Docs that need no network: rewrites GX's result pages and adds an index of our rules.

GX's pages load styles, scripts and a logo from the network and contain load times and random ids.
This module keeps only the result sections and their classes, and inlines one style sheet. Equal
results give equal bytes. Leaves out GX's JavaScript (search boxes, filters, pop-ups).
"""

from __future__ import annotations

from html import escape
from html.parser import HTMLParser

from recap.data.validation import RuleResult, SuiteResult, Validation

STYLE = """
:root { --ink: #1c2430; --soft: #5c6878; --line: #dde2e9; --paper: #fff; --ground: #f5f7fa;
  --good: #12805c; --bad: #c2372e; --link: #2456a6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #9aa5b4; --line: #333c49;
  --paper: #1b212a; --ground: #12161c; --good: #4cc79a; --bad: #ff7b70; --link: #8ab4f8; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 60px; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
h1 { font-size: 26px; margin: 0 0 2px; letter-spacing: -0.01em; }
h2 { font-size: 18px; margin: 34px 0 10px; }
h5, h6 { font-size: 15px; margin: 0; }
p.lead { color: var(--soft); margin: 0 0 22px; }
.ge-section, .panel { background: var(--paper); border: 1px solid var(--line);
  border-radius: 10px; margin: 0 0 16px; overflow-x: auto; }
.alert { padding: 12px 16px; border-bottom: 1px solid var(--line); }
.alert h5 { font-family: ui-monospace, Menlo, Consolas, monospace; font-weight: 600; }
.alert span { color: var(--soft); } .alert .h6 { color: var(--ink); font-weight: 600; }
.table-responsive > div { padding: 10px 16px 0; }
table { width: 100%; border-collapse: collapse; }
th { text-align: left; font-size: 12.5px; font-weight: 600; color: var(--soft);
  padding: 9px 16px; border-bottom: 1px solid var(--line); white-space: nowrap; }
td { padding: 9px 16px; border-top: 1px solid var(--line); vertical-align: top; }
tbody tr:first-child td { border-top: 0; }
th:last-child { width: 14em; }
td:first-child { width: 6.5em; } .table-sm td:first-child { width: 17em; }
td .show-scrollbars, td span { display: inline; }
td.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th.num { text-align: right; }
.badge, code { background: var(--ground); border: 1px solid var(--line); border-radius: 5px;
  padding: 1px 6px; font: 13px/1.4 ui-monospace, Menlo, Consolas, monospace; }
.rows code { display: inline-block; margin: 2px 4px 2px 0; }
.soft { color: var(--soft); font-size: 13.5px; }
.text-danger, .bad { color: var(--bad); } .text-success, .good { color: var(--good); }
strong.text-danger { display: block; font-weight: 600; margin-top: 4px; }
strong.text-danger br { display: none; }
i { font-style: normal; font-weight: 600; white-space: nowrap; }
i.fa-times::before, .bad.mark::before { content: "\\2717  failed"; }
.alert i.fa-times::before { content: "\\2717"; }
i.fa-check-circle::before, .good.mark::before { content: "\\2713  held"; }
.alert i.fa-check-circle::before { content: "\\2713"; }
.alert br:nth-of-type(2) { display: none; }
.mark { font-weight: 600; white-space: nowrap; }
"""

_VOID = {"br", "hr", "img", "input", "link", "meta", "col"}
_NEVER = {"script", "style", "link", "img", "nav", "footer", "button", "svg", "iframe"}
_UNINFORMATIVE = (" Data asset: None",)


class _Sections(HTMLParser):
    """Copies the elements of class ``ge-section`` with their content; keeps only class attributes.

    Drops collapsed blocks (load time, fingerprints) and links to pages that are not kept.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self._open: list[bool] = []

    @property
    def _kept(self) -> bool:
        return bool(self._open) and self._open[-1]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        classes = (attributes.get("class") or "").split()
        collapsed = "collapse" in classes or attributes.get("data-toggle") == "collapse"
        kept = (self._kept or "ge-section" in classes) and tag not in _NEVER and not collapsed
        if kept:
            self.parts.append(self._start(tag, classes, "hidden" in attributes))
        if tag not in _VOID:
            # Drops everything below a dropped element, except sections.
            self._open.append(kept)

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID or not self._open:
            return
        if self._open.pop():
            self.parts.append(f"</{'span' if tag == 'a' else tag}>")

    def _start(self, tag: str, classes: list[str], hidden: bool) -> str:
        shown = f' class="{escape(" ".join(classes))}"' if classes else ""
        return f"<{'span' if tag == 'a' else tag}{shown}{' hidden' if hidden else ''}>"

    def handle_data(self, data: str) -> None:
        if self._kept:
            for phrase in _UNINFORMATIVE:
                data = data.replace(phrase, "")
            self.parts.append(data)

    def handle_entityref(self, name: str) -> None:
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.handle_data(f"&#{name};")


def offline_page(page: str, title: str) -> str:
    """One of GX's validation pages as a self-contained page with our own header."""
    sections = _Sections()
    sections.feed(page)
    sections.close()
    lines = [line.strip() for line in "".join(sections.parts).splitlines()]
    body = "\n".join(line for line in lines if line)
    return _page(title, '<a href="index.html">all rules of this table</a>', body)


def index_page(result: Validation) -> str:
    """Every rule as a sentence with its result and the names of violating rows."""
    num_rules = sum(len(suite.rules) for suite in result.suites)
    failed = len(result.failures())
    verdict = (
        f'<span class="bad">{failed} of {num_rules} rules violated</span>'
        if failed
        else f'<span class="good">all {num_rules} rules hold</span>'
    )
    body = "\n".join(_suite(suite) for suite in result.suites)
    lead = f"{verdict}. Rows are named, never shown: prompts and thoughts stay in their files."
    return _page(f"Table {result.table}", lead, body)


def _suite(suite: SuiteResult) -> str:
    rows = "\n".join(_rule(rule) for rule in suite.rules)
    return (
        f'<h2><a href="{escape(suite.suite)}.html">{escape(suite.suite)}</a> '
        f'<span class="soft">{suite.rows} rows</span></h2>\n'
        '<div class="panel"><table><thead><tr><th>Status</th><th>Rule</th><th>Column</th>'
        '<th class="num">Violations</th></tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def _rule(rule: RuleResult) -> str:
    where = f' <span class="soft">where {escape(rule.applies_to)}</span>' if rule.applies_to else ""
    if rule.violations is None:
        figure = f"observed {rule.observed}"
    else:
        figure = f"{rule.violations} of {rule.rows}"
    names = "".join(f"<code>{escape(name)}</code>" for name in rule.row_names)
    rows = f'<div class="rows">{names}</div>' if names else ""
    status = "good" if rule.passed else "bad"
    return (
        f'<tr><td><span class="{status} mark"></span></td>'
        f'<td>{escape(rule.rule)}{where}<div class="soft">{escape(rule.expectation)}</div>{rows}'
        f'</td><td><code>{escape(rule.column)}</code></td><td class="num">{figure}</td></tr>'
    )


def _page(title: str, lead: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{escape(title)}</h1>\n<p class="lead">{lead}</p>\n{body}\n</main>\n</body>\n</html>\n'
    )
