"""Image sets to FFCV betons, label splits and a manifest; imports nothing of pipeline/."""
