"""Who is easy and who is hard: AUM of the labelled and APM of the unlabelled images, as every mix tracks them."""

from torch import Tensor

from pipeline.distributed import gather_columns
from pipeline.methods.margins import ApmTable, AumTable, EmaAumTable, all_margins, label_margins
from pipeline.methods.mixing import MixingPool
from pipeline.methods.protocols import MethodContext
from pipeline.methods.step_types import Inputs, Observed, Saved


class Difficulty:
    """AUM [labelled samples] on every rank, APM [unlabelled samples, C] sharded over ranks (CalibrateMix Eqs. 2-5)."""

    def __init__(self, context: MethodContext) -> None:
        options = context.config.mixing
        aum: type[AumTable] | type[EmaAumTable] = AumTable if options.aum == "mean" else EmaAumTable
        self.aum = aum(len(context.labels), context.labelled_repeats, context.device)
        self.apm = ApmTable(context.num_rows, context.num_classes, context.repeats, context.dtype, context.device)
        self.apm_from = 0 if options.apm_in_warmup else context.config.warmup

    def track(self, inputs: Inputs, observed: Observed) -> None:
        """One visit of AUM for each labelled and of APM for each unlabelled image of the batch."""
        labelled, unlabelled = inputs.labelled, inputs.unlabelled
        assert labelled.labels is not None
        margins = label_margins(observed.labelled.logits, labelled.labels)
        self.aum.update(labelled.rows, gather_columns(margins)[0])
        if inputs.step >= self.apm_from and len(unlabelled.rows):
            self.apm.update(unlabelled.rows, all_margins(observed.unlabelled.logits))

    def read(self, pool: MixingPool) -> tuple[Tensor, Tensor]:
        """(AUM [L], APM at the pseudo-label [U]) of the pool's images."""
        apm = self.apm.values(pool.inputs.unlabelled.rows, pool.pseudo.label)
        return self.aum.values(pool.labelled_rows), pool.gather(apm)[0]

    def state(self) -> Saved:
        """Tensors to save, by reference."""
        return Saved(labelled=self.aum.state(), sharded=self.apm.state())
