#!/bin/sh
# The main job from end to end: check the data, train, register, predict. Needs no network.
set -eu
cd "$(dirname "$0")"
PATH="${BIN:+$BIN:}$PATH"
export HF_HUB_OFFLINE=1

echo "== ahl data check train.csv --test test.csv"
ahl data check train.csv --test test.csv

echo "== ahl train recipe.yml"
ahl train recipe.yml

echo
echo "== ahl predict support-tickets@demo \"...\""
ahl predict support-tickets@demo \
    "where is the money you said you'd send back for the boots?" \
    "please send the boots to my office instead" \
    "I was billed two times for one pair of boots"

echo
echo "== ahl list support-tickets"
ahl list support-tickets
