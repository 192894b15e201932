"""The head of the report: what was run, the headline figures, and the words used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from rl_discrete.bench.measured import look_up, measured, name_of, number, rows_of

TERMS = {
    "Reconstruction BCE": "binary cross-entropy of the grey values, summed over 784 pixels, mean over the test images, "
    "in nats; codes are hard and drawn without noise.",
    "Floor and excess": "the entropy of the grey values themselves, which a perfect reconstruction would still pay; "
    "excess is what lies above it.",
    "Sampled BCE": "the same with codes drawn with the bottleneck's noise.",
    "Capacity": "L ln K nats, or L log2 K bits, for L variables of K categories.",
    "Code length": "-log p(codes) under a prior fitted on the training codes, mean over the test images, in nats.",
    "Total": "code length plus BCE: nats to describe one image, an upper bound on the negative log-likelihood of its "
    "binarised version. Bits/dim is total / (784 ln 2).",
    "Priors": "uniform: every code alike; independent: the empirical distribution of each variable; LSTM: "
    "autoregressive over chunks of variables, sampled at temperature 1.",
    "Score": "Inception score, exp of the mean KL divergence between the judge's class probabilities of an image and "
    "their mean over the set: 1 to 10. Its logarithm E[KL] is the number that the original talk plots. 10 splits: mean "
    "and standard deviation over ten parts.",
    "Fréchet": "Fréchet distance between judge features of the set and of the test images. The judge is a small MNIST "
    "classifier: the numbers are not comparable with the FID of an Inception network.",
    "Entropy, perplexity, usage, dead": "per variable over the whole test split: entropy in nats, its exponential, the "
    "share of categories that occur, and the number of variables with a single one; means over variables.",
    "Total correlation": "lower bound: sum of the variables' entropies minus the code length under the LSTM prior.",
    "±": "sample standard deviation over seeds; absent where there is one seed.",
}


def summary(result: Mapping[str, Any]) -> str:
    """What was run, on what, and the figures that a reader looks for first."""
    seeds = [str(seed) for seed in result.get("seeds") or []]
    data = result.get("data")
    name = str(look_up(data, "name") or "MNIST")
    parts = [(part, number(data, part)) for part in ("train", "validation", "test")]
    sizes = ", ".join(f"{size:,.0f} {part}" for part, size in parts if size is not None)
    run = f"Profile {result.get('profile', 'unknown')}, preset {result.get('preset', 'unknown')}; data {name}"
    rows = f"{len(rows_of(result))} rows, {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds) or 'unknown'}"
    line = f"{run}{f' ({sizes} images)' if sizes else ''}; {rows}."
    text = (
        "Gumbel-softmax (gs) and improved semantic hashing (ish) as bottlenecks of one autoencoder, with three priors "
        "over the codes. Rows are named METHOD-LxK: L latent variables of K categories. The same frozen judge scores "
        "every row on the test images."
    )
    notice = ""
    if result.get("complete") is False:
        notice = '<p class="notice">This run is not complete: the figures below are those of the finished rows.</p>'
    facts = "".join(
        f'<div><dt>{escape(term)}</dt><dd><div class="value">{escape(value)}</div>'
        f'<div class="note">{escape(note)}</div></dd></div>'
        for term, value, note in _headlines(result)
    )
    return f'<p>{text}</p><p class="quiet">{escape(line)}</p>{notice}<dl class="facts">{facts}</dl>'


def _headlines(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Term, value and note of each headline figure that the result holds."""
    rows = rows_of(result)
    found = []
    best = _extreme(rows, ("reconstruction_bce",), min)
    if best is not None:
        excess = measured(best[1], "excess_bce")
        above = f", {excess.mean:.1f} above the floor" if excess else ""
        found.append(("Closest reconstruction", f"{best[0]:.1f} nats", f"{name_of(best[1])}{above}"))
    best = _extreme(rows, ("priors", "lstm", "inception_score"), max)
    if best is not None:
        real = number(result, "reference", "test_images", "inception_score")
        beside = f"; real test images {real:.2f}" if real is not None else ""
        found.append(("Best score of samples", f"{best[0]:.2f}", f"{name_of(best[1])}, LSTM prior{beside}"))
    low = _extreme(rows, ("priors", "lstm", "score_over_reconstructions"), min)
    high = _extreme(rows, ("priors", "lstm", "score_over_reconstructions"), max)
    if low is not None and high is not None:
        span = f"{low[0]:.2f}" if low[1] is high[1] else f"{low[0]:.2f} to {high[0]:.2f}"
        found.append(("Samples over recon.", span, "score ratio over the rows, LSTM prior"))
    best = _extreme(rows, ("priors", "lstm", "total_nats"), min)
    if best is not None:
        found.append(("Shortest description", f"{best[0]:.1f} nats", f"{name_of(best[1])}, code plus BCE"))
    accuracy = number(result, "reference", "judge", "accuracy")
    if accuracy is not None:
        found.append(("Judge", f"{accuracy:.2%}", "accuracy on the test images"))
    seconds = number(result, "seconds_total")
    if seconds is not None:
        peak = number(result, "peak_memory_bytes")
        note = "" if peak is None else f"peak memory {peak / 2**20:,.0f} MiB"
        found.append(("Whole command", duration(seconds), note))
    return found


def _extreme(
    rows: Sequence[Mapping[str, Any]], path: tuple[str, ...], choose: Callable[[list[float]], float]
) -> tuple[float, Mapping[str, Any]] | None:
    known = {value.mean: row for row in rows if (value := measured(row, *path)) is not None}
    if not known:
        return None
    best = choose(list(known))
    return best, known[best]


def duration(seconds: float) -> str:
    """``47 s``, ``9 min 20 s`` or ``2 h 4 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
