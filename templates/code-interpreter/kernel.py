"""Runs first in each kernel: tables and charts as data, and variables for one cell."""

import os

_before = []


def __alcove_enter_env__(variables):
    _before.append({name: os.environ.get(name) for name in variables})
    os.environ.update(variables)


def __alcove_leave_env__():
    for name, value in _before.pop().items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _formatter(mime, module, name, printer):
    """Shows objects of one class as JSON. It is no registered printer of the class, because the
    inline backend of Matplotlib takes those of figures away."""
    from IPython.core.formatters import JSONFormatter, catch_format_error
    from traitlets import Unicode

    class AsData(JSONFormatter):
        format_type = Unicode(mime)

        @catch_format_error
        def __call__(self, obj):
            kinds = {(kind.__module__, kind.__name__) for kind in type(obj).__mro__}
            return printer(obj) if (module, name) in kinds else None

    return AsData()


def _table(frame):
    """Column to list of values, as JSON can hold them."""
    import json

    text = frame.head(10_000).to_json(orient="split", date_format="iso", default_handler=str)
    split = json.loads(text)
    rows = split["data"]
    return {str(name): [row[n] for row in rows] for n, name in enumerate(split["columns"])}


def _chart(figure):
    """The figure's data; None when there is no chart that we know in it."""
    charts = [chart for chart in map(_axes, figure.get_axes()) if chart is not None]
    if not charts:
        return None
    if len(charts) == 1:
        return charts[0]
    title = figure._suptitle.get_text() if figure._suptitle else ""
    return {"type": "superchart", "title": title, "elements": charts}


def _axes(axes):
    from matplotlib.collections import PathCollection
    from matplotlib.container import BarContainer
    from matplotlib.patches import Wedge

    wedges = [patch for patch in axes.patches if isinstance(patch, Wedge)]
    bars = [c for c in axes.containers if isinstance(c, BarContainer)]
    dots = [c for c in axes.collections if isinstance(c, PathCollection)]
    boxes = getattr(axes, "_alcove_boxes", None)
    if wedges:
        elements = [_wedge(wedge) for wedge in wedges]
        return {"type": "pie", "title": axes.get_title(), "elements": elements}
    if boxes:
        return {"type": "box_and_whisker", **_labels(axes), "elements": boxes}
    if bars:
        elements = [bar for group in bars for bar in _bars(axes, group)]
        return {"type": "bar", **_labels(axes), "elements": elements}
    if dots:
        series = [(d.get_label(), d.get_offsets().tolist()) for d in dots]
        return {"type": "scatter", **_labels(axes), **_scales(axes), "elements": _named(series)}
    if axes.lines:
        series = [(line.get_label(), _points(line)) for line in axes.lines]
        return {"type": "line", **_labels(axes), **_scales(axes), "elements": _named(series)}
    return None


def _labels(axes):
    found = {"title": axes.get_title()}
    for side, label in (("x", axes.get_xlabel()), ("y", axes.get_ylabel())):
        name, bracket, unit = label.partition("(")
        found[f"{side}_label"] = name.strip() if bracket else label
        found[f"{side}_unit"] = unit.rstrip(")").strip() if bracket else None
    return found


def _scales(axes):
    found = {}
    for side, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        found[f"{side}_ticks"] = [_plain(tick) for tick in axis.get_ticklocs()]
        found[f"{side}_tick_labels"] = [label.get_text() for label in axis.get_ticklabels()]
        kind = type(axis.get_converter() if hasattr(axis, "get_converter") else axis.converter)
        scale = axis.get_scale()
        if "Date" in kind.__name__ or "Datetime" in kind.__name__:
            scale = "datetime"
        elif "Category" in kind.__name__:
            scale = "categorical"
        found[f"{side}_scale"] = scale
    return found


def _named(series):
    return [{"label": _label(name), "points": points} for name, points in series]


def _label(name):
    return "" if str(name).startswith("_") else str(name)


def _points(line):
    points = zip(line.get_xdata(), line.get_ydata(), strict=True)
    return [[_plain(x), _plain(y)] for x, y in points]


def _bars(axes, group):
    upright = getattr(group, "orientation", "vertical") != "horizontal"
    axis = axes.xaxis if upright else axes.yaxis
    ticks = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=False)
    names = {round(at, 6): text.get_text() for at, text in ticks}
    for bar in group:
        start, thickness = (
            (bar.get_x(), bar.get_width()) if upright else (bar.get_y(), bar.get_height())
        )
        middle = start + thickness / 2
        value = bar.get_height() if upright else bar.get_width()
        label = names.get(round(middle, 6)) or str(_plain(middle))
        yield {"label": label, "value": str(_plain(value)), "group": _label(group.get_label())}


def _wedge(wedge):
    return {"label": _label(wedge.get_label()), "angle": _plain(abs(wedge.theta2 - wedge.theta1)),
            "radius": _plain(wedge.r)}  # fmt: skip


def _plain(value):
    """A number or text that JSON can hold."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return round(value, 10)
    return value if isinstance(value, int) else str(value)


def _note_boxes():
    """Box plots become plain lines when drawn: their numbers are noted on the way."""
    from matplotlib.axes import Axes

    drawn = Axes.bxp

    def bxp(self, stats, *args, **given):
        self._alcove_boxes = getattr(self, "_alcove_boxes", []) + [
            {
                "label": str(box.get("label", "")),
                "min": _plain(box["whislo"]),
                "first_quartile": _plain(box["q1"]),
                "median": _plain(box["med"]),
                "third_quartile": _plain(box["q3"]),
                "max": _plain(box["whishi"]),
                "outliers": [_plain(flier) for flier in box.get("fliers", ())],
            }
            for box in stats
        ]
        return drawn(self, stats, *args, **given)

    Axes.bxp = bxp


def _prepare():
    from IPython import get_ipython

    formatters = get_ipython().display_formatter.formatters
    for formatter in (
        _formatter("application/vnd.alcove.data+json", "pandas.core.frame", "DataFrame", _table),
        _formatter("application/vnd.alcove.chart+json", "matplotlib.figure", "Figure", _chart),
    ):
        formatters[formatter.format_type] = formatter
    try:
        _note_boxes()
    except ImportError:
        pass  # without Matplotlib there are no charts


_prepare()
