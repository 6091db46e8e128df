"""From logits to rows of predictions.csv."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataprep.console import suggestion
from pipeline.calibration.conformal import METHODS, prediction_sets
from pipeline.calibration.scores import softmax
from pipeline.calibration.sums import Floats, Ints
from pipeline.prediction.decisions import Decisions
from pipeline.randomness import PREDICTION_SET, uniforms

TOP = 3
ACCEPT, REVIEW = "accept", "review"
BETWEEN = "|"  # the classes of a set
SEED = 0  # of the random shares of APS: the same command gives the same sets


@dataclass(frozen=True)
class Rows:
    """How predictions of these `classes` are written down, with what was decided of their confidences.

    `probability_of`: classes whose probability every row has. ValueError naming one that is not among `classes`.
    """

    classes: Sequence[str]
    decisions: Decisions
    probability_of: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in self.probability_of:
            if name not in self.classes:
                near = suggestion(name, self.classes)
                raise ValueError(f"--probability-of {name}: the run knows no such class; {near}")

    def header(self) -> list[str]:
        """Names of the columns."""
        more = [f"{what}_{rank}" for rank in range(2, TOP + 1) for what in ("class", "confidence")]
        decision = ["decision"] if self.decisions.accept else []
        sets = ["set"] if self.decisions.sets else []
        asked = [f"probability of {name}" for name in self.probability_of]
        return ["file", "class", "confidence", "margin", *more, *decision, *sets, *asked]

    def rows(self, names: Sequence[str], positions: Ints, logits: NDArray[Any]) -> Iterator[list[str]]:
        """One for each image: of `names` and `positions` [b], logits [b, C].

        confidence: the probability of the class after the temperature. margin: its logit minus the largest of another
        class, before it. Then the next two classes; of fewer classes, empty cells.
        """
        probabilities = softmax(np.asarray(logits, dtype=np.float64) / self.decisions.temperature)
        order = np.argsort(-logits, axis=1, kind="stable")[:, :TOP]  # the first of equal ones, as argmax takes it
        best = np.take_along_axis(probabilities, order, axis=1)
        top = np.take_along_axis(logits, order, axis=1).astype(np.float64)
        margins = top[:, 0] - top[:, 1] if top.shape[1] > 1 else np.full(len(top), np.inf)
        sets = self._sets(probabilities, positions)
        asked = probabilities[:, [self.classes.index(name) for name in self.probability_of]]
        for row, name in enumerate(names):
            cells = [f for c, p in zip(order[row], best[row], strict=True) for f in (self.classes[c], f"{p:.6f}")]
            cells += [""] * (2 * TOP - len(cells))
            decision = [self._decision(best[row, 0])] if self.decisions.accept else []
            more = *decision, *sets[row : row + 1], *(f"{p:.6f}" for p in asked[row])
            yield [name, *cells[:2], f"{margins[row]:.4f}", *cells[2:], *more]

    def accepted(self, rows: Sequence[Sequence[str]]) -> int:
        """How many of `rows` are to be accepted."""
        if self.decisions.accept is None:
            return 0
        column = self.header().index("decision")
        return sum(row[column] == ACCEPT for row in rows)

    def _decision(self, confidence: float) -> str:
        assert self.decisions.accept is not None
        threshold = self.decisions.accept.threshold
        return ACCEPT if threshold is not None and confidence >= threshold else REVIEW

    def _sets(self, probabilities: Floats, positions: Ints) -> list[str]:
        """The set of each image, its most probable class first; none where no sets are asked for."""
        if self.decisions.sets is None:
            return []
        share = uniforms(SEED, PREDICTION_SET, np.zeros_like(positions), positions)
        within = prediction_sets(METHODS[self.decisions.sets](probabilities, share), self.decisions.bound)
        order = np.argsort(-probabilities, axis=1, kind="stable")
        return [
            BETWEEN.join(self.classes[c] for c in ranked if inside[c])
            for ranked, inside in zip(order, within, strict=True)
        ]
