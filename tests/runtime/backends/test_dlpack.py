"""The ctypes code of DLPack, on memory of the host: NumPy and torch are the consumers."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest

from stylert.runtime.backends.cuda.dlpack import (
    CPU,
    CUDA,
    exported_count,
    make_capsule,
    sweep_capsules,
)

DTYPES = ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "bool")


class Producer:
    """An array that is only known by its address."""

    def __init__(self, array: np.ndarray, *, force_old: bool = False) -> None:
        self.array = array
        self.force_old = force_old
        self.asked: list[Any] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return (CPU, 0)

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None, **options: Any) -> Any:
        self.asked.append(max_version)
        return make_capsule(
            self.array.ctypes.data,
            self.array.shape,
            self.array.dtype,
            device=(CPU, 0),
            owner=self.array,
            versioned=max_version is not None and not self.force_old,
        )


@pytest.fixture(autouse=True)
def nothing_stays_exported() -> Any:
    gc.collect()
    before = exported_count()
    yield
    gc.collect()
    assert exported_count() == before


def consumer(name: str) -> Any:
    if name == "numpy":
        return np.from_dlpack
    import torch

    return lambda producer: torch.from_dlpack(producer).numpy()


@pytest.mark.parametrize("force_old", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (7,), (1, 1), (0, 3), ()])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_shapes(library: str, shape: tuple[int, ...], force_old: bool) -> None:
    array = np.asarray(np.random.RandomState(0).randn(*shape))
    got = consumer(library)(Producer(array, force_old=force_old))
    assert got.shape == shape
    assert np.array_equal(got, array)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_dtypes(library: str, dtype: str) -> None:
    array = (np.arange(12) % 5).reshape(3, 4).astype(dtype)
    got = consumer(library)(Producer(array))
    assert got.dtype == array.dtype
    assert np.array_equal(got, array)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_it_is_no_copy(library: str) -> None:
    array = np.zeros((2, 2), np.float32)
    producer = Producer(array)
    got = consumer(library)(producer)
    array[1, 0] = 5
    assert got[1, 0] == 5
    assert producer.asked[0] is not None  # both ask for DLPack 1.0 or newer


@pytest.mark.parametrize("versioned", [False, True])
def test_memory_lives_as_long_as_the_consumer(versioned: bool) -> None:
    owner = Owner()
    array = np.arange(4.0)
    alive = weakref.ref(owner)
    before = exported_count()
    capsules = [
        make_capsule(
            array.ctypes.data, (4,), array.dtype, device=(CPU, 0), owner=owner, versioned=versioned
        )
    ]
    del owner
    gc.collect()
    assert alive() is not None
    assert exported_count() == before + 1

    class Once:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (CPU, 0)

        def __dlpack__(self, **options: Any) -> Any:
            return capsules.pop()

    got = np.from_dlpack(Once())
    gc.collect()
    assert alive() is not None
    part = got[1:3]
    del got
    gc.collect()
    assert alive() is not None
    assert part.tolist() == [1, 2]
    del part
    gc.collect()
    assert alive() is None
    assert exported_count() == before


class Owner:
    """Tells by a weak reference whether it is kept."""


def capsule_of(owner: object, *, versioned: bool, device: int = CPU) -> Any:
    return make_capsule(
        0x1000, (4,), np.dtype("f4"), device=(device, 0), owner=owner, versioned=versioned
    )


@pytest.mark.parametrize("versioned", [False, True])
def test_a_capsule_that_nobody_takes(versioned: bool) -> None:
    before = exported_count()
    owner = Owner()
    alive = weakref.ref(owner)
    capsule = capsule_of(owner, versioned=versioned)
    del owner
    name = "dltensor_versioned" if versioned else "dltensor"
    assert f'"{name}"' in repr(capsule)
    sweep_capsules()
    assert alive() is not None
    assert exported_count() == before + 1
    del capsule
    sweep_capsules()
    assert alive() is None
    assert exported_count() == before


def test_the_next_capsule_sweeps() -> None:
    owner = Owner()
    alive = weakref.ref(owner)
    capsule_of(owner, versioned=True)
    del owner
    assert alive() is not None
    capsule_of(None, versioned=True)
    assert alive() is None


def test_capsules_of_several_threads() -> None:
    before = exported_count()
    array = np.arange(4.0)
    wrong = []

    def take() -> None:
        for _ in range(200):
            kept, dropped = np.from_dlpack(Producer(array)), capsule_of(None, versioned=True)
            if kept[3] != 3 or exported_count() < before + 2:
                wrong.append(kept)
            del dropped

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert exported_count() == before


# Consumers that refuse.


class OfTheGpu:
    """A producer that says nothing of its memory's place before the capsule does."""

    def __init__(self, owner: object, *, versioned: bool) -> None:
        self.owner = owner
        self.versioned = versioned

    def __dlpack_device__(self) -> tuple[int, int]:
        return (CUDA, 0)

    def __dlpack__(self, **asked: Any) -> Any:
        return capsule_of(self.owner, versioned=self.versioned, device=CUDA)


@pytest.mark.parametrize("versioned", [False, True])
def test_numpy_refuses_in_its_own_words(versioned: bool) -> None:
    before = exported_count()
    owner = Owner()
    alive = weakref.ref(owner)
    producer = OfTheGpu(owner, versioned=versioned)
    for _ in range(3):
        with pytest.raises((RuntimeError, BufferError), match=r"^Unsupported device"):
            np.from_dlpack(producer)
        assert exported_count() == before
    del owner, producer
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("versioned", [False, True])
def test_nothing_leaks_when_torch_refuses(versioned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this torch takes it")
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    before = exported_count()
    owner = Owner()
    alive = weakref.ref(owner)
    # It calls the deleter while its error is pending, and ctypes loses that error. What torch asks
    # an array for itself it refuses before: only bare capsules come here.
    with pytest.raises((SystemError, RuntimeError, BufferError)):
        torch.from_dlpack(capsule_of(owner, versioned=versioned, device=CUDA))
    del owner
    gc.collect()
    assert exported_count() == before
    assert alive() is None


def test_a_capsule_dies_while_an_exception_is_on_its_way() -> None:
    def fail() -> None:
        unused = make_capsule(0, (4,), np.dtype("f4"), device=(CPU, 0), owner=None, versioned=True)
        assert unused is not None
        raise ValueError("mine")

    before = exported_count()
    with pytest.raises(ValueError, match="mine") as caught:
        fail()
    del caught
    gc.collect()
    assert exported_count() == before


def test_the_versioned_form_field_by_field() -> None:
    array = np.zeros((2, 3), np.float16)
    capsule = make_capsule(
        array.ctypes.data,
        array.shape,
        array.dtype,
        device=(2, 1),
        owner=array,
        versioned=True,
        copied=True,
    )
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    address = pointer(capsule, b"dltensor_versioned")
    raw = (ctypes.c_uint8 * 80).from_address(address)
    words = np.ctypeslib.as_array(raw)
    assert words[:8].view(np.uint32).tolist() == [1, 0]  # version
    assert words[24:32].view(np.uint64)[0] == 2  # flags: copied, writable
    assert int(words[32:40].view(np.uint64)[0]) == array.ctypes.data
    assert words[40:48].view(np.int32).tolist() == [2, 1]  # kDLCUDA, device 1
    assert words[48:52].view(np.int32)[0] == 2  # ndim
    assert words[52:54].tolist() == [2, 16]  # kDLFloat, bits
    assert words[54:56].view(np.uint16)[0] == 1  # lanes
    sizes = (ctypes.c_int64 * 4).from_address(int(words[56:64].view(np.uint64)[0]))
    assert list(sizes) == [2, 3, 3, 1]
    assert int(words[64:72].view(np.uint64)[0]) == ctypes.addressof(sizes) + 16
    assert words[72:80].view(np.uint64)[0] == 0  # byte offset


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[s]", ">f4", "S3"])
def test_dtypes_that_dlpack_has_not(dtype: str) -> None:
    with pytest.raises(BufferError, match="DLPack: got dtype"):
        make_capsule(0, (1,), np.dtype(dtype), device=(CPU, 0), owner=None, versioned=True)
