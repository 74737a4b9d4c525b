"""The schema of Triton's config.pbtxt: the protobuf messages of tritonclient, and their text."""

from __future__ import annotations

from typing import Any

from stylert.engines.packages import import_package
from stylert.runtime.errors import InvalidInput

__all__ = ["load_schema", "parse_config", "format_message"]


def load_schema() -> Any:
    """The module of the messages: `ModelConfig` and its parts.

    Raises:
        MissingExtra: tritonclient is not installed, or without its gRPC part.
    """
    grpc = import_package("tritonclient.grpc", "tritonclient", "triton")
    return grpc.model_config_pb2


def format_message(message: Any, *, one_line: bool = False) -> str:
    """A message as text, as it stands in a config.pbtxt."""
    from google.protobuf import text_format

    text: str = text_format.MessageToString(message, as_one_line=one_line)
    return text.strip()


def parse_config(text: str) -> Any:
    """The `ModelConfig` that a config.pbtxt holds.

    Raises:
        InvalidInput: it has a field that the schema does not know, or is no such text.
        MissingExtra: tritonclient is not installed.
    """
    config = load_schema().ModelConfig()
    from google.protobuf import text_format

    try:
        text_format.Parse(text, config)
    except text_format.ParseError as error:
        raise InvalidInput(" ".join(str(error).split())[:200]) from None
    return config
