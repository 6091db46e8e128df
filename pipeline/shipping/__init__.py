"""A trained network in files that other programs read: what pipeline/export.py writes."""
