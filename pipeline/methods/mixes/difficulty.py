"""Who is easy and who is hard: AUM of the labelled and APM of the unlabelled images, as every mix tracks them."""

from typing import TYPE_CHECKING

from torch import Tensor

from pipeline.distributed import gather_columns
from pipeline.methods.margins import ApmTable, AumTable, EmaAumTable, all_margins, label_margins
from pipeline.methods.protocols import Problem, PseudoLabels, State

if TYPE_CHECKING:
    from pipeline.methods.mixing import Pool
    from pipeline.training.step import Inputs, Observed


class Difficulty:
    """AUM [labelled samples] on every rank, APM [unlabelled samples, C] sharded over ranks (CalibrateMix Eqs. 2-5)."""

    def __init__(self, problem: Problem) -> None:
        options = problem.config.mixing
        aum: type[AumTable] | type[EmaAumTable] = AumTable if options.aum == "mean" else EmaAumTable
        self.aum = aum(len(problem.labels), problem.labelled_repeats, problem.device)
        self.apm = ApmTable(problem.num_rows, problem.num_classes, problem.repeats, problem.dtype, problem.device)
        self.apm_from = 0 if options.apm_in_warmup else problem.config.warmup

    def track(self, inputs: "Inputs", seen: "Observed") -> None:
        """One visit of AUM for each labelled and of APM for each unlabelled image of the batch."""
        margins = label_margins(seen.labelled_logits, inputs.labels)
        self.aum.update(inputs.global_slots, gather_columns(margins)[0])
        if inputs.step >= self.apm_from and len(inputs.rows):
            self.apm.update(inputs.rows, all_margins(seen.unlabelled_logits))

    def read(self, inputs: "Inputs", pseudo: PseudoLabels, pool: "Pool") -> tuple[Tensor, Tensor]:
        """(AUM [L], APM at the pseudo-label [U]) of the pool's images."""
        return self.aum.values(pool.slots), pool.gather(self.apm.values(inputs.rows, pseudo.label))[0]

    def state(self) -> State:
        """Tensors to save, by reference."""
        return {"replicated": {}, "labelled": self.aum.state(), "sharded": self.apm.state()}
