from __future__ import annotations

import errno
import json
import os
import resource
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from consignment.adapters.filedrop import FileDrop
from consignment.adapters.filedrop.disk import Disk
from consignment.domain.errors import DeliveryFailed, InvalidValue, UnusableInput, reason
from consignment.domain.message import Message, Recipient
from consignment.formats.cloudevents import MAX_MESSAGE_BYTES, read_report
from consignment.ports.partner_messaging import Answer, Delivery, PartnerMessaging

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FARM = Recipient.partner("green-farm")
LI = Recipient.sales_partner("sp-li")


@pytest.fixture
def drop(tmp_path: Path) -> FileDrop:
    """A drop with one partner's way in."""
    made = FileDrop(tmp_path / "drop", sync=False).make_root()
    made.make_inbound("green-farm")
    return made


def _message(message_id: str = "placed~D-1~green-farm", recipient: Recipient = FARM) -> Message:
    return Message(
        message_id,
        recipient,
        "order.placed",
        datetime(2026, 9, 1, 2, tzinfo=UTC),
        {"lines": [{"product_number": "苹果", "quantity": "120"}]},
        "D-1:green-farm",
    )


def _report(report_id: str, **changes: Any) -> bytes:  # noqa: ANN401 - any JSON value
    event = {
        "specversion": "1.0",
        "id": report_id,
        "source": "/partners/green-farm",
        "type": "consignment.order.accepted",
        "time": "2026-09-01T11:30:00+08:00",
        "data": {"order_id": "D-1:green-farm"},
        **changes,
    }
    return json.dumps(event).encode()


def _put(drop: FileDrop, name: str, content: bytes, partner_id: str = "green-farm") -> Path:
    path = drop.root / "inbound" / partner_id / name
    path.write_bytes(content)
    return path


def _files(folder: Path) -> list[str]:
    """The plain files below a folder, by relative path, hidden ones too."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def _offered(drop: FileDrop) -> list[tuple[str, str]]:
    return [(each.partner_id, each.name) for each in drop.inbound()]


def test_it_is_a_messaging_port(drop: FileDrop) -> None:
    """The types agree."""
    port: PartnerMessaging = drop
    assert port.deliver([]) == []


@pytest.mark.parametrize("sync", [True, False])
def test_messages_become_files(tmp_path: Path, sync: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """One event a file, in the recipient's folder, and nothing else beside."""
    drop = FileDrop(tmp_path, sync=sync)
    messages = [_message("m-1"), _message("m-2", LI), _message("m-3")]
    assert drop.deliver(messages) == [Delivery()] * 3
    assert _files(tmp_path) == [
        "outbound/partner/green-farm/m-1.json",
        "outbound/partner/green-farm/m-3.json",
        "outbound/sales_partner/sp-li/m-2.json",
    ]
    event = json.loads((drop.folder(FARM) / "m-1.json").read_bytes())
    assert (event["id"], event["type"]) == ("m-1", "consignment.order.placed")
    assert event["data"] == messages[0].data


def test_a_message_handed_over_again_changes_nothing(drop: FileDrop) -> None:
    """The file that is there stays, also when it comes twice at once."""
    assert drop.deliver([_message(), _message()]) == [Delivery()] * 2
    path = drop.folder(FARM) / "placed~D-1~green-farm.json"
    before = path.stat()
    other = evolve(_message(), data={"other": "content"})
    assert drop.deliver([other]) == [Delivery()]
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert _files(drop.folder(FARM)) == [path.name]


@pytest.mark.parametrize("recipient_id", [".", "..", "a/b", "../x", "", "a\0b", "x" * 65, "a b"])
def test_a_recipient_that_is_no_folder_name_is_refused_for_good(
    drop: FileDrop, recipient_id: str
) -> None:
    """No id leads out of the drop; the messages to others are handed over."""
    before = _files(drop.root)
    bad, good = drop.deliver([_message("m-1", Recipient.partner(recipient_id)), _message("m-2")])
    assert bad.final
    assert good.delivered
    assert _files(drop.root) == [*before, "outbound/partner/green-farm/m-2.json"]


@pytest.mark.parametrize("message_id", ["", ".hidden", "a/b", "..", "x" * 300, "a\nb"])
def test_a_message_id_that_is_no_file_name_is_refused_for_good(
    drop: FileDrop, message_id: str
) -> None:
    """Likewise for the message's own id."""
    (outcome,) = drop.deliver([_message(message_id)])
    assert outcome.final
    assert _files(drop.root) == []


def test_a_message_that_is_no_json_is_refused_for_good(drop: FileDrop) -> None:
    """It keeps no other back."""
    bad = evolve(_message("m-1"), data={"price": float("inf")})
    assert [each.final for each in drop.deliver([bad, _message("m-2")])] == [True, False]
    assert _files(drop.folder(FARM)) == ["m-2.json"]


def test_a_folder_that_cannot_be_made_fails_its_own_messages_only(drop: FileDrop) -> None:
    """The error names what the system said; the others are handed over."""
    drop.deliver([_message("m-0", LI)])
    drop.folder(FARM).parent.write_text("in the way")
    bad, good = drop.deliver([_message("m-1"), _message("m-2", LI)])
    assert bad.error is not None
    assert not bad.final
    assert "(ENOTDIR)" in bad.error or "(EEXIST)" in bad.error
    assert good.delivered


def test_a_name_that_is_taken_by_a_folder_counts_as_there(drop: FileDrop) -> None:
    """What lies under the message's name is left alone, whatever it is."""
    (drop.folder(FARM) / "m-1.json").mkdir(parents=True)
    assert drop.deliver([_message("m-1"), _message("m-2")]) == [Delivery()] * 2
    assert (drop.folder(FARM) / "m-1.json").is_dir()


def test_a_missing_root_is_not_made(tmp_path: Path) -> None:
    """A mount that is not there is not written beside."""
    drop = FileDrop(tmp_path / "mount")
    (outcome,) = drop.deliver([_message()])
    assert outcome.error is not None
    assert "(ENOENT)" in outcome.error
    assert not outcome.final
    assert not drop.root.exists()
    with pytest.raises(DeliveryFailed, match="not there"):
        next(drop.inbound())


def test_a_full_disk_leaves_no_half_of_a_file(drop: FileDrop) -> None:
    """The file written aside is removed, and the error says what is full."""

    class Full(Disk):
        def write_aside(self, folder: Path, name: str, data: bytes) -> Path:
            path = Disk.write_aside(self, folder, name, data)
            path.unlink()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    class FullDrop(FileDrop):
        @property
        def _disk(self) -> Disk:
            return Full(sync=False)

    (outcome,) = FullDrop(drop.root).deliver([_message()])
    assert outcome.error == "No space left on device (ENOSPC)"
    assert _files(drop.root) == []


def test_a_write_that_fails_leaves_nothing(drop: FileDrop) -> None:
    """The real thing: the system takes ten bytes of a file and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        (outcome,) = drop.deliver([_message()])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert outcome.error == "File too large (EFBIG)"
    assert _files(drop.root) == []


def test_a_folder_that_cannot_be_synced_fails_its_messages(drop: FileDrop) -> None:
    """What might not last was not handed over."""

    class Failing(Disk):
        def sync_folder(self, folder: Path) -> None:
            if folder.name == "green-farm":
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(folder))

    class FailingDrop(FileDrop):
        @property
        def _disk(self) -> Disk:
            return Failing(sync=False)

    bad = evolve(_message("m-0"), data={"x": object()})
    outcomes = FailingDrop(drop.root).deliver([bad, _message("m-1"), _message("m-2", LI)])
    assert [each.final for each in outcomes] == [True, False, False]
    assert outcomes[1].error == "Input/output error (EIO)"
    assert outcomes[2].delivered
    assert drop.deliver([_message("m-1")]) == [Delivery()]


def test_inbound_files_are_offered_by_name(drop: FileDrop) -> None:
    """Partners by id, files by name, and a second look offers the same."""
    drop.make_inbound("aksu")
    for name in ("b.json", "a.jsonl", "C.JSON", "d.ndjson"):
        _put(drop, name, _report("R"))
    _put(drop, "z.json", _report("R"), "aksu")
    expected = [("aksu", "z.json")]
    expected += [("green-farm", name) for name in ("C.JSON", "a.jsonl", "b.json", "d.ndjson")]
    assert _offered(drop) == expected
    assert _offered(drop) == expected


def test_what_is_not_for_us_is_passed_over(drop: FileDrop, tmp_path: Path) -> None:
    """Uploads on their way, hidden files, links, pipes, folders, and folders that name nobody."""
    folder = drop.root / "inbound" / "green-farm"
    for name in (".a.json", "a.json.tmp", "a.json.part", "a.json.filepart", "notes.txt"):
        _put(drop, name, _report("R"))
    secret = tmp_path / "secret.json"
    secret.write_bytes(_report("R"))
    (folder / "link.json").symlink_to(secret)
    (folder / "folder.json").mkdir()
    os.mkfifo(folder / "pipe.json")
    (drop.root / "inbound" / "not an id").mkdir()
    _put(drop, "a.json", _report("R"), "not an id")
    (drop.root / "inbound" / "other").symlink_to(folder)
    (drop.root / "inbound" / "stray.json").write_bytes(_report("R"))
    assert _offered(drop) == []


def test_no_folder_of_inbound_files_is_nothing_inbound(tmp_path: Path) -> None:
    """Before any partner has a way in."""
    assert _offered(FileDrop(tmp_path)) == []


def test_messages_can_be_read_again(drop: FileDrop) -> None:
    """A .json is one message however it is laid out, a .jsonl is one a line."""
    pretty = json.dumps(json.loads(_report("R-1")), indent=2).encode()
    _put(drop, "a.json", pretty)
    _put(drop, "b.jsonl", _report("R-2") + b"\n\n" + _report("R-3"))
    one, several = drop.inbound()
    assert list(one.messages()) == list(one.messages()) == [pretty]
    assert [read_report(raw).report_id for raw in several.messages()] == ["R-2", "R-3"]
    assert len(list(several.messages())) == 2


def _finish(drop: FileDrop, *answers: Answer) -> None:
    for inbound in drop.inbound():
        list(inbound.messages())
        inbound.finish(answers)


def test_a_file_all_of_which_was_taken_goes_to_done(drop: FileDrop) -> None:
    """And is not offered again."""
    _put(drop, "a.jsonl", _report("R-1"))
    _finish(drop, Answer("R-1"), Answer("R-1", repeated=True))
    assert _files(drop.root) == ["inbound/green-farm/done/a.jsonl"]
    assert _offered(drop) == []


def test_a_file_with_a_refused_message_goes_to_refused(drop: FileDrop) -> None:
    """With the reasons of each message beside it; what was taken is taken."""
    _put(drop, "a.jsonl", _report("R-1"))
    refused = Answer("R-2", reasons=(reason("oversold", product_number="苹果", over="3"),))
    _finish(drop, Answer("R-1"), refused, Answer(None, reasons=(reason("not_json", line=1),)))
    folder = drop.root / "inbound" / "green-farm" / "refused"
    assert _files(drop.root / "inbound" / "green-farm") == [
        "refused/a.jsonl",
        "refused/a.jsonl.reasons.json",
    ]
    told = json.loads((folder / "a.jsonl.reasons.json").read_text("utf-8"))
    assert told["file"] == "a.jsonl"
    assert [(each["message"], each["id"], each["taken"]) for each in told["messages"]] == [
        (1, "R-1", True),
        (2, "R-2", False),
        (3, None, False),
    ]
    assert told["messages"][1]["reasons"] == [
        {"code": "oversold", "product_number": "苹果", "over": "3"}
    ]
    assert _offered(drop) == []


def test_an_unusable_file_goes_to_refused(drop: FileDrop) -> None:
    """Empty, or too large: nothing of it was taken."""
    small = evolve(drop, max_file_bytes=1000)
    _put(drop, "empty.jsonl", b"\n\n")
    _put(drop, "empty.json", b"")
    _put(drop, "large.jsonl", b"x" * 1001)
    codes: list[str] = []
    for inbound in small.inbound():
        with pytest.raises(UnusableInput) as caught:
            list(inbound.messages())
        codes += caught.value.codes
        inbound.refuse(caught.value.reasons)
    assert codes == ["file_empty", "file_empty", "file_too_large"]
    refused = drop.root / "inbound" / "green-farm" / "refused"
    assert len(_files(refused)) == 6
    told = json.loads((refused / "large.jsonl.reasons.json").read_text("utf-8"))
    assert told["reasons"] == [
        {"code": "file_too_large", "file": "large.jsonl", "bytes": 1001, "limit_bytes": 1000}
    ]


def test_a_message_that_is_too_long_is_one_refused_message(drop: FileDrop) -> None:
    """A single event as well as a line; it is not loaded whole."""
    _put(drop, "a.json", b" " * 5_000_000)
    _put(drop, "b.jsonl", _report("R-1") + b"\n" + b"x" * 5_000_000 + b"\n" + _report("R-2"))
    one, several = drop.inbound()
    assert [len(raw) for raw in one.messages()] == [MAX_MESSAGE_BYTES + 1]
    sizes = [len(raw) for raw in several.messages()]
    assert sizes[1] == MAX_MESSAGE_BYTES + 1
    assert sizes[0] == sizes[2] == len(_report("R-1"))


@pytest.mark.parametrize("name", ["a.jsonl", "a.b.json"])
def test_a_name_that_comes_again_is_kept_beside_the_first(drop: FileDrop, name: str) -> None:
    """Nothing that was received is ever written over."""
    refused = Answer("R", reasons=(reason("oversold"),))
    for content in (b"1", b"2", b"3"):
        _put(drop, name, content)
        _finish(drop, refused)
    folder = drop.root / "inbound" / "green-farm" / "refused"
    stem, _, suffix = name.rpartition(".")
    names = [name, f"{stem}.2.{suffix}", f"{stem}.3.{suffix}"]
    assert [(folder / each).read_bytes() for each in names] == [b"1", b"2", b"3"]
    assert all((folder / f"{each}.reasons.json").exists() for each in names)


def test_a_file_that_changed_meanwhile_is_offered_again(drop: FileDrop) -> None:
    """Its upload was not over: what was added is not lost in done/."""
    path = _put(drop, "a.jsonl", _report("R-1"))
    (inbound,) = drop.inbound()
    messages = list(inbound.messages())
    path.write_bytes(_report("R-1") + b"\n" + _report("R-2"))
    inbound.finish([Answer("R-1") for _ in messages])
    (again,) = drop.inbound()
    assert len(list(again.messages())) == 2


def test_a_file_that_came_after_reading_is_not_taken_for_read(drop: FileDrop) -> None:
    """Another worker took the first; the next one of that name is still to be read."""
    path = _put(drop, "a.jsonl", _report("R-1"))
    (inbound,) = drop.inbound()
    path.unlink()
    assert list(inbound.messages()) == []
    _put(drop, "a.jsonl", _report("R-2"))
    inbound.finish([])
    (again,) = drop.inbound()
    assert list(again.messages()) == [_report("R-2")]


@pytest.mark.parametrize("name", ["x" * 250 + ".json", "果" * 83 + ".jsonl"])
def test_a_name_that_is_as_long_as_can_be_is_refused_too(drop: FileDrop, name: str) -> None:
    """There is room for the reasons beside it, also when it comes twice; nothing stays behind."""
    for _ in range(2):
        _put(drop, name, b"?")
        for inbound in drop.inbound():
            inbound.finish([Answer(None, reasons=(reason("not_json"),))])
    assert list(drop.inbound()) == []
    refused = _files(drop.root / "inbound" / "green-farm" / "refused")
    assert len(refused) == 4
    assert sum(each.endswith(".reasons.json") for each in refused) == 2


def test_a_file_that_another_worker_took_is_left_to_it(drop: FileDrop) -> None:
    """No messages, no error, and no reasons without a file."""
    _put(drop, "a.jsonl", _report("R-1"))
    (first,), (second,), (third,) = drop.inbound(), drop.inbound(), drop.inbound()
    refused = Answer("R-1", reasons=(reason("oversold"),))
    assert list(second.messages())
    list(first.messages())
    first.finish([Answer("R-1")])
    second.finish([refused])
    assert list(third.messages()) == []
    third.finish([])
    assert _files(drop.root) == ["inbound/green-farm/done/a.jsonl"]


def test_reasons_are_not_left_behind_when_the_file_goes_in_between(drop: FileDrop) -> None:
    """Another worker was quicker by a hair."""
    path = _put(drop, "a.jsonl", _report("R-1"))

    class Late(Disk):
        def write_aside(self, folder: Path, name: str, data: bytes) -> Path:
            path.unlink(missing_ok=True)
            return Disk.write_aside(self, folder, name, data)

    class LateDrop(FileDrop):
        @property
        def _disk(self) -> Disk:
            return Late(sync=False)

    for inbound in LateDrop(drop.root).inbound():
        inbound.refuse([reason("file_empty")])
    assert _files(drop.root) == []


def test_reasons_stay_when_another_worker_refused_the_file_meanwhile(drop: FileDrop) -> None:
    """The quicker worker's file keeps the reasons beside it."""
    _put(drop, "a.jsonl", b"")
    (quicker,) = drop.inbound()

    class Late(Disk):
        def write_aside(self, folder: Path, name: str, data: bytes) -> Path:
            quicker.refuse([reason("file_empty")])
            return Disk.write_aside(self, folder, name, data)

    class LateDrop(FileDrop):
        @property
        def _disk(self) -> Disk:
            return Late(sync=False)

    for inbound in LateDrop(drop.root).inbound():
        inbound.refuse([reason("file_empty")])
    refused = drop.root / "inbound" / "green-farm" / "refused"
    assert _files(refused) == ["a.jsonl", "a.jsonl.reasons.json"]


def test_a_file_that_took_the_others_place_at_the_last_moment_is_still_offered(
    drop: FileDrop,
) -> None:
    """A partner sends a file of the same name while the first is being moved: none is lost."""
    path = _put(drop, "a.jsonl", _report("R-1"))

    class Late(Disk):
        def write_aside(self, folder: Path, name: str, data: bytes) -> Path:
            path.with_name("b.tmp").write_bytes(_report("R-2"))
            path.with_name("b.tmp").replace(path)
            return Disk.write_aside(self, folder, name, data)

    class LateDrop(FileDrop):
        @property
        def _disk(self) -> Disk:
            return Late(sync=False)

    for inbound in LateDrop(drop.root).inbound():
        answers = [Answer("R-1", reasons=(reason("oversold"),)) for _ in inbound.messages()]
        inbound.finish(answers)
    (again,) = drop.inbound()
    assert list(again.messages()) == [_report("R-2")]
    assert _files(drop.root) == ["inbound/green-farm/a.jsonl"]


def test_a_file_of_too_many_lines_is_refused_before_any_is_taken(drop: FileDrop) -> None:
    """A small file can hold more messages than fit in memory with what becomes of them."""
    few = FileDrop(drop.root, sync=False, max_file_lines=3)
    _put(drop, "a.jsonl", b"1\n2\n3\n")
    _put(drop, "b.jsonl", b"1\n2\n3\n4\n")
    good, bad = few.inbound()
    assert list(good.messages()) == [b"1", b"2", b"3"]
    with pytest.raises(UnusableInput) as caught:
        next(bad.messages())
    assert [each.as_dict() for each in caught.value.reasons] == [
        {"code": "file_too_large", "file": "b.jsonl", "lines": 4, "limit_lines": 3}
    ]


def test_trouble_with_one_file_keeps_no_other_back(drop: FileDrop, tmp_path: Path) -> None:
    """A partner whose done/ leads elsewhere gets nothing moved; it is told in the end."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (drop.root / "inbound" / "green-farm" / "done").symlink_to(elsewhere)
    _put(drop, "a.json", _report("R-1"))
    drop.make_inbound("zeta")
    _put(drop, "b.json", _report("R-2"), "zeta")
    with pytest.raises(DeliveryFailed, match=r"green-farm/a\.json cannot be moved to done"):
        _finish(drop, Answer("R"))
    assert _files(elsewhere) == []
    assert _offered(drop) == [("green-farm", "a.json")]
    assert (drop.root / "inbound" / "zeta" / "done" / "b.json").exists()


def test_a_folder_that_cannot_be_read_keeps_no_other_back(tmp_path: Path) -> None:
    """The others are offered first, then it is told."""
    drop = FileDrop(tmp_path, sync=False)
    (tmp_path / "inbound").write_text("in the way")
    with pytest.raises(DeliveryFailed, match=r"inbound: .*ENOTDIR"):
        _offered(drop)


def test_a_file_that_became_a_link_is_refused_and_not_read(drop: FileDrop, tmp_path: Path) -> None:
    """Between the look and the reading: the link itself is put aside."""
    path = _put(drop, "a.json", _report("R-1"))
    (inbound,) = drop.inbound()
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(UnusableInput, match="file_unreadable") as caught:
        list(inbound.messages())
    inbound.refuse(caught.value.reasons)
    assert secret.read_bytes() == b"secret"
    assert (path.parent / "refused" / "a.json").is_symlink()
    assert _offered(drop) == []


def test_a_file_that_became_a_pipe_is_refused_and_not_waited_for(drop: FileDrop) -> None:
    """Opening a pipe would wait for somebody to write."""
    path = _put(drop, "a.json", _report("R-1"))
    (inbound,) = drop.inbound()
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UnusableInput, match="not a plain file"):
        list(inbound.messages())


@pytest.mark.parametrize("name", [b"\xff.json", b"a\nb.json", "苹果.json".encode()])
def test_any_file_name_can_be_shown_and_refused(drop: FileDrop, name: bytes) -> None:
    """Names that are no text, or that would break a line, are escaped."""
    _put(drop, os.fsdecode(name), b"{")
    for inbound in drop.inbound():
        assert inbound.name.encode().isascii() or inbound.name == "苹果.json"
        assert inbound.name.isprintable()
        inbound.refuse([reason("not_json", value=os.fsdecode(name))])
    (told,) = (drop.root / "inbound" / "green-farm" / "refused").glob("*.reasons.json")
    assert json.loads(told.read_text("utf-8"))["reasons"][0]["code"] == "not_json"


def test_what_is_received_lasts(tmp_path: Path) -> None:
    """The way with syncing works alike."""
    drop = FileDrop(tmp_path / "a" / "b").make_root()
    assert drop.make_inbound("green-farm") == drop.make_inbound("green-farm")
    _put(drop, "a.json", _report("R-1"))
    _finish(drop, Answer("R-1", reasons=(reason("oversold"),)))
    assert len(_files(drop.root)) == 2


def test_a_folder_for_nobody_is_not_made(drop: FileDrop) -> None:
    """An id that is none, one that is no folder name, and a place that is taken."""
    with pytest.raises(InvalidValue, match="id_invalid"):
        drop.make_inbound("a/b")
    with pytest.raises(UnusableInput, match="folder_not_made"):
        drop.make_inbound("..")
    (drop.root / "inbound" / "taken").write_text("")
    with pytest.raises(UnusableInput, match="folder_not_made"):
        drop.make_inbound("taken")
    with pytest.raises(UnusableInput, match="folder_not_made"):
        FileDrop(drop.root / "inbound" / "taken").make_root()


class _Crash(BaseException):
    pass


def _crash_points(drop: FileDrop) -> Iterator[FileDrop]:
    """Drops that crash before their first, second, … step on the disk."""

    class Crashing(Disk):
        steps = 0
        left = 0

        def _step(self) -> None:
            type(self).left -= 1
            if type(self).left < 0:
                raise _Crash

        def make_folder(self, folder: Path, within: Path) -> None:
            self._step()
            Disk.make_folder(self, folder, within)

        def write_aside(self, folder: Path, name: str, data: bytes) -> Path:
            self._step()
            return Disk.write_aside(self, folder, name, data)

        def sync_folder(self, folder: Path) -> None:
            self._step()
            Disk.sync_folder(self, folder)

    class CrashingDrop(FileDrop):
        @property
        def _disk(self) -> Disk:
            return Crashing(sync=False)

    for steps in range(8):
        Crashing.left = steps
        yield CrashingDrop(drop.root)


def test_a_crash_at_any_step_leaves_the_old_state_or_the_new(drop: FileDrop) -> None:
    """A file is in one place only, whole, and what was not finished can be done again."""
    refused = Answer("R-1", reasons=(reason("oversold"),))
    folder = drop.root / "inbound" / "green-farm"
    for crashing in _crash_points(drop):
        for path in folder.rglob("*.json"):
            path.unlink()
        _put(drop, "a.json", _report("R-1"))
        try:
            _finish(crashing, refused)
        except _Crash:
            _finish(drop, refused)
        visible = [each for each in _files(folder) if "/." not in each]
        assert visible == ["refused/a.json", "refused/a.json.reasons.json"]


def test_a_crash_while_handing_over_leaves_no_half_of_a_message(drop: FileDrop) -> None:
    """Handed over again, each message is there once."""
    for i, crashing in enumerate(_crash_points(drop)):
        messages = [_message(f"m-{i}-{j}") for j in range(3)]
        try:
            crashing.deliver(messages)
        except _Crash:
            for path in drop.folder(FARM).glob("*.json"):
                json.loads(path.read_bytes())
            assert drop.deliver(messages) == [Delivery()] * 3
        there = {path.name for path in drop.folder(FARM).glob("*.json")}
        assert {f"m-{i}-{j}.json" for j in range(3)} <= there
