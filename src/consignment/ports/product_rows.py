"""Product rows: what an import reads, whatever file or system they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consignment.domain.errors import Reason

__all__ = ["ProductRow"]


class ProductRow(NamedTuple):
    """One row of data of a product file.

    A source of rows is an iterable of these. It promises: the rows come in the order of the file,
    in bounded memory; each pass over the source gives the same rows again; a fault of the file as
    a whole raises `UnusableInput` before the first row, so that nothing of it is imported; a
    fault of one row keeps no other row back.

    `number` counts the rows of data from 1, blank lines left out; `line` is the line of the file,
    from 1, on which the row begins. `values` maps column names to text, as in the file (see
    `domain.product.read_row`): None where a row has too few cells, and a list of the cells that
    are too many under the key None. When the row could not be read at all, `fault` says why and
    `values` is empty.
    """

    # A tuple, because a million of them are made in a few seconds.
    number: int
    line: int
    values: Mapping[Any, Any]
    fault: Reason | None = None
