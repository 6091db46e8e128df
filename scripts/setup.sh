#!/usr/bin/env bash
# Prepares this checkout: system packages that FFCV is built with, a virtual environment, the project in it.
#
#   scripts/setup.sh            from any folder; again at any time: does nothing when all is in place
#   scripts/setup.sh tests      and what only the tests need: a SLURM, with apt
#
#   PYTHON=/path/to/python3.12  the Python to use (3.11 or 3.12); by default the first that works
#   VENV=.venv                  where the environment goes; a relative path counts from the checkout
#   SETUP_NO_APT=1              never install system packages, only say which are missing
#
# Exit code: 0 ready, 2 something is missing that the user has to install, 1 an installation failed.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

LOG=''

say() { printf '[setup] %s\n' "$*"; }

# step LABEL COMMAND...: one line with the seconds it took; the output goes to the log, its tail is shown on failure.
step() {
    local label="$1" start=$SECONDS
    shift
    printf '[setup] %s ... ' "$label"
    if "$@" >>"$LOG" 2>&1 </dev/null; then
        printf '%d s\n' $((SECONDS - start))
        return 0
    fi
    printf 'failed after %d s\n' $((SECONDS - start))
    show_failure "$label" >&2
    exit 1
}

show_failure() {
    echo "---- the end of $LOG"
    tail -n 30 "$LOG"
    echo "----"
    echo "[setup] failed: $1. Full output: $LOG"
    if grep -qE 'lib(GL|gthread-2|glib-2)[^ ]*\.so.*(cannot open|No such file)' "$LOG"; then
        echo "OpenCV's Python package needs libGL and glib. apt: libgl1 libglib2.0-0; dnf: mesa-libGL glib2"
    fi
    if grep -q 'No space left' "$LOG"; then
        echo "The disk is full: the packages take about 6 GB in $VENV, and as much for a while in ${TMPDIR:-/tmp} and pip's cache."
    fi
    local set_by_user
    set_by_user="$(env | sed -n 's/^\(PIP_[A-Z_]*\)=.*/\1/p' | grep -vE '^PIP_(USER|NO_INPUT|DISABLE_PIP_VERSION_CHECK|USE_PEP517)$' | sort | tr '\n' ' ')"
    [ -z "$set_by_user" ] || echo "pip also listens to these variables of yours: $set_by_user"
}

# ---- System packages ------------------------------------------------------------------------------------

as_root() { # runs a command as root without ever asking
    if [ "$(id -u)" = 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

may_use_apt() {
    [ -z "${SETUP_NO_APT:-}" ] && have apt-get || return 1
    [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; }
}

apt_can_help() { # false where what is missing belongs to a Python that is not the distribution's
    case "$PY:$MISSING" in
        /usr/bin/*) return 0 ;;
        :*) return 0 ;;
        *python-*) return 1 ;;
    esac
}

install_system_packages() {
    local list
    step "updating the package index" as_root apt-get update -q
    if [ "$(apt_python)" = none ]; then give_up; fi # this distribution has no usable Python
    # shellcheck disable=SC2086  # a list of words
    list="$(packages_for apt $MISSING)"
    # shellcheck disable=SC2086
    step "installing $list" \
        as_root apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 $list
}

give_up() {
    {
        echo "[setup] this machine lacks what the project needs."
        explain_missing
    } >&2
    exit 2
}

ensure_system() {
    if [ -n "${PYTHON:-}" ] && ! { have "$PYTHON" && probe_python "$PYTHON" >/dev/null; }; then
        echo "[setup] PYTHON=$PYTHON does not run." >&2
        exit 2
    fi
    find_missing
    [ -n "$MISSING" ] || return 0
    if [ -n "${PYTHON:-}" ] && [ -z "$PY" ]; then give_up; fi # apt cannot change the version of that one
    if ! may_use_apt || ! apt_can_help; then give_up; fi
    LOG="$(mktemp "${TMPDIR:-/tmp}/calibratemix-setup.XXXXXX")"
    install_system_packages
    hash -r
    find_missing
    [ -z "$MISSING" ] || give_up
}

# SLURM's daemons for the tests. Without them all but the cluster tests run; in CI that is an error.
ensure_slurm() {
    local missing
    missing="$(missing_slurm)"
    [ -n "$missing" ] || return 0
    if may_use_apt; then
        LOG="$(mktemp "${TMPDIR:-/tmp}/calibratemix-slurm.XXXXXX")"
        say "installing $SLURM_PACKAGES for the tests"
        install_slurm >>"$LOG" 2>&1 </dev/null || tail -n 5 "$LOG" >&2
        rm -f "$LOG"
        hash -r
        missing="$(missing_slurm)"
    fi
    [ -n "$missing" ] || return 0
    {
        echo "[setup] !!! NO SLURM ON THIS MACHINE ($missing missing): grids on a cluster will NOT BE TESTED."
        echo "[setup] !!! apt: apt-get install --no-install-recommends $SLURM_PACKAGES"
        echo "[setup] !!! dnf: dnf install slurm-slurmctld slurm-slurmd slurm munge (from EPEL)"
    } >&2
    [ "${CI:-}" != true ] || exit 2
}

install_slurm() { # no service is started: the tests run their own, and only while they need it
    as_root apt-get update -q || true # a package list of yesterday may do
    # shellcheck disable=SC2086  # a list of words
    as_root env SYSTEMD_OFFLINE=1 apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 $SLURM_PACKAGES
}

# ---- The environment ------------------------------------------------------------------------------------

remove_venv() { # only what is surely an environment, whatever $VENV says
    if [ -e "$VENV/pyvenv.cfg" ] || [ -e "$INSTALLING" ]; then
        rm -rf "$VENV"
    elif [ -n "$(ls -A "$VENV" 2>/dev/null)" ]; then
        echo "[setup] $VENV is not empty and not a virtual environment: not touched." >&2
        exit 2
    fi
}

open_log() { # the log lives in $VENV; what was logged before $VENV existed moves there
    mkdir -p "$VENV"
    : >"$VENV/setup.log"
    if [ -n "$LOG" ]; then
        cat "$LOG" >"$VENV/setup.log"
        rm -f "$LOG"
    fi
    LOG="$VENV/setup.log"
}

make_venv() {
    remove_venv
    open_log
    : >"$INSTALLING"
    step "making ${VENV#"$ROOT"/} with Python $PY_VERSION ($PY)" "$PY" -m venv "$VENV"
}

ensure_venv() {
    local state
    state="$(venv_state)"
    case "$state" in
        stale | unknown)
            if "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
                open_log
                return 0
            fi
            ;;
        interrupted) say "the last set-up was cut off: starting afresh" ;;
        moved) say "${VENV#"$ROOT"/} was made for another folder or Python: starting afresh" ;;
    esac
    make_venv
}

pip_install() { # a pip that fails (unlike one that is killed) leaves nothing half done: no need to start afresh
    cd "$ROOT" && "$VENV/bin/python" -m pip install --progress-bar off -e '.[dev]' && return 0
    rm -f "$INSTALLING"
    return 1
}

verify() {
    cd / && "$VENV/bin/python" -I - <<'PY'
import importlib.util
import torch, torchvision, ffcv, numba
missing = [name for name in ("pipeline", "dataprep", "slurm") if importlib.util.find_spec(name) is None]
assert not missing, f"not importable: {missing}"
print("torch", torch.__version__, "torchvision", torchvision.__version__, "numba", numba.__version__)
PY
}

write_stamp() { # whole or not at all
    printf '%s\n%s\n' "$(stamp_now)" "$VENV" >"$STAMP.new"
    mv "$STAMP.new" "$STAMP"
    rm -f "$INSTALLING"
}

lock() { # two calls at once: the second waits. Best effort: some file systems have no locks.
    have flock || return 0
    exec 9<"$ROOT"
    flock -n 9 2>/dev/null && return 0
    say "waiting for another set-up of this checkout, if there is one"
    flock -w 1800 9 2>/dev/null || true
}

usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

main() {
    case "${1:-}" in
        '' | tests) ;;
        -h | --help)
            usage
            return 0
            ;;
        *)
            usage >&2
            return 2
            ;;
    esac
    if [ "${1:-}" = tests ]; then
        main
        ensure_slurm
        return 0
    fi
    if [ "$(venv_state)" = ready ]; then return 0; fi
    trap 'echo; say "interrupted; the next call repairs it"; exit 130' INT TERM
    lock
    if [ "$(venv_state)" = ready ]; then return 0; fi
    SECONDS=0
    ensure_system
    ensure_venv
    : >"$INSTALLING"
    rm -f "$STAMP"
    step "installing the project and its packages (several GB the first time; output in ${LOG#"$ROOT"/})" pip_install
    step "importing torch, torchvision, ffcv, numba" verify
    write_stamp
    say "ready after $SECONDS s"
}

main "$@"
