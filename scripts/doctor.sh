#!/usr/bin/env bash
# Says what this machine and the project's environment have, what is missing and how to get it. Changes nothing.
#
#   scripts/doctor.sh           from any folder, before or after the set-up; $PYTHON and $VENV as in setup.sh
#
# Exit code: 0 when everything needed is there, 2 otherwise.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PROBLEMS=0
BROKEN=0
DEVICES="${DEVICES:-/dev}" # where the driver's device files are

RED='' PLAIN=''
if [ -t 1 ] || [ -n "${FORCE_COLOR:-}" ]; then RED=$'\e[31m' PLAIN=$'\e[0m'; fi

row() { # row STATUS NAME VALUE; STATUS: ok, MISSING (needed), BROKEN (there but of no use), or - (good to know)
    case "$1" in
        MISSING | BROKEN)
            PROBLEMS=$((PROBLEMS + 1))
            printf '  %s%-8s %-20s %s%s\n' "$RED" "$1" "$2" "$3" "$PLAIN"
            ;;
        *) printf '  %-8s %-20s %s\n' "$1" "$2" "$3" ;;
    esac
    if [ "$1" = BROKEN ]; then BROKEN=1; fi
}

need() { # need NAME VALUE: an empty value is a problem
    if [ -n "$2" ]; then row ok "$1" "$2"; else row MISSING "$1" "not found"; fi
}

first_line() { "$@" 2>/dev/null | head -n 1 || true; }

tool_rows() {
    local compiler value=''
    echo "System"
    if [ -n "$PY" ]; then
        row ok python "$PY_VERSION ($PY)"
        if [ "$PY_VENV" = 1 ]; then row ok "python venv" "with ensurepip"; else need "python venv" ''; fi
        if [ "$PY_HEADERS" = 1 ]; then row ok "Python headers" "Python.h"; else need "Python headers" ''; fi
    else
        row MISSING python "$PYTHONS_THAT_WORK needed${PY_SEEN:+; found: $PY_SEEN}"
        row - "Python headers" "unknown without python"
    fi
    compiler="$(find_compiler)" && value="$compiler: $(first_line "$compiler" --version)"
    need "C++ compiler" "$value"
    if have make; then need make "$(first_line make --version)"; else need make ''; fi
    if have pkg-config; then
        row ok pkg-config "$(first_line pkg-config --version) ($(command -v pkg-config))"
        need opencv4 "$(pkg_version opencv4 || true)"
        need libturbojpeg "$(pkg_version libturbojpeg || true)"
    else
        need pkg-config ''
        row MISSING opencv4 "cannot be looked for without pkg-config"
        row MISSING libturbojpeg "cannot be looked for without pkg-config"
    fi
}

venv_rows() {
    local state
    state="$(venv_state)"
    echo "Environment"
    case "$state" in
        ready) row ok .venv "ready, Python $(venv_version)" ;;
        unknown) row - .venv "Python $(venv_version), not made by make setup, which would complete it" ;;
        stale) row - .venv "pyproject.toml changed since: make setup brings it up to date" ;;
        none) row MISSING .venv "not set up yet: make setup" ;;
        interrupted) row MISSING .venv "the last set-up was cut off: make setup repairs it" ;;
        moved) row MISSING .venv "made for another folder or another Python: make setup makes it anew" ;;
    esac
    case "$state" in ready | unknown | stale) package_rows ;; esac
}

probe_packages() { # asks the environment's own Python; prints STATUS|NAME|VALUE lines
    cd / && "$VENV/bin/python" -I -W ignore - "$ROOT" "$DEVICES" 2>/dev/null <<'PY'
import importlib, sys
from importlib.metadata import version
from pathlib import Path

root, devices = map(Path, sys.argv[1:])
sys.path.append(str(root))

modules = {}
for name in ("numpy", "torch", "torchvision", "numba", "ffcv"):
    try:
        modules[name] = importlib.import_module(name)
        print("ok", name, version(name), sep="|")
    except Exception as error:  # a broken install is what this looks for
        print("MISSING", name, f"{type(error).__name__}: {error}".split("\n")[0], sep="|")

def layers():
    """The thread pools that numba could use here; workqueue, always there, cannot serve two loaders at once."""
    from numba.np.ufunc import parallel
    found = []
    for pool, library in (("tbb", "tbbpool"), ("omp", "omppool")):
        try:
            if pool == "tbb":
                parallel._check_tbb_version_compatible()  # raises where libtbb is absent or too old
            importlib.import_module(f"numba.np.ufunc.{library}")
            found.append(pool)
        except Exception:
            pass
    if "tbb" not in found and list(Path(sys.prefix, "lib").glob("libtbb.so*")):
        found.append(f"tbb only when {sys.prefix}/lib is on LD_LIBRARY_PATH or preloaded")
    return ", ".join(found) or "workqueue only"

def unusable_gpu(torch):
    from pipeline.devices import unusable_gpu  # what the trainer refuses
    if not (problem := unusable_gpu(devices)):
        return ""
    if torch.version.cuda is None:
        return f"{problem} torch {torch.__version__} is built without CUDA: make distclean setup installs it anew"
    return f"{problem} torch {torch.__version__} is built for CUDA {torch.version.cuda}: update the driver"

if "numba" in modules:
    try:
        print("-", "numba threads", layers(), sep="|")
    except Exception as error:
        print("-", "numba threads", error, sep="|")

if "torch" in modules:
    torch = modules["torch"]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(index)
            print("-", f"CUDA device {index}", f"{device.name}, {device.total_memory / 2**30:.0f} GiB", sep="|")
    elif (problem := unusable_gpu(torch)):
        print("BROKEN", "CUDA devices", problem, sep="|")
    else:
        print("-", "CUDA devices", f"none (torch built for CUDA {torch.version.cuda})" if torch.version.cuda
              else "none (torch built without CUDA)", sep="|")
    asked = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    units = [unit for unit, ask in zip(("AVX512-BF16", "AMX"), asked) if ask is not None and ask()]
    print("-", "CPU bf16 units", "yes: " + ", ".join(units) if units else "no", sep="|")
PY
}

package_rows() {
    local status name value
    while IFS='|' read -r status name value; do
        row "$status" "$name" "$value"
    done < <(probe_packages || echo "MISSING|.venv python|$VENV/bin/python failed")
}

gpu_row_without_torch() {
    case "$(venv_state)" in ready | unknown | stale) return 0 ;; esac
    if have nvidia-smi && nvidia-smi -L >/dev/null 2>&1; then
        row - "CUDA devices" "$(nvidia-smi -L | wc -l | tr -d ' ') seen by nvidia-smi"
    else
        row - "CUDA devices" "none seen by nvidia-smi"
    fi
}

machine_rows() {
    local memory='unknown' command
    echo "Machine"
    gpu_row_without_torch
    row - "CPU cores" "$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)"
    if [ -r /proc/meminfo ]; then
        memory="$(awk '/^MemAvailable:/ { printf "%.1f GiB", $2 / 1048576 }' /proc/meminfo)"
    fi
    row - "free memory" "$memory"
    row - "free disk" "$(df -Pk "$ROOT" | awk 'NR == 2 { printf "%.1f GiB", $4 / 1048576 }') at $ROOT (the set-up takes about 6 GB)"
    for command in sbatch sinfo; do
        if have "$command"; then
            row - "SLURM $command" "$(command -v "$command")"
        else
            row - "SLURM $command" "not found (needed only to submit jobs)"
        fi
    done
    if [ -z "$(missing_slurm)" ]; then
        row - "SLURM for tests" "$SLURM_PROGRAMS"
    else
        row - "SLURM for tests" "$(missing_slurm) missing: no cluster tests; make test installs it with apt"
    fi
}

main() {
    find_missing
    tool_rows
    venv_rows
    machine_rows
    echo
    if [ "$PROBLEMS" = 0 ] && [ -z "$MISSING" ]; then
        echo "Everything needed is there."
        return 0
    fi
    if [ -n "$MISSING" ]; then
        explain_missing
    elif [ "$BROKEN" = "$PROBLEMS" ]; then
        echo "The GPU cannot be used; training stops with an error unless it is told CUDA_VISIBLE_DEVICES= (the CPU)."
    else
        echo "The system has what is needed. Next: make setup"
    fi
    return 2
}

main "$@"
