"""Build README.md and the site in _docs without Quarto: nbdev processes the notebooks, smalldocs renders them.

    python tools/build_docs.py

The published site is made by `nbdev_docs` (Quarto) from the same notebooks and the same
nbs/_quarto.yml. This is the preview and the check for machines that have no Quarto.
The pages need no network. A dead link, a page that asks another host for anything, or a heading that does not stand
above its own definition fails the build.
"""

import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from mend_pages import asked_of_others, headings_astray, mend
from nbdev.config import get_config
from nbdev.quarto import nbdev_sidebar, refresh_quarto_yml
from nbdev.serve import proc_nbs


def plain(name):
    "`00_core.ipynb` -> `core.ipynb`, as nbdev names the page"
    return re.sub(r"^\d+[a-zA-Z0-9]*_", "", name.lower())


def write_readme(nb, root, site_url):
    "README.md from the processed index notebook, as `nbdev_readme` writes it"
    shutil.rmtree(root / "index_files", ignore_errors=True)  # no picture of a cell that is gone
    out, n_code = [], 1
    for cell in nb["cells"]:
        src = "".join(cell["source"])
        if cell["cell_type"] == "raw":
            fm = yaml.safe_load(src.strip().strip("-"))
            out.append(f"# {fm['title']}\n\n> {fm['description']}")
        elif cell["cell_type"] == "markdown":
            out.append(
                re.sub(r"\]\(((?:\w+/)*)([\w.]+)\.ipynb", lambda m: f"]({site_url}{m[1]}{plain(m[2])}.html", src)
            )
        else:
            n_code += 1
            code = re.sub(r"^#\|.*\n", "", src, flags=re.M)
            if "echo: false" not in src:
                out.append(f"```python\n{code}\n```")
            for i, o in enumerate(cell["outputs"], 1):
                data = o.get("data", {})
                if "image/png" in data:
                    png = Path("index_files/figure-commonmark") / f"cell-{n_code}-output-{i}.png"
                    (root / png).parent.mkdir(parents=True, exist_ok=True)
                    (root / png).write_bytes(base64.b64decode(data["image/png"]))
                    caption = re.search(r"^#\| fig-cap: *(.*)", src, re.M)
                    alt = re.search(r'^#\| fig-alt: *"(.*)"', src, re.M)
                    out.append(f"![{alt[1] if alt else ''}]({png})")
                    out.append(f"*{caption[1]}*" if caption else "")
                elif "text/markdown" in data:
                    out.append("".join(data["text/markdown"]))
                else:
                    out.append(
                        "    " + "".join(data.get("text/plain") or o.get("text", "")).rstrip().replace("\n", "\n    ")
                    )
    (root / "README.md").write_text("\n\n".join(filter(None, out)) + "\n", encoding="utf-8")


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        if "id" in a:
            self.ids.add(a["id"])
        for k in ("href", "src"):
            if a.get(k):
                self.links.append(a[k])


def broken_links(site):
    "Links inside the site that lead to no file, or to no element in the page, or were left as Markdown"
    texts = {p.resolve(): p.read_text(encoding="utf-8") for p in site.rglob("*.html")}
    pages = {p: Page(text) for p, text in texts.items()}
    for p, page in pages.items():
        for link in re.findall(r"\]\([\w/.]+\.ipynb[^)]*\)", texts[p]):
            yield f"{p.relative_to(site.resolve())}: {link} is not rendered; a public name in backticks links by itself"
        for link in page.links:
            u = urlsplit(link)
            if u.scheme or u.netloc:
                continue
            target = (p.parent / unquote(u.path)).resolve() if u.path else p
            if target.is_dir():
                target /= "index.html"
            if not target.exists() or u.fragment and target in pages and unquote(u.fragment) not in pages[target].ids:
                yield f"{p.relative_to(site.resolve())}: {link}"


def for_smalldocs(path):
    "Leave out of `_quarto.yml` what smalldocs has no word for: `mend_pages` does that for its pages"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config.pop("filters")
    page = config["format"]["html"]
    page.pop("html-math-method")
    page["theme"] = {mode: names[0] for mode, names in page["theme"].items()}
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def main():
    cfg = get_config()
    site, site_url = cfg.doc_path, cfg.doc_host.rstrip("/") + "/" + cfg.doc_baseurl.strip("/") + "/"
    refresh_quarto_yml()
    nbdev_sidebar.__wrapped__()
    cache = proc_nbs(force=True)
    write_readme(json.loads((cache / cfg.readme_nb).read_text(encoding="utf-8")), cfg.config_path, site_url)
    with tempfile.TemporaryDirectory() as tmp:
        src = Path(tmp) / "src"
        shutil.copytree(cache, src, ignore=shutil.ignore_patterns(site.name, ".quarto"))
        names = {p.name: plain(p.name) for p in src.rglob("*.ipynb")}
        for p in [*src.rglob("*.ipynb"), src / "sidebar.yml"]:
            text = p.read_text(encoding="utf-8").replace(site_url, "../" * (len(p.relative_to(src).parts) - 1))
            text = re.sub(r'"output-file: [^"]*",?\s*', "", text)  # the renaming below does its work
            for old, new in names.items():
                if old != new:
                    text = re.sub(rf"(?<![\w.]){re.escape(old)}", new, text)
            p.write_text(text, encoding="utf-8")
            if p.suffix == ".ipynb":
                p.rename(p.with_name(names[p.name]))
        for_smalldocs(src / "_quarto.yml")
        subprocess.run([sys.executable, "-m", "smalldocs.cli", "render", "--strict", str(src)], check=True)
        shutil.rmtree(site, ignore_errors=True)
        shutil.move(src / site.name, site)
    mend(site)
    bad = sorted([*broken_links(site), *asked_of_others(site), *headings_astray(site)])
    print(
        "\n".join(bad) or f"{len(list(site.rglob('*.html')))} pages in {site}, no broken link, nothing asked of others"
    )
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
