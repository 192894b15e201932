from __future__ import annotations

import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rl_discrete.latents.codes import bits_per_latent, hamming, hamming_keys, key_width, pack, unpack
from rl_discrete.runs.errors import UsageError


def random_codes(seed: int, batch: int, num_latents: int, num_categories: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).integers(num_categories, size=(batch, num_latents))


def slow_key(code: npt.NDArray[np.int64], bits: int) -> list[int]:
    """One key the plain way, as Python integers: the definition that `pack` must meet."""
    per_word = 64 // bits
    words = [code[start : start + per_word] for start in range(0, len(code), per_word)]
    return [sum(int(value) << (slot * bits) for slot, value in enumerate(word)) for word in words]


def test_round_trip_at_every_width() -> None:
    for num_latents in range(1, 1101):
        num_categories = 2 + (num_latents * 7) % 299
        for categories in (2, num_categories):
            codes = random_codes(num_latents, 3, num_latents, categories)
            codes[0] = categories - 1
            keys = pack(codes, categories)
            assert keys.dtype == np.uint64
            assert keys.shape == (3, key_width(num_latents, categories))
            np.testing.assert_array_equal(unpack(keys, num_latents, categories), codes)


def test_round_trip_at_every_number_of_categories() -> None:
    for num_categories in range(2, 301):
        codes = random_codes(num_categories, 2, 67, num_categories)
        codes[0] = num_categories - 1
        np.testing.assert_array_equal(unpack(pack(codes, num_categories), 67, num_categories), codes)


@settings(deadline=None, max_examples=80)
@example(num_latents=1, num_categories=2, batch=0, seed=0)
@example(num_latents=64, num_categories=2, batch=5, seed=0)
@example(num_latents=65, num_categories=2**62, batch=5, seed=0)
@given(
    num_latents=st.integers(1, 1100),
    num_categories=st.integers(2, 300) | st.sampled_from([2, 2**16, 2**16 + 1, 2**31 + 1, 2**62]),
    batch=st.integers(0, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_keys_follow_the_definition(num_latents: int, num_categories: int, batch: int, seed: int) -> None:
    codes = random_codes(seed, batch, num_latents, num_categories)
    before = codes.copy()
    keys = pack(codes, num_categories)
    assert keys.tolist() == [slow_key(code, bits_per_latent(num_categories)) for code in codes]
    back = unpack(keys, num_latents, num_categories)
    assert back.dtype == np.int64
    assert back.shape == (batch, num_latents)
    np.testing.assert_array_equal(back, codes)
    np.testing.assert_array_equal(codes, before)


@settings(deadline=None, max_examples=60)
@given(
    num_latents=st.integers(1, 300),
    num_categories=st.integers(2, 300),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_one_changed_latent_changes_the_key(
    num_latents: int, num_categories: int, seed: int, data: st.DataObject
) -> None:
    codes = random_codes(seed, 1, num_latents, num_categories)
    changed = codes.copy()
    latent = data.draw(st.integers(0, num_latents - 1))
    changed[0, latent] = (changed[0, latent] + data.draw(st.integers(1, num_categories - 1))) % num_categories
    a, b = pack(codes, num_categories), pack(changed, num_categories)
    assert not np.array_equal(a, b)
    assert hamming(codes, changed).tolist() == [1]
    assert hamming_keys(a, b)[0] == (codes[0, latent] ^ changed[0, latent]).item().bit_count()


@pytest.mark.parametrize(("num_latents", "num_categories"), [(10, 2), (6, 3), (3, 10)])
def test_a_whole_small_space_has_distinct_keys(num_latents: int, num_categories: int) -> None:
    codes = np.indices((num_categories,) * num_latents).reshape(num_latents, -1).T
    keys = pack(codes, num_categories)
    assert len(np.unique(keys, axis=0)) == num_categories**num_latents


@settings(deadline=None, max_examples=60)
@given(num_latents=st.integers(1, 1100), batch=st.integers(0, 6), seed=st.integers(0, 2**32 - 1))
def test_hamming_of_keys_is_the_number_of_differing_bits(num_latents: int, batch: int, seed: int) -> None:
    a, b = random_codes(seed, batch, num_latents, 2), random_codes(seed + 1, batch, num_latents, 2)
    expected = [sum(x != y for x, y in zip(row, other, strict=True)) for row, other in zip(a, b, strict=True)]
    assert hamming_keys(pack(a, 2), pack(b, 2)).tolist() == expected
    assert hamming(a, b).tolist() == expected


def test_hamming_broadcasts_to_a_matrix_of_distances() -> None:
    a, b = random_codes(0, 4, 130, 2), random_codes(1, 7, 130, 2)
    distances = hamming(a[:, None], b[None])
    assert distances.shape == (4, 7)
    assert distances[3, 5] == np.count_nonzero(a[3] != b[5])
    np.testing.assert_array_equal(hamming_keys(pack(a, 2)[:, None], pack(b, 2)[None]), distances)


def test_hamming_of_codes_counts_latents_and_not_bits() -> None:
    assert hamming(np.array([[0, 5]]), np.array([[7, 5]])).tolist() == [1]
    assert hamming_keys(pack([[0, 5]], 8), pack([[7, 5]], 8)).tolist() == [3]


@pytest.mark.parametrize(
    ("num_latents", "num_categories", "width"),
    [
        (1, 2, 1),
        (64, 2, 1),
        (65, 2, 2),
        (1024, 2, 16),
        (21, 8, 1),
        (22, 8, 2),
        (30, 10, 2),
        (16, 16, 1),
        (16, 17, 2),
    ],
)
def test_key_width(num_latents: int, num_categories: int, width: int) -> None:
    assert key_width(num_latents, num_categories) == width
    assert pack(np.zeros((1, num_latents), int), num_categories).shape == (1, width)


def test_layout_of_a_known_key() -> None:
    assert pack([[1, 0, 1, 1]], 2).tolist() == [[0b1101]]
    assert pack([[3, 0, 9]], 10).tolist() == [[0x903]]


@pytest.mark.parametrize("num_categories", [2, 10])
def test_strided_readonly_and_narrow_codes(num_categories: int) -> None:
    codes = random_codes(0, 8, 70, num_categories)
    expected = pack(codes, num_categories)
    wide = np.repeat(np.repeat(codes, 2, axis=0), 3, axis=1)
    np.testing.assert_array_equal(pack(wide[::2, ::3], num_categories), expected)
    np.testing.assert_array_equal(pack(np.asfortranarray(codes), num_categories), expected)
    np.testing.assert_array_equal(
        pack(codes[::-1, ::-1], num_categories), pack(codes[::-1, ::-1].copy(), num_categories)
    )
    np.testing.assert_array_equal(pack(codes.astype(np.uint8), num_categories), expected)
    codes.flags.writeable = False
    np.testing.assert_array_equal(pack(codes, num_categories), expected)
    strided = np.repeat(expected, 2, axis=1)[:, ::2]
    np.testing.assert_array_equal(unpack(strided, 70, num_categories), codes)
    np.testing.assert_array_equal(unpack(expected[::-1], 70, num_categories), codes[::-1])


@pytest.mark.parametrize("num_categories", [2, 10])
def test_tensors_pack_like_arrays_and_stay_as_they_are(num_categories: int) -> None:
    codes = random_codes(0, 8, 70, num_categories)
    tensor = torch.from_numpy(codes.copy())
    np.testing.assert_array_equal(pack(tensor, num_categories), pack(codes, num_categories))
    np.testing.assert_array_equal(pack(tensor.T, num_categories), pack(codes.T, num_categories))
    assert hamming(tensor, codes).tolist() == [0] * 8
    assert torch.equal(tensor, torch.from_numpy(codes))
    unpack(pack(tensor, num_categories), 70, num_categories)[:] = 1
    assert torch.equal(tensor, torch.from_numpy(codes))


@pytest.mark.parametrize(
    ("codes", "num_categories", "words"),
    [
        ([[0, 2]], 2, "between 0 and 1, got 2 at row 0, latent 1"),
        ([[0, 0], [-1, 0]], 2, "got -1 at row 1, latent 0"),
        ([[10]], 10, "between 0 and 9, got 10"),
        (np.array([[255]], np.uint8), 200, "between 0 and 199, got 255"),
        ([[0.0, 1.0]], 2, "integers"),
        ([[False, True]], 2, "integers"),
        ([0, 1], 2, r"shape \(B, L\)"),
        ([[]], 2, "integers"),
        (np.zeros((3, 0), int), 2, "L >= 1"),
        ([[0, 0]], 1, "num_categories must be between 2"),
        (np.zeros((0, 4), int), 0, "num_categories must be between 2"),
        ([[0, 0]], 2**63, "num_categories must be between 2"),
    ],
)
def test_codes_that_cannot_be_packed(codes: npt.ArrayLike, num_categories: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        pack(codes, num_categories)


def test_keys_that_cannot_be_unpacked() -> None:
    keys = pack(random_codes(0, 2, 65, 2), 2)
    with pytest.raises(UsageError, match=r"shape \(B, 1\), got \(2, 2\)"):
        unpack(keys, 64, 2)
    with pytest.raises(UsageError, match="uint64"):
        unpack(keys.astype(np.int64), 65, 2)
    with pytest.raises(UsageError, match="no code of 3 latents"):
        unpack(pack([[1, 1, 1, 1]], 2), 3, 2)
    with pytest.raises(UsageError, match="no code of 2 latents with 10"):
        unpack(pack([[15, 1]], 16), 2, 10)
    with pytest.raises(UsageError, match="no code of 12 latents with 32"):
        unpack(np.array([[1 << 63]], np.uint64), 12, 32)
    with pytest.raises(UsageError, match="num_latents must be >= 1"):
        unpack(keys, 0, 2)


def test_distances_between_unlike_codes() -> None:
    with pytest.raises(UsageError, match="same number of latents"):
        hamming([[0, 1]], [[0, 1, 1]])
    with pytest.raises(UsageError, match="same number of words"):
        hamming_keys(pack([[0] * 65], 2), pack([[0] * 64], 2))
    with pytest.raises(UsageError, match="broadcast"):
        hamming([[0, 1]] * 2, [[0, 1]] * 3)
    with pytest.raises(UsageError, match="integers"):
        hamming([[0.5]], [[0.5]])
    with pytest.raises(UsageError, match="uint64"):
        hamming_keys([[1]], [[2]])


def test_codes_need_no_torch() -> None:
    script = "import sys; import rl_discrete.latents.codes; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
