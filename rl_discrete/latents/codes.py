"""Codes as keys: packing (B, L) small integers into fixed-width rows of uint64 words, and Hamming distances.

numpy only: the table of the planner reads keys without torch. A latent takes `ceil(log2 K)` bits and never
straddles two words, so a word holds `64 // bits` latents, 64 of them for K = 2. Latent 0 sits in the lowest
bits of word 0 and the bits left over are zero, so keys are equal exactly where codes are.
"""

from __future__ import annotations

import operator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from rl_discrete.runs.errors import UsageError

Keys: TypeAlias = npt.NDArray[np.uint64]
Codes: TypeAlias = npt.NDArray[np.int64]
WORD_BITS = 64
_MAX_CATEGORIES = 1 << 62  # codes are int64


def check_sizes(num_latents: int, num_categories: int) -> None:
    """Raises UsageError for sizes that no code can have."""
    if num_latents < 1:
        raise UsageError(f"num_latents must be >= 1, got {num_latents}")
    if num_categories < 2:
        raise UsageError(f"num_categories must be >= 2, got {num_categories}")


def bits_per_latent(num_categories: int) -> int:
    """Bits that one latent takes in a key: ceil(log2 K).

    Raises:
        UsageError: `num_categories` < 2, or too large for int64 codes.
    """
    if not 2 <= operator.index(num_categories) <= _MAX_CATEGORIES:
        raise UsageError(f"num_categories must be between 2 and 2**62, got {num_categories}; a bit has 2")
    return (operator.index(num_categories) - 1).bit_length()


def key_width(num_latents: int, num_categories: int) -> int:
    """Words W of a key of `num_latents` latents.

    Raises:
        UsageError: `num_latents` < 1 or `num_categories` < 2.
    """
    if operator.index(num_latents) < 1:
        raise UsageError(f"num_latents must be >= 1, got {num_latents}")
    return -(-operator.index(num_latents) // (WORD_BITS // bits_per_latent(num_categories)))


def pack(codes: npt.ArrayLike, num_categories: int) -> Keys:
    """The keys of a batch of codes, uint64 (B, W) with W = `key_width(L, num_categories)`.

    Args:
        codes: int64 (B, L) in [0, num_categories), a numpy array or a tensor on the CPU; any strides, left
            unmodified. Other integer types are taken too.
        num_categories: K >= 2.

    Raises:
        UsageError: not integers, not (B, L) with L >= 1, or a code out of range.
    """
    checked = _checked_codes(codes, num_categories)
    batch, num_latents = checked.shape
    bits = bits_per_latent(num_categories)
    width, per_word = key_width(num_latents, num_categories), WORD_BITS // bits
    if num_categories == 2:
        octets = np.packbits(checked.astype(np.bool_), axis=1, bitorder="little")
        padded = np.zeros((batch, width * 8), np.uint8)
        padded[:, : octets.shape[1]] = octets
        return padded.view("<u8").astype(np.uint64, copy=False)
    keys = np.zeros((batch, width), np.uint64)
    for slot in range(per_word):  # at most 32 rounds, each over every word at once
        column = checked[:, slot::per_word].astype(np.uint64)
        keys[:, : column.shape[1]] |= column << np.uint64(slot * bits)
    return keys


def unpack(keys: npt.ArrayLike, num_latents: int, num_categories: int) -> Codes:
    """The codes of a batch of keys, int64 (B, num_latents): the inverse of `pack`.

    Raises:
        UsageError: keys that are not uint64 (B, `key_width(num_latents, num_categories)`), or that hold bits
            which no such code has.
    """
    checked = _checked_keys(keys)
    bits, width = bits_per_latent(num_categories), key_width(num_latents, num_categories)
    if checked.ndim != 2 or checked.shape[1] != width:
        raise UsageError(
            f"keys of {num_latents} latents with {num_categories} categories must have shape (B, {width}), "
            f"got {checked.shape}"
        )
    if num_categories == 2:
        octets = np.ascontiguousarray(checked).astype("<u8", copy=False).view(np.uint8)
        every = np.unpackbits(octets, axis=1, bitorder="little")
    else:
        per_word = WORD_BITS // bits
        shifts = np.arange(per_word, dtype=np.uint64) * np.uint64(bits)
        slots = (checked[:, :, None] >> shifts) & np.uint64((1 << bits) - 1)  # (B, W, per_word)
        every = slots.reshape(len(checked), width * per_word)
        unused = WORD_BITS - per_word * bits
        if unused and np.any(checked >> np.uint64(per_word * bits)):
            raise _foreign_keys(num_latents, num_categories)
    codes = every[:, :num_latents]
    if np.any(every[:, num_latents:]) or (codes.size and codes.max() >= num_categories):
        raise _foreign_keys(num_latents, num_categories)
    return codes.astype(np.int64, order="C")


def hamming(a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The number of latents in which codes differ, int64, over the last axis; leading axes broadcast.

    `hamming(codes[:, None], others[None])` is the (B, N) matrix of distances.

    Args:
        a, b: integers (..., L), numpy arrays or tensors on the CPU.

    Raises:
        UsageError: not integers, or different numbers of latents.
    """
    left, right = _checked_integers(a), _checked_integers(b)
    _check_pair(left, right, "codes", "latents")
    return np.asarray((left != right).sum(axis=-1), np.int64)


def hamming_keys(a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The number of bits in which keys differ, int64, over the last axis; leading axes broadcast.

    For K = 2 this is the Hamming distance between the codes; for larger K it counts the differing bits of the
    binary form of each code, which is no distance between categories: unpack and use `hamming`.

    Args:
        a, b: uint64 (..., W).

    Raises:
        UsageError: not uint64, or different widths.
    """
    left, right = _checked_keys(a), _checked_keys(b)
    _check_pair(left, right, "keys", "words")
    return np.asarray(np.bitwise_count(left ^ right).sum(axis=-1), np.int64)


def _checked_integers(codes: npt.ArrayLike) -> npt.NDArray[np.integer[Any]]:
    array = np.asarray(codes)
    if not np.issubdtype(array.dtype, np.integer):
        raise UsageError(f"codes must be integers (int64), got {array.dtype}; convert bits with astype(int)")
    return array


def _checked_codes(codes: npt.ArrayLike, num_categories: int) -> npt.NDArray[np.integer[Any]]:
    bits_per_latent(num_categories)
    array = _checked_integers(codes)
    if array.ndim != 2 or array.shape[1] < 1:
        raise UsageError(f"codes must have shape (B, L) with L >= 1, got {array.shape}; one code is codes[None]")
    if array.size and not 0 <= array.min() <= array.max() < num_categories:
        row, latent = np.argwhere((array < 0) | (array >= num_categories))[0]
        raise UsageError(
            f"codes must be between 0 and {num_categories - 1}, got {array[row, latent]} at row {row}, "
            f"latent {latent}; check num_categories"
        )
    return array


def _checked_keys(keys: npt.ArrayLike) -> Keys:
    array = np.asarray(keys)
    if array.dtype != np.uint64:
        raise UsageError(f"keys must be uint64, got {array.dtype}; make them with pack")
    return array


def _check_pair(left: npt.NDArray[Any], right: npt.NDArray[Any], what: str, unit: str) -> None:
    shapes = f"got shapes {left.shape} and {right.shape}"
    if left.ndim < 1 or right.ndim < 1 or left.shape[-1] != right.shape[-1]:
        raise UsageError(f"{what} must have the same number of {unit}, {shapes}")
    try:
        np.broadcast_shapes(left.shape, right.shape)
    except ValueError as error:
        raise UsageError(f"the batch axes of {what} must broadcast, {shapes}; add an axis to one") from error


def _foreign_keys(num_latents: int, num_categories: int) -> UsageError:
    return UsageError(
        f"keys hold bits that no code of {num_latents} latents with {num_categories} categories has; "
        "unpack with the numbers that they were packed with"
    )
