# shellcheck shell=bash
# What setup.sh and doctor.sh share: where things are, what the machine has, what it lacks and how to get it.
# Sourced, never run. Written for bash 3.2 and later. Nothing here changes the machine.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
VENV="${VENV:-.venv}"
case "$VENV" in
    /*) ;;
    *) VENV="$ROOT/$VENV" ;; # a relative $VENV counts from the checkout, wherever the call comes from
esac
STAMP="$VENV/.ready"
INSTALLING="$VENV/.installing" # there while an install is under way; left behind if it is cut off
PYTHONS_THAT_WORK="3.12 or 3.11"

# Variables that would point Python or pip of this project at something else than its own environment.
unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_ROOT PIP_NO_DEPS PIP_DRY_RUN PIP_NO_BUILD_ISOLATION PIP_PYTHON
export PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_USE_PEP517=1

have() { command -v "$1" >/dev/null 2>&1; }

# ---- Python ---------------------------------------------------------------------------------------------

# Prints "version supported venv headers path" (flags are 0 or 1), or fails where $1 does not run.
probe_python() {
    "$1" -I - 2>/dev/null <<'PY'
import importlib.util, os, sys, sysconfig
found = lambda name: importlib.util.find_spec(name) is not None
dirs = {sysconfig.get_paths()["include"], sysconfig.get_config_var("INCLUDEPY") or ""}
print("%d.%d.%d" % sys.version_info[:3],
      int(sys.version_info[:2] in ((3, 11), (3, 12))),
      int(found("venv") and found("ensurepip")),
      int(any(os.path.isfile(os.path.join(d, "Python.h")) for d in dirs)),
      getattr(sys, "_base_executable", None) or sys.executable)
PY
}

# Sets PY (empty if none will do), PY_VERSION, PY_VENV, PY_HEADERS, and PY_SEEN: what was found but is unfit.
# A python that lacks nothing wins over an earlier one without venv or headers.
find_python() {
    PY='' PY_VERSION='' PY_VENV=0 PY_HEADERS=0 PY_SEEN=''
    local name out version fits venv headers path candidates=(python3.12 python3.11 python3)
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for name in "${candidates[@]}"; do
        have "$name" || continue
        if ! out="$(probe_python "$name")" || [ -z "$out" ]; then
            PY_SEEN="$PY_SEEN${PY_SEEN:+, }$name (does not run)"
            continue
        fi
        read -r version fits venv headers path <<<"$out"
        if [ "$fits" = 0 ]; then
            PY_SEEN="$PY_SEEN${PY_SEEN:+, }$name (is $version)"
            continue
        fi
        if [ -z "$PY" ] || [ "$venv$headers" = 11 ]; then
            PY="$path" PY_VERSION="$version" PY_VENV="$venv" PY_HEADERS="$headers"
        fi
        [ "$venv$headers" != 11 ] || return 0
    done
}

# ---- What is missing ------------------------------------------------------------------------------------

find_compiler() { # prints the name of a C++ compiler
    local name
    for name in g++ c++; do
        if have "$name" && "$name" --version >/dev/null 2>&1; then
            echo "$name"
            return 0
        fi
    done
    return 1
}

pkg_version() { # prints the version of pkg-config module $1
    have pkg-config && pkg-config --modversion "$1" 2>/dev/null
}

# Sets MISSING to the names of what has to be installed, and PY* through find_python.
find_missing() {
    MISSING=''
    find_compiler >/dev/null || MISSING="$MISSING compiler"
    have make || MISSING="$MISSING make"
    have pkg-config || MISSING="$MISSING pkg-config"
    pkg_version opencv4 >/dev/null || MISSING="$MISSING opencv4" # unknowable, so wanted, without pkg-config
    pkg_version libturbojpeg >/dev/null || MISSING="$MISSING libturbojpeg"
    find_python
    if [ -z "$PY" ]; then
        MISSING="$MISSING python"
    else
        [ "$PY_VENV" = 1 ] || MISSING="$MISSING python-venv"
        [ "$PY_HEADERS" = 1 ] || MISSING="$MISSING python-headers"
    fi
    MISSING="${MISSING# }"
}

describe() { # a missing thing in words
    case "$1" in
        compiler) echo "a C++ compiler (g++ or c++)" ;;
        make) echo "make" ;;
        pkg-config) echo "pkg-config" ;;
        opencv4) echo "OpenCV 4 headers (pkg-config module opencv4)" ;;
        libturbojpeg) echo "TurboJPEG headers (pkg-config module libturbojpeg)" ;;
        python) echo "Python $PYTHONS_THAT_WORK${PY_SEEN:+; found: $PY_SEEN}" ;;
        python-venv) echo "the venv and ensurepip modules of $PY" ;;
        python-headers) echo "the C headers (Python.h) of $PY" ;;
    esac
}

# What the tests of slurm/ need: a SLURM of their own on the loopback. Nothing else does.
SLURM_PROGRAMS="munged slurmctld slurmd sbatch"
SLURM_PACKAGES="slurmctld slurmd slurm-client munge"

missing_slurm() { # prints those programs that are absent; daemons live where only root's PATH looks
    local name line=''
    for name in $SLURM_PROGRAMS; do
        (PATH="$PATH:/usr/sbin:/sbin" && have "$name") || line="$line $name"
    done
    echo "${line# }"
}

# ---- How to get it --------------------------------------------------------------------------------------

in_apt_index() { have apt-cache && [ -n "$(apt-cache show "$1" 2>/dev/null)" ]; }

# The python that apt should bring: the one chosen, else the newest usable one that the package index knows;
# "none" where the index has only others, python3 where there is no index to ask.
apt_python() {
    if [ -n "$PY" ]; then
        echo "python${PY_VERSION%.*}"
    elif in_apt_index python3.12-venv; then
        echo python3.12
    elif in_apt_index python3.11-venv; then
        echo python3.11
    elif in_apt_index python3-venv; then
        echo none
    else
        echo python3
    fi
}

packages() { # packages MANAGER THING: prints the packages that bring it
    local python
    case "$1:$2" in
        apt:compiler) echo g++ ;;
        dnf:compiler) echo gcc-c++ ;;
        conda:compiler) echo cxx-compiler ;;
        brew:compiler) echo gcc ;;
        *:make) echo make ;;
        dnf:pkg-config) echo pkgconf-pkg-config ;;
        brew:pkg-config) echo pkgconf ;;
        *:pkg-config) echo pkg-config ;;
        apt:opencv4) echo libopencv-dev ;;
        dnf:opencv4) echo opencv-devel ;;
        conda:opencv4) echo "'opencv<5'" ;;
        brew:opencv4) echo opencv@4 ;;
        apt:libturbojpeg) echo libturbojpeg0-dev ;;
        dnf:libturbojpeg) echo turbojpeg-devel ;;
        conda:libturbojpeg) echo libjpeg-turbo ;;
        brew:libturbojpeg) echo jpeg-turbo ;;
        apt:python*)
            python="$(apt_python)"
            case "$python:$2" in
                none:*) ;;
                *:python) echo "$python $python-dev $python-venv" ;;
                *:python-venv) echo "$python-venv" ;;
                *:python-headers) echo "$python-dev" ;;
            esac
            ;;
        dnf:python-headers) echo "python${PY_VERSION%.*}-devel" ;;
        dnf:python*) echo "python3.12 python3.12-devel" ;;
        conda:python*) echo python=3.12 ;;
        brew:python*) echo python@3.12 ;;
    esac
}

packages_for() { # packages_for MANAGER THING...: prints them on one line
    local manager="$1" thing found line=''
    shift
    for thing in "$@"; do
        found="$(packages "$manager" "$thing")"
        line="$line${found:+ $found}"
    done
    echo "${line# }"
}

# Prints the install line of every package manager for what is missing.
# conda's pkg-config sees nothing but its own environment, so its line is always the whole set.
print_install_lines() {
    local sudo='sudo ' brew_after=''
    [ "$(id -u)" != 0 ] || sudo=''
    case " $MISSING " in *" opencv4 "*)
        # shellcheck disable=SC2016  # to be expanded by the user's shell
        brew_after=' && export PKG_CONFIG_PATH="$(brew --prefix opencv@4)/lib/pkgconfig"' ;;
    esac
    # shellcheck disable=SC2086  # $MISSING is a list of words
    cat <<EOT
  apt:   ${sudo}apt-get update && ${sudo}apt-get install -y --no-install-recommends $(packages_for apt $MISSING)
  dnf:   ${sudo}dnf install -y $(packages_for dnf $MISSING)
  conda: conda install -y -c conda-forge $(packages_for conda compiler make pkg-config opencv4 libturbojpeg python)
  brew:  brew install $(packages_for brew $MISSING)$brew_after
EOT
}

# Where the distribution has no usable Python, these bring one without touching the system.
print_python_lines() {
    cat <<'EOT'
Python 3.12 and 3.11 work; 3.13 and later do not yet, and 3.10 and earlier no more. To get one beside your own:
  uv:    uv python install 3.12 && PYTHON="$(uv python find 3.12)" make setup
  pyenv: pyenv install 3.12 && PYTHON="$(pyenv prefix 3.12)/bin/python" make setup
  conda: conda create -y -n py312 -c conda-forge python=3.12 && PYTHON="$(conda run -n py312 which python)" make setup
EOT
}

# The whole explanation, used by setup before it gives up and by doctor below its table.
explain_missing() {
    local thing
    echo "Missing:"
    for thing in $MISSING; do echo "  - $(describe "$thing")"; done
    echo "Install with the line of your package manager, then run make setup again:"
    print_install_lines
    case " $MISSING " in *" python"*) print_python_lines ;; esac
    if [ -n "${CONDA_PREFIX:-}" ] && have pkg-config; then
        echo "A conda environment is active ($CONDA_PREFIX): $(command -v pkg-config) decides what is found."
        echo "Use the conda line, or run conda deactivate first and use the system's packages."
    fi
}

# ---- The environment in $VENV ---------------------------------------------------------------------------

sha256() {
    if have sha256sum; then sha256sum; else shasum -a 256; fi
}

venv_version() { # the Python version of $VENV, read without starting it
    sed -n 's/^version\(_info\)\{0,1\} *= *\([0-9]*\.[0-9]*\.[0-9]*\).*/\2/p' "$VENV/pyvenv.cfg" 2>/dev/null | head -n 1
}

# What the stamp must hold for $VENV to be up to date. Costs no Python start.
stamp_now() {
    {
        printf '%s\n' "calibratemix setup 1" "$ROOT" "$VENV" "$(venv_version)"
        cat "$ROOT/pyproject.toml"
    } | sha256 | cut -d ' ' -f 1
}

# True where $PYTHON asks for another X.Y than $VENV has.
other_python_wanted() {
    [ -n "${PYTHON:-}" ] || return 1
    local out
    out="$(probe_python "$PYTHON")" || return 0
    out="${out%% *}"
    case "$(venv_version)" in "${out%.*}".*) return 1 ;; esac
}

# Prints ready, stale (pyproject.toml changed), moved (made elsewhere or by another Python), interrupted,
# unknown (made by other hands: no stamp) or none.
venv_state() {
    if [ ! -e "$VENV/pyvenv.cfg" ]; then
        if [ -e "$INSTALLING" ]; then echo interrupted; else echo none; fi
    elif [ -e "$INSTALLING" ]; then
        echo interrupted
    elif [ ! -x "$VENV/bin/python" ] || other_python_wanted; then
        echo moved
    elif [ ! -s "$STAMP" ]; then
        echo unknown
    else
        local hash='' home=''
        { read -r hash && read -r home; } <"$STAMP" || true
        if [ "$home" != "$VENV" ]; then
            echo moved
        elif [ "$hash" = "$(stamp_now)" ]; then
            echo ready
        else
            echo stale
        fi
    fi
}
