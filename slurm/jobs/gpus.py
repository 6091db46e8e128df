"""The GPUs of this machine, without importing torch."""

import ctypes
import os


def visible_gpus() -> list[int]:
    """The numbers of this machine's GPUs that may be used: all, or those of CUDA_VISIBLE_DEVICES."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return list(range(installed_gpus()))
    numbers = [name.strip() for name in named.split(",") if name.strip() not in {"", "-1"}]
    if all(number.isdigit() for number in numbers):
        count = installed_gpus() if numbers else 0
        return [int(number) for number in numbers if int(number) < count]
    import torch  # takes seconds, but knows UUIDs

    return list(range(torch.cuda.device_count()))


def installed_gpus() -> int:
    """How many NVIDIA GPUs the driver sees; 0 without a driver. NVML is what torch asks as well."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if nvml.nvmlInit() != 0 or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
        return 0
    return count.value
