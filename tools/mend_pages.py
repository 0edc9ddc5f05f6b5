"""What the pages of smalldocs lack, mended one thing a function: text of a page in, text of the page out.

The formulas become MathML, which browsers show without a script or another host; every landmark has a name; an empty
head of a table is a cell; fonts are those of this machine. `asked_of_others` says what a page would still fetch elsewhere.
"""

import html
import re

from math_core import LatexError, LatexToMathML

FORMULA = re.compile(r'<span class="math (inline|display)">\\[(\[](.*?)\\[)\]]</span>', re.S)
NAMES = {  # the landmarks of a page: how smalldocs opens them, and what a screen reader is to call them
    '<nav class="navbar': "Site",
    '<nav class="quarto-secondary-nav': "Page",
    '<nav id="quarto-sidebar"': "All pages",
    '<nav id="TOC" role="doc-toc"': "On this page",
    '<nav class="page-navigation"': "Next and previous page",
    '<div class="toc-actions"': "This page on GitHub",
}


def tex_for_mathml(tex):
    "The TeX of a formula without what MathML has no place for, and the number of the equation"
    number = re.search(r"\\tag\{([^}]*)\}", tex)
    tex = re.sub(r"\\tag\{[^}]*\}", "", tex)
    tex = re.sub(r"\\\\\[[^]]*\]", r"\\\\", tex)  # no extra space between lines
    tex = re.sub(r"&(\s*[-+])", r"&{}\1", tex)  # a sign behind an alignment point stands between two terms
    return tex.strip(), number and number[1]


def formulas(page):
    "Every formula as MathML; the number of an equation beside it, where no wide formula runs into it"
    converter = LatexToMathML()

    def mathml(match):
        kind, source = match[1], html.unescape(match[2])
        tex, number = tex_for_mathml(source)
        try:
            math = converter.convert_with_local_state(tex, displaystyle=kind == "display")
        except LatexError as error:
            raise SystemExit(f"this formula is not understood: {source}\n{error}") from None
        if kind == "inline":
            return math
        beside = f'<span class="number">({number})</span>' if number else ""
        return f'<span class="equation"><span class="formula">{math}</span>{beside}</span>'

    page = re.sub(r'<(?:link rel="stylesheet" href|script src)="[^"]*/katex@[^"]*"[^>]*>(?:</script>)?', "", page)
    return FORMULA.sub(mathml, page)


def landmarks(page):
    "Each landmark has a name of its own, and what opens a section of the sidebar is a button"
    for start, name in NAMES.items():
        role = ' role="navigation"' if start.startswith("<div") else ""
        page = page.replace(start, start.replace(" ", f'{role} aria-label="{name}" ', 1))
    return re.sub(r'data-bs-target="(#quarto-sidebar-section-\d+)" role="navigation"', r'href="\1" role="button"', page)


def table_heads(page):
    "An empty head of a table, the corner over its index, is a cell"
    return re.sub(r"<th([^>]*)>\s*</th>", r"<td\1></td>", page)


def fonts(css):
    "A style sheet that fetches no font from another host: the fonts of the reader's machine stand next in its lists"
    return re.sub(r"@import url\(https?://[^)]*\);?", "", css)


def mend(site):
    "Mend every page and style sheet of a site"
    for path in site.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        for step in (formulas, landmarks, table_heads):
            page = step(page)
        path.write_text(page, encoding="utf-8")
    for path in site.rglob("*.css"):
        path.write_text(fonts(path.read_text(encoding="utf-8")), encoding="utf-8")


def asked_of_others(site):
    "What a page or style sheet fetches from another host, and TeX that was left as it is"
    fetched = r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=["']?((?:https?:)?//[^"'\s>]+)"""
    linked = r"""<link\b(?![^>]*rel="?canonical)[^>]*\bhref=["']?((?:https?:)?//[^"'\s>]+)"""
    styled = r"""(?:@import\s+(?:url\()?|url\()\s*["']?((?:https?:)?//[^"')\s]+)"""
    for path in sorted([*site.rglob("*.html"), *site.rglob("*.css"), *site.rglob("*.js")]):
        text = path.read_text(encoding="utf-8")
        patterns = {".html": (fetched, linked, styled), ".css": (styled,), ".js": ()}[path.suffix]
        for address in sorted({a for pattern in patterns for a in re.findall(pattern, text)}):
            yield f"{path.relative_to(site)}: asks another host for {address}"
        if path.suffix == ".html" and (tex := re.search(r"\\[(\[].{0,60}\\(?:begin|frac|tag|beta|top)", text)):
            yield f"{path.relative_to(site)}: a formula is left as {tex[0]!r}"


def headings_astray(site):
    """The heading of a name whose source is on its page, but does not follow the heading

    nbdev puts the heading below the cell, then swaps the two. Two exporting cells in a row of which the first defines no public
    name, and a cell that defines several, end in another order: a sentence between the cells, or a cell for each name, mends it.
    """
    for path in sorted(site.rglob("*.html")):
        parts = re.split(r'(?=<div id="cell-\d+[^"]*" class="cell[ "])', path.read_text(encoding="utf-8"))
        texts = [html.unescape(re.sub(r"<[^>]*>", "", part)) for part in parts]
        for i, part in enumerate(parts):
            for name in re.findall(r">source</a></p>\s*<h\d[^>]*>([^<]*)</h", part):
                definition = re.compile(rf"^(?:def|class) {re.escape(html.unescape(name).strip())}\b", re.M)
                if any(map(definition.search, texts)) and not any(map(definition.search, texts[i + 1 : i + 2])):
                    yield f"{path.relative_to(site)}: the source of {name} does not follow its heading"
