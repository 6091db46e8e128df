"""The calibration report of runs and of prediction files; evaluate.py is its command."""
