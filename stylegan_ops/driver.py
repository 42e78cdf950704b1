"""NVIDIA's driver: loads compiled kernels onto GPUs and starts them.

The driver is installed with the GPU, so this works without a CUDA toolkit. Kernels run in the primary context of a GPU,
which is the one that PyTorch uses: pointers and streams of PyTorch are valid here.
"""

import contextlib
import ctypes
import functools
import platform
import threading
from collections.abc import Iterator, Sequence
from typing import Any

_Handle = ctypes.c_void_p
_Word = ctypes.c_uint
_Address = ctypes.POINTER(ctypes.c_void_p)

_SIGNATURES: dict[str, list[Any]] = {
    "cuInit": [_Word],
    "cuDeviceGet": [ctypes.POINTER(ctypes.c_int), ctypes.c_int],
    "cuDevicePrimaryCtxRetain": [_Address, ctypes.c_int],
    "cuCtxPushCurrent_v2": [_Handle],
    "cuCtxPopCurrent_v2": [_Address],
    "cuModuleLoadData": [_Address, ctypes.c_char_p],
    "cuModuleGetFunction": [_Address, _Handle, ctypes.c_char_p],
    "cuLaunchKernel": [_Handle, *[_Word] * 7, _Handle, _Address, _Address],
}
"""Functions of the driver that are used, and their arguments; all return an error code, and 0 is success."""


class DriverError(Exception):
    """The driver is missing, or refuses something; the message is a clause."""


class Driver:
    """The functions of a driver's library; for any number of threads."""

    def __init__(self, library: ctypes.CDLL) -> None:
        """Declare the functions and initialise the driver.

        Raises:
            DriverError: the library is no driver, or there is no GPU for it.
        """
        self._library = library
        try:
            for name, arguments in _SIGNATURES.items():
                function = getattr(library, name)
                function.argtypes, function.restype = arguments, ctypes.c_int
            library.cuGetErrorString.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
        except AttributeError as error:
            raise DriverError(f"the driver is too old ({error})") from error
        self._contexts: dict[int, int | None] = {}
        self._lock = threading.Lock()
        self._call("cuInit", 0)

    def load(self, device: int, image: bytes) -> "Module":
        """Load machine code, or PTX, which the driver translates first, onto a GPU.

        Raises:
            DriverError: the GPU does not run it.
        """
        context, module = self._context(device), ctypes.c_void_p()
        with self.current(context):
            self._call("cuModuleLoadData", ctypes.byref(module), image)
        return Module(self, context, module.value)

    def function(self, module: int | None, name: str) -> int | None:
        """Address of a kernel in a module.

        Raises:
            DriverError: there is no kernel of this name.
        """
        function = ctypes.c_void_p()
        self._call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
        return function.value

    def launch(
        self, function: int | None, grid: Sequence[int], threads: int, stream: int | None, arguments: Sequence[Any]
    ) -> None:
        """Queue a kernel on a stream; its context must be the current one.

        Args:
            function: address of the kernel.
            grid: number of blocks along x, y and z.
            threads: threads of a block.
            stream: the stream; None: the default one.
            arguments: values of the kernel's parameters, of types of ctypes that have the same size.

        Raises:
            DriverError: the driver refuses it, or something that was started before has failed.
        """
        addresses = (ctypes.c_void_p * len(arguments))(*map(ctypes.addressof, arguments))
        self._call("cuLaunchKernel", function, *grid, threads, 1, 1, 0, stream, addresses, None)

    @contextlib.contextmanager
    def current(self, context: int | None) -> Iterator[None]:
        """Make a context the current one of this thread for a while."""
        self._call("cuCtxPushCurrent_v2", context)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def _context(self, device: int) -> int | None:
        """The primary context of a GPU, kept until the process ends, as PyTorch keeps it."""
        with self._lock:
            if device not in self._contexts:
                number, context = ctypes.c_int(), ctypes.c_void_p()
                self._call("cuDeviceGet", ctypes.byref(number), device)
                self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), number)
                self._contexts[device] = context.value
            return self._contexts[device]

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            text = ctypes.c_char_p()
            self._library.cuGetErrorString(code, ctypes.byref(text))
            said = f"error {code}" if text.value is None else text.value.decode(errors="replace")
            raise DriverError(f"{name}: {said}")


class Module:
    """Kernels that are loaded onto a GPU."""

    def __init__(self, driver: Driver, context: int | None, handle: int | None) -> None:
        self._driver, self._context, self._handle = driver, context, handle
        self._functions: dict[str, int | None] = {}

    def launch(
        self, name: str, grid: Sequence[int], threads: int, stream: int | None, arguments: Sequence[Any]
    ) -> None:
        """Queue a kernel on a stream; see `Driver.launch`.

        Raises:
            DriverError: there is no kernel of this name, or the driver refuses it.
        """
        with self._driver.current(self._context):
            if name not in self._functions:
                self._functions[name] = self._driver.function(self._handle, name)
            self._driver.launch(self._functions[name], grid, threads, stream, arguments)


@functools.cache
def driver() -> Driver:
    """The driver of this machine.

    Raises:
        DriverError: there is none.
    """
    windows = platform.system() == "Windows"
    name = "nvcuda.dll" if windows else "libcuda.so.1"
    try:
        return Driver(ctypes.CDLL(name))
    except OSError as error:
        raise DriverError(f"NVIDIA's driver was not found ({name})") from error
