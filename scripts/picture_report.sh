#!/usr/bin/env bash
# Takes a picture of a run's page with headless Chromium: scripts/picture_report.sh RUN OUT.png [WIDTH,HEIGHT]
set -euo pipefail
page=$(realpath "$1/report.html")
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
sandbox=()
[ "$(id -u)" = 0 ] && sandbox=(--no-sandbox)  # Chromium refuses its own sandbox to root
chromium --headless "${sandbox[@]}" --disable-gpu --no-first-run --disable-background-networking --disable-sync \
    --disable-component-update --hide-scrollbars --user-data-dir="$profile" --window-size="${3:-1100,760}" \
    --screenshot="$2" "file://$page" 2>/dev/null
