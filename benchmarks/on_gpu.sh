#!/usr/bin/env bash
# What only a GPU can show, in two parts of at most 270 s each, and the published tables:
#   benchmarks/on_gpu.sh check [FOLDER]     GPU tests; every model trained for a while, with its samples
#   benchmarks/on_gpu.sh measure [FOLDER]   steps and starts timed, many seeds, bf16 against fp32
# Results are written as they are found, by default into benchmarks/results/<date>-<gpu>, so that a
# cut leaves what was done. JOBS (default: the cores) run at a time where nothing is timed.
#   PUBLISHED=8h benchmarks/on_gpu.sh published [TABLE...]   their full form; goes on where it stopped
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
part=${1:-}
gpu=$("$python" -c 'import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else "")')
if [ -z "$gpu" ] || [[ ! $part =~ ^(check|measure|published)$ ]]; then
    [ -n "$gpu" ] && echo "usage: benchmarks/on_gpu.sh check|measure [FOLDER] or published [TABLE...]" >&2 ||
        echo "error: torch sees no CUDA device here" >&2
    exit 2
fi
if [ "$part" = published ]; then # SIGTERM saves the runs
    export OMP_NUM_THREADS=1
    exec timeout --signal=TERM "${PUBLISHED:-8h}" \
        "$python" -m benchmarks.published "${@:2}" --form full --jobs "${JOBS:-8}"
fi
out=${2:-benchmarks/results/$(date +%Y%m%d)-$(tr -cs '[:alnum:]\n' '-' <<<"$gpu")}
mkdir -p "$out"
jobs=${JOBS:-$(nproc)}
begun=$SECONDS
export PYTHONUNBUFFERED=1 PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} OMP_NUM_THREADS=1
{
    date -u +%Y-%m-%dT%H:%M:%SZ
    echo "$gpu, $("$python" -c 'import torch; print("torch", torch.__version__, "CUDA", torch.version.cuda)')"
    nvidia-smi --query-gpu=driver_version,memory.total --format=csv,noheader
    lscpu | grep 'Model name'
} | tee "$out/machine.txt"

status=0
# step NAME SECONDS COMMAND...: its output in NAME.txt, also if it fails or is cut.
step() {
    local name=$1 limit=$2
    shift 2
    echo "== $name ($((SECONDS - begun)) s)"
    timeout "$limit" "$@" 2>&1 | tee "$out/$name.txt" | tail -n "${LINES_SHOWN:-12}" || status=1
}

# train MODEL FOLDER: a short run; its log, last curves and samples. Updates of networks of many
# layers are slow to prepare, and are recorded after three steps: such models get more time.
slow="context_encoder cyclegan discogan dualgan pix2pix"
train() {
    local model=$1 out=$2 run time=${TIME:-25}
    [[ " $slow " = *" $model "* ]] && time=$((time * 5 / 2))
    run=$(mktemp -d)/$model
    timeout --foreground $((time + 45)) "$python" -m gan_cli train model="$model" runtime.device=cuda max_time="${time}s" \
        steps=10000000 sample_every=500 run.dir="$run" >"$out/models/$model.log" 2>&1
    local code=$?
    tail -n 1 "$run/metrics.jsonl" >"$out/models/$model.json"
    find "$run/samples" -type f ! -name 'real-*' 2>/dev/null | sort | while read -r file; do
        name=$(basename "$file") # random-00000500.png; the last of each kind stays
        cp "$file" "$out/models/$model-${name%%-*}.${name##*.}"
    done
    printf '%-18s exit %d  %s\n' "$model" "$code" \
        "$(grep -oE '"(step|speed/[a-z_]+)": *[0-9.e+]+' "$out/models/$model.json" | tr '\n' ' ')" |
        tee -a "$out/models.txt"
    return "$code"
}
export -f train
export python out slow

if [ "$part" = check ]; then
    LINES_SHOWN=40 step tests 120 "$python" -m pytest -q -m gpu -n "$jobs" -p no:cacheprovider -p no:benchmark --maxfail=60 \
        --tb=short $(grep -rl 'mark\.gpu' tests --include='test_*.py')
    mkdir -p "$out/models"
    : >"$out/models.txt"
    echo "== every model ($((SECONDS - begun)) s)"
    models=$(find conf/model -name '*.yaml' -exec basename {} .yaml \; | sort)
    { tr ' ' '\n' <<<"$slow" && echo "$models"; } | awk '!seen[$0]++' |
        timeout $((265 - (SECONDS - begun))) xargs -P "$jobs" -I{} bash -c 'train {} "$out"' || status=1
    awk '{ split($0, a, "\"step\": "); if (a[2] + 0 < 20) print $1 ": too few steps to be checked" }' "$out/models.txt"
    grep -vxFf <(cut -d' ' -f1 "$out/models.txt") <<<"$models" | sed 's/$/: not trained/'
else
    step start 40 bash -c "time $python -m gan_cli train model=dcgan data=mnist batch_size=64 steps=10000 \
        runtime.device=cuda run.dir=$(mktemp -d)/start"
    step throughput 50 "$python" -m benchmarks.throughput --device cuda --rounds 5 --seconds .4 --hardware "$gpu" \
        --cases dcgan64_b128,dcgan64,dcgan28_b128,dcgan28,wgan28,wgan --out "$out/throughput.json"
    step graphs 45 "$python" benchmarks/graphs.py --models dcgan,wgan --rounds 5
    step seeds 30 "$python" -m benchmarks.seeds model=dcgan data=mnist --device cuda --rounds 3 --members 4 16 \
        --hardware "$gpu" --out "$out/seeds.json"
    echo "== precision ($((SECONDS - begun)) s)"
    for seed in 0 1 2 3 4; do for model in dcgan wgan; do echo "$model/$seed"; done; done |
        timeout 95 xargs -P 4 -I{} bash -c \
            '"$python" -m benchmarks.precision --form full --models "$(dirname {})" --seeds "$(basename {})" \
            --steps "${STEPS:-2000}" --device cuda --out "$out/precision/{}.json"' >"$out/precision.log" 2>&1 || status=1
    "$python" -m benchmarks.precision --form full --merge "$out/precision" 2>&1 | tee "$out/precision.txt" || status=1
fi
echo "$part took $((SECONDS - begun)) s; what was found lies in $out"
exit "$status"
