"""`make gpu-check`: whether this project is right and fast on the GPUs of a machine; ../check_gpu.py is the command.

fake_cuda.py, fake_step.py, fake_generator.py, cover.py: a step on pretended CUDA tensors, for machines without a GPU
and for the tests.
checks.py: what is run and what its figures must be; runs.py: trainings and their records; table.py: the report.
"""
