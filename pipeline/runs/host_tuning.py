"""The processor a run computes on: its cores, and settings of the C libraries, which change speed, never a number."""

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
LARGEST = 2**31 - 1


def tune_host() -> None:
    """To be called before torch is imported.

    Threads: the loader's share the cores with torch's. By default GNU OpenMP threads spin at every barrier, which costs
    a factor of ten where there are more threads than free cores.

    Memory: by default glibc hands every activation of some megabytes back to the kernel and gets it again, page by page
    and zeroed: 14% of the processor time of a step (WRN-28-2, 128 images, on a virtual machine). Kept instead, in huge
    pages, the process is some 15% larger.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    keep = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc alone has it
    if keep is not None:
        keep(M_MMAP_THRESHOLD, LARGEST)
        keep(M_TRIM_THRESHOLD, LARGEST)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
