"""CalibrateMix: a torchrun trainer for calibrated semi-supervised image classification."""
