"""Named sets of options: recipes (what the mathematics is) and budgets (how long it runs).

A preset is nothing but option values; no code asks for a preset's name.
"""

from typing import Any

PAPER_STEPS = 2**20

RECIPES: dict[str, dict[str, Any]] = {
    # The paper's equations; gaps filled from the authors' release (Beta draws per direction).
    "paper": {
        "forward": "joint",
        "warmup_share": 102400 / PAPER_STEPS,  # "about 100 epochs" of 1024 steps
        "mixing.similarity": "feature",  # the paper's conclusion: "feature dissimilarity"
        "mixing.k_percent": 5.0,
        "mixing.apm_in_warmup": True,  # "at each iteration"
        "mixing.second_pass": "alone",
        "mixing.loss": "ce",
        "mixing.weight": 1.0,
    },
    # What the authors' released SoftMatch code does (it starts to mix one step later: at 150001).
    "release": {
        "forward": "joint",
        "warmup_share": 150000 / PAPER_STEPS,
        "augment.normalisation": "usb",
        "mixing.similarity": "pixel",
        "mixing.k_percent": None,
        "mixing.k_count": 15,  # of 224; "5%" in its comments, "10%" is 30 and "15%" is 45
        "mixing.apm_in_warmup": False,
        "mixing.loss": "bce",
        "mixing.weight": 2.0,  # the means of both halves are added
        "mixing.double_base": True,
        "mixing.second_pass": "joint",
    },
}

# EMA .999 with BN momentum .001 needs more than 5,000 steps before the evaluated model is any good.
# SoftMatch's averages of .999 likewise.
_SHORT = {"ema.decay": 0.99, "ema.buffers": "average", "model.norm_momentum": 0.1, "softmatch.momentum": 0.99}

BUDGETS: dict[str, dict[str, Any]] = {
    "smoke": {"steps": 300, "log_every": 20, "eval_every": 100, "checkpoint_every": 100, **_SHORT},
    "hour": {"steps": 4000, "log_every": 50, "eval_every": 500, "checkpoint_every": 500, **_SHORT},
    "day": {"steps": 100_000, "log_every": 256, "eval_every": 2048, "checkpoint_every": 2048},
    "paper": {"steps": PAPER_STEPS, "log_every": 256, "eval_every": 5120, "checkpoint_every": 5120},
}
