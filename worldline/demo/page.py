"""The page that a demonstration leaves behind: text, tables and pictures in one HTML file without scripts."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

STYLE = """
body { max-width: 56rem; margin: 2.5rem auto; padding: 0 1rem; color: #222; }
body { font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; }
h2 { font-size: 1.2rem; margin-top: 2.5rem; border-top: 1px solid #ddd; padding-top: 1.2rem; }
img { max-width: 100%; }
pre { background: #f6f6f4; padding: .8rem 1rem; overflow-x: auto; font-size: .82rem; line-height: 1.4; }
.ok { color: #00734f; font-weight: 600; }
.failed { color: #b00020; font-weight: 600; }
.quiet { color: #666; }
"""


@dataclass(frozen=True)
class Section:
    """One part of the page. `verdict` None: nothing to pass or fail."""

    heading: str
    text: str
    verdict: bool | None = None
    picture: str | None = None
    report: str | None = None


def page(title: str, sections: list[Section], footer: str) -> str:
    """The page as HTML."""
    body = "\n".join(_html(section) for section in sections)
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n"
        f'<h1>{escape(title)}</h1>\n{body}\n<p class="quiet">{escape(footer)}</p>\n</html>\n'
    )


def _html(section: Section) -> str:
    parts = [f"<h2>{escape(section.heading)}{_mark(section.verdict)}</h2>", f"<p>{escape(section.text)}</p>"]
    if section.picture is not None:
        parts.append(f'<img src="{escape(section.picture)}" alt="{escape(section.heading)}">')
    if section.report is not None:
        parts.append(f"<pre>{escape(section.report)}</pre>")
    return "\n".join(parts)


def _mark(verdict: bool | None) -> str:
    if verdict is None:
        return ""
    return ' <span class="ok">ok</span>' if verdict else ' <span class="failed">failed</span>'
