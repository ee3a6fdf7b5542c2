"""The engine's bench: limits, the report, and the measurements on the tiny pair."""

import json
from dataclasses import replace

import pytest
import torch
from cascade.v1 import law_pb2
from transformers import AutoConfig

from bench.engine import intrusion, limits, operators, overhead, steps, together
from bench.engine.__main__ import STEPS, steps_in
from bench.engine.report import Run, findings, growth, share, speed_up, to_json, to_markdown
from bench.progress import progress_bar
from bench.prompts import Prompt
from services.engine.model import load
from tests.services import TINY, Services
from tests.unit.test_bench_report import MACHINE, row

STEP = steps.Steps(steps.Case("expert", "auto", 6, 1.7), [0.2, 0.24, 0.22], [0.1, 0.12, 0.11])
OVERHEAD = overhead.Overhead(8, [0.1, 0.1, 0.2], [0.097, 0.096, 0.19])
WHERE = operators.Operators(
    3 * 10**9,
    [0.12, 0.13, 0.1],
    [0.1, 0.09, 0.2],
    {"a::product": 0.08, "b": 0.02, "c": 0.01, "d": 0.008, "e": 0.007, "f": 0.004, "g": 0.002},
)
RATES = together.Rates(
    together.Case("EXPERT", law_pb2.MODE_EXPERT, "auto", 5), [10.0, 12.0, 11.0], [60.0, 60.0, 44.0]
)
LONG = intrusion.Intrusion(4000, 0.1, 0.5, 0.65, 15.0, 18.0)
FULL = limits.Limits(3 * 10**9, 10**9, 3000, 2700, 35 * 10**8, 5 * 10**9, True, 0.004)
RUN = Run(
    MACHINE,
    ("a/drafter", "a/expert"),
    "bfloat16",
    64,
    3,
    3,
    [STEP],
    [OVERHEAD],
    WHERE,
    LONG,
    FULL,
    [RATES],
)


def test_the_figures_are_medians() -> None:
    assert speed_up(STEP) == pytest.approx(2)
    assert share(OVERHEAD) == pytest.approx(0.04)
    assert growth(RATES) == pytest.approx(5)
    assert findings(RUN) == ["Every figure is within its limit"]


def test_what_is_out_of_its_limit_is_told() -> None:
    slow = replace(STEP, case=replace(STEP.case, limit=2.1))
    late = replace(OVERHEAD, forwards=[0.09, 0.09, 0.19])
    few = replace(RATES, together=[20.0] * 3)
    waited = replace(LONG, longest_s=0.71)
    large = replace(FULL, peak_bytes=6 * 10**9, waited=False, refused_s=0.2)
    run = replace(RUN, steps=[slow], overheads=[late], intrusion=waited, limits=large, rates=[few])
    assert findings(run) == [
        "Out of its limit: expert, auto, 6 tokens: 2.00 times transformers' speed, wanted 2.1",
        "Out of its limit: 8 at once: 10.0% of a pass is overhead, at most 5%",
        "Out of its limit: EXPERT: 1.82 times the rate of one, wanted 5",
        "Out of its limit: a prompt of 4000 tokens: a token waited 710 ms, at most 700",
        "Out of its limit: a full pod: 6.00 GB, at most 5.07",
        "Out of its limit: a session beyond the slots did not wait",
        "Out of its limit: a session beyond the queue was refused after 200 ms, wanted 100",
    ]


def test_the_report() -> None:
    text = to_markdown(RUN)
    assert row(text, "expert") == ["auto", "6", "220.0", "110.0", "2.00", "1.7"]
    assert row(text, "8") == ["100.0", "97.0", "4.0%", "5%"]
    assert row(text, "a pass") == ["120.0"]
    assert row(text, "`a::product`") == ["80.0"]
    assert row(text, "all other operators") == ["6.0"]
    assert row(text, "reading the products' weights, by a plain sum") == ["100.0"]
    assert "are 3.00 GB: a plain sum, in turn with the passes, reads 30.0 GB/s" in text
    assert row(text, "EXPERT") == ["11.0", "60.0", "5.00", "6.00, 5.00, 4.00", "5"]
    assert json.loads(json.dumps(to_json(RUN)))["rates"][0]["times"] == 5


def test_every_step_of_a_float32_run_can_be_taken() -> None:
    cases = steps_in("float32")
    assert {case.weights for case in cases} == {"auto", "int8", "int4"}
    for case in cases:
        load(TINY / case.role, device="cpu", dtype="float32", weights=case.weights)
    assert steps_in("bfloat16") == STEPS


def test_steps_and_overhead_are_really_measured() -> None:
    torch.set_num_threads(1)
    cases = [steps.Case("expert", "auto", 1, 0), steps.Case("expert", "int4", 6, 0)]
    with progress_bar(4) as bar:
        found = steps.measure({"expert": TINY / "expert"}, "float32", cases, 2, bar)
        model = load(TINY / "expert", device="cpu", dtype="float32")
        added = overhead.measure(model, 3, 2, bar)
    assert [len(s.ours) for s in found] == [len(s.transformers) for s in found] == [2, 2]
    assert len(added.passes) == len(added.forwards) == 2
    assert min(added.passes + added.forwards) > 0
    assert model.cache.pool.free == model.cache.pool.total


def test_an_intrusion_is_really_measured() -> None:
    with progress_bar(1) as bar:
        found = intrusion.measure(TINY / "expert", "float32", 300, bar)
    assert 0 < found.interval_s <= found.longest_s
    assert 0 < found.chunk_s < found.alone_s < found.limit_s + found.alone_s


def test_a_full_pod_is_really_measured() -> None:
    with progress_bar(1) as bar:
        found = limits.measure(TINY / "expert", "float32", 1 << 22, bar)
    assert found.cache_bytes <= 1 << 22
    assert 0.8 * found.cache_tokens < found.filled_tokens <= found.cache_tokens
    assert found.weight_bytes < found.loaded_bytes <= found.peak_bytes < found.limit_bytes
    assert found.waited
    assert found.refused_s > 0


def test_rates_are_really_measured(tiny_services: Services) -> None:
    prompts = [Prompt(str(i), tuple(b"def f%d(x):" % i), chat=False) for i in range(3)]
    rates = together.Rates(RATES.case)
    with progress_bar(1) as bar:
        together.measure(tiny_services.address, rates.case, prompts, 12, 1, rates, bar)
    assert len(rates.alone) == len(rates.together) == 1
    assert min(rates.alone + rates.together) > 0


def test_where_a_pass_goes_is_really_measured() -> None:
    model = load(TINY / "expert", device="cpu", dtype="float32")
    with progress_bar(1) as bar:
        found = operators.measure(model, TINY / "expert", 3, bar)
    assert len(found.passes) == len(found.readings) == 3
    assert min(found.passes + found.readings) > 0
    taken = list(found.by_name.values())
    assert taken == sorted(taken, reverse=True)
    assert {"aten::embedding", "aten::rsqrt_"} <= found.by_name.keys()
    assert model.cache.pool.free == model.cache.pool.total


def test_the_weights_of_the_products_are_counted_by_what_they_are_kept_in() -> None:
    config = AutoConfig.from_pretrained(TINY / "expert")
    width, inner, vocabulary = config.hidden_size, config.intermediate_size, config.vocab_size
    keys = width // config.num_attention_heads * config.num_key_value_heads
    layer = 2 * width * width + 2 * width * keys + 3 * width * inner
    count = config.num_hidden_layers * layer + vocabulary * width
    assert operators.weight_bytes(TINY / "expert", "bfloat16") == 2 * count
    assert operators.weight_bytes(TINY / "expert", "float32") == 4 * count
