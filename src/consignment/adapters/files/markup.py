"""XML of strangers, streamed: no tree, no DTD, nothing deep, nothing that has to be held whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn
from xml.parsers.expat import ExpatError, ParserCreate, errors

from consignment.adapters.files.package import PIECE, Package, malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Markup", "local"]

#: The longest tag, comment or other token, in bytes: expat holds it, and begins it anew with
#: each piece.
_MAX_TOKEN = 4 * PIECE

#: The most characters outside of values, such as blanks and formulas, until `strayed` is reset.
_MAX_STRAYED = 1024 * 1024


def local(name: str) -> str:
    """Give an element's or attribute's name without its prefix."""
    return name.rpartition(":")[2] if ":" in name else name


class Markup:
    """Goes through one part of a workbook; what is of interest is picked up by subclasses.

    They override `begin` and `end`, and set `take` to get characters; what they do not take is
    counted as `strayed`, and is refused when it is much. `depth` is 1 in the root.
    A DTD is refused as soon as it begins, so that no entity is ever declared or expanded. With
    `plain`, so are comments, processing instructions and CDATA: libraries differ in how they read
    a text that has these in it.
    """

    def __init__(self, package: Package, part: str, *, plain: bool = False) -> None:
        self.file = package.file
        self.part = part
        self.limits = package.limits
        self.depth = 0
        # Parts are in UTF-8, whatever they declare: expat is told, and other claims are refused.
        self.parser = parser = ParserCreate("utf-8")
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declared
        parser.StartDoctypeDeclHandler = lambda *_: self.refuse("has a DTD")
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        self.strayed = 0
        self.take(None)
        if plain:
            parser.CommentHandler = lambda *_: self.refuse("has a comment")
            parser.ProcessingInstructionHandler = lambda *_: self.refuse("has an instruction")
            parser.StartCdataSectionHandler = lambda: self.refuse("has CDATA")

    def go(self, pieces: Iterable[bytes]) -> None:
        """Go through the part. Raises `UnusableInput` (`file_malformed`, `limit_exceeded`)."""
        fed = 0
        try:
            for piece in pieces:
                self.parser.Parse(piece, False)  # noqa: FBT003 - expat's own
                fed += len(piece)
                if fed - self.parser.CurrentByteIndex > _MAX_TOKEN:
                    self.refuse(f"has a token of more than {_MAX_TOKEN} bytes")
            self.parser.Parse(b"", True)  # noqa: FBT003 - expat's own
        except ExpatError as error:
            problem = f"line {error.lineno}: {errors.messages.get(error.code, error.code)}"
            raise malformed(self.file, self.part, problem) from error
        finally:
            # The handlers are methods: without them the parser is freed at once.
            self.parser.StartElementHandler = self.parser.EndElementHandler = None
            self.parser.CharacterDataHandler = None

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        """Take an element that begins, by its local name."""

    def end(self, name: str) -> None:
        """Take an element that ends."""

    def take(self, text: Callable[[str], None] | None) -> None:
        """Give the characters that come to a function; None to count them only."""
        self.parser.CharacterDataHandler = text or self._stray

    def refuse(self, problem: str, place: str = "") -> NoReturn:
        """Refuse the file."""
        raise malformed(self.file, place or self.part, problem)

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self.depth = depth = self.depth + 1
        if depth > self.limits.depth:
            self.limits.check("depth", depth, self.file, self.part)
        self.begin(name.rpartition(":")[2] if ":" in name else name, attributes)

    def _stray(self, data: str) -> None:
        self.strayed += len(data)
        if self.strayed > _MAX_STRAYED:
            self.refuse(f"has {self.strayed} characters where there should be few")

    def _end(self, name: str) -> None:
        self.end(name.rpartition(":")[2] if ":" in name else name)
        self.depth -= 1

    def _declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in ("utf-8", "us-ascii"):
            self.refuse(f"is in {encoding}")
