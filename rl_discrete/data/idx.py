"""The IDX file format of MNIST, plain or gzipped.

An IDX file is two zero bytes, one byte for the element type, one byte for the number of dimensions, each
dimension as a big-endian uint32, and then the elements, big-endian, in C order.
Source: the format's description on the MNIST page of LeCun, Cortes and Burges.

A file is read in blocks, so that a header that promises too much costs nothing, and at most one byte past the
end that the header promises, so that a gzip bomb costs nothing either.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from importlib.resources.abc import Traversable
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from rl_discrete.runs.errors import RunError

MAX_BYTES = 1 << 32  # a data set lives in memory: more than 4 GiB in one file is a damaged header, or too much
_BLOCK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_REMEDY = "fetch the file again from its source"


def read_idx(path: Traversable, num_dimensions: int, md5: str | None = None) -> npt.NDArray[Any]:
    """The array in one IDX file, plain or gzipped (told apart by content), in native byte order and writable.

    Args:
        path: the file, on disk or inside an installed package.
        num_dimensions: 3 for images (N, H, W), 1 for labels (N,).
        md5: expected hex digest of the unpacked file; None leaves it unchecked.

    Raises:
        RunError: the file cannot be read, is corrupt, truncated or altered, or is not such an IDX file.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if not packed:
                return _read_stream(raw, path, num_dimensions, md5)
            with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
                return _read_stream(stream, path, num_dimensions, md5)
    except EOFError as error:
        raise RunError(f"{path}: the gzip data is truncated; {_REMEDY}") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise RunError(f"{path}: the gzip data is corrupt ({error}); {_REMEDY}") from error
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error}); check the file and its rights") from error


def _read_stream(
    stream: IO[bytes] | gzip.GzipFile, path: Traversable, num_dimensions: int, md5: str | None
) -> npt.NDArray[Any]:
    header = stream.read(4 + 4 * num_dimensions)
    dtype, shape = _parse_header(header, path, num_dimensions)
    promised = math.prod(shape) * dtype.itemsize
    if promised > MAX_BYTES:
        raise RunError(
            f"{path}: the header promises {shape} elements, {promised} bytes, and at most {MAX_BYTES} are "
            f"taken; {_REMEDY} or split the data set"
        )
    payload = _read_exactly(stream, promised)
    if len(payload) < promised:
        raise RunError(
            f"{path}: truncated, the header promises {shape} elements ({promised} bytes) and {len(payload)} "
            f"bytes follow; {_REMEDY}"
        )
    if stream.read(1):  # at the end of a gzip stream this also checks its length and CRC
        raise RunError(
            f"{path}: wrong element count, more data follows the {shape} elements that the header promises; {_REMEDY}"
        )
    if md5 is not None:
        digest = hashlib.md5(header, usedforsecurity=False)
        digest.update(payload)
        found = digest.hexdigest()
        if found != md5:
            raise RunError(f"{path}: altered, its unpacked md5 is {found}, expected {md5}; {_REMEDY}")
    return np.frombuffer(payload, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _parse_header(header: bytes, path: Traversable, num_dimensions: int) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = header[:4]
    if len(magic) < 4:
        raise RunError(f"{path}: truncated, {len(magic)} bytes are no IDX header; {_REMEDY}")
    if magic[:2] != b"\0\0" or magic[2] not in _TYPES or magic[3] != num_dimensions:
        raise RunError(
            f"{path}: wrong magic number 0x{magic.hex()}, expected 0x0000TT{num_dimensions:02x} with an "
            f"element type TT out of {', '.join(f'{code:02x}' for code in _TYPES)}; {_REMEDY}"
        )
    if len(header) < 4 + 4 * num_dimensions:
        raise RunError(f"{path}: truncated inside the IDX header; {_REMEDY}")
    return _TYPES[magic[2]], struct.unpack(f">{num_dimensions}I", header[4:])


def _read_exactly(stream: IO[bytes] | gzip.GzipFile, num_bytes: int) -> bytearray:
    """Up to `num_bytes` bytes; fewer only where the stream ends."""
    payload = bytearray()
    while len(payload) < num_bytes:
        block = stream.read(min(_BLOCK, num_bytes - len(payload)))
        if not block:
            break
        payload += block
    return payload
