"""A training run as one HTML page that holds all it shows (extra `plot`): `write_report`, or `train --report out.html`.

The page opens without a network, runs no scripts and says so to the browser (Content-Security-Policy); what comes from
data, such as the name of a class, is escaped by the one function that makes elements. It follows the reader's light or
dark setting, fits a phone, and prints. Equal runs give equal pages: there are no times in it.

    run.py          what a report is about
    page.py         the page around the sections
    sections.py     what it learned, how, what it mistakes, what is inside, how it was made
    tables.py       figures as tables
    figures.py      matplotlib's pictures as part of the page, in its colours
    markup.py       elements, escaped
    report.css      how it looks
"""

from .page import write_report

__all__ = ["write_report"]
