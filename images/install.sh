#!/bin/sh
# Fills the environment /opt/autosel while an image is built; used by the Dockerfile.
# usage: install.sh dependencies REQUIREMENT...   everything but autosel itself
#        install.sh package                       autosel itself, below /package
# pip's settings are the secret pip.conf; /wheels is a mounted folder of wheels, which may be empty.
set -eu
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PIP_CONFIG_FILE=/run/secrets/pip.conf
pip() { /opt/pip/bin/pip --python /opt/autosel/bin/python "$@"; }
# Bytecode by the hash of its source, not by time: the same input gives the same files.
compile() { /opt/autosel/bin/python -m compileall --invalidation-mode unchecked-hash "$@"; }

case $1 in
  dependencies)
    shift
    # Against empty packages, so that a change of the source leaves this layer as it is.
    mkdir autosel_runtime controller
    touch autosel_runtime/__init__.py controller/__init__.py README.md LICENSE
    pip install --find-links /wheels -c requirements.lock "$@"
    pip check
    pip uninstall --yes autosel setuptools
    rm -rf build ./*.egg-info
    find /opt/autosel -name '*.pyc' -delete
    # Libraries carry a few files for other versions of Python, which do not compile; ours all have to.
    compile -qq -j 0 /opt/autosel/lib || true
    ;;
  package)
    pip install --find-links /wheels --no-deps --root /package .
    compile -q -s /package -p / /package/opt/autosel/lib
    ;;
  *) echo "install.sh: dependencies or package, not $1" >&2; exit 64 ;;
esac
