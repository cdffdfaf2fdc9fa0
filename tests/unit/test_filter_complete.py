# SPDX-License-Identifier: Apache-2.0
"""What is offered at the cursor."""

from __future__ import annotations

import pytest

from flowgauge.schema.filters import Completion, ValueShare, complete
from flowgauge.schema.filters.complete import MAX_OFFERS
from flowgauge.schema.filters.fields import FIELDS, Field

asked: list[str] = []


def values(field: Field) -> list[ValueShare]:
    asked.append(field.name)
    if field.name.endswith("port"):
        return [ValueShare("5432", 0.6), ValueShare("40000", 0.3)]
    return [ValueShare("flow-demo", 0.62), ValueShare("other-team", 0.1), ValueShare("EXT: client", 0.05)]


def offers(text: str) -> tuple[Completion, ...]:
    """At the bar ``|`` in ``text``."""
    cursor = text.index("|")
    return complete(text.replace("|", ""), cursor, values)


def labels(text: str) -> list[str]:
    return [offer.label for offer in offers(text)]


def taken(text: str, label: str) -> str:
    """The filter after the offer ``label`` was taken."""
    offer = next(offer for offer in offers(text) if offer.label == label)
    plain = text.replace("|", "")
    return plain[: offer.at] + offer.insert + plain[offer.at + offer.length :]


def test_an_empty_filter_offers_what_people_ask_first() -> None:
    assert labels("|")[:4] == ["namespace", "owner", "service", "port"]
    assert len(labels("|")) <= MAX_OFFERS


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("na|", ["namespace", "name", "nat_event"]),
        ("NA|", ["namespace", "name"]),
        ("src.po|", ["src_port", "src_pod"]),
        ("port = 80 and dst_o|", ["dst_owner", "dst_owner_kind"]),
        ("not (own|", ["owner", "owner_kind"]),
        ("lat|", ["dns_latency_ns"]),
        ("namespace |", ["=", "!=", "~", "!~", "in", "not in", "exists"]),
        ("namespace n|", ["not in"]),
        ("namespace not |", ["in"]),
        ("bytes |", ["=", "!=", "<", "<=", ">", ">=", "in"]),
        ("src_addr |", ["=", "!=", "in", "not in", "exists"]),
        ("proto |", ["=", "!=", "in"]),
        ("namespace = |", ["flow-demo", "other-team", "EXT: client"]),
        ("namespace = fl|", ["flow-demo"]),
        ("namespace = DEM|", ["flow-demo"]),
        ("namespace != 'fl|", ["flow-demo"]),
        ("flow_direction = eg|", ["egress"]),
        ("port = post|", ["5432"]),
        ("port = 5|", ["5432", "53"]),
        ("namespace in |", ["("]),
        ("namespace in (|", ["flow-demo"]),
        ("namespace in (a, |", ["flow-demo"]),
        ("namespace in (a |", [",", ")"]),
        ("namespace = a |", ["and", "or"]),
        ("namespace = a o|", ["or"]),
        ("(namespace = a |", ["and", "or", ")"]),
        ("namespace exists |", ["and", "or"]),
        ("namespace = a and |", ["namespace", "owner"]),
        ("namespace = fl| and port = 80", ["flow-demo"]),
    ],
)
def test_what_fits_is_offered_best_first(text: str, first: list[str]) -> None:
    assert labels(text)[: len(first)] == first


def test_values_come_with_their_share_and_meaning() -> None:
    (offer,) = offers("namespace = fl|")
    assert (offer.kind, offer.share) == ("value", 0.62)
    assert offers("port = 54|")[0].help == "postgresql"


def test_known_values_are_offered_without_asking_too() -> None:
    assert [offer.label for offer in complete("proto = tc", 10)] == ["tcp"]
    assert [offer.label for offer in complete("src_layer = ", 12)] == ["app", "infra"]


@pytest.mark.parametrize(
    ("text", "label", "result"),
    [
        ("na|", "namespace", "namespace "),
        ("namespace|", "=", "namespace = "),
        ("namespace |", "=", "namespace = "),
        ("namespace = fl|", "flow-demo", "namespace = flow-demo "),
        ("namespace = fl|oo and port = 1", "flow-demo", "namespace = flow-demo and port = 1"),
        ("namespace = fl| and port = 1", "flow-demo", "namespace = flow-demo and port = 1"),
        ("subnet = ext|", "EXT: client", 'subnet = "EXT: client" '),
        ("namespace = 'fl|", "flow-demo", 'namespace = "flow-demo" '),
        ("namespace in (fl|", "flow-demo", "namespace in (flow-demo"),
        ("namespace in (flow-demo |", ",", "namespace in (flow-demo , "),
        ("port = 80 a|", "and", "port = 80 and "),
        ("drop_cause |", "exists", "drop_cause exists"),
    ],
)
def test_taking_an_offer_replaces_what_was_begun(text: str, label: str, result: str) -> None:
    assert taken(text, label) == result


def test_only_fields_whose_values_are_wanted_are_asked_for() -> None:
    asked.clear()
    labels("namespace |")
    assert not asked
    labels("src.owner = |")
    labels("app = |")
    labels("nonsense = |")
    assert asked == ["src_owner", "application"]


def test_nothing_is_offered_where_nothing_is_known() -> None:
    assert labels("nonsense = |") == []
    assert labels("bytes = |") == ["flow-demo", "other-team", "EXT: client"]  # whatever the caller says
    assert complete("bytes = ", 8) == ()


def test_every_field_can_be_reached_by_typing_it() -> None:
    for name, field in FIELDS.items():
        if field.columns[0].stored != "never":
            assert name in [offer.label for offer in complete(name, len(name))]
