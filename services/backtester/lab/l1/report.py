"""The results as files: JSON, three pictures, and one page that holds all of it and needs nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from bestex import codec
from bestex.clock import SECOND
from bestex.errors import UsageError
from services.backtester.lab.l1.results import Report, Results, Strategy
from services.backtester.lab.l1.run import Curve, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS_MAX = 2_000  # of a curve: more than a picture has columns
DPI = 110
RULES = {
    "as_published": "the rules by which others report the exercise; every snapshot is bought as if nothing had been",
    "honest": "what was taken stays gone until the feed shows new size; children of one size at the same times",
}
COLOURS = {
    "router": "#c1121f",
    "best_ask": "#1d4e89",
    "twap": "#2a9d8f",
    "vwap": "#e9a03b",
    "sweep": "#7b5ea7",
}


def write(run: Run, folder: Path) -> list[Path]:
    """Write all files into `folder`, over older ones. UsageError where that cannot be."""
    data = codec.to_json(run.results)
    pictures = {name: png(draw(run)) for name, draw in PICTURES.items()}
    files = {
        "results.json": data + b"\n",
        **{f"{name}.png": picture for name, picture in pictures.items()},
        "report.html": page(run.results, pictures).encode(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None
    return [folder / name for name in files]


def png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI, metadata={"Software": ""})
    return out.getvalue()


def cost(run: Run) -> Figure:
    """Cumulative cost of every strategy: cash, and what of it is more than the first mid."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7.5), layout="constrained")
    panes = figure.subplots(2, 2)
    for row, (mode, curves) in zip(panes, run.curves.items(), strict=True):
        for pane, place, name in ((row[0], 1, "cash"), (row[1], 2, "cost against the first mid")):
            for strategy, curve in curves.items():
                thin = thinned(curve)
                pane.step(
                    np.array([point[0] for point in thin], dtype="datetime64[ns]"),
                    [point[place] for point in thin],
                    where="post",
                    label=strategy,
                    color=COLOURS[strategy],
                    linewidth=2.0 if strategy == "router" else 1.2,
                    marker="o" if len(thin) < 4 else None,
                    markersize=3,
                )
            pane.set_title(f"{mode}: cumulative {name}", fontsize=10)
            times = [point[0] for curve in curves.values() for point in curve]
            if times and min(times) == max(times):
                around = np.array([times[0] - SECOND, times[0] + SECOND], dtype="datetime64[ns]")
                pane.set_xlim(around[0], around[1])
            pane.tick_params(axis="x", labelsize=7)
            pane.grid(alpha=0.3)
        row[0].legend(fontsize=8)
    return figure


def response(run: Run) -> Figure:
    """How the cost answers to each parameter, the others at their best; what the search tried as dots."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    panes = figure.subplots(1, 3)
    best = run.results.honest.best_params
    for pane, name in zip(panes, ("lambda_under", "lambda_over", "theta_queue"), strict=True):
        curve = run.response.get(name, [])
        pane.plot([x for x, _ in curve], [y for _, y in curve], color=COLOURS["router"], label="mean cost")
        if curve:
            pane.set_xscale("log")
            pane.axvline(best[name], color="#555", linestyle="--", linewidth=1)
        pane.set_xlabel(f"{name}, cash per share")
        pane.set_ylabel("cost against arrival, bps")
        if run.tried:
            other = pane.twinx()
            other.plot(
                [parameters[name] for parameters, _ in run.tried],
                [score for _, score in run.tried],
                ".",
                color="#1d4e89",
                alpha=0.5,
            )
            other.set_ylabel("score of each trial, bps", color="#1d4e89", fontsize=8)
        pane.grid(alpha=0.3)
    return figure


def savings(run: Run) -> Figure:
    """Savings out of sample against each baseline: every fold, and the mean with its interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    panes = figure.subplots(1, 2)
    for pane, (mode, report) in zip(panes, _reports(run.results).items(), strict=True):
        found = report.cross_validation
        for place, (name, one) in enumerate(found.savings_bps.items()):
            folds = [fold.savings_bps[name] for fold in found.folds]
            known = [value for value in folds if value is not None]
            pane.plot(known, [place] * len(known), "|", color="#888", markersize=10)
            if one.mean is not None:
                pane.plot([one.mean], [place], "o", color=COLOURS[name])
            if one.low is not None and one.high is not None:
                pane.plot([one.low, one.high], [place, place], "-", color=COLOURS[name], linewidth=2.5)
        pane.axvline(0, color="#333", linewidth=0.8)
        pane.set_yticks(range(len(found.savings_bps)), list(found.savings_bps))
        pane.set_xlabel("savings of the router, bps (right is better)")
        pane.set_title(f"{mode}: out of sample, with 95 % intervals", fontsize=10)
        pane.grid(alpha=0.3)
    return figure


PICTURES: dict[str, Callable[[Run], Figure]] = {"cost": cost, "response": response, "savings": savings}


def thinned(curve: Curve) -> Curve:
    """As many points as a picture shows, the last one among them."""
    step = -(-len(curve) // POINTS_MAX) or 1
    return curve[::-1][::step][::-1]


def _reports(results: Results) -> dict[str, Report]:
    return {"honest": results.honest, "as_published": results.as_published}


def page(results: Results, pictures: dict[str, bytes]) -> str:
    """One HTML page without anything from elsewhere."""
    config, data = results.config, results.data
    title = f"{config.side} {config.qty:f} on {data.file}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{data.rows} rows of publishers {escape(', '.join(data.publishers))}, {data.since} to {data.until}. "
        f"{config.children} children of {config.child_qty:f}, each with {config.decisions} decisions in "
        f"{config.horizon_s:g} s; fitted on {config.episodes} windows in {config.trials} trials, seed {config.seed}. "
        f"Version {escape(config.version)}, SHA-256 of the data {data.sha256}.</p>",
        _list(data.notes),
    ]
    for mode, report in _reports(results).items():
        parts += [f"<h2>{mode}</h2>", f"<p>{RULES[mode]}</p>", _table(report), _list(report.notes)]
    for name, picture in pictures.items():
        source = base64.b64encode(picture).decode()
        parts.append(f'<h2>{name}</h2><img alt="{name}" src="data:image/png;base64,{source}">')
    return _PAGE.format(title=escape(title), body="\n".join(parts))


def _list(notes: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>" if notes else ""


def _table(report: Report) -> str:
    head = ("", "cash", "average", "filled", "fills", "savings, bps", "out of sample, bps", "interval")
    rows = [_row("router", report.router, ("", "", ""))]
    for name, one in report.baselines.items():
        tested = report.cross_validation.savings_bps[name]
        interval = "" if tested.low is None else f"{tested.low:.3f} to {tested.high:.3f}"
        rows.append(_row(name, one, (_bps(report.savings_bps[name]), _bps(tested.mean), interval)))
    best = ", ".join(f"{name} {value:.6g}" for name, value in report.best_params.items())
    return (
        f"<table><tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>{''.join(rows)}</table>"
        f"<p>Best parameters: {best}. Cross-validation: {escape(report.cross_validation.scheme)}.</p>"
    )


def _row(name: str, one: Strategy, more: tuple[str, ...]) -> str:
    average = "" if one.avg_px is None else f"{one.avg_px:f}"
    cells = (name, f"{one.cash:f}", average, f"{one.filled:f}", str(one.fills), *more)
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _bps(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; color: #222 }}
table {{ border-collapse: collapse }}
td, th {{ padding: .25em .8em; text-align: right; border-bottom: 1px solid #ddd }}
td:first-child {{ text-align: left }} img {{ max-width: 100% }} p {{ overflow-wrap: anywhere }}
</style></head><body>
{body}
</body></html>
"""
