"""Non-negative matrix factorisation that can be read: derived, run and tested in notebooks."""

__version__ = "0.1.0"

from .corpus import Corpus, CorpusError, load_corpus, tfidf
from .measures import by_share, topic_table
from .minibatch import MiniBatchNMF
from .nmf import NMF, non_negative_factorization
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
    "tfidf",
    "topic_table",
]
