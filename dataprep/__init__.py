"""Turns image sets into FFCV betons with label splits and a manifest. Imports nothing of pipeline/."""
