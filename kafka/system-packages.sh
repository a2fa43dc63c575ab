#!/bin/bash
# Checks for the system packages that Sluice needs (Debian 12's names) and installs the missing ones when it may.
# Usage: system-packages.sh PYTHON
set -euo pipefail

python=$1
missing=()

"$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null || missing+=(python3.11 python3.11-venv)
java_version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1) || java_version=
[[ ${java_version:-0} -ge 17 ]] && command -v javac >/dev/null || missing+=(openjdk-17-jdk-headless)
command -v mvn >/dev/null || missing+=(maven)

if ((${#missing[@]} == 0)); then
    echo "    there: $("$python" --version), java $java_version, $(mvn -v 2>/dev/null | sed -n '1s/\x1b\[[0-9;]*m//gp')"
    exit 0
fi

install="apt-get install -y --no-install-recommends ${missing[*]}"
if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
    echo "    missing: ${missing[*]}; running: $install"
    apt-get update -q </dev/null
    DEBIAN_FRONTEND=noninteractive $install </dev/null
else
    echo "missing: ${missing[*]}. Install them with: sudo $install" >&2
    exit 1
fi
