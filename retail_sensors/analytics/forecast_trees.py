"""Boosted trees as plain arrays: learnt by scikit-learn, stored without code.

A pickle runs whatever its writer put into it, so that a model in a table would be a way into the process that reads it. Here
a model is numbers only: the nodes of its trees, checked when they are read. What is learnt belongs in `forecast`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from retail_sensors.analytics.frames import Array
from retail_sensors.errors import ContractError

_NO_CATEGORIES = np.zeros((0, 8), dtype=np.uint32)
_LEVELS = 255


@dataclass(frozen=True, slots=True)
class Settings:
    """How trees are grown: how many, how fast they learn, leaves of a tree, and the share of all rows that a leaf holds."""

    trees: int
    learning_rate: float
    leaves: int
    leaf_share: float


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """One learnt quantile: the value before the first tree, all nodes one tree after another, and where each tree ends."""

    start: float
    nodes: Array
    ends: Array

    def answer(self, table: Array) -> Array:
        """The learnt quantile of each row of features, in the units it was learnt in."""
        table = np.ascontiguousarray(table, dtype=np.float64)
        result = np.full(len(table), self.start)
        categories = np.zeros(table.shape[1], dtype=np.uint32)
        for first, end in pairwise([0, *self.ends.tolist()]):
            tree = TreePredictor(self.nodes[first:end], _NO_CATEGORIES, _NO_CATEGORIES)
            result += tree.predict(table, _NO_CATEGORIES, categories, 1)
        return result

    def checked(self, features: int, what: str) -> Trees:
        """Itself; ContractError when following its nodes could leave the trees, never end, or read beyond the features."""
        expected = {"value", "feature_idx", "num_threshold", "missing_go_to_left", "left", "right", "is_leaf"}
        sound = self.nodes.ndim == self.ends.ndim == 1 and expected <= set(self.nodes.dtype.names or ())
        sound = sound and len(self.ends) > 0 and int(self.ends[-1]) == len(self.nodes)
        sound = sound and bool((np.diff(self.ends, prepend=0) > 0).all())
        if sound:
            number = np.arange(len(self.nodes))
            tree = np.searchsorted(self.ends, number, side="right")
            first = np.concatenate([[0], self.ends])[tree]
            inner = self.nodes["is_leaf"] == 0
            # a child comes after its parent, so that every path ends
            for side in ("left", "right"):
                child = self.nodes[side].astype(np.int64) + first
                sound = sound and bool(((child > number) & (child < self.ends[tree]))[inner].all())
            feature = self.nodes["feature_idx"]
            sound = sound and bool(((feature >= 0) & (feature < features))[inner].all())
            sound = sound and not self.nodes["is_categorical"].any() and bool(np.isfinite(self.nodes["value"]).all())
        if not sound:
            raise ContractError(f"{what} does not hold trees of {features} features; train the model again.")
        return self


def _coarse(table: Array) -> Array:
    """The table with each known value replaced by the nearest of its column's 255 quantiles.

    Trees are grown on at most 255 distinct values of a feature anyway. Given more, and rows of different weight, scikit-learn
    finds them by a weighted percentile for each, which takes longer than growing the trees.
    """
    result = np.full(table.shape, np.nan)
    for column in range(table.shape[1]):
        known = ~np.isnan(table[:, column])
        values = table[known, column]
        levels = np.unique(np.quantile(values, np.linspace(0, 1, _LEVELS), method="nearest"))
        result[known, column] = levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, values)]
    return result


def grow(table: Array, wanted: Array, weight: Array, quantile: float, settings: Settings, seed: int) -> Trees:
    """Trees that answer the quantile of `wanted` given a row of features; every column has two distinct values or more."""
    learner = HistGradientBoostingRegressor(
        loss="quantile",
        quantile=quantile,
        max_iter=settings.trees,
        learning_rate=settings.learning_rate,
        max_leaf_nodes=settings.leaves,
        min_samples_leaf=max(20, int(len(table) * settings.leaf_share)),
        early_stopping=False,
        random_state=seed,
    )
    # Its threads wait for each other by spinning: beside other work, what takes 4 s by one thread took 231 s by two.
    with threadpool_limits(1, user_api="openmp"):
        learner.fit(_coarse(table), wanted, sample_weight=weight)
    nodes = [stage[0].nodes for stage in learner._predictors]
    start = float(np.asarray(learner._baseline_prediction).reshape(-1)[0])
    return Trees(start, np.concatenate(nodes), np.cumsum([len(tree) for tree in nodes]))
