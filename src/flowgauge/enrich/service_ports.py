# SPDX-License-Identifier: Apache-2.0
"""Which port of a Service leads to which port of its pods: 443 of the Service, 8443 of the pods. Pure.

Where two ports of a Service lead to one of the pods, nobody can tell from an answer which of them was asked: it is then not
known, as is the pods' port where pods differ. A headless Service has no port of its own: clients know the pods' addresses.
"""

from __future__ import annotations

from collections.abc import Iterable

from flowgauge.k8s.objects import EndpointSlice, Pod, Port, Service


def port_key(proto: int, port: int) -> int:
    """One number for protocol and port."""
    return proto << 16 | port


def by_slice(service: Service | None, one: EndpointSlice) -> dict[int, int]:
    """Port key of the backends in a slice → the Service's port that leads there, the one of the same name; 0 for none."""
    of_name = {(port.name, port.proto): port.number for port in _own_ports(service)}
    return _agreed((port_key(port.proto, port.number), of_name.get((port.name, port.proto), 0)) for port in one.ports)


def by_pod(service: Service, pod: Pod) -> dict[int, int]:
    """As ``by_slice``, of a pod that the Service's selector chooses."""
    own = _own_ports(service)
    targets = ((port, target_of(port, pod)) for port in service.ports)
    return _agreed((port_key(port.proto, number), port.number if own else 0) for port, number in targets if number)


def target(port: Port, slices: Iterable[EndpointSlice], pods: Iterable[Pod]) -> int:
    """The pods' port behind one of a Service: as its slices list it, else as the pods that it chooses have it."""
    listed = {one.number for some in slices for one in some.ports if (one.name, one.proto) == (port.name, port.proto)}
    if not listed:
        listed = {port.target} if isinstance(port.target, int) else {target_of(port, pod) for pod in pods}
    return listed.pop() if len(listed) == 1 else 0


def target_of(port: Port, pod: Pod) -> int:
    """The pod's port behind a Service's; 0 when its name means none."""
    if isinstance(port.target, int):
        return port.target
    return next((one.number for one in pod.ports if one.name == port.target and one.proto == port.proto), 0)


def _own_ports(service: Service | None) -> tuple[Port, ...]:
    """The ports at the Service's own addresses, from where packets are sent on to pods."""
    return service.ports if service is not None and (service.addresses or service.outer_addresses) else ()


def _agreed(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for key, number in pairs:
        found[key] = number if found.get(key, number) == number else 0
    return found
