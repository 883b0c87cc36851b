"""Who is near whom: all pairs of few particles, rows of neighbors of many, and sums over them."""

from .all_pairs import AllPairs
from .capacity import SPARE, BoxTooSmall, pairs_of_few, plan
from .search import Capacity, RowLists, lost, search, still_right
from .sums import sum_over_neighbors

__all__ = [
    "SPARE",
    "AllPairs",
    "BoxTooSmall",
    "Capacity",
    "RowLists",
    "lost",
    "pairs_of_few",
    "plan",
    "search",
    "still_right",
    "sum_over_neighbors",
]
