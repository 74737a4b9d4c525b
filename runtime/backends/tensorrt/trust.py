"""Whose engines run: an engine is a program, so nobody runs a stranger's without saying so.

The hash beside an engine is no help: whoever wrote the engine wrote it, too. So `build-engine`
records the SHA-256 of what it built for this user, as the name of a file in a folder of their own,
which two builds at once can do without a lock. Other engines run where the caller trusts them by
word, or the environment does for the whole process, as that of a container.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from stylert.runtime.backends.tensorrt.plans import Plan
from stylert.runtime.errors import EngineError
from stylert.runtime.files.user_folders import find_data_folder

__all__ = ["UntrustedEngine", "is_trusted", "record_engine", "tell_untrusted"]

VARIABLE = "STYLERT_TRUST_ENGINES"  # of the environment; only '1' is a yes
_SHA256 = re.compile(r"[0-9a-f]{64}")


class UntrustedEngine(EngineError):
    """The engines that would run here are not this user's, and nobody said to trust them."""

    @property
    def note(self) -> str:
        """What is told where it stops nothing, and so is not put into the words of a command."""
        return f"{self} On the command line: --trust-engines."


def is_trusted(plan: Plan, *, trust_engines: bool = False) -> bool:
    """Whether a plan may run, if its bytes have the SHA-256 of its sidecar.

    Args:
        plan: the sidecar.
        trust_engines: the caller's word for it.
    """
    if trust_engines or os.environ.get(VARIABLE) == "1":
        return True
    sha256 = str(plan.sha256)  # a stranger's, too: it must not lead elsewhere
    try:
        return bool(_SHA256.fullmatch(sha256)) and (_record() / sha256).is_file()
    except OSError:
        return False


def record_engine(plan: Plan) -> None:
    """Note that this user built a plan.

    Raises:
        OSError: the record cannot be written.
    """
    folder = _record()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    number = os.open(folder / plan.sha256, os.O_WRONLY | os.O_CREAT, 0o600)
    with open(number, "w", encoding="utf-8") as file:
        file.write(f"{plan.name}\n")  # for those who look


def tell_untrusted(plan: Plan, build: str) -> str:
    """What to do about a plan that is not trusted.

    Args:
        plan: one that is not trusted.
        build: the command that builds it.
    """
    return (
        f"An engine is a program, and {plan.name} is not one that you built. Build it yourself: "
        f"{build}. Or, if you trust who built it, pass trust_engines=True, or set {VARIABLE}=1."
    )


def _record() -> Path:
    """The folder whose files are named by the SHA-256 of this user's engines."""
    return find_data_folder() / "engines"
