"""Named sets of options: recipes (what the mathematics is) and budgets (how long it runs).

A preset is nothing but option values; no code asks for a preset's name.
"""

from typing import Any

PAPER_STEPS = 2**20

RECIPES: dict[str, dict[str, Any]] = {
    # The paper's equations; gaps filled from the authors' release (Beta draws per direction).
    "paper": {
        "warmup_share": 102400 / PAPER_STEPS,  # "about 100 epochs" of 1024 steps
        "mixing.alpha": 0.4,
        "mixing.lambda_per": "direction",
        "mixing.k_percent": 5.0,
        "mixing.weight": 1.0,
    },
}

# EMA .999 with BN momentum .001 needs more than 5,000 steps before the evaluated model is any good.
_SHORT = {"ema.decay": 0.99, "ema.buffers": "average", "model.norm_momentum": 0.1}

BUDGETS: dict[str, dict[str, Any]] = {
    "smoke": {"steps": 300, "log_every": 20, "eval_every": 100, "checkpoint_every": 100, **_SHORT},
    "hour": {"steps": 4000, "log_every": 50, "eval_every": 500, "checkpoint_every": 500, **_SHORT},
    "day": {"steps": 100_000, "log_every": 256, "eval_every": 2048, "checkpoint_every": 2048},
    "paper": {"steps": PAPER_STEPS, "log_every": 256, "eval_every": 5120, "checkpoint_every": 5120},
}
