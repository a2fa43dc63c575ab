#!/bin/bash
# Puts prometheus and promtool into FOLDER/bin, for the tests of the alert rules: those on the path, else Debian's package, unpacked and not
# installed, so that no daemon starts and no root is needed.
# Usage: install.sh FOLDER
set -euo pipefail

package=prometheus
rm -rf "$1"
mkdir -p "$1/bin"
folder=$(cd "$1" && pwd)

if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
    ln -s "$(command -v prometheus)" "$(command -v promtool)" "$folder/bin/"
elif command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
    echo "    missing: $package; unpacking Debian's below $1"
    mkdir -p "$folder/debian" "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial"
    cd "$folder/debian"
    # lists of its own where the system's are missing or old: those only root may refresh
    own=(-o "Dir::State::lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt/cache" -o Acquire::Languages=none -o APT::Sandbox::User=)
    apt-get download -q "$package" </dev/null >/dev/null 2>&1 || {
        apt-get "${own[@]}" update -q </dev/null
        apt-get "${own[@]}" download -q "$package" </dev/null
    }
    dpkg -x "$package"_*.deb "$folder"
    rm -rf "$folder/debian" "$folder/apt"
    ln -s ../usr/bin/prometheus ../usr/bin/promtool "$folder/bin/"
else
    echo "prometheus and promtool are not on the path, and this is no Debian: install Prometheus 2.42 or newer" >&2
    exit 1
fi
echo "    there: $("$folder/bin/promtool" --version 2>&1 | sed -n 1p)"
