# SPDX-License-Identifier: Apache-2.0
"""Which addresses the document's namespaces and pods choose or leave out, as far as Kubernetes objects are known.

A pod is chosen by its namespace and its labels, a Service by its namespace or by the pods behind it, because a packet to a
Service has the Service's address where it is seen first. Pods in their node's network have no address of their own and are
neither. Where an address is both, being left out wins.

Before: ``enrich.objects_source``, which calls ``apply``; after: :mod:`flowgauge.agent.chosen_pods`. Not thread-safe.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from flowgauge.agent.rules import choice_bits
from flowgauge.config.choice import MatchExpression, NamespaceChoice, PodChoice, Selector
from flowgauge.ebpf.abi_settings import CHOICE_EXCLUDE, CHOICE_INCLUDE
from flowgauge.flow.addresses import packed
from flowgauge.k8s.changes import Change, ChangeKind
from flowgauge.k8s.objects import Pod, Service

Labels = Mapping[str, str]
Named = Callable[[str], object]
_Thing = TypeVar("_Thing", Pod, Service)


@dataclass(frozen=True, slots=True)
class Chooser:
    """What a document chooses, ready to be asked."""

    namespaces: NamespaceChoice
    pods: PodChoice
    included: Named
    excluded: Named

    @classmethod
    def of(cls, namespaces: NamespaceChoice, pods: PodChoice) -> Chooser:
        """For these sections."""
        return cls(namespaces, pods, _globs(namespaces.include), _globs(namespaces.exclude))

    @property
    def bits(self) -> int:
        """What addresses may say, as ``ProgramOptions.choice``."""
        return choice_bits(self.namespaces, self.pods)

    def of_pod(self, namespace: str, labels: Labels) -> int:
        """Bits of a pod."""
        bits = 0
        if self._in_chosen_namespace(namespace) and (not self.pods.include or _any(self.pods.include, labels)):
            bits |= CHOICE_INCLUDE
        if self.excluded(namespace) or _any(self.pods.exclude, labels):
            bits |= CHOICE_EXCLUDE
        return bits & self.bits

    def of_service(self, namespace: str, backends: Sequence[int]) -> int:
        """Bits of a Service, whose pods have the bits ``backends``: chosen when one of them is, out when all are."""
        bits = 0
        if any(one & CHOICE_INCLUDE for one in backends):
            bits |= CHOICE_INCLUDE
        if not self.pods.include and self._in_chosen_namespace(namespace):
            bits |= CHOICE_INCLUDE
        if self.excluded(namespace) or (backends and all(one & CHOICE_EXCLUDE for one in backends)):
            bits |= CHOICE_EXCLUDE
        return bits & self.bits

    def _in_chosen_namespace(self, namespace: str) -> bool:
        return not self.namespaces.include or bool(self.included(namespace))


class PodAddresses:
    """The pods and Services that exist, and the bits of their addresses."""

    def __init__(self) -> None:
        self._pods: dict[tuple[str, str], Pod] = {}
        self._services: dict[tuple[str, str], Service] = {}

    def apply(self, change: Change) -> None:
        """Takes over one change; of other objects than pods and Services none matters."""
        thing = change.object
        if isinstance(thing, Pod):
            _take(self._pods, thing, gone=change.kind is ChangeKind.DELETED or thing.finished or thing.host_network)
        elif isinstance(thing, Service):
            _take(self._services, thing, gone=change.kind is ChangeKind.DELETED)

    def bits(self, chooser: Chooser) -> dict[bytes, int]:
        """The addresses that ``chooser`` says something about."""
        found: dict[bytes, int] = {}
        of_pod = {key: chooser.of_pod(key[0], pod.meta.labels) for key, pod in self._pods.items()}
        for key, pod in self._pods.items():
            _add(found, pod.addresses, of_pod[key])
        by_namespace: dict[str, list[tuple[Labels, int]]] = {}
        for key, pod in self._pods.items():
            by_namespace.setdefault(key[0], []).append((pod.meta.labels, of_pod[key]))
        for (namespace, _), service in self._services.items():
            backends = [bits for labels, bits in by_namespace.get(namespace, []) if _behind(service, labels)]
            _add(found, service.addresses, chooser.of_service(namespace, backends))
        return found


def _take(things: dict[tuple[str, str], _Thing], thing: _Thing, *, gone: bool) -> None:
    """Of two objects of one name after each other the end of the first may be told late: only its own uid removes it."""
    key = thing.meta.namespace, thing.meta.name
    if not gone:
        things[key] = thing
    elif key in things and things[key].meta.uid == thing.meta.uid:
        del things[key]


def _add(found: dict[bytes, int], addresses: Iterable[str], bits: int) -> None:
    if bits:
        for address in addresses:
            found[packed(address)] = found.get(packed(address), 0) | bits


def _behind(service: Service, labels: Labels) -> bool:
    return bool(service.selector) and service.selector.items() <= labels.items()


def _globs(patterns: Sequence[str]) -> Named:
    return re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)").match


def _any(selectors: Sequence[Selector], labels: Labels) -> bool:
    return any(_selects(selector, labels) for selector in selectors)


def _selects(selector: Selector, labels: Labels) -> bool:
    return selector.match_labels.items() <= labels.items() and all(_holds(one, labels) for one in selector.match_expressions)


def _holds(expression: MatchExpression, labels: Labels) -> bool:
    value = labels.get(expression.key)
    return {
        "In": value in expression.values,
        "NotIn": value not in expression.values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[expression.operator]
