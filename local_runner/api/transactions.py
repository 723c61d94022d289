"""Methods of `Runner` about transactions: changes that are collected and then made as one."""

from __future__ import annotations

from typing import NamedTuple

from local_runner.api.access import ACTIVE_TRANSACTION, Access
from local_runner.errors import Refused
from local_runner.model.ids import new_id
from local_runner.pipelines.transactions import OpenTransaction, find_transaction, open_transactions, put_transaction
from local_runner.pipelines.verbs import Verb
from local_runner.repos.transaction import Transaction
from local_runner.storage.database import Session


class FinishedTransaction(NamedTuple):
    """What became of a transaction: its id, which is that of the commit set, its requests, and for each what its verb returned."""

    id: str
    requests: tuple[Verb[object], ...]
    results: tuple[object, ...]


class Transactions(Access):
    """Methods about transactions. At most one of a home is active: the one that verbs are appended to."""

    def begin_transaction(self) -> str:
        """An open transaction that is not the active one, whoever else has some: `view` joins it. Returns its id."""
        row = OpenTransaction(new_id(), self.database.clock())
        with self.database.write() as session:
            put_transaction(session, row)
        return row.id

    def start_transaction(self) -> str:
        """Begin one and make it the active one. Raises `Refused` if there is one."""
        active = self.active_transaction()
        if active:
            raise Refused(
                f"cannot start a new transaction, since transaction with ID {active} already exists", hint="finish or stop it first"
            )
        id = self.begin_transaction()
        self.resume_transaction(id)
        return id

    def resume_transaction(self, id: str) -> None:
        """Make an open transaction the active one. Raises `NotFound`."""
        with self.database.write() as session:
            find_transaction(session, id)
            session.repos.set_setting(ACTIVE_TRANSACTION, id)

    def finish_transaction(self, id: str = "") -> FinishedTransaction:
        """Do everything that a transaction collected as one change, whose commit set has the transaction's id."""
        row = self.inspect_transaction(id)

        def work(txn: Transaction) -> FinishedTransaction:
            found = find_transaction(txn.session, row.id)  # somebody may have added to it since
            results = [request.apply(txn) for request in found.requests]
            self._end_transaction(txn.session, row.id)
            return FinishedTransaction(row.id, found.requests, tuple(results))

        return self.change(work, row.id)

    def stop_transaction(self) -> str:
        """Leave the active transaction, which stays listed with what it has collected; returns its id. Raises `Refused` without one."""
        row = self.inspect_transaction()
        with self.database.write() as session:
            session.repos.set_setting(ACTIVE_TRANSACTION, None)
        return row.id

    def delete_transaction(self, id: str = "") -> str:
        """Delete a transaction, the active one if none is named; nothing it collected is done. Returns its id."""
        row = self.inspect_transaction(id)
        with self.database.write() as session:
            self._end_transaction(session, row.id)
        return row.id

    def _end_transaction(self, session: Session, id: str) -> None:
        session.pipelines.remove_pending(id)
        if session.repos.setting(ACTIVE_TRANSACTION) == id:
            session.repos.set_setting(ACTIVE_TRANSACTION, None)

    def inspect_transaction(self, id: str = "") -> OpenTransaction:
        """A transaction by its id, else the active one."""
        chosen = id or self.active_transaction()
        if not chosen:
            raise Refused("no transaction is active", hint="start transaction begins one")
        return self._look(lambda session: find_transaction(session, chosen))

    def delete_all_transactions(self) -> None:
        """Forget all that are open."""
        with self.database.write() as session:
            for pending in session.pipelines.all_pending():
                self._end_transaction(session, pending.id)

    def list_transaction(self) -> list[OpenTransaction]:
        """All open transactions, in the order they were started."""
        return self._look(open_transactions)
