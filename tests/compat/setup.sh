#!/bin/sh
# Creates tests/compat/.venv with the pinned SDK and the official server's binary.
# Runs again without work when requirements.txt has not changed. Needs Python 3.11 or newer.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
venv="$here/.venv"
stamp="$venv/.requirements"
python=${PYTHON:-python3}

if [ -f "$stamp" ] && cmp -s "$stamp" "$here/requirements.txt"; then
    echo "compat: $venv is up to date"
    exit 0
fi

"$python" - <<'PY'
import sys
if sys.version_info < (3, 11):
    sys.exit(f"compat: Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
PY

if "$python" -c 'import ensurepip' 2>/dev/null; then
    [ -x "$venv/bin/pip" ] || "$python" -m venv --clear "$venv"
elif "$python" -m pip --version >/dev/null 2>&1; then
    # Debian splits ensurepip into python3-venv; without it, the pip outside can put one inside.
    [ -x "$venv/bin/python" ] || "$python" -m venv --clear --without-pip "$venv"
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    [ -d "$site/pip" ] || "$python" -m pip install --quiet --disable-pip-version-check --target "$site" pip==25.1.1
else
    echo "compat: $python has neither ensurepip nor pip; on Debian and Ubuntu: apt-get install python3-venv" >&2
    exit 1
fi

"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
cp "$here/requirements.txt" "$stamp"
echo "compat: $venv is ready ($("$venv/bin/temporal" --version))"
