# SPDX-License-Identifier: Apache-2.0
"""``flowgauge demo get``: the scene's objects as ``oc get`` prints them, from the event log."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flowgauge.demo.objects.log import present
from flowgauge.demo.objects.meta import Object
from flowgauge.errors import UsageError

Cells = Callable[[Object], list[str]]
_NONE = "<none>"


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind is asked for and printed.

    ``prefix`` comes before names in ``get all``; ``columns`` are between NAME and AGE, and ``cells`` fills them.
    """

    kind: str
    names: tuple[str, ...]
    prefix: str
    columns: tuple[str, ...]
    cells: Cells
    in_all: bool = False
    namespaced: bool = True


def _pod(thing: Object) -> list[str]:
    states = thing["status"]["containerStatuses"]
    ready = sum(state["ready"] for state in states)
    return [f"{ready}/{len(states)}", thing["status"]["phase"], str(sum(state["restartCount"] for state in states))]


def _service(thing: Object) -> list[str]:
    ports = ",".join(f"{port['port']}/{port['protocol']}" for port in thing["spec"]["ports"])
    return [thing["spec"]["type"], thing["spec"]["clusterIP"], _NONE, ports]


def _daemon_set(thing: Object) -> list[str]:
    status = thing["status"]
    keys = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable")
    return [*(str(status[key]) for key in keys), _NONE]


def _deployment(thing: Object) -> list[str]:
    status = thing["status"]
    return [f"{status['readyReplicas']}/{status['replicas']}", str(status["updatedReplicas"]), str(status["availableReplicas"])]


def _replica_set(thing: Object) -> list[str]:
    status = thing["status"]
    return [str(thing["spec"]["replicas"]), str(status["replicas"]), str(status["readyReplicas"])]


def _route(thing: Object) -> list[str]:
    spec = thing["spec"]
    return [spec["host"], "", spec["to"]["name"], str(spec["port"]["targetPort"]), "", spec["wildcardPolicy"]]


def _secret(thing: Object) -> list[str]:
    return [thing["type"], str(len(thing.get("data", {})))]


def _claim(thing: Object) -> list[str]:
    spec, status = thing["spec"], thing["status"]
    return [status["phase"], spec["volumeName"], status["capacity"]["storage"], "RWO", ""]


def _endpoint_slice(thing: Object) -> list[str]:
    addresses = [address for endpoint in thing["endpoints"] for address in endpoint["addresses"]]
    return [thing["addressType"], ",".join(str(port["port"]) for port in thing["ports"]), ",".join(addresses)]


def _node(thing: Object) -> list[str]:
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in thing["status"]["conditions"])
    return ["Ready" if ready else "NotReady", "worker"]


def _namespace(thing: Object) -> list[str]:
    return [thing["status"]["phase"]]


KINDS: tuple[Kind, ...] = (
    Kind("Pod", ("pods", "pod", "po"), "pod/", ("READY", "STATUS", "RESTARTS"), _pod, in_all=True),
    Kind("Service", ("services", "service", "svc"), "service/", ("TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)"), _service,
         in_all=True),
    Kind("DaemonSet", ("daemonsets", "daemonset", "ds"), "daemonset.apps/",
         ("DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE", "NODE SELECTOR"), _daemon_set, in_all=True),
    Kind("Deployment", ("deployments", "deployment", "deploy"), "deployment.apps/", ("READY", "UP-TO-DATE", "AVAILABLE"),
         _deployment, in_all=True),
    Kind("ReplicaSet", ("replicasets", "replicaset", "rs"), "replicaset.apps/", ("DESIRED", "CURRENT", "READY"), _replica_set,
         in_all=True),
    Kind("Route", ("routes", "route"), "route.route.openshift.io/",
         ("HOST/PORT", "PATH", "SERVICES", "PORT", "TERMINATION", "WILDCARD"), _route, in_all=True),
    Kind("Secret", ("secrets", "secret"), "", ("TYPE", "DATA"), _secret),
    Kind("PersistentVolumeClaim", ("pvc", "persistentvolumeclaims", "persistentvolumeclaim"), "",
         ("STATUS", "VOLUME", "CAPACITY", "ACCESS MODES", "STORAGECLASS"), _claim),
    Kind("EndpointSlice", ("endpointslices", "endpointslice"), "", ("ADDRESSTYPE", "PORTS", "ENDPOINTS"), _endpoint_slice),
    Kind("Node", ("nodes", "node", "no"), "", ("STATUS", "ROLES"), _node, namespaced=False),
    Kind("Namespace", ("namespaces", "namespace", "ns"), "", ("STATUS",), _namespace, namespaced=False),
)  # fmt: skip


def chosen(what: str) -> list[Kind]:
    """The kinds that ``what`` asks for: ``all``, or names by commas; UsageError for one that there is not."""
    if what == "all":
        return [kind for kind in KINDS if kind.in_all]
    by_name = {name: kind for kind in KINDS for name in kind.names}
    wanted = [name.strip().lower() for name in what.split(",")]
    for name in wanted:
        if name not in by_name:
            raise UsageError(
                f"there is no kind {name!r} in the scene; ask for all, {', '.join(kind.names[0] for kind in KINDS)}"
            )
    return [by_name[name] for name in wanted]


def objects(log: Path, what: str, namespace: str) -> list[Object]:
    """What exists now of the wanted kinds; an empty ``namespace`` means all of them."""
    kinds = {kind.kind: kind for kind in chosen(what)}
    return [
        thing
        for thing in present(log)
        if (kind := kinds.get(thing["kind"]))
        and (not namespace or not kind.namespaced or thing["metadata"].get("namespace") == namespace)
    ]


def as_json(found: Sequence[Object]) -> str:
    """A List, as ``kubectl get -o json`` prints it and ``--kubernetes-objects`` reads it."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(found)}, indent=2)


def as_tables(found: Sequence[Object], what: str, namespace: str, now_ns: int) -> str:
    """One table per kind, with a blank line between."""
    kinds = chosen(what)
    tables = []
    for kind in kinds:
        things = sorted((one for one in found if one["kind"] == kind.kind), key=lambda one: str(one["metadata"]["name"]))
        if things:
            tables.append(_table(kind, things, now_ns, prefixed=len(kinds) > 1, spaces=kind.namespaced and not namespace))
    if not tables:
        return f"No resources found in {namespace} namespace." if namespace else "No resources found."
    return "\n\n".join(tables)


def _table(kind: Kind, things: Iterable[Object], now_ns: int, *, prefixed: bool, spaces: bool) -> str:
    rows = [[*(("NAMESPACE",) if spaces else ()), "NAME", *kind.columns, "AGE"]]
    for thing in things:
        meta = thing["metadata"]
        name = f"{kind.prefix if prefixed else ''}{meta['name']}"
        rows.append([*((meta.get("namespace", ""),) if spaces else ()), name, *kind.cells(thing), _age(thing, now_ns)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _age(thing: Object, now_ns: int) -> str:
    """As kubectl rounds it: 75s, 12m, 3h."""
    made = dt.datetime.fromisoformat(thing["metadata"]["creationTimestamp"]).timestamp()
    seconds = max(0, int(now_ns / 1e9 - made))
    for limit, unit, length in ((120, "s", 1), (7200, "m", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds // length}{unit}"
    return f"{seconds // 86_400}d"
