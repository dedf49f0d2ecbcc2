"""What fails again and again is told once."""

import asyncio
import logging

import pytest

from ingot.troubles import Troubles


def test_a_failure_is_told_once_and_again_after_it_went_well(caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles(logging.getLogger("ingot.test"))
    for fails in (True, True, False, True):
        with troubles.outlived("feeding the cat"):
            if fails:
                raise OSError(28, "No space left on device")
    told = "feeding the cat failed and is tried again: [Errno 28] No space left on device"
    assert [record.getMessage() for record in caplog.records] == [told, told]
    assert not any(record.exc_info for record in caplog.records)
    assert troubles.count == 3
    with troubles.outlived("the other cat"):
        raise ZeroDivisionError
    assert caplog.records[-1].exc_info, "what nobody thought of has its trace"


def test_what_is_no_failure_passes() -> None:
    troubles = Troubles(logging.getLogger("ingot.test"))
    with pytest.raises(asyncio.CancelledError), troubles.outlived("feeding the cat"):
        raise asyncio.CancelledError
    with pytest.raises(KeyError), troubles.outlived("feeding the cat", KeyError):
        raise KeyError
    assert troubles.count == 0
