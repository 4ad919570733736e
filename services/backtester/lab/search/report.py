"""A search on one page: everything it shows is in the file."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bestex import codec
from bestex.clock import MINUTE, rfc3339
from services.backtester.lab.search.result import SearchResult
from services.backtester.lab.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .8rem;border-bottom:1px solid #ddd;"
    "text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}img{max-width:100%}"
    ".soft{color:#666}"
)
WIDTH_IN, HEIGHT_IN, DPI = 11, 8, 110


def write(found: SearchResult, folder: Path) -> list[Path]:
    """`result.json`, `search.png` and `report.html` in `folder`, over those of an earlier run; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = plot(found)
    contents = {
        "result.json": codec.to_json(found),
        "search.png": picture,
        "report.html": page(found, picture).encode(),
    }
    paths = []
    for name, data in contents.items():
        paths.append(folder / name)
        draft = folder / f"{name}.part"
        draft.write_bytes(data)
        draft.replace(paths[-1])
    return paths


def estimate(found: Estimate) -> str:
    """A difference in bps with its interval."""
    if found.mean is None:
        return "not known"
    if found.low is None or found.high is None:
        return f"{found.mean:+.3f} bps (too few for an interval)"
    return f"{found.mean:+.3f} bps ({found.level:.0%}: {found.low:+.3f} to {found.high:+.3f})"


def verdict(found: SearchResult) -> str:
    """What the test says, in a sentence."""
    of = found.out_of_sample
    if of.high is not None and of.high < 0:
        return "Out of sample the fitted parameters are cheaper than the default."
    if of.low is not None and of.low > 0:
        return "Out of sample the fitted parameters are dearer than the default: what was fitted was chance."
    return "Out of sample the fitted parameters are not known to differ from the default."


def overfit(found: SearchResult) -> str:
    """How much better it looked where it was fitted."""
    than = "better" if found.overfit > 0 else "worse"
    there = f"where it was fitted it looked like {found.in_sample:+.3f} bps"
    return f"{there}, {abs(found.overfit):.3f} {than} than tested"


def effort(found: SearchResult) -> str:
    """What it took."""
    of = found.effort
    workers = "1 worker" if of.jobs == 1 else f"{of.jobs} workers"
    return (
        f"{of.evaluations} sessions in {of.seconds:.1f} s by {workers}, {of.busy:.0%} of their time at work, "
        f"{of.cores:.2f} processors used"
    )


def words(point: dict[str, Any]) -> str:
    return ", ".join(f"{name}={word(value)}" for name, value in point.items()) or "the default"


def word(value: Any) -> str:
    """One value as people read it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def page(found: SearchResult, picture: bytes) -> str:
    """HTML of the whole report."""
    spec, inline = found.spec, base64.b64encode(picture).decode()
    sizes = ", ".join(f"{qty:f}" for qty in spec.qty)
    began, ended = found.tested[0].at_ns, found.tested[-1].at_ns
    rows = [
        ["fold", "fitted on", "tested on", "in sample", "default", "out of sample", "default", "parameters"],
        *(
            [
                str(one.fold),
                str(len(one.train_cases)),
                str(len(one.test_cases)),
                *(
                    f"{cost:.3f}"
                    for cost in (one.train_cost, one.train_default, one.test_cost, one.test_default)
                ),
                words(one.parameters),
            ]
            for one in found.folds
        ),
    ]
    stable = [
        ["parameter", "searched", "default", "best in each fold", "agreement", "importance"],
        *(
            [
                one.parameter,
                one.range,
                word(one.default),
                ", ".join(map(word, one.values)),
                "-" if one.agreement is None else f"{one.agreement:.0%}",
                f"{found.importance[one.parameter]:.0%}" if one.parameter in found.importance else "-",
            ]
            for one in found.stability
        ),
    ]
    adaptive = (
        ""
        if found.adaptive is None
        else f"<p>Fitted again against fitted once: {estimate(found.adaptive)}.</p>"
    )
    origin = [["what", "value"], ["code", found.code], ["seed", str(found.seed)]]
    origin += [[f"sha256 of {name}", sha] for name, sha in found.data.items()]
    origin += [] if spec.synthetic is None else [["market", f"{spec.synthetic} of the market model"]]
    origin += [["space", "; ".join(found.space)]]
    body = [
        f"<h1>{escape(spec.symbol)}: parameters of {escape(', '.join([*spec.algo, *spec.strategy]))}</h1>",
        f'<p class="soft">{found.cases} orders of {spec.duration}, sizes {sizes}, from {rfc3339(began)} to '
        f"{rfc3339(ended)}; {spec.folds} folds, {escape(spec.validation.replace('_', ' '))}, "
        f"{spec.trials} trials each. Costs are implementation shortfall in basis points, fees and what was left "
        "included; positive is cost, and a difference below zero is cheaper.</p>",
        f"<p><strong>{verdict(found)}</strong></p>",
        f"<p>Fitted against default, out of sample: {estimate(found.out_of_sample)}; {overfit(found)}.</p>",
        adaptive,
        f"<p>To be used from now on, fitted on everything: <code>{escape(words(found.parameters))}</code></p>",
        f'<img alt="costs, parameters and importance" src="data:image/png;base64,{inline}">',
        "<h2>Folds</h2>",
        _table(rows),
        "<h2>Parameters</h2>",
        _table(stable),
        "<h2>Where this comes from</h2>",
        _table(origin),
        f'<p class="soft">{effort(found)}.</p>',
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(found.study)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *rest = rows
    lines = ["<table><tr>", *(f"<th>{escape(text)}</th>" for text in head), "</tr>"]
    for row in rest:
        lines += ["<tr>", *(f"<td{_numeric(text)}>{escape(text)}</td>" for text in row), "</tr>"]
    return "".join([*lines, "</table>"])


def _numeric(text: str) -> str:
    return ' class="n"' if text.replace(".", "").replace("-", "").isdigit() else ""


def plot(found: SearchResult) -> bytes:
    """PNG: cost by fold, in and out of sample; every tested order; the best values over the folds; what mattered."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2)
    _plot_folds(axes[0][0], found)
    _plot_orders(axes[0][1], found)
    _plot_values(axes[1][0], found)
    _plot_importance(axes[1][1], found)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI, metadata={"Software": None})
    return out.getvalue()


def _plot_folds(axes: Axes, found: SearchResult) -> None:
    places = [one.fold for one in found.folds]
    axes.bar(
        [place - 0.2 for place in places],
        [one.train_cost - one.train_default for one in found.folds],
        0.38,
        label="where it was fitted",
        color="#b8c4d6",
    )
    axes.bar(
        [place + 0.2 for place in places],
        [one.test_cost - one.test_default for one in found.folds],
        0.38,
        label="where it was tested",
        color="#2f6db5",
    )
    axes.axhline(0, color="#444", linewidth=0.8)
    axes.set(title="Fitted less default", xlabel="fold", ylabel="bps; below zero is cheaper", xticks=places)
    axes.legend(frameon=False)


def _plot_orders(axes: Axes, found: SearchResult) -> None:
    first_ns = found.tested[0].at_ns
    times = [(row.at_ns - first_ns) / MINUTE for row in found.tested]
    axes.axhline(0, color="#444", linewidth=0.8)
    axes.plot(times, [row.fitted - row.default for row in found.tested], "o", markersize=3, color="#2f6db5")
    axes.set(
        title="The same, order by order",
        xlabel="minutes since the first tested",
        ylabel="bps; below zero is cheaper",
    )


def _plot_values(axes: Axes, found: SearchResult) -> None:
    agreement = [
        (one.parameter, one.agreement) for one in reversed(found.stability) if one.agreement is not None
    ]
    axes.barh([name for name, _ in agreement], [share for _, share in agreement], color="#7a9e6f")
    axes.set(title="How far the folds agree on the best value", xlim=(0, 1))


def _plot_importance(axes: Axes, found: SearchResult) -> None:
    shares = list(reversed(found.importance.items()))
    axes.set_axis_on() if shares else axes.set_axis_off()
    axes.barh([name for name, _ in shares], [share for _, share in shares], color="#c08a3e")
    axes.set(title="What mattered (PED-ANOVA)" if shares else "Too few trials to say what mattered")
