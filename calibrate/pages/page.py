"""The page that a report is put on: its look on a screen, on a phone and on paper, and its tables."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

STYLE = """
:root { --ink: #1d2733; --soft: #5c6875; --line: #d8dee5; --good: #1c7c4a; --fair: #a86400; --poor: #b3261e; --blue: #1f5f99; }
* { box-sizing: border-box; }
body { margin: 0; background: #eef1f4; color: var(--ink); font: 15px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1040px; margin: 24px auto; padding: 32px 36px; background: #fff; border-top: 6px solid var(--blue); }
h1 { margin: 0; font-size: 28px; letter-spacing: -.01em; }
h2 { margin: 30px 0 10px; font-size: 18px; border-bottom: 1px solid var(--line); padding-bottom: 5px; }
.lead { margin: 2px 0 18px; color: var(--soft); }
dl.head { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1px; margin: 0; background: var(--line);
  border: 1px solid var(--line); }
dl.head div { background: #fff; padding: 7px 11px; min-width: 0; }
dt { font-size: 12px; color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 12px; margin-top: 20px; }
.tile { border: 1px solid var(--line); border-top: 4px solid var(--soft); padding: 11px 13px; }
.tile b { display: block; font-size: 27px; line-height: 1.2; font-weight: 650; }
.tile span { display: block; font-size: 12.5px; color: var(--soft); }
.tile .rating { margin-top: 5px; font-weight: 650; color: inherit; }
.good { border-top-color: var(--good); } .good .rating { color: var(--good); }
.fair { border-top-color: var(--fair); } .fair .rating { color: var(--fair); }
.poor { border-top-color: var(--poor); } .poor .rating { color: var(--poor); }
ul.findings { list-style: none; margin: 0; padding: 0; }
ul.findings li { padding: 8px 12px; border-left: 4px solid var(--line); margin-bottom: 7px; background: #f7f9fb; }
ul.findings .mend { border-color: var(--poor); } ul.findings .good { border-color: var(--good); }
.charts { display: grid; grid-template-columns: 1fr 1fr; gap: 18px; }
svg { width: 100%; height: auto; display: block; font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif;
  fill: var(--ink); }
svg .title { font-size: 14px; font-weight: 650; }
svg .grid { stroke: var(--line); stroke-width: 1; } svg .line { fill: none; stroke: #9fb4c9; stroke-width: 1.3; }
svg .pass { fill: var(--blue); } svg .reject { fill: var(--poor); } svg .flip { fill: #fff1cf; }
svg .mean { stroke: var(--ink); stroke-width: 1.6; }
svg .threshold { stroke: var(--poor); stroke-width: 1.4; stroke-dasharray: 6 4; }
svg .average { stroke: var(--soft); stroke-width: 1.2; }
svg .name { font-size: 11.5px; paint-order: stroke; stroke: #fff; stroke-width: 3px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 9px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { font-size: 12.5px; color: var(--soft); font-weight: 600; vertical-align: bottom; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
tr.flips td { background: #fff1cf; } tr.strong td { font-weight: 650; }
.bar { display: inline-block; height: 9px; background: var(--blue); vertical-align: middle; margin-right: 6px; }
.small { font-size: 12.5px; color: var(--soft); }
img { display: block; max-width: 100%; height: auto; }
table.pairs { width: auto; margin: 12px 0; } table.pairs td { white-space: normal; overflow-wrap: anywhere; }
table.pairs td:first-child { white-space: nowrap; color: var(--soft); vertical-align: top; }
.examples { display: grid; grid-template-columns: repeat(3, 1fr); gap: 16px; }
figure { margin: 0; } figcaption { font-size: 12.5px; color: var(--soft); margin-top: 4px; } figcaption b { color: var(--ink); }
.sign { display: grid; grid-template-columns: 1fr 1fr; gap: 30px; margin-top: 44px; }
.sign div { border-top: 1px solid var(--ink); padding-top: 5px; font-size: 12.5px; color: var(--soft); }
@media (max-width: 720px) {
  main { margin: 0; padding: 20px 16px; }
  dl.head { grid-template-columns: 1fr 1fr; } .charts, .examples { grid-template-columns: 1fr; }
  .tiles { grid-template-columns: 1fr 1fr; }
  h1 { font-size: 24px; } .tile b { font-size: 23px; }
  th, td { padding: 5px 6px; } td:first-child { white-space: normal; min-width: 105px; }
  svg { font-size: 15px; } svg .title { font-size: 17px; } svg .name { font-size: 14.5px; }
}
@media print {
  @page { size: A4; margin: 13mm; }
  body { background: #fff; font-size: 11.5px; } main { margin: 0; padding: 0; max-width: none; border-top: 0; }
  dl.head { grid-template-columns: repeat(4, 1fr); } .charts { grid-template-columns: 1fr 1fr; }
  .tiles { grid-template-columns: repeat(5, 1fr); }
  .tile, tr, li, svg, img, figure, .sign { break-inside: avoid; } h2 { break-after: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def page(title: str, lead: str, body: str) -> str:
    """A whole page that needs no other file; ``body`` is HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
        f'<h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>{body}</main></body></html>\n'
    )


def section(title: str, body: str) -> str:
    """A part of the page; ``body`` is HTML."""
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def table(columns: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]]) -> str:
    """A table; each row with its class, cells are HTML already."""
    head = "".join(f"<th>{column}</th>" for column in columns)
    body = "".join(f'<tr class="{kind}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" for kind, cells in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def note(text: str) -> str:
    """Small print."""
    return f'<p class="small">{escape(text)}</p>'
