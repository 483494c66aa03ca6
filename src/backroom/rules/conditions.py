"""The condition of a row trigger: SQL over `old` and `new`, of which only a part is allowed.

    old.status IS DISTINCT FROM 'paid' AND new.status = 'paid'

It is evaluated inside the database, in the transaction of whoever writes the row. So two things
must hold: that it can do nothing but compare (no queries, no functions but those named here), and
that it can't fail, since its failure would be that of somebody else's write. There is no division,
no cast and no pattern that isn't a literal. sqlglot reads the text; what it makes of it is rendered
here, by hand, for either database, and means the same on both.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from backroom.records.errors import Refused

__all__ = ["parse", "render"]

Column = Callable[[str, str, bool], str]
"""From "old" or "new", a column's name and whether it is reckoned with, to SQL."""

COMPARISONS = {"EQ": "=", "NEQ": "<>", "GT": ">", "GTE": ">=", "LT": "<", "LTE": "<="}
ARITHMETIC = {"Add": "+", "Sub": "-", "Mul": "*"}
FUNCTIONS = {"Lower": "lower", "Upper": "upper", "Length": "length"}
CHARACTERS = 10_000
PLAIN = {"this", "expression"}
PARTS = {
    "Column": {"this", "table", "db", "catalog"},
    "Literal": {"this", "is_string"},
    "In": {"this", "expressions"},
    "Between": {"this", "low", "high"},
    "Coalesce": {"this", "expressions"},
    "Case": {"this", "ifs", "default"},
}
"""What belongs to a part of a condition, beside `PLAIN`."""


@cache
def parse(text: str) -> Any:
    """The condition as a tree; Refused, with the reason, if it isn't one that is allowed."""
    try:
        import sqlglot
        from sqlglot.errors import SqlglotError
    except ImportError:
        raise Refused(
            "A condition is read by sqlglot, which is not installed. "
            "Install it: pip install 'backroom[triggers]'."
        ) from None
    if len(text) > CHARACTERS:
        raise Refused(
            f"A condition has at most {CHARACTERS:,} characters. Decide the rest in the flow."
        )
    try:
        trees = sqlglot.parse(text, read="postgres")
    except (SqlglotError, RecursionError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Refused(f"The condition {text!r} is no SQL that can be read: {first}") from None
    if len(trees) != 1 or trees[0] is None:
        raise Refused(f"The condition {text!r} must be one expression.")
    tree = trees[0]
    render(tree, "sqlite", lambda side, name, reckoned: name)  # refuses what isn't allowed
    return tree


def render(tree: Any, dialect: str, column: Column) -> str:
    """The condition as SQL of a database."""
    return Rendering(dialect, column).of(tree)


class Rendering:
    """One condition for one database."""

    def __init__(self, dialect: str, column: Column) -> None:
        self.dialect = dialect
        self.column = column

    def of(self, node: Any, *, reckoned: bool = False) -> str:
        kind = type(node).__name__
        given = {name for name, value in node.args.items() if value not in (None, False, [], "")}
        negated = "negate" in given  # NOT LIKE, IS NOT
        if not given - {"negate"} <= PARTS.get(kind, PLAIN):
            raise self.refused(node)  # an option that isn't rendered would be lost without a word
        text = self.of_kind(kind, node, reckoned)
        return f"(NOT {text})" if negated else text

    def of_kind(self, kind: str, node: Any, reckoned: bool) -> str:
        if kind in ("And", "Or"):
            return f"({self.of(node.this)} {kind.upper()} {self.of(node.expression)})"
        if kind in COMPARISONS:
            return f"({self.of(node.this)} {COMPARISONS[kind]} {self.of(node.expression)})"
        if kind in ARITHMETIC:
            left, right = self.of(node.this, reckoned=True), self.of(node.expression, reckoned=True)
            return f"({left} {ARITHMETIC[kind]} {right})"
        method = getattr(self, f"of_{kind.lower()}", None)
        if method is not None:
            found: str = method(node) if kind != "Column" else self.of_column(node, reckoned)
            return found
        if kind in FUNCTIONS:
            return f"{FUNCTIONS[kind]}({self.of(node.this)})"
        raise self.refused(node)

    def of_paren(self, node: Any) -> str:
        return self.of(node.this)

    def of_not(self, node: Any) -> str:
        return f"(NOT {self.of(node.this)})"

    def of_neg(self, node: Any) -> str:
        return f"(- {self.of(node.this, reckoned=True)})"

    def of_abs(self, node: Any) -> str:
        """The function fails for the least whole number."""
        value = self.of(node.this, reckoned=True)
        return f"CASE WHEN {value} < 0 THEN (- {value}) ELSE {value} END"

    def of_column(self, node: Any, reckoned: bool = False) -> str:
        side = node.table.lower()
        if side not in ("old", "new") or node.args.get("db") or node.name == "*":
            raise Refused(
                f"The condition names {node.sql()!r}. Say which row is meant: "
                f"old.{node.name or 'x'} or new.{node.name or 'x'}; texts stand in single quotes."
            )
        return self.column(side, node.name, reckoned)

    def of_dot(self, node: Any) -> str:
        raise self.refused(node)

    def of_literal(self, node: Any) -> str:
        if not node.is_string:
            return str(node.this)
        if "\0" in node.this:
            raise Refused("A text in a condition can't have a NUL character.")
        return quoted(node.this)

    def of_boolean(self, node: Any) -> str:
        return "TRUE" if node.this else "FALSE"

    def of_null(self, _: Any) -> str:
        return "NULL"

    def of_is(self, node: Any) -> str:
        if type(node.expression).__name__ not in ("Null", "Boolean"):
            raise self.refused(node)
        return f"({self.of(node.this)} IS {self.of(node.expression)})"

    def of_nullsafeneq(self, node: Any) -> str:
        sign = "IS NOT" if self.dialect == "sqlite" else "IS DISTINCT FROM"
        return f"({self.of(node.this)} {sign} {self.of(node.expression)})"

    def of_nullsafeeq(self, node: Any) -> str:
        sign = "IS" if self.dialect == "sqlite" else "IS NOT DISTINCT FROM"
        return f"({self.of(node.this)} {sign} {self.of(node.expression)})"

    def of_in(self, node: Any) -> str:
        items = node.args.get("expressions")
        if not items or any(node.args.get(name) for name in ("query", "unnest", "field")):
            raise self.refused(node)
        return f"({self.of(node.this)} IN ({', '.join(self.of(item) for item in items)}))"

    def of_between(self, node: Any) -> str:
        low, high = self.of(node.args["low"]), self.of(node.args["high"])
        return f"({self.of(node.this)} BETWEEN {low} AND {high})"

    def of_coalesce(self, node: Any) -> str:
        return f"coalesce({', '.join(self.of(part) for part in (node.this, *node.expressions))})"

    def of_nullif(self, node: Any) -> str:
        return f"nullif({self.of(node.this)}, {self.of(node.expression)})"

    def of_like(self, node: Any) -> str:
        """Upper and lower case differ. On SQLite only GLOB sees that."""
        text = self.of(node.this)
        pattern = self.pattern(node)
        if self.dialect != "sqlite":
            return f"({text} LIKE {quoted(pattern)})"
        special = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
        return f"({text} GLOB {quoted(''.join(special.get(char, char) for char in pattern))})"

    def of_ilike(self, node: Any) -> str:
        sign = "LIKE" if self.dialect == "sqlite" else "ILIKE"
        return f"({self.of(node.this)} {sign} {quoted(self.pattern(node))})"

    def pattern(self, node: Any) -> str:
        pattern = node.expression
        if type(pattern).__name__ != "Literal" or not pattern.is_string or "\\" in pattern.this:
            raise Refused(
                f"{node.sql()!r}: a pattern is a text in single quotes without a backslash, since "
                "any other might fail when somebody writes a row."
            )
        text: str = pattern.this
        return text

    def of_case(self, node: Any) -> str:
        whole = node.args.get("this")
        parts = [f"CASE {self.of(whole)}" if whole is not None else "CASE"]
        for branch in node.args["ifs"]:
            parts.append(f"WHEN {self.of(branch.this)} THEN {self.of(branch.args['true'])}")
        if (default := node.args.get("default")) is not None:
            parts.append(f"ELSE {self.of(default)}")
        return " ".join([*parts, "END"])

    def refused(self, node: Any) -> Refused:
        return Refused(
            f"A condition can't have {node.sql()!r}: it must neither look elsewhere nor be able to "
            "fail when somebody writes a row. Allowed are old.x and new.x, literals, AND, OR, NOT, "
            "comparisons, IS [NOT] DISTINCT FROM, IN, BETWEEN, LIKE, CASE, + - *, coalesce, "
            "nullif, lower, upper, length and abs. Decide the rest in the flow."
        )


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
