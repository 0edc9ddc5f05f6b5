"""Non-negative matrix factorisation that can be read: derived, run and tested in notebooks."""

__version__ = "0.1.0"

from importlib import import_module as _import_module
from importlib.util import find_spec as _find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .corpus import Corpus, CorpusError, load_corpus, tfidf
    from .measures import by_share, topic_table
    from .minibatch import MiniBatchNMF
    from .nmf import NMF, non_negative_factorization
    from .select import select_n_components
    from .topics import TopicModel

__all__ = [
    "NMF",
    "Corpus",
    "CorpusError",
    "MiniBatchNMF",
    "TopicModel",
    "by_share",
    "load_corpus",
    "non_negative_factorization",
    "select_n_components",
    "tfidf",
    "topic_table",
]

_HOMES = {"nmf": ("NMF", "non_negative_factorization"), "minibatch": ("MiniBatchNMF",), "topics": ("TopicModel",)}
_HOMES |= {"select": ("select_n_components",), "corpus": ("Corpus", "CorpusError", "load_corpus", "tfidf"), "measures": ("by_share", "topic_table")}


def __getattr__(name: str):
    "Import a public name, or a module of the package, when it is first asked for: `import nmf_nb` imports no library."
    for home, names in _HOMES.items():
        if name in names:
            globals()[name] = value = getattr(_import_module(f"{__name__}.{home}"), name)
            return value
    if not name.startswith("_") and _find_spec(f"{__name__}.{name}"):
        return _import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    "The public names too, imported or not."
    return sorted({*globals(), *__all__})
