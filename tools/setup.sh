#!/bin/sh
# What the Makefile needs on a fresh machine: `setup.sh python FILE`, and `setup.sh NAME` for each name below.
# Whatever is missing is said in one sentence.
set -eu

AZURITE=3.35.0
WORKER=1.3.0
OHIF=3.13.2
DICOMWEB_CLIENT=0.11.3
XHR2=0.2.1
MODELS="azure-mgmt-applicationinsights==4.1.0 azure-mgmt-authorization==4.0.0 azure-mgmt-eventgrid==10.4.0
    azure-mgmt-healthcareapis==2.1.0 azure-mgmt-keyvault==13.0.0 azure-mgmt-loganalytics==13.1.1 azure-mgmt-monitor==7.0.0
    azure-mgmt-msi==7.1.0 azure-mgmt-network==30.2.0 azure-mgmt-privatedns==2.0.0 azure-mgmt-storage==24.0.1
    azure-mgmt-web==11.0.1"
DIAGNOSTIC_MODELS=azure-mgmt-monitor==6.0.2
PIP_AUDIT=2.10.1
export PIP_DISABLE_PIP_VERSION_CHECK=1

die() {
    echo "$1" >&2
    exit 1
}

is_recent_python() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_recent_python "$PYTHON" || die "PYTHON is '$PYTHON', which is no Python 3.11 or newer."
        echo "$PYTHON"
        return
    fi
    for one in python3.13 python3.12 python3.11 python3; do
        if is_recent_python "$one"; then
            echo "$one"
            return
        fi
    done
    die "Python 3.11 or newer was not found: install it, or name it with make PYTHON=/path/to/python."
}

# The environment, with the packages of one requirements file in it.
install_python() {
    if ! is_recent_python .venv/bin/python; then
        python=$(find_python) || exit 1
        "$python" -m venv --clear .venv >/dev/null 2>&1 ||
            die "'$python -m venv' failed: install Python's venv module (on Debian: apt-get install python3-venv)."
    fi
    .venv/bin/python -m pip install --quiet -r "$1"
}

check_node() {
    PATH="$PWD/.tools/node/bin:$PATH"
    command -v node >/dev/null 2>&1 || die "Node.js was not found: install version 20 or newer."
    version=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/')
    [ "${version:-0}" -ge 20 ] || die "Node.js 20 or newer is needed; 'node --version' says $(node --version 2>&1)."
    command -v npm >/dev/null 2>&1 || die "npm was not found: it comes with Node.js 20 or newer."
}

install_azurite() {
    check_node
    npm install --prefix .tools --no-save --no-audit --no-fund --no-update-notifier --loglevel=error \
        "azurite@$AZURITE" >/dev/null
}

# The library that is the Python worker in Azure. It asks for Python 3.13 and runs on 3.11.
install_worker() {
    .venv/bin/python -m pip install --quiet --no-deps --ignore-requires-python --upgrade \
        --target .tools/worker "azure-functions-runtime==$WORKER"
}

# The viewer, ready to be served, but for its runtime of neural networks: that is two thirds of it.
install_viewer() {
    check_node
    rm -rf .tools/viewer
    mkdir -p .tools/viewer
    npm pack --silent --pack-destination .tools/viewer "@ohif/app@$OHIF" >/dev/null
    tar -xzf .tools/viewer/*.tgz -C .tools/viewer --strip-components=1 --exclude=package/dist/ort
    rm .tools/viewer/*.tgz
}

# A client in JavaScript, and what a browser has and Node.js has not.
install_clients() {
    check_node
    npm install --prefix .tools/clients --no-save --no-audit --no-fund --no-update-notifier --loglevel=error \
        "dicomweb-client@$DICOMWEB_CLIENT" "xhr2@$XHR2" >/dev/null
}

# A FHIR server, in an environment of its own: its packages are not those of the service.
install_fhir() {
    .venv/bin/python -m venv --clear .tools/fhir
    .tools/fhir/bin/python -m pip install --quiet --no-deps --only-binary=:all: -r tests/fhir/server/requirements.txt
}

# What Microsoft publishes of Azure's resource types, which the templates are checked against. Diagnostic settings are
# in an older release only.
install_models() {
    rm -rf .tools/models
    # shellcheck disable=SC2086
    for wheels in "$MODELS" "$DIAGNOSTIC_MODELS"; do
        .venv/bin/python -m pip download --quiet --no-deps --only-binary=:all: --dest .tools/models $wheels
    done
    .venv/bin/python -m tools.bicep_check.digest .tools/models .tools/models.json
    rm -rf .tools/models
}

# In an environment of its own: it needs much that the service and its tests do not.
install_audit() {
    .venv/bin/python -m venv .tools/audit
    .tools/audit/bin/python -m pip install --quiet "pip-audit==$PIP_AUDIT"
}

case "${1:-}" in
    python) install_python "$2" ;;
    audit) install_audit ;;
    azurite) install_azurite ;;
    worker) install_worker ;;
    viewer) install_viewer ;;
    clients) install_clients ;;
    models) install_models ;;
    fhir) install_fhir ;;
    *) die "usage: setup.sh python FILE | audit | azurite | worker | viewer | clients | models | fhir" ;;
esac
