"""The report's style sheet: one column of text, wide tables that scroll, light and dark by the reader's
setting.
"""

from __future__ import annotations

from rl_discrete.bench.palette import DARK, LIGHT

_PAGE_LIGHT = {
    "paper": "#fcfcfb",
    "panel": "#f4f4f2",
    "rule": "#dcdee2",
    "good": "#256b3c",
    "bad": "#a5322b",
    "open": "#6a6f77",
}
_PAGE_DARK = {
    "paper": "#14171a",
    "panel": "#1c2024",
    "rule": "#333940",
    "good": "#7cc492",
    "bad": "#ee8f86",
    "open": "#a7adb6",
}

_RULES = """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; color-scheme: light dark; scroll-behavior: smooth; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 5rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 var(--sans); }
h1 { font-size: 1.75rem; line-height: 1.2; letter-spacing: -.015em; margin: 0 0 .4rem; text-wrap: balance; }
h2 { font-size: 1.2rem; letter-spacing: -.01em; margin: 3.2rem 0 .6rem; padding-top: .9rem;
  border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 1.8rem 0 .3rem; }
p, .evidence { max-width: 46rem; }
p { margin: .5rem 0; }
a { color: inherit; text-decoration-color: var(--mid); text-underline-offset: .2em; }
nav { font-size: .9rem; margin: 1.1rem 0 0; line-height: 2; }
nav a { margin-right: 1.1rem; white-space: nowrap; }
.quiet, figcaption { color: var(--muted); font-size: .875rem; }
.notice { border-left: 3px solid var(--bad); padding: .2rem 0 .2rem .9rem; margin: 1rem 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: 1.3rem 1.5rem;
  margin: 1.6rem 0 0; }
.facts dt { color: var(--muted); font-size: .8rem; }
.facts dd { margin: 0; }
.facts .value { font-size: 1.5rem; font-weight: 600; letter-spacing: -.02em; line-height: 1.25;
  font-variant-numeric: tabular-nums; }
.facts .note { color: var(--muted); font-size: .8rem; line-height: 1.4; }
.scroll { overflow-x: auto; margin: .9rem 0; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; font-size: .84rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .5rem; text-align: right; white-space: nowrap; vertical-align: baseline; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tbody th, tfoot th { font-weight: 600; position: sticky; left: 0; background: var(--paper); }
thead th { font-weight: 500; color: var(--muted); vertical-align: bottom; }
thead tr:last-child th { border-bottom: 1px solid var(--ink); }
thead .group { text-align: left; color: var(--ink); font-weight: 600; padding-bottom: .1rem; }
.first { padding-left: 1.3rem; }
tbody tr.apart th, tbody tr.apart td { border-top: 1px solid var(--rule); }
tbody tr:last-child th, tbody tr:last-child td { border-bottom: 1px solid var(--rule); }
tfoot th, tfoot td { color: var(--muted); font-weight: 400; }
.best { font-weight: 650; }
.spread { color: var(--muted); font-size: .9em; font-weight: 400; }
.text td, .text th { text-align: left; white-space: normal; overflow-wrap: anywhere; }
figure { margin: 1.4rem 0 2rem; }
figure .scroll { margin: 0; }
figure svg { display: block; width: 100%; max-width: 46rem; height: auto; }
figure img { display: block; max-width: 100%; height: auto; }
.sheet img { border-radius: 3px; }
.reconstructions img { width: 40rem; }
.name { white-space: nowrap; }
figcaption { max-width: 46rem; margin-top: .45rem; }
.verdict { font-size: .8rem; font-weight: 600; white-space: nowrap; padding: .08rem .5rem; border-radius: 3px;
  border: 1px solid currentColor; margin-left: .5rem; position: relative; top: -.06rem; }
.supported { color: var(--good); } .contradicted { color: var(--bad); } .undecided { color: var(--open); }
.conclusions > li { margin: 0 0 1.9rem; padding-left: .3rem; }
.conclusions > li::marker { color: var(--muted); }
.conclusions h3 { margin: 0 0 .3rem; display: inline; }
.evidence { margin: .35rem 0 0; padding-left: 1.1rem; font-size: .875rem; color: var(--ink);
  font-variant-numeric: tabular-nums; }
.evidence li { margin: .12rem 0; }
.evidence li::marker { color: var(--mid); }
.terms { font-size: .9rem; max-width: 46rem; }
.terms dt { font-weight: 600; margin-top: .6rem; }
.terms dd { margin: 0; }
pre { background: var(--panel); padding: .8rem 1rem; overflow-x: auto; border-radius: 4px; font-size: .84rem;
  line-height: 1.6; }
pre, code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { font-size: .9em; overflow-wrap: anywhere; }
summary { cursor: pointer; color: var(--muted); font-size: .9rem; margin: .8rem 0; }
@media (max-width: 40rem) {
  body { padding: 1.5rem 1rem 3rem; font-size: 15px; }
  h1 { font-size: 1.4rem; }
  .facts { grid-template-columns: 1fr 1fr; gap: 1rem; }
  .facts .value { font-size: 1.25rem; }
  .sheet img { max-width: none; width: 42rem; }
  .reconstructions img { width: 32rem; }
  .chart svg { width: max(100%, 26rem); }
}
@media print { body { max-width: none; } details, .scroll { overflow: visible; } h2 { break-after: avoid; } }
"""


def stylesheet() -> str:
    """The whole style sheet. Every colour of the palette becomes a variable of the same name."""
    sans = 'ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif'
    light, dark = _variables({**LIGHT, **_PAGE_LIGHT}), _variables({**DARK, **_PAGE_DARK})
    dark_rule = f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"
    return f":root {{ --sans: {sans}; {light} }}\n{dark_rule}{_RULES}"


def _variables(colors: dict[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colors.items())
