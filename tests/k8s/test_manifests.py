"""Every overlay, every component alone and all together render, and pass every check."""

import pytest

from k8s.checks import problems
from k8s.checks.grace import STOP_S
from k8s.combinations import ALTERNATIVES, NEEDS, Rendering, renderings, together
from k8s.images import names
from k8s.objects import of_kind, pods, services, settings_prefix
from k8s.render import RenderError, components, overlays, render_overlay, render_with

RENDERINGS = renderings()


@pytest.mark.parametrize("rendering", RENDERINGS.values(), ids=list(RENDERINGS))
def test_a_rendering_has_no_problem(rendering: Rendering) -> None:
    assert problems(rendering()) == []


def test_all_together_leaves_no_component_out() -> None:
    assert {name for names in together() for name in names} == set(components())
    assert {name for names in ALTERNATIVES for name in names} | NEEDS.keys() <= set(components())


@pytest.mark.parametrize("overlay", overlays())
def test_an_overlay_has_each_service_with_its_image(overlay: str) -> None:
    objects = render_overlay(overlay)
    for name, image in names().items():
        (deployment,) = [
            item for item in of_kind(objects, "Deployment") if item["metadata"]["name"] == name
        ]
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["image"] == image


def test_local_has_one_pod_of_each() -> None:
    for item in of_kind(render_overlay("local"), "Deployment"):
        assert item["spec"].get("replicas", 1) == 1


def test_only_drafter_and_expert_ask_for_a_gpu() -> None:
    asking = {
        pod.owner
        for pod in pods(render_overlay("gpu"))
        for container in pod.containers
        if "nvidia.com/gpu" in container["resources"]["limits"]
    }
    assert asking == {"Deployment/drafter", "Deployment/expert"}


@pytest.mark.parametrize("overlay", overlays())
def test_a_pod_has_ended_before_it_is_killed(overlay: str) -> None:
    """The wait, the drain and the stop, in seconds, as the rendered manifests add up."""
    found = 0
    for pod, container, variables in services(render_overlay(overlay)):
        wait = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        drain = float(variables[settings_prefix(container) + "GRACE_S"])
        assert wait + drain + STOP_S <= pod.spec["terminationGracePeriodSeconds"]
        found += 1
    assert found == 3


def test_a_router_waits_for_its_models_no_longer_than_its_startup_probe() -> None:
    """So that its own message says what is missing, before the kubelet kills it."""
    for _, container, variables in services(render_with()):
        if container["name"] == "router":
            probe = container["startupProbe"]
            allowed = probe["periodSeconds"] * probe["failureThreshold"]
            assert float(variables["CASCADE_ROUTER_CONNECT_TIMEOUT_S"]) < allowed


def test_a_roll_out_has_time_for_the_slowest_start() -> None:
    """Its progress deadline is behind the startup probe's, which is shorter by default."""
    objects = render_with()
    deadlines = {
        item["metadata"]["name"]: item["spec"]["progressDeadlineSeconds"]
        for item in of_kind(objects, "Deployment")
    }
    for _, container, _ in services(objects):
        probe = container["startupProbe"]
        assert deadlines[container["name"]] > probe["periodSeconds"] * probe["failureThreshold"]


def test_an_unknown_overlay_is_refused_by_name() -> None:
    with pytest.raises(RenderError, match="no overlay 'nowhere'; there are gpu, local"):
        render_overlay("nowhere")


def test_kustomize_says_what_it_refuses() -> None:
    with pytest.raises(RenderError, match="components/nothing"):
        render_with("nothing")
