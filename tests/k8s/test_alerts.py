"""The alerts, as Prometheus itself reads them: which fire for which series."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.objects import of_kind
from k8s.render import render_with
from services import errors

PROMTOOL = shutil.which("promtool") or ""
ROLES = ("drafter", "expert", "router")
ANSWERS = "cascade:request_success_total"
FAILURES = "cascade:request_failure_total"
DRAFTED, ACCEPTED = (
    f"cascade:spec_decode_num_{name}_tokens_total" for name in ("draft", "accepted")
)
FIRST = "cascade:time_to_first_token_seconds_bucket"

# Per minute, for three hours.  All is well with these, and each case changes one.
WELL = {
    **{f'up{{job="{role}", pod="{role}-0"}}': "1x180" for role in ROLES},
    **{f'cascade:num_requests_waiting{{job="{role}"}}': "4x180" for role in ROLES[:2]},
    **{f'cascade:kv_cache_usage_perc{{job="{role}"}}': "0.9x180" for role in ROLES[:2]},
    'cascade:num_preemptions_total{job="expert"}': "0+5x180",
    'cascade:pods{job="router", role="expert", state="available"}': "2x180",
    'cascade:pods{job="router", role="expert", state="refused"}': "0x180",
    f'{ANSWERS}{{job="router"}}': "0+1000x180",
    f'{FAILURES}{{job="router", error="NoPodLeft"}}': "0+9x180",
    f'{FAILURES}{{job="router", error="InvalidField"}}': "0+500x180",
    f'{DRAFTED}{{job="router"}}': "0+1000x180",
    f'{ACCEPTED}{{job="router"}}': "0+210x180",
    f'{FIRST}{{job="router", le="10"}}': "0+96x180",
    f'{FIRST}{{job="router", le="30"}}': "0+100x180",
    f'{FIRST}{{job="router", le="+Inf"}}': "0+100x180",
}

CASES: list[tuple[str, dict[str, str], set[str]]] = [
    ("all is well", {}, set()),
    (
        "the only drafter is down",
        {'up{job="drafter", pod="drafter-0"}': "0x180"},
        {"CascadeRoleGone", "CascadePodDown"},
    ),
    ("no expert was ever seen", {'up{job="expert", pod="expert-0"}': ""}, {"CascadeRoleGone"}),
    ("one of two experts is down", {'up{job="expert", pod="b"}': "0x180"}, {"CascadePodDown"}),
    (
        "sessions wait",
        {'cascade:num_requests_waiting{job="expert"}': "5x180"},
        {"CascadeSessionsWaiting"},
    ),
    (
        "a cache is full",
        {'cascade:kv_cache_usage_perc{job="expert"}': "1x180"},
        {"CascadeCacheFull"},
    ),
    (
        "pages are taken",
        {'cascade:num_preemptions_total{job="expert"}': "0+7x180"},
        {"CascadePreemptions"},
    ),
    (
        "pods are lost",
        {f'{FAILURES}{{job="router", error="NoPodLeft"}}': "0+20x180"},
        {"CascadeAnswersFail"},
    ),
    (
        "a router that began anew has no answer that succeeded",
        {
            f'{ANSWERS}{{job="router"}}': "",
            f'{FAILURES}{{job="router", error="InvalidField"}}': "",
        },
        {"CascadeAnswersFail"},
    ),
    (
        "a pod of another model",
        {'cascade:pods{job="router", role="expert", state="refused"}': "1x180"},
        {"CascadePodRefused"},
    ),
    (
        "answers are refused",
        {f'{FAILURES}{{job="router", error="Overloaded"}}': "0+1x180"},
        {"CascadeAnswersRefused"},
    ),
    (
        "first tokens are late",
        {f'{FIRST}{{job="router", le="10"}}': "0+90x180"},
        {"CascadeFirstTokenLate"},
    ),
    (
        "drafts are rejected",
        {f'{ACCEPTED}{{job="router"}}': "0+190x180"},
        {"CascadeDraftsRejected"},
    ),
]


@pytest.fixture(scope="module")
def rules() -> Any:
    """The rules of the monitoring component, as Prometheus takes them."""
    (item,) = of_kind(render_with("monitoring"), "PrometheusRule")
    return item["spec"]


def in_namespace(series: str) -> str:
    """The series with the label that every one of ours has."""
    return series.replace("{", '{namespace="cascade", ')


def test_every_alert_has_a_case(rules: Any) -> None:
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    assert alerts == set.union(*(fires for _, _, fires in CASES))


def test_the_errors_that_alerts_name_are_raised(rules: Any) -> None:
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    named = {
        error
        for names in re.findall('error=~?"([^"]*)"', " ".join(expressions))
        for error in names.split("|")
    }
    raised = {kind.__name__ for kind in vars(errors).values() if isinstance(kind, type)}
    assert "NoPodLeft" in named <= raised


# Nothing else knows the expressions well enough to try them on series.
@pytest.mark.skipif(not PROMTOOL, reason="no promtool")  # no Python package: .ci/run installs it
@pytest.mark.parametrize(("name", "change", "fires"), CASES, ids=[name for name, _, _ in CASES])
def test_an_alert_fires_where_it_should(
    tmp_path: Path, rules: Any, name: str, change: dict[str, str], fires: set[str]
) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    series = {name: values for name, values in (WELL | change).items() if values}
    # What fires is asked of ALERTS, which tells every alert at once.
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(fires)]
    tests = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": in_namespace(name), "values": values}
                    for name, values in series.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": 'max by (alertname) (ALERTS{alertstate="firing"})',
                        "eval_time": "170m",
                        "exp_samples": expected,
                    }
                ],
            }
        ],
    }
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    done = subprocess.run(
        [PROMTOOL, "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
