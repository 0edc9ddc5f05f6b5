"""Run notebooks in a fresh shell: save their outputs, or check the saved ones against the run.

    python tools/run_nbs.py [NOTEBOOK ...] [--flags "newsgroups slow"]      run and save
    python tools/run_nbs.py NOTEBOOK --check [--flags ...] [--no-outputs]   run and compare, write nothing

A cell is skipped, keeping the outputs it has, when it carries one of `tst_flags` (settings.ini) that is not in
--flags, or `#| eval: false`. A cell without a flag must print exactly what is saved; in a cell with a flag, which
runs long or on a GPU, numbers may differ by 2 % or by one unit of their last digit. Pictures must be there.
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

os.environ.setdefault("IN_TEST", "1")
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # one thread adds in one order
os.environ["COLUMNS"] = "100"  # tables wrap alike everywhere

from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from nbdev.clean import clean_nb
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.process import extract_directives

NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")


def cell_flags(cell):
    "The flags of a code cell that `tst_flags` knows, and `eval: false`"
    directives = extract_directives(cell, remove=False)
    off = {"eval: false"} if directives.get("eval:", [""])[0].lower() == "false" else set()
    return off | set(directives) & set(get_config().tst_flags.split())


def run_nb(path, flags=frozenset()):
    "The notebook with the outputs of a fresh run; cells that are not run keep theirs"
    nb = read_nb(path)
    skipped = {c.id for c in nb.cells if c.cell_type != "code" or cell_flags(c) - set(flags)}

    def skip(cell):
        if cell.id not in skipped:
            cell.outputs = []
        return cell.id in skipped

    here, around = Path.cwd(), dict(os.environ)
    os.chdir(Path(path).parent)
    shell = CaptureShell(path, mpl_format="png")
    try:
        shell.run_all(nb, exc_stop=True, preproc=skip)
    except Exception:
        sys.exit(shell.prettytb(path))
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(around)  # a page may set the width of its terminal
    clean_nb(nb)
    return nb


def outputs(cell):
    "What a cell printed and showed, as text, and how many pictures it drew"
    text, pictures = [], 0
    for out in cell.get("outputs", []):
        data = out.get("data", {})
        pictures += any(kind.startswith("image/") for kind in data)
        text.append("".join(out.get("text", []) or data.get("text/plain", [])).rstrip())
    return "\n".join(text), pictures


def close(old, new):
    "Whether two texts are the same but for small differences between their numbers"
    a, b = NUMBER.findall(old), NUMBER.findall(new)
    if " ".join(NUMBER.sub("#", old).split()) != " ".join(NUMBER.sub("#", new).split()):
        return False
    for x, y in zip(a, b):
        digits = len(x.partition(".")[2].partition("e")[0])
        unit = 0 if "e" in x else 1.01 * 10.0**-digits
        x, y = (float(z.replace(",", "")) for z in (x, y))
        if abs(x - y) > max(unit, 0.02 * abs(x)):
            return False
    return True


def stale(old, new):
    "Cells whose fresh outputs are not the saved ones"
    for i, (a, b) in enumerate(zip(old.cells, new.cells)):
        (was, pictures), (now, drawn) = outputs(a), outputs(b)
        same = close(was, now) if a.cell_type == "code" and cell_flags(a) else was == now
        if not same or pictures != drawn:
            yield f"cell {i}: saved {was!r} and {pictures} pictures, now {now!r} and {drawn} pictures"


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("paths", nargs="*", type=Path)
    ap.add_argument("--flags", default="")
    ap.add_argument("--check", action="store_true")
    ap.add_argument("--no-outputs", action="store_true")
    a = ap.parse_args()
    sys.path.insert(0, str(get_config().config_path))
    failed = False
    for path in a.paths or sorted(nbglob(as_path=True)):
        start, path = time.time(), path.resolve()
        nb = run_nb(path, a.flags.split())
        if not a.check:
            write_nb(nb, path)
        elif not a.no_outputs and (bad := list(stale(read_nb(path), nb))):
            failed = True
            print(*bad, "the saved outputs are stale: run tools/run_nbs.py on this notebook and commit it", sep="\n")
        print(f"{path.name}: {time.time() - start:.1f} s")
    sys.exit(failed)


if __name__ == "__main__":
    main()
