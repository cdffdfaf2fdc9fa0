# SPDX-License-Identifier: Apache-2.0
"""Which addresses the document's namespaces and pods choose, as objects come and go."""

from __future__ import annotations

from typing import Any

import pytest

from flowgauge.agent.pod_choice import Chooser, PodAddresses
from flowgauge.config.choice import NamespaceChoice, PodChoice
from flowgauge.ebpf.abi_settings import CHOICE_EXCLUDE, CHOICE_INCLUDE
from flowgauge.flow import addresses
from flowgauge.k8s.changes import Change, ChangeKind
from flowgauge.k8s.objects import KubernetesObject, Meta, Pod, Service

IN, OUT = CHOICE_INCLUDE, CHOICE_EXCLUDE


def pod(namespace: str, name: str, address: str, uid: str = "", **fields: Any) -> Pod:
    labels = fields.pop("labels", {"app": name})
    return Pod(Meta("Pod", namespace, name, uid or f"uid-{name}", labels=labels), (address,), **fields)


def service(namespace: str, name: str, address: str, **selector: str) -> Service:
    return Service(Meta("Service", namespace, name, f"uid-{name}"), (address,), (), selector, ())


WEB, DB = pod("shop", "web", "10.0.0.1"), pod("shop", "db", "10.0.0.2")
CACHE, PROXY = pod("infra", "cache", "10.0.1.1"), pod("kube-system", "proxy", "192.0.2.1", host_network=True)
TO_WEB, TO_CACHE = service("shop", "web", "10.96.0.1", app="web"), service("infra", "cache", "10.96.0.2", app="cache")
NO_SELECTOR = service("shop", "outside", "10.96.0.3")
ALL = (WEB, DB, CACHE, PROXY, TO_WEB, TO_CACHE, NO_SELECTOR)


def known(*objects: KubernetesObject) -> PodAddresses:
    found = PodAddresses()
    for thing in objects:
        found.apply(Change(ChangeKind.ADDED, 0, thing))
    return found


def chooser(namespaces: dict[str, Any] | None = None, pods: dict[str, Any] | None = None) -> Chooser:
    return Chooser.of(NamespaceChoice.model_validate(namespaces or {}), PodChoice.model_validate(pods or {}))


def texts(found: PodAddresses, by: Chooser) -> dict[str, int]:
    return {addresses.to_text(address): bits for address, bits in found.bits(by).items()}


def labelled(app: str) -> dict[str, Any]:
    return {"matchLabels": {"app": app}}


def expression(operator: str, *values: str, key: str = "app") -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("by", "wanted"),
    [
        (chooser(), {}),
        (chooser({"include": ["shop"]}), {"10.0.0.1": IN, "10.0.0.2": IN, "10.96.0.1": IN, "10.96.0.3": IN}),
        (chooser({"include": ["in*"]}), {"10.0.1.1": IN, "10.96.0.2": IN}),
        (chooser({"exclude": ["infra"]}), {"10.0.1.1": OUT, "10.96.0.2": OUT}),
        (chooser({"include": ["*"], "exclude": ["shop"]}),
         {"10.0.0.1": IN | OUT, "10.0.0.2": IN | OUT, "10.96.0.1": IN | OUT, "10.96.0.3": IN | OUT,
          "10.0.1.1": IN, "10.96.0.2": IN}),
        (chooser(pods={"include": [labelled("web")]}), {"10.0.0.1": IN, "10.96.0.1": IN}),
        (chooser({"include": ["infra"]}, {"include": [labelled("web")]}), {}),
        (chooser(pods={"exclude": [labelled("cache")]}), {"10.0.1.1": OUT, "10.96.0.2": OUT}),
        (chooser(pods={"include": [expression("In", "web", "db")]}), {"10.0.0.1": IN, "10.0.0.2": IN, "10.96.0.1": IN}),
        (chooser(pods={"exclude": [expression("NotIn", "web", "db")]}), {"10.0.1.1": OUT, "10.96.0.2": OUT}),
        (chooser(pods={"exclude": [expression("Exists", key="tier")]}), {}),
        (chooser(pods={"include": [expression("DoesNotExist", key="app")]}), {}),
    ],
)  # fmt: skip
def test_pods_and_the_services_before_them_are_chosen(by: Chooser, wanted: dict[str, int]) -> None:
    assert texts(known(*ALL), by) == wanted


def test_a_service_with_one_pod_that_stays_is_not_left_out() -> None:
    both = service("shop", "both", "10.96.0.9")
    two = Service(both.meta, both.addresses, (), {"tier": "front"}, ())
    front = [pod("shop", name, f"10.0.2.{at}", labels={"tier": "front", "app": name}) for at, name in enumerate(("a", "b"))]
    assert "10.96.0.9" not in texts(known(two, *front), chooser(pods={"exclude": [labelled("a")]}))
    assert "10.96.0.9" in texts(known(two, front[0]), chooser(pods={"exclude": [labelled("a")]}))


def test_pods_that_go_end_or_change_their_labels_are_followed() -> None:
    by = chooser(pods={"include": [labelled("web")]})
    found = known(WEB)
    found.apply(Change(ChangeKind.MODIFIED, 1, pod("shop", "web", "10.0.0.1", labels={"app": "other"})))
    assert texts(found, by) == {}
    found.apply(Change(ChangeKind.MODIFIED, 2, WEB))
    assert texts(found, by) == {"10.0.0.1": IN}
    found.apply(Change(ChangeKind.MODIFIED, 3, pod("shop", "web", "10.0.0.1", finished=True)))
    assert texts(found, by) == {}
    found.apply(Change(ChangeKind.ADDED, 4, WEB))
    found.apply(Change(ChangeKind.DELETED, 5, WEB))
    assert texts(found, by) == {}


def test_the_late_end_of_an_earlier_pod_of_the_name_takes_nothing_away() -> None:
    by = chooser({"include": ["shop"]})
    found = known(pod("shop", "web-0", "10.0.0.1", uid="old"), pod("shop", "web-0", "10.0.0.7", uid="new"))
    found.apply(Change(ChangeKind.DELETED, 9, pod("shop", "web-0", "10.0.0.1", uid="old")))
    assert texts(found, by) == {"10.0.0.7": IN}
