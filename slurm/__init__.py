"""Grids of runs on a cluster or on this machine: submit, watch, collect. Run as scripts."""
