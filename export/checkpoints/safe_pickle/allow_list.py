"""Every name that a checkpoint's pickle may use, and what we build for it.

All other names are refused, or inert where a file may hold more than a generator (see `foreign`).
Whole (module, name) pairs, because prefixes are unsafe: torch._utils, numpy, collections and
dnnlib.util all lead to functions that import and call whatever they are told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from stylert.export.checkpoints.safe_pickle import arrays
from stylert.export.checkpoints.safe_pickle.budget import Budget
from stylert.export.checkpoints.safe_pickle.foreign import ForeignNames, ForeignObject
from stylert.export.checkpoints.safe_pickle.keys import make_dict, pick_flat
from stylert.export.checkpoints.safe_pickle.pickle_machine import PickleMachine
from stylert.export.checkpoints.safe_pickle.pickle_names import Buildable, Global, RefusedName
from stylert.export.checkpoints.safe_pickle.storages import STORAGE_TYPES, Tensor, make_tensor
from stylert.export.checkpoints.safe_pickle.torch_stream import (
    TORCH_MAGIC,
    read_storage,
    read_stream,
)
from stylert.runtime.errors import CheckpointError

__all__ = ["PARALLEL", "PersistentObject", "PickledObject", "read_pickle", "read_pickle_file"]
__all__ += ["read_torch_stream"]

PARALLEL = "DataParallel"  # the class name of both wrappers of torch


@dataclass(frozen=True, eq=False, repr=False)
class PersistentObject:
    """An object of NVlabs' torch_utils.persistence: its class by name, and its attributes.

    The source text that comes with it is neither kept nor looked at.
    """

    class_name: str
    state: dict[str, Any]


class PickledObject(Buildable):
    """An object of a class that we know by name only."""

    def __init__(self, class_name: str) -> None:
        self.class_name = class_name
        self.state: Any = None

    def build(self, state: Any) -> None:
        """Keep the state as it is."""
        self.state = state


def read_pickle(
    data: memoryview,
    *,
    persistent: Callable[[Any], Any] | None = None,
    foreign: ForeignNames | None = None,
    objects: bool = False,
) -> tuple[Any, int]:
    """The value of the pickle at the start of `data`, and where the pickle ends.

    Args:
        data: The pickle, which may have something behind its end.
        persistent: Makes a value of a persistent id. None = refuse these.
        foreign: Takes the names that are not in the list. None = refuse these.
        objects: Whether NumPy's arrays may hold objects, which are of this list, too.

    Raises:
        CheckpointError: it is damaged, or something in it is refused.
    """
    budget = Budget(copied_bytes=len(data))
    names = _list_names(budget, foreign)
    if objects:
        dtype = partial(arrays.make_dtype, foreign=foreign, objects=True)
        names["numpy", "dtype"] = Global("numpy.dtype", call=dtype)
    machine = PickleMachine(data, names, budget=budget, persistent=persistent, foreign=foreign)
    return machine.run(), machine.position


def read_pickle_file(
    data: memoryview, *, foreign: ForeignNames | None = None, objects: bool = False
) -> tuple[Any, int | None]:
    """The value of a file that begins with a pickle, which may be one of the old torch.save.

    Args:
        data: The file.
        foreign: As for `read_pickle`.
        objects: The same.

    Returns:
        The value, and where the pickle ends; None of torch.save, which writes more behind it.

    Raises:
        CheckpointError: it is damaged, or something in it is refused.
    """
    value, end = read_pickle(data, foreign=foreign, objects=objects)
    if type(value) is int and value == TORCH_MAGIC:
        return read_torch_stream(data, foreign=foreign), None
    return value, end


def read_torch_stream(data: memoryview, *, foreign: ForeignNames | None = None) -> Any:
    """The value in a file of the old torch.save.

    Args:
        data: The file.
        foreign: As for `read_pickle`.

    Raises:
        CheckpointError: it is damaged, or something in it is refused.
    """
    budget = Budget(copied_bytes=len(data))
    return read_stream(data, _list_names(budget, foreign), budget=budget, foreign=foreign)


def _list_names(budget: Budget, foreign: ForeignNames | None) -> dict[tuple[str, str], Global]:
    functions: dict[tuple[str, str], Callable[..., Any]] = {
        ("torch_utils.persistence", "_reconstruct_persistent_obj"): _make_persistent,
        ("torch._utils", "_rebuild_parameter"): _unwrap_parameter,
        ("torch._utils", "_rebuild_parameter_with_state"): _unwrap_parameter,
        ("torch._tensor", "_rebuild_from_type_v2"): _drop_attributes,
        ("torch._utils", "_rebuild_tensor_v2"): make_tensor,
        ("torch.storage", "_load_from_bytes"): partial(
            read_storage, budget=budget, foreign=foreign
        ),
        ("torch", "Size"): lambda sizes: sizes,
        ("torch", "device"): lambda kind, index=None: PickledObject("device"),
        ("types", "SimpleNamespace"): partial(PickledObject, "Namespace"),
        ("pathlib", "PosixPath"): lambda *parts: PickledObject("PosixPath"),
        ("collections", "OrderedDict"): partial(_make_dict, budget=budget),
        ("builtins", "set"): partial(_make_set, budget=budget),
        ("__builtin__", "set"): partial(_make_set, budget=budget),
        ("builtins", "bytes"): lambda: b"",  # protocol 2 writes no bytes like this
        ("__builtin__", "bytes"): lambda: b"",
        ("_codecs", "encode"): partial(_encode, budget=budget),
        ("numpy", "dtype"): partial(arrays.make_dtype, foreign=foreign),
        ("numpy.core.multiarray", "scalar"): arrays.read_scalar,
        ("numpy._core.multiarray", "scalar"): arrays.read_scalar,
        ("numpy.core.multiarray", "_reconstruct"): arrays.make_array,
        ("numpy._core.multiarray", "_reconstruct"): arrays.make_array,
        ("dill._dill", "_create_array"): arrays.make_whole_array,  # StyleGAN-XL saves with dill
        ("numpy.core.numeric", "_frombuffer"): arrays.read_buffer,
        ("numpy._core.numeric", "_frombuffer"): arrays.read_buffer,
    }
    classes: dict[tuple[str, str], Callable[[], Any]] = {
        ("dnnlib.util", "EasyDict"): dict,
        ("dnnlib.tflib.network", "Network"): partial(PickledObject, "Network"),
        ("tfutil", "Network"): partial(PickledObject, "Network"),  # Progressive GAN
        ("torch.nn.modules.sparse", "Embedding"): partial(PickledObject, "Embedding"),
        ("argparse", "Namespace"): partial(PickledObject, "Namespace"),
        ("torch.nn.parallel.data_parallel", "DataParallel"): partial(PickledObject, PARALLEL),
        ("torch.nn.parallel.distributed", "DistributedDataParallel"): partial(
            PickledObject, PARALLEL
        ),
    }
    names = {pair: Global(".".join(pair), call=call) for pair, call in functions.items()}
    names |= {pair: Global(".".join(pair), new=new) for pair, new in classes.items()}
    names["numpy", "ndarray"] = arrays.NDARRAY
    names["torch", "Tensor"] = Global("torch.Tensor")
    find_type = partial(_find_type, names=dict(names), foreign=foreign)
    names["dill._dill", "_load_type"] = Global("dill._dill._load_type", call=find_type)
    return names | STORAGE_TYPES


def _make_persistent(meta: Any) -> PersistentObject:
    if (
        type(meta) is not dict
        or meta.get("type") != "class"
        or type(meta.get("class_name")) is not str
        or type(meta.get("state")) is not dict
    ):
        raise CheckpointError("a persistent object without class name or state")
    return PersistentObject(meta["class_name"], meta["state"])


def _unwrap_parameter(
    data: Any, requires_grad: Any, backward_hooks: Any, attributes: Any = None
) -> Tensor:
    if type(data) is not Tensor:
        raise CheckpointError("a parameter that is no tensor")
    return data


def _drop_attributes(function: Any, kind: Any, arguments: Any, attributes: Any) -> Any:
    """A tensor with attributes of its own, which are left out."""
    if type(function) is not Global or function.call is not make_tensor:
        raise CheckpointError("a tensor that is made in an unknown way")
    return make_tensor(*arguments)


def _find_type(
    name: Any, *, names: Mapping[tuple[str, str], Global], foreign: ForeignNames | None
) -> Global | ForeignObject:
    """A type of Python's own, which dill finds by a call: a mere name, too."""
    if type(name) is not str:
        raise CheckpointError("a type without a name")
    known = names.get(("builtins", name))
    if known is not None:
        return known
    if foreign is None:
        raise RefusedName(f"builtins.{name}")
    return foreign.resolve(f"builtins.{name}")


def _make_dict(pairs: Any = (), *, budget: Budget) -> dict[Any, Any]:
    """Of no pairs, mostly: they come later, one by one."""
    if type(pairs) not in (list, tuple):
        raise CheckpointError("a dict of no pairs")
    budget.operate(len(pairs))
    return make_dict(pairs)


def _make_set(items: Any, *, budget: Budget) -> set[Any]:
    if type(items) is not list:
        raise CheckpointError("a set of no list")
    budget.operate(len(items))
    return pick_flat(items)


def _encode(text: Any, encoding: Any, *, budget: Budget) -> bytes:
    """Bytes in protocol 2, which writes them as text."""
    if type(text) is not str or encoding != "latin1":
        raise CheckpointError("refuses a text encoding other than latin1")
    budget.copy(len(text))
    return text.encode("latin1")
