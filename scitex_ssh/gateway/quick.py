"""Statements that every registration runs: put together once, then given to the driver as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import ClauseElement


class Quick:
    """One statement, whose parameters and columns the driver takes and gives as they are stored.

    SQLAlchemy takes 60 microseconds to run a statement that SQLite answers in 3, and a registration runs
    eight while all others wait. Not for columns whose type has to be converted (Boolean).
    """

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._texts: dict[str, tuple[str, list[str] | None, dict[str, Any]]] = {}

    def rows(self, db: Connection, **values: object) -> list[dict[str, Any]]:
        """Run it in a transaction; its rows, by the names of their columns.

        Raises:
            sqlalchemy.exc.DBAPIError: as SQLAlchemy itself would.
        """
        cursor = self._run(db, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row)) for row in cursor.fetchall()]

    def value(self, db: Connection, **values: object) -> Any:
        """Run it in a transaction; the first column of its first row, or None."""
        row = self._run(db, values).fetchone()
        return None if row is None else row[0]

    def run(self, db: Connection, **values: object) -> None:
        """Run it in a transaction, for what it does."""
        self._run(db, values).close()

    def _run(self, db: Connection, values: Mapping[str, object]) -> Any:
        text, order, fixed = self._text(db)
        given = {**fixed, **values}
        try:
            return db.connection.driver_connection.execute(  # type: ignore[union-attr]  # it is open
                text, given if order is None else [given[name] for name in order]
            )
        except db.dialect.loaded_dbapi.Error as problem:
            kind = db.dialect.loaded_dbapi.Error
            raise DBAPIError.instance(text, None, problem, kind, dialect=db.dialect) from problem

    def _text(self, db: Connection) -> tuple[str, list[str] | None, dict[str, Any]]:
        """The text, the order of its parameters unless they have names, and the values of the fixed ones."""
        found = self._texts.get(db.dialect.name)
        if found is None:
            made = self._statement.compile(dialect=db.dialect)
            order = getattr(made, "positiontup", None)
            fixed = {name: value for name, value in made.params.items() if value is not None}
            found = self._texts[db.dialect.name] = (made.string, order, fixed)
        return found
