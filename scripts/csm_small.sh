#!/usr/bin/env bash
# Soft-labelled images between classes for the small grids of CSM: scripts/csm_small.sh DATASET LABELS [SEED ...]
# (digits or cifar10jpeg; labels a class; seeds 0 1 2). For each seed a generator that sees the run's labelled images alone,
# groups between all pairs of classes, a classifier of the same images as encoder, and the annotation:
# data/DATASET-csm-LABELS-seedN. VALIDATION images (300) are held out. The same command goes on where it was stopped.
# TEACHERS=DIR: finished semi-supervised runs DIR/SEED of the same splits. Their confident pseudo-labels train the generator too,
# and they are the encoders.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -ge 2 ] || { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
dataset=$1 labels=$2
shift 2
[ $# -gt 0 ] || set -- 0 1 2
python=${PYTHON:-.venv/bin/python}
split=("labels=$labels" "validation=${VALIDATION:-300}")

case $dataset in
    digits)
        generator=(--config configs/generator_digits.yaml --set)
        encoder=(--config configs/digits.yaml --set steps=700 batch.labelled=32)
        groups=16
        ;;
    cifar10jpeg) # at 16x16: a quarter of the cost
        generator=(--config configs/generator_cifar10_jpeg.yaml --set resolution=16 'network.multipliers=1 2' steps=2000)
        encoder=(--config configs/cifar10_jpeg.yaml --set steps=1500 batch.labelled=128 compile=default)
        groups=16
        ;;
    *)
        echo "csm_small.sh: $dataset: choose digits or cifar10jpeg" >&2
        exit 2
        ;;
esac

for seed in "$@"; do
    name=$dataset-csm-$labels-seed$seed
    made=runs/csm/$name
    teacher=${TEACHERS:+$TEACHERS/$seed}
    if [ -n "$teacher" ]; then
        mkdir -p "$made"
        [ -f "$made/pool.json" ] || "$python" pipeline/predict.py "$teacher" --pool --raw --data data --out "$made/pool.csv"
    fi
    "$python" pipeline/train_generator.py "${generator[@]}" "${split[@]}" "seed=$seed" "out=$made/generator" \
        ${teacher:+"pseudo_labels=$made/pool.csv"}
    "$python" pipeline/generate.py --generator "$made/generator" --dataset "$dataset" --groups $groups --seed "$seed" \
        --shards "$made/groups" --out "data/$name"
    [ -n "$teacher" ] || "$python" pipeline/train.py "${encoder[@]}" "${split[@]}" "seed=$seed" "out=$made/encoder" \
        algorithm=supervised model.norm_momentum=0.1 evaluation.weights=raw optimizer.schedule=cosine \
        eval_every=200 checkpoint_every=200
    "$python" pipeline/annotate.py "data/$name" --encoder "${teacher:-$made/encoder}"
done
