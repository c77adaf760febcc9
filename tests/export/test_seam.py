"""Nothing of the vendors' noise gets out, and none of their exceptions either."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import warnings

import pytest

from edgekd.errors import DataError, ExportError, StorageError
from edgekd.export.seam import converting, held_back

NOISE = """
import os, sys
from edgekd.export.seam import held_back
print("before")
with held_back():
    print("python noise")
    print("python noise", file=sys.stderr)
    os.write(1, b"native noise\\n")
    os.write(2, b"native noise\\n")
print("after")
"""


def test_held_back_in_a_process_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", NOISE], capture_output=True, text=True, check=True)
    assert done.stdout == "before\nafter\n"
    assert done.stderr == ""


def test_what_was_held_back_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="edgekd.export"), held_back():
        print("from python")
        os.write(1, b"from below\n")
    assert "from python" in caplog.text
    assert "from below" in caplog.text


def test_streams_come_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExportError), converting("the work"):
        print("noise")
        raise RuntimeError("broken")
    print("music")
    assert capfd.readouterr().out == "music\n"


def test_the_innermost_message_is_told() -> None:
    with pytest.raises(ExportError) as caught, converting("conversion to X"):
        try:
            raise KeyError("the real reason")
        except KeyError as error:
            raise RuntimeError("a wrapper\nwith lines") from error
    assert caught.value.message == "conversion to X failed: KeyError: 'the real reason'"


def test_hints_follow_the_signs() -> None:
    for text, sign in (
        ("Could not guard on data-dependent expression", "torch.where"),
        ("failed to legalize operation", "operator"),
        ("You marked batch as dynamic but it was specialized", "batch"),
        ("something", "--debug"),
    ):
        with pytest.raises(ExportError) as caught, converting("it"):
            raise RuntimeError(text)
        assert caught.value.hint is not None and sign in caught.value.hint


def test_our_own_errors_pass_through_and_full_disks_are_named() -> None:
    with pytest.raises(DataError, match="mine"), converting("it"):
        raise DataError("mine")
    with pytest.raises(StorageError, match="the disk is full"), converting("it"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_interrupts_are_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt), converting("it"):
        raise KeyboardInterrupt


def test_only_known_warnings_are_silenced() -> None:
    with converting("it"):
        warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated, so", FutureWarning, 1)
    with pytest.raises(ExportError, match="UserWarning: a new one"), converting("it"):
        warnings.warn("a new one", UserWarning, 1)


LOGGING = """
import logging, sys
from edgekd.export.seam import held_back
with held_back():
    logging.warning("noise on the root logger")
    handler = logging.StreamHandler()
    logger = logging.getLogger("vendor")
    logger.addHandler(handler)
    logger.warning("noise of a vendor")
print(len(logging.root.handlers))
logger.warning("later")
"""


def test_loggers_set_up_meanwhile_live_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOGGING], capture_output=True, text=True, check=True
    )
    assert done.stdout == "0\n"
    assert done.stderr == "later\n"
