#!/usr/bin/env bash
# Everything that wants a GPU, in under ten minutes: GPU tests, eight models trained for twenty
# seconds each with their grids, timings. Usage: benchmarks/on_gpu.sh [FOLDER], by default
# benchmarks/results/<date>-<gpu>.
# With PUBLISHED=8h also the published tables' full form for that long; the same again goes on with
# it. PUBLISHED_ARGS takes tables and options of `python -m benchmarks.published`.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
gpu=$("$python" -c 'import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else "")')
if [ -z "$gpu" ]; then
    echo "error: torch sees no CUDA device here" >&2
    exit 2
fi
out=${1:-benchmarks/results/$(date +%Y%m%d)-$(tr -c '[:alnum:]\n' '-' <<<"$gpu")}
mkdir -p "$out"
seconds=${SECONDS_PER_MODEL:-20}
export PYTHONUNBUFFERED=1 PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
{
    date -u +%Y-%m-%dT%H:%M:%SZ
    echo "$gpu, $("$python" -c 'import torch; print("torch", torch.__version__, "CUDA", torch.version.cuda)')"
    nvidia-smi --query-gpu=driver_version,memory.total --format=csv,noheader
} | tee "$out/machine.txt"

status=0
echo "== GPU tests"
if "$python" -c 'import pytest' 2>/dev/null; then
    timeout 150 "$python" -m pytest -n0 -q -m gpu 2>&1 | tee "$out/tests.txt" || status=1
else
    echo "pytest is not installed: GPU tests not run" | tee "$out/tests.txt"
    status=1
fi

echo "== trainings of $seconds s each"
for model in dcgan cgan infogan wgan wgan_gp vae energy glo; do
    run=$(mktemp -d)/$model
    "$python" -m gan_cli train model="$model" data=mnist runtime.device=cuda \
        max_time="${seconds}s" steps=10000000 sample_every=2000 run.dir="$run" 2>&1 |
        tee "$out/$model.log" || status=1
    tail -n 1 "$run/metrics.jsonl" >"$out/$model.json" || status=1
    "$python" -m gan_cli sample "$run" --out "$out/$model.png" || status=1
done

echo "== timings"
timeout 120 "$python" -m benchmarks.throughput --device cuda --rounds 5 --hardware "$gpu" \
    --cases dcgan64,dcgan64_b128,dcgan28,dcgan28_b128,wgan \
    --out "$out/throughput.json" 2>&1 | tee "$out/throughput.txt" || status=1
timeout 60 "$python" -m benchmarks.seeds model=dcgan data=mnist --device cuda --rounds 3 --members 4 16 \
    --hardware "$gpu" --out "$out/seeds.json" 2>&1 | tee "$out/seeds.txt" || status=1
timeout 60 "$python" benchmarks/graphs.py 2>&1 | tee "$out/graphs.txt" || status=1
timeout 60 "$python" -m benchmarks.precision --form full --models dcgan --seeds 0,1 --steps 1000 \
    --device cuda --out "$out/precision.json" 2>&1 | tee "$out/precision.txt" || status=1
if [ -n "${PUBLISHED:-}" ]; then
    echo "== published tables, full form, at most $PUBLISHED"
    # shellcheck disable=SC2086 - several arguments
    "$python" -m benchmarks.published --form full --within "$PUBLISHED" --jobs "${PUBLISHED_JOBS:-4}" \
        ${PUBLISHED_ARGS:-} 2>&1 | tee "$out/published.txt" ||
        [ "${PIPESTATUS[0]}" -eq 130 ] || status=1 # 130: the time is over
fi
echo "what was found lies in $out"
exit "$status"
