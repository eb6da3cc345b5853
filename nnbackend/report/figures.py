"""matplotlib's pictures as a part of the page.

An SVG file becomes an element of the page: black becomes the page's ink and white its paper, so that pictures are dark
in a dark page without being drawn twice; letters stay letters, in the page's font; styles become attributes, since the
page allows no styles but its own; and names inside are kept only where something refers to them.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import TYPE_CHECKING

from ..plots.style import rendered
from .markup import Markup, element

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
# The darkest of the colours is too dark for a dark page.
_INK = {"#000000": "ink", "#ffffff": "paper", "#0072b2": "blue"}
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
# Attributes with coordinates: more than two digits after the point are finer than any screen.
_COORDINATES = ("d", "x", "y", "x1", "x2", "y1", "y2", "points", "transform", "width", "height")


def figure(ax: Axes, name: str, alternative: str, caption: str, *, wide: bool = False) -> Markup:
    """The figure of these axes, with a text for those who cannot see it and a caption for all.

    `name` is unlike that of every other figure of the page. A wide one scrolls on a phone instead of becoming too small.
    """
    source = rendered(ax, "svg", salt=name, dpi=72, transparent=True)
    # The file is matplotlib's own, made a moment ago: no entities or files of others are read.
    root = ElementTree.fromstring(source)
    _clean(root)
    root.attrib |= {"role": "img", "aria-label": alternative, "class": "plot"}
    picture = Markup(ElementTree.tostring(root, encoding="unicode"))
    frame = element("div", picture, class_="scroll wide" if wide else "scroll", tabindex=0 if wide else None)
    return element("figure", frame, element("figcaption", caption))


def _clean(root: ElementTree.Element) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.removeprefix(_SVG) in ("metadata", "style") or "}" in child.tag.removeprefix(_SVG):
                parent.remove(child)
    for node in root.iter():
        node.tag = node.tag.removeprefix(_SVG)
        node.tail = None
        if node.tag not in ("text", "tspan"):
            node.text = None
        _attributes(node)
    used = set(re.findall(r"#([\w-]+)", " ".join(_references(root))))
    for node in root.iter():
        if node.get("id") not in used:
            node.attrib.pop("id", None)


def _attributes(node: ElementTree.Element) -> None:
    """Styles as attributes, colours of the page as classes, links by their short name, short numbers."""
    given = dict(node.attrib)
    node.attrib.clear()
    classes = []
    for key, value in [*given.items(), *_styles(given.get("style", ""))]:
        key = "href" if key == _LINK else key
        if key == "style" or key == "version":
            continue
        if key in ("fill", "stroke") and value.lower() in _INK:
            classes.append(f"{_INK[value.lower()]}-{key}")
            continue
        if key in _COORDINATES:
            value = _NUMBER.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), value)
        node.set(key, " ".join(value.split()) if key == "d" else value.replace("\n", ""))
    if node.tag == "svg":
        for side in ("width", "height"):  # in pixels: points are no unit of HTML
            node.set(side, f"{float(given[side].removesuffix('pt')) * 4 / 3:.0f}")
    if classes:
        node.set("class", " ".join(classes))


def _styles(style: str) -> list[tuple[str, str]]:
    """The declarations of a style, without the font's family, which is the page's."""
    found = []
    for declaration in filter(None, map(str.strip, style.split(";"))):
        key, _, value = map(str.strip, declaration.partition(":"))
        if key == "font":  # "bold 10px 'DejaVu Sans', ...", as older versions write it
            found += [("font-size", size) for size in re.findall(r"[\d.]+px", value)[:1]]
            found += [("font-weight", "bold")] if re.match(r"(bold|700)\b", value) else []
        elif key != "font-family":
            found.append((key, value))
    return found


def _references(root: ElementTree.Element) -> list[str]:
    return [value for node in root.iter() for key, value in node.items() if key != "d" and "#" in value]
