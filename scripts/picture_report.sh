#!/usr/bin/env bash
# Takes a picture of a run's page with headless Chromium: scripts/picture_report.sh RUN OUT.png [WIDTH,HEIGHT] [dark]
# scripts/picture_report.sh RUN DIR/ takes all pictures of the documentation.
set -euo pipefail
page=$(realpath "$1/report.html")
if [ -d "$2" ]; then
    "$0" "$1" "$2/report.png" 1240,900
    "$0" "$1" "$2/report-dark.png" 1240,900 dark
    "$0" "$1" "$2/report-narrow.png" 500,900
    exit
fi
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
sandbox=()
[ "$(id -u)" = 0 ] && sandbox=(--no-sandbox)  # Chromium refuses its own sandbox to root
scheme=1
[ "${4:-}" = dark ] && scheme=0
chromium --headless "${sandbox[@]}" --disable-gpu --disable-quic --no-first-run --disable-background-networking \
    --disable-sync --disable-component-update --hide-scrollbars --user-data-dir="$profile" \
    --blink-settings=preferredColorScheme="$scheme" --window-size="${3:-1240,900}" --screenshot="$2" \
    "file://$page" 2>/dev/null
