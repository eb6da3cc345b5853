"""HTML from nested calls: `element("p", "5 < 7")`. Text is escaped here and nowhere else.

A template language would be one more package for a single page; and what is put together by functions cannot forget to
escape: only what `element` returned counts as HTML.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

# Elements without contents, which have no end.
_VOID = {"meta", "link", "br", "hr", "col"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | int | float | None | Iterable["Child"]


def element(tag: str, /, *children: Child, **attributes: str | int | bool | None) -> Markup:
    """An element with escaped children and attributes; `class_` is class, `aria_label` is aria-label.

    Children that are None are left out, as are attributes that are None or False.

    >>> element("p", "5 < 7", class_="note")
    '<p class="note">5 &lt; 7</p>'
    >>> element("p", element("b", "<script>"))
    '<p><b>&lt;script&gt;</b></p>'
    """
    start = f"<{tag}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    return Markup(start) if tag in _VOID else Markup(f"{start}{join(*children)}</{tag}>")


def join(*children: Child) -> Markup:
    """Children one after the other, escaped where they are not HTML already.

    >>> join("a & b", None, [element("br")])
    'a &amp; b<br>'
    """
    return Markup("".join(_text(child) for child in children))


def _text(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return escape(_visible(child), quote=False)
    return join(*child) if isinstance(child, Iterable) else str(child)


def _attribute(key: str, value: str | int | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(_visible(str(value)))}"'


def _visible(text: str) -> str:
    """Text without letters that a page must not hold: control characters, and halves of surrogate pairs."""
    return "".join(
        letter if letter.isprintable() or letter in " \n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
