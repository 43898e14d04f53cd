"""A forecast model as bytes, to keep in a table: numbers and text only, so that reading one can run nothing.

The bytes are a numpy archive: the trees' nodes, the offsets and tests per series, and a JSON text with names, training window,
features and versions. Pickled objects are refused, and every tree is checked before it is followed. Nodes are those of the
scikit-learn that grew them: another version asks for a new training, which the weekly run does anyway.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from datetime import datetime
from typing import Any

import numpy as np
import sklearn

from retail_sensors.analytics.forecast import ForecastModel
from retail_sensors.analytics.forecast_learner import Learner
from retail_sensors.analytics.forecast_trees import Trees
from retail_sensors.errors import ContractError

FORMAT = 2

_ARRAYS = (
    "reasons",
    "learnt_errors",
    "rule_errors",
    "offsets",
    "pooled_offsets",
    "rule_offsets",
    "pooled_rule_offsets",
    "coverage",
    "pooled_coverage",
)
_TREES = {"absolute": 2, "relative": 2, "tested": 1, "tails": 4}


def _names() -> list[str]:
    return [f"{part}_{number}" for part, count in _TREES.items() for number in range(count)]


def _parts(model: ForecastModel) -> tuple[str, dict[str, Any]]:
    text = {
        "format": FORMAT,
        "scikit_learn": sklearn.__version__,
        "features": model.features,
        "series": model.series,
        "trained_from": model.trained_from.isoformat(),
        "trained_to": model.trained_to.isoformat(),
        "calibrated_at": model.calibrated_at.isoformat(),
        "untold_from": model.untold_from,
        "seed": model.seed,
        "has_learner": model.learner is not None,
    }
    arrays = {name: getattr(model, name) for name in _ARRAYS}
    if model.learner is not None:
        learner = model.learner
        parts = (*learner.absolute, *learner.relative, learner.tested, *learner.tails)
        for name, trees in zip(_names(), parts, strict=True):
            arrays |= {f"{name}_start": np.array(trees.start), f"{name}_nodes": trees.nodes, f"{name}_ends": trees.ends}
    return json.dumps(text), arrays


def to_bytes(model: ForecastModel) -> bytes:
    """The model as a numpy archive."""
    description, arrays = _parts(model)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, description=np.array(description), **arrays)
    return buffer.getvalue()


def version_of(model: ForecastModel) -> str:
    """A name of the model: the day up to which it learnt and a hash of all that it holds.

    Not of the bytes: an archive may hold the time at which it was packed.
    """
    description, arrays = _parts(model)
    digest = hashlib.sha256(description.encode())
    for name, array in sorted(arrays.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return f"{model.trained_to:%Y-%m-%d}-{digest.hexdigest()[:10]}"


def from_bytes(stored: bytes) -> ForecastModel:
    """The model that `to_bytes` wrote; ContractError when it is something else or of another version."""
    remedy = "train the model again"
    try:
        with np.load(io.BytesIO(stored), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        text = json.loads(str(arrays["description"]))
        versions = (text["format"], text["scikit_learn"])
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ContractError(f"These bytes are no stored forecast model ({error}); {remedy}.") from error
    if versions != (FORMAT, sklearn.__version__):
        raise ContractError(
            f"The stored forecast model has format {versions[0]} of scikit-learn {versions[1]}, this is {FORMAT} of "
            f"{sklearn.__version__}; {remedy}."
        )
    try:
        learner = None
        if text["has_learner"]:
            trees = [
                Trees(float(arrays[f"{name}_start"]), arrays[f"{name}_nodes"], arrays[f"{name}_ends"]).checked(
                    len(text["features"]), f"The stored forecast model's {name}"
                )
                for name in _names()
            ]
            learner = Learner(tuple(trees[:2]), tuple(trees[2:4]), trees[4], tuple(trees[5:]))
        return ForecastModel(
            features=tuple(text["features"]),
            learner=learner,
            series=tuple(text["series"]),
            reasons=arrays["reasons"],
            learnt_errors=arrays["learnt_errors"],
            rule_errors=arrays["rule_errors"],
            offsets=arrays["offsets"],
            pooled_offsets=arrays["pooled_offsets"],
            rule_offsets=arrays["rule_offsets"],
            pooled_rule_offsets=arrays["pooled_rule_offsets"],
            coverage=arrays["coverage"],
            pooled_coverage=arrays["pooled_coverage"],
            trained_from=datetime.fromisoformat(text["trained_from"]),
            trained_to=datetime.fromisoformat(text["trained_to"]),
            calibrated_at=datetime.fromisoformat(text["calibrated_at"]),
            untold_from=int(text["untold_from"]),
            seed=int(text["seed"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ContractError(f"The stored forecast model lacks or spoils a part ({error}); {remedy}.") from error
