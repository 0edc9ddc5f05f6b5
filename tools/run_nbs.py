"""Run the notebooks and save their outputs, honouring nbdev's directives.

    python tools/run_nbs.py [NOTEBOOK ...] [--flags "slow cuda"]

A cell is skipped, keeping the outputs it has, when it carries one of `tst_flags`
(settings.ini) that is not in --flags, or `#| eval: false`, or calls `nbdev_export()`.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("IN_TEST", "1")
from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from nbdev.clean import clean_nb
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.process import extract_directives


def run_nb(path, skip, mpl_format="png"):
    nb = read_nb(path)
    dirs = {c.id: extract_directives(c, remove=False) for c in nb.cells if c.cell_type == "code"}

    def keep(cell):
        if cell.cell_type != "code":
            return True
        d = dirs[cell.id]
        if "nbdev_export(" in cell.source or d.get("eval:", [""])[0].lower() == "false" or skip & d.keys():
            return True
        cell.outputs = []

    here = Path.cwd()
    shell = CaptureShell(path, mpl_format=mpl_format)
    os.chdir(path.parent)
    try:
        shell.run_all(nb, exc_stop=True, preproc=keep)
    except Exception:
        sys.exit(shell.prettytb(path))
    finally:
        os.chdir(here)
    clean_nb(nb)
    write_nb(nb, path)


if __name__ == "__main__":
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("paths", nargs="*", type=Path)
    ap.add_argument("--flags", default="")
    a = ap.parse_args()
    cfg = get_config()
    sys.path.insert(0, str(cfg.config_path))
    skip = set(cfg.tst_flags.split()) - set(a.flags.split())
    for p in a.paths or sorted(nbglob(as_path=True)):
        t = time.time()
        run_nb(p.resolve(), skip)
        print(f"{p}: {time.time() - t:.1f} s")
