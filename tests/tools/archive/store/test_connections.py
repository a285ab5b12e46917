from pathlib import Path

import pytest

from kernel_harness.tools.archive.store.connections import Connections
from kernel_harness.tools.archive.store.index import Index


@pytest.fixture
def made():
    """Connections that were made ready."""
    return []


@pytest.fixture
def connections(tmp_path: Path, made):
    found = Connections(tmp_path / "index.sqlite", made.append)
    yield found
    found.close()


def test_a_connection_is_lent_again(connections, made):
    with connections.lend() as first:
        first.execute("CREATE TABLE facts (name TEXT)")
    with connections.lend() as second:
        assert second is first
    assert made == [first]


def test_two_users_at_once_have_two_connections(connections):
    with connections.lend() as first, connections.lend() as second:
        assert first is not second


def test_one_with_a_transaction_under_way_or_tables_of_its_own_is_not_lent_again(connections, made):
    with connections.lend() as connection:
        connection.execute("CREATE TABLE facts (name TEXT)")
        connection.execute("CREATE TEMP TABLE mine (name TEXT)")
    with connections.lend() as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO facts VALUES ('half')")
    with connections.lend() as connection:
        assert connection.execute("SELECT * FROM facts").fetchall() == []
    assert len(made) == 3


def test_one_whose_user_failed_is_not_lent_again(connections, made):
    with pytest.raises(ZeroDivisionError), connections.lend():
        raise ZeroDivisionError
    with connections.lend():
        assert len(made) == 2


def test_a_file_that_another_process_made_anew_is_the_one_that_is_asked(tmp_path):
    mine, theirs = Index(tmp_path / "index.sqlite"), Index(tmp_path / "index.sqlite")
    mine.remember("of", "the first")
    theirs.delete()
    theirs.remember("of", "the second")
    assert mine.recall("of") == "the second"
    mine.remember("of", "the third")
    assert theirs.recall("of") == "the third"


def test_a_connection_to_a_file_that_went_meanwhile_is_not_lent_again(tmp_path):
    mine, theirs = Index(tmp_path / "index.sqlite"), Index(tmp_path / "index.sqlite")
    with mine.connect():
        theirs.delete()
        theirs.remember("of", "theirs")
    assert mine.recall("of") == "theirs"


def test_an_index_that_was_damaged_since_it_was_asked_is_thrown_away(tmp_path):
    index = Index(tmp_path / "index.sqlite")
    index.remember("of", "this")
    index.close()
    index.path.write_bytes(b"no database at all, and longer than a header of SQLite is" * 20)
    assert index.recall("of") == ""
    index.remember("of", "that")
    assert index.recall("of") == "that"
