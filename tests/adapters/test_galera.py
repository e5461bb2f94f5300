"""What can be told of a cluster's nodes without a cluster; `make cluster` tests the rest."""

from __future__ import annotations

import socket
from collections import Counter
from contextlib import closing
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from consignment.adapters.sqlalchemy import SqlStorage, upgrade
from consignment.adapters.sqlalchemy.engines import GaleraDatabase, database_at
from consignment.adapters.sqlalchemy.engines.galera import addresses, weight
from consignment.domain.errors import StorageUnreachable, StorageUnusable
from tests import engines

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def refusing() -> Iterator[str]:
    """An address where nobody listens."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"mariadb://desk@127.0.0.1:{bound.getsockname()[1]}/bank"


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that takes connections and says nothing, as a paused server does."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield f"mariadb://desk@127.0.0.1:{listening.getsockname()[1]}/bank?read_timeout=1"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///a,b.db", ["sqlite:///a,b.db"]),
        ("mariadb://n1/bank", ["mariadb://n1/bank"]),
        ("mariadb://n1,n2/bank", ["mariadb://n1/bank", "mariadb://n2/bank"]),
        (
            "mariadb+pymysql://desk:a,b%40@n1:3307,n2/bank?read_timeout=9",
            [
                "mariadb+pymysql://desk:a,b%40@n1:3307/bank?read_timeout=9",
                "mariadb+pymysql://desk:a,b%40@n2/bank?read_timeout=9",
            ],
        ),
        (["mariadb://n1/bank", "mariadb://n2/bank"], ["mariadb://n1/bank", "mariadb://n2/bank"]),
        (make_url("mariadb://n1/bank"), [make_url("mariadb://n1/bank")]),
    ],
)
def test_one_address_may_name_several_hosts(url: str | list[str], expected: list[str]) -> None:
    """Commas count among the hosts only, not in a password or a file's name."""
    assert addresses(url) == expected


def test_several_addresses_are_a_cluster() -> None:
    """So is a list of one, which is a load balancer's."""
    for url in ("mariadb://n1,n2/bank", ["mariadb://n1/bank"]):
        assert isinstance(database_at(url), GaleraDatabase)
    assert not isinstance(database_at("mariadb://n1/bank"), GaleraDatabase)


@pytest.mark.parametrize(
    "urls",
    [
        ["postgresql://n1/bank", "postgresql://n2/bank"],
        ["mariadb://n1/bank", "sqlite:///bank.db"],
        ["mariadb://n1/bank", "mariadb://n2/other"],
        ["mariadb://n1/bank", "mariadb://n1:3306/bank"],
        ["mariadb://n1/bank", "no address"],
        [],
    ],
)
def test_what_is_no_cluster_is_refused(urls: list[str]) -> None:
    """Other engines, other databases, a node named twice, none at all."""
    with pytest.raises(StorageUnusable):
        database_at(urls)


@given(
    st.sets(st.text("abc.:123", min_size=1), min_size=2, max_size=5),
    st.lists(st.text(st.characters(exclude_categories=()), min_size=1), max_size=20),
    st.data(),
)
def test_only_the_lost_nodes_partners_move(
    nodes: set[str], partner_ids: list[str], data: st.DataObject
) -> None:
    """Whichever node is lost, the partners of the others stay with them."""

    def chosen(names: set[str]) -> dict[str, str]:
        return {each: max(names, key=lambda name: weight(name, each)) for each in partner_ids}

    lost = data.draw(st.sampled_from(sorted(nodes)))
    before, after = chosen(nodes), chosen(nodes - {lost})
    assert {each: node for each, node in before.items() if node != lost} == {
        each: after[each] for each, node in before.items() if node != lost
    }


def test_partners_are_spread_over_the_nodes() -> None:
    """Each of three nodes has about a third of the partners."""
    counts = Counter(
        max(("n1:3306", "n2:3306", "n3:3306"), key=lambda name: weight(name, f"partner-{i}"))
        for i in range(3000)
    )
    assert all(800 < count < 1200 for count in counts.values())


def test_nodes_that_do_not_answer_are_told_in_bounded_time(refusing: str, silent: str) -> None:
    """They are asked once, then left alone; to open and to upgrade say that nobody is there."""
    database = GaleraDatabase([refusing, silent], busy_timeout_s=1.0)
    try:
        began = monotonic()
        for _ in range(2):
            with pytest.raises(StorageUnreachable, match="no node of the cluster"):
                database.connection("green-farm")
        assert monotonic() - began < 8
    finally:
        database.close()
    with pytest.raises(StorageUnreachable, match="no node of the cluster"):
        SqlStorage.open([refusing])
    with pytest.raises(StorageUnreachable, match="no node of the cluster"):
        upgrade([refusing, silent])


def test_servers_that_replicate_nothing_are_no_cluster() -> None:
    """Two single servers behind one list would each hold a half of the bank."""
    engines.needed("mariadb")
    url = engines.address("mariadb").set(drivername="mariadb", database="mysql")
    with pytest.raises(StorageUnusable, match="no node of a Galera cluster"):
        SqlStorage.open([url])
