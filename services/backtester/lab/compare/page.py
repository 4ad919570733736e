"""The comparison as one page: everything it shows is in the file, so it opens from a disk without a network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from bestex.clock import SECOND, rfc3339
from bestex.human import Duration
from bestex.shortfall import PARTS
from services.backtester.lab.compare import charts
from services.backtester.lab.compare.analysis import Figures, Table, Worked
from services.backtester.lab.compare.result import Comparison, cumulative, p_text, signed
from services.backtester.lab.statistics import Estimate

STYLE = Path(__file__).with_name("page.css")
PARENTS_SHOWN = 300  # in the page; all are in the JSON beside it

MEANING = {
    "spread": "half the consolidated spread just before each fill: paid where it took, earned where it rested",
    "fees": "what the venues charge, rebates taken off",
    "impact": "prices beyond that best price: depth that was walked, quotes that had gone meanwhile",
    "timing": "where the mid had gone from the arrival to just before each fill, by itself or after our own trading",
    "opportunity": "what is left, as if taken from the books of the end with its fees, against the arrival",
    "basis": "what the venue's contract is quoted above the market it is compared with: another price, no cost, "
    "and in no total",
}


def page(found: Comparison) -> str:
    """HTML of the whole report."""
    asked, analysis = found.asked, found.analysis
    figures = analysis.overall.groups[0].figures
    sizes = ", ".join(f"{size:f}" for size in asked.sizes)
    begun = (
        f"the market model {asked.preset}, a market of its own for each time"
        if asked.preset
        else f"{_second(asked.starts_ns[0])} to {_second(asked.starts_ns[-1])}"
    )
    body = [
        f"<h1>{escape(asked.symbol)}: {len(asked.variants)} ways to work the same orders</h1>",
        f'<p class="soft">{len(asked.starts_ns)} start times, {escape(" and ".join(asked.sides))}, sizes {sizes}, '
        f"{Duration(asked.duration_ns)} each; {begun}. Costs in basis points of the order's value on arrival; "
        "positive is cost, on both sides.</p>",
        f'<p class="headline"><strong>{escape(found.headline)}</strong></p>',
        "<h2>All parents</h2>",
        _scroll(_summary(figures)),
        f"<h2>Difference to {escape(analysis.baseline)}, with {asked.level:.0%} intervals</h2>",
        charts.intervals(_bars(figures), "bps; left is cheaper", "differences with intervals"),
        "<h2>What the cost is made of</h2>",
        charts.stacks(
            [one.variant for one in figures],
            PARTS,
            [[one.parts_bps[part] for part in PARTS] for one in figures],
            "bps; the mark is the total",
            "cost by part",
        ),
        _scroll(_parts(figures)),
        "<ul>",
        *(f"<li><strong>{part}</strong>: {text}</li>" for part, text in MEANING.items()),
        "</ul>",
        "<h2>Cumulative cost</h2>",
        charts.lines(
            [one.variant for one in figures],
            [cumulative(found.parents, one.variant) for one in figures],
            "sum of total cost in quote",
            "minutes since the first start",
            "cumulative cost",
        ),
    ]
    for table in (analysis.by_size, analysis.by_volatility, analysis.by_side):
        if table is not None:
            body += [f"<h2>{escape(table.title.capitalize())}</h2>", _scroll(_breakdown(table))]
    body += ["<h2>With caution</h2><ul>", *(f"<li>{escape(note)}</li>" for note in analysis.notes), "</ul>"]
    body += _origin(found)
    title = escape(f"{asked.symbol}: {', '.join(variant.name for variant in asked.variants)}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>\n{STYLE.read_text()}</style></head>\n"
        f"<body>\n{chr(10).join(body)}\n</body></html>\n"
    )


def _bars(figures: Sequence[Figures]) -> list[charts.Bar]:
    found = [(one.variant, one.difference_bps) for one in figures]
    return [charts.Bar(name, of.mean, of.low, of.high) for name, of in found if of is not None]


def _summary(figures: Sequence[Figures]) -> str:
    return _table(_HEADS, [_result(one) for one in figures])


def _parts(figures: Sequence[Figures]) -> str:
    heads = ["bps", *PARTS, "total", "basis", "sum in quote", "filled", "maker"]
    rows = []
    for one in figures:
        cells = [
            *(signed(one.parts_bps[part], 3) for part in PARTS),
            "–" if one.total_bps.mean is None else signed(one.total_bps.mean, 3),
            "–" if one.basis_bps is None else signed(one.basis_bps, 3),
            f"{one.cost:,.2f}",
            _share(one.fill_rate),
            _share(one.maker_share),
        ]
        rows.append(_row(one.variant, cells))
    return _table(heads, rows)


def _breakdown(table: Table) -> str:
    rows = []
    for group in table.groups:
        rows.append(f'<tr class="group"><td colspan="{len(_HEADS)}">{escape(group.label)}</td></tr>')
        rows += [_result(one) for one in group.figures]
    return _table(_HEADS, rows)


_HEADS = ("", "n", "filled", "total", "interval", "difference", "interval", "p", "Holm", "cheaper in", "")


def _result(one: Figures) -> str:
    cells = [f"{one.n:,}", _share(one.fill_rate), *_estimate(one.total_bps), *_difference(one)]
    kind = one.verdict if one.verdict in ("cheaper", "dearer") else ""
    return _row(one.variant, cells, f'<td class="text {kind}">{escape(one.verdict)}</td>')


def _difference(one: Figures) -> list[str]:
    if one.difference_bps is None:
        return [""] * 5
    return [
        *_estimate(one.difference_bps),
        p_text(one.difference_bps.p),
        p_text(one.p_holm),
        _share(one.cheaper),
    ]


def _estimate(of: Estimate) -> list[str]:
    mean = "–" if of.mean is None else signed(of.mean)
    return [mean, "–" if of.low is None or of.high is None else f"{signed(of.low)} to {signed(of.high)}"]


def _second(at_ns: int) -> str:
    return f"{rfc3339(at_ns - at_ns % SECOND)[:19].replace('T', ' ')} UTC"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _row(name: str, cells: Sequence[str], last: str = "") -> str:
    return f"<tr><td>{escape(name)}</td>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}{last}</tr>"


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    return f"<table><tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr>{''.join(rows)}</table>"


def _scroll(html: str) -> str:
    return f'<div class="scroll">{html}</div>'


def _origin(found: Comparison) -> list[str]:
    asked = found.asked
    data = [f"<li>{escape(one.file)}, SHA-256 <code>{one.sha256}</code></li>" for one in found.data] or [
        f"<li>the market model, preset {escape(asked.preset)}</li>"
    ]
    return [
        "<h2>Where this comes from</h2><ul>",
        *data,
        f"<li>code <code>{escape(found.build)}</code>, seed {asked.seed}, warm-up {Duration(asked.warm_up_ns)} "
        f"before each start, a start every {Duration(asked.every_ns)}</li>",
        f"<li>configuration SHA-256 <code>{found.config_sha256}</code></li></ul>",
        f"<details><summary>The configuration</summary><pre>{escape(found.config)}</pre></details>",
        f"<details><summary>The parents ({len(found.parents):,})</summary>",
        _scroll(_parents(found.parents)),
        "</details>",
    ]


def _parents(parents: Sequence[Worked]) -> str:
    heads = [
        "",
        "start",
        "side",
        "size",
        "ended",
        "filled",
        "fills",
        "average",
        "arrival",
        *PARTS,
        "total bps",
    ]
    rows = []
    for one in sorted(parents, key=lambda each: each.key)[:PARENTS_SHOWN]:
        costs = one.costs
        cells = [
            _second(one.start_ns)[11:],
            str(one.side),
            f"{one.size:f}",
            one.reason,
            _share(one.fill_rate),
            f"{one.fills:,}",
            "–" if one.avg_px is None else f"{float(one.avg_px):,.8g}",
            "–" if one.arrival_px is None else f"{float(one.arrival_px):,.8g}",
            *("–" if costs is None else signed(costs.bps(part)) for part in (*PARTS, "total")),
        ]
        rows.append(_row(one.variant, cells))
    left = len(parents) - PARENTS_SHOWN
    rest = f'<p class="soft">{left:,} more are in the JSON.</p>' if left > 0 else ""
    return _table(heads, rows) + rest
