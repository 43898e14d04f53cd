"""How surprising a count is: tails of the negative binomial, and the same surprise as a standard normal deviate.

A count x has mean `mu` and variance mu + mu^2 / k; a large k is Poisson. All functions work elementwise on arrays of one shape,
accept halves (a mean of entries and exits), and give NaN where an input is NaN. What mean and k are belongs in `baseline`.

    P(X <= x) = I(k / (k + mu); k, x + 1),  P(X >= x) = I(mu / (k + mu); x, k),  I = regularised incomplete beta function
    (Abramowitz and Stegun 26.5.26)
"""

from __future__ import annotations

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from retail_sensors.analytics.frames import Array

LIMIT = 8.0
"""Largest deviate: beyond it a normal tail says nothing that a count could be trusted for."""


def at_most(x: Array, mu: Array, k: Array) -> Array:
    """P(X <= x)."""
    return np.asarray(special.betainc(k, x + 1, k / (k + mu)))


def at_least(x: Array, mu: Array, k: Array) -> Array:
    """P(X >= x); 1 for x = 0."""
    return np.where(x > 0, special.betainc(np.maximum(x, 1e-9), k, mu / (k + mu)), np.where(np.isnan(x), np.nan, 1.0))


def two_sided(x: Array, mu: Array, k: Array) -> Array:
    """Twice the smaller of both tails that contain x, at most 1."""
    return np.minimum(1.0, 2 * np.minimum(at_most(x, mu, k), at_least(x, mu, k)))


def log_mass(x: Array, mu: Array, k: Array) -> Array:
    """Natural logarithm of P(X = x)."""
    scale = k + mu
    return np.asarray(
        special.gammaln(x + k)
        - special.gammaln(k)
        - special.gammaln(x + 1)
        + special.xlogy(k, k / scale)
        + special.xlogy(x, mu / scale)
    )


def deviate(x: Array, mu: Array, k: Array) -> Array:
    """Standard normal deviate with the mid-tail P(X < x) + P(X = x) / 2 of x, within LIMIT.

    The mid-tail keeps discrete counts centred: nobody where a tenth of a person was expected is no surprise.
    """
    above = (at_least(x, mu, k) + at_least(x + 1, mu, k)) / 2
    below = 1 - above
    low = below < 0.01  # 1 - above has lost its digits there
    if np.any(low):
        left, mean, shape = x[low], mu[low], k[low]
        less = np.where(left > 0, at_most(np.maximum(left - 1, 0.0), mean, shape), 0.0)
        below[low] = (at_most(left, mean, shape) + less) / 2
    tiny = float(special.ndtr(-LIMIT))
    return np.where(
        above < below,
        -special.ndtri(np.clip(above, tiny, 0.5)),
        special.ndtri(np.clip(below, tiny, 0.5)),
    )
