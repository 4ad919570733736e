"""`bestex tickets`: order tickets for other user interfaces, in the forms that those read."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from cyclopts import Parameter

from bestex.cli.common import COMMON, Common, known, print_json


def tickets(
    algo: str = "",
    /,
    *,
    form: Annotated[Literal["json-schema", "fixatdl"], Parameter(name="--format")] = "json-schema",
    common: Common = COMMON,
) -> None:
    """Order tickets of one algorithm or of all, made from what they take: JSON Schema, or FIXatdl 1.1.

    bestex tickets twap                        the JSON Schema of an order
    bestex tickets                             one object, the schemas by algorithm
    bestex tickets --format fixatdl            one FIXatdl document with every strategy

    What validates may be published on bestex.v1.order.new.<algo>.<symbol>.

    Parameters
    ----------
    algo
        One algorithm only; `bestex algos` lists them.
    form
        json-schema (draft 2020-12) or fixatdl (version 1.1); --json means the former.
    """
    from bestex import plugins

    chosen = [known("algorithm", algo, plugins.ALGOS)] if algo else list(plugins.ALGOS)
    if form == "fixatdl" and not common.json:
        from bestex import fixatdl

        sys.stdout.write(fixatdl.document(chosen))
        return
    from bestex.tickets import json_schema

    print_json(json_schema(algo) if algo else {one: json_schema(one) for one in chosen})
