"""Thrift's compact protocol, as far as Parquet's footer and page headers need it.

A shape says which fields of a struct are of interest, and what they are; others are passed over.
What is read has that shape and nothing else, so it can be written again without the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from attrs import define

__all__ = ["BINARY", "BYTE", "I16", "I32", "I64", "TRUTH", "NotThrift", "Shape", "read", "write"]

#: What a value is: a type below, a list of one, or a struct's fields by their number.
Shape: TypeAlias = "int | list[Shape] | Mapping[int, Shape]"

TRUTH, BYTE, I16, I32, I64, BINARY = 1, 3, 4, 5, 6, 8

_STOP, _FALSE, _DOUBLE, _LIST, _SET, _STRUCT = 0, 2, 7, 9, 10, 12
_BITS = {BYTE: 8, I16: 16, I32: 32, I64: 64}
#: A list of so many values, or more, gives its length apart.
_LONG = 15
_MAX_DEPTH = 16
_MAX_NUMBER_BYTES = 10


class NotThrift(Exception):
    """The bytes are no such struct, or end before it does."""


def read(data: bytes, shape: Mapping[int, Shape]) -> tuple[dict[int, Any], int]:
    """Read a struct: its fields by their number, and how many bytes it has.

    Every length is checked against what is there, so that no more is made than the bytes hold.
    Raises `NotThrift`, also where a field of interest is of another type than its shape's.
    """
    reader = _Reader(data)
    return reader.struct(shape, 0), reader.at


def write(fields: Mapping[int, Any], shape: Mapping[int, Shape]) -> bytes:
    """Write a struct that was read with a shape."""
    written = bytearray()
    before = 0
    for number in sorted(fields):
        wanted, value = shape[number], fields[number]
        kind = _kind(wanted)
        if kind == TRUTH and not value:
            kind = _FALSE
        written.append((number - before) << 4 | kind)
        before = number
        if wanted != TRUTH:
            written += _written(value, wanted)
    written.append(_STOP)
    return bytes(written)


def _written(value: Any, shape: Shape) -> bytes:  # noqa: ANN401 - of the shape
    if isinstance(shape, Mapping):
        return write(value, shape)
    if isinstance(shape, list):
        size, kind = len(value), _kind(shape[0])
        head = bytes([size << 4 | kind] if size < _LONG else [_LONG << 4 | kind])
        if size >= _LONG:
            head += _varint(size)
        return head + b"".join(_written(each, shape[0]) for each in value)
    if shape == BINARY:
        return _varint(len(value)) + bytes(value)
    if shape == BYTE:
        return bytes([value & 255])
    return _varint(value << 1 if value >= 0 else ~(value << 1))


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 127:  # noqa: PLR2004 - seven bits each
        written.append(value & 127 | 128)
        value >>= 7
    return bytes([*written, value])


def _kind(shape: Shape) -> int:
    if isinstance(shape, int):
        return shape
    return _LIST if isinstance(shape, list) else _STRUCT


@define
class _Reader:
    _data: bytes
    at: int = 0

    def struct(self, shape: Mapping[int, Shape], depth: int) -> dict[int, Any]:
        found: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) != _STOP:
            kind = head & 15
            number = number + (head >> 4) if head >> 4 else self._whole()
            wanted = shape.get(number)
            if kind in (TRUTH, _FALSE):
                value = kind == TRUTH
                kind = TRUTH
            else:
                value = self._value(kind, wanted, depth)
            if wanted is not None:
                if kind != _kind(wanted):
                    raise NotThrift
                found[number] = value
        return found

    def _value(self, kind: int, wanted: Shape | None, depth: int) -> Any:  # noqa: ANN401 - any
        if depth == _MAX_DEPTH:
            raise NotThrift
        if kind == _STRUCT:
            return self.struct(wanted if isinstance(wanted, Mapping) else {}, depth + 1)
        if kind in (_LIST, _SET):
            return self._list(wanted[0] if isinstance(wanted, list) else None, depth + 1)
        if kind == BINARY:
            return self._bytes(self._varint())
        if kind in (I16, I32, I64):
            value = self._whole()
            if value.bit_length() >= _BITS[kind] and value != -1 << _BITS[kind] - 1:
                raise NotThrift
            return value
        if kind == BYTE:
            return int.from_bytes(self._bytes(1), signed=True)
        if kind == _DOUBLE:
            return self._bytes(8)
        # Parquet has no maps.
        raise NotThrift

    def _list(self, wanted: Shape | None, depth: int) -> list[Any]:
        head = self._byte()
        kind, size = head & 15, head >> 4
        if size == _LONG:
            size = self._varint()
        if size > len(self._data) - self.at or (wanted is not None and kind != _kind(wanted)):
            raise NotThrift
        if kind in (TRUTH, _FALSE):
            # Truth values are a byte each here.
            kind = BYTE
        values = (self._value(kind, wanted, depth) for _ in range(size))
        if wanted is not None:
            return list(values)
        for _ in values:
            pass
        return []

    def _byte(self) -> int:
        if self.at >= len(self._data):
            raise NotThrift
        self.at += 1
        return self._data[self.at - 1]

    def _bytes(self, size: int) -> bytes:
        begin = self.at
        self.at += size
        if self.at > len(self._data):
            raise NotThrift
        return self._data[begin : self.at]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 7 * _MAX_NUMBER_BYTES, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:  # noqa: PLR2004 - the last of the number
                return value
        raise NotThrift

    def _whole(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
