"""The six conclusions of the original talk, each judged by the figures of a result.

Every verdict is computed: ``supported``, ``contradicted`` or ``undecided``, with the figures and the
thresholds that led to it. Methods and numbers of categories are compared at equal bits only (the talk set
16 bits against 32), and a difference that the seed spread could explain decides nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from rl_discrete.bench.comparison import (
    BCE,
    LSTM_FRECHET,
    LSTM_SCORE,
    Comparison,
    Metric,
    compare,
    compare_rows,
    join,
    sentence,
)
from rl_discrete.bench.config import CURVE_CATEGORIES
from rl_discrete.bench.measured import PRIOR_LABELS, look_up, measured, name_of, rows_of
from rl_discrete.bench.scaling import curve_gap_growth, equal_bits_deviation, row_gap_growth
from rl_discrete.latents.config import GumbelSoftmaxConfig, SemanticHashingConfig

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
METHOD_PAIRS = (
    ("gs-16x2", "ish-16x2"),
    ("gs-32x2", "ish-32x2"),
    ("gs-96x2", "ish-96x2"),
    ("gs-30x10", "ish-96x2"),
)
CATEGORY_PAIRS = (("gs-32x2", "gs-10x10"), ("gs-96x2", "gs-30x10"))  # binary first; bits equal within 4 %
BINARY_PAIRS = (*CATEGORY_PAIRS, ("ish-96x2", "gs-30x10"))
METHOD_CONFIGS = {"gs": GumbelSoftmaxConfig, "ish": SemanticHashingConfig}
MARGIN_EXCESS = 0.10
"""Share of the excess BCE within which two rows are called alike."""
MARGIN_SCORE = 0.5
"""Inception score within which two rows are called alike."""

Rows = Mapping[str, Mapping[str, Any]]
Outcome = tuple[str, list[str]]  # verdict and the lines of its evidence

_ALIKE = (
    f"Alike means: BCE within {MARGIN_EXCESS:.0%} of the smaller excess over the floor, score of LSTM samples "
    f"within {MARGIN_SCORE:g}, seed spread included; different: outside by more than the spread. "
    "One pair can show a difference; that there is none takes two."
)
_PRIOR_SCORE = Metric("score", ("inception_score",), LSTM_SCORE.digits, LSTM_SCORE.minimum, LSTM_SCORE.assumed_std)


def conclude(result: Mapping[str, Any], configs: Mapping[str, Any] = METHOD_CONFIGS) -> list[dict[str, str]]:
    """Judge the six conclusions by ``result``, the content of result.json, complete or not.

    Args:
        result: rows, curves and references as documented for result.json. configs: the methods' own
        configuration dataclasses (class or instance) under ``gs`` and ``ish``; without
            them the number of hyperparameters stays undecided.

    Returns:
        Six dicts with ``claim``, ``verdict`` (supported, contradicted or undecided) and ``evidence`` (plain
        text, one finding a line).
    """
    rows = {name_of(row): row for row in rows_of(result)}
    measured_claims = {
        "The two methods are comparable": _comparable(rows),
        "Gumbel-softmax is better at sampling": _better_sampling(rows),
        "The reconstruction of semantic hashing scales better with the number of variables": _scaling(result, rows),
        "Gumbel-softmax is sensitive to the number of categories": _category_sensitivity(result, rows),
        "Sampling works better with binary variables and a recurrent prior": _binary_and_recurrent(rows),
    }
    if result.get("profile") == "smoke":
        note = "The smoke profile trains too briefly to decide anything."
        measured_claims = {claim: (UNDECIDED, [note, *lines]) for claim, (_, lines) in measured_claims.items()}
    *first, last = measured_claims.items()
    counted = ("Semantic hashing has fewer hyperparameters to tune", _hyperparameters(rows, configs))
    return [{"claim": c, "verdict": v, "evidence": "\n".join(lines)} for c, (v, lines) in (*first, counted, last)]


def _comparable(rows: Rows) -> Outcome:
    words, lines = _alike_or_different(rows, METHOD_PAIRS)
    if not words:
        return _no_pair(METHOD_PAIRS)
    settled = "open" not in words and _pair_count(METHOD_PAIRS, rows) > 1
    verdict = CONTRADICTED if "different" in words else SUPPORTED if settled else UNDECIDED
    return verdict, [f"Rows of equal bits. {_ALIKE}", *lines, *_absent(METHOD_PAIRS, rows)]


def _better_sampling(rows: Rows) -> Outcome:
    votes, lines = [], []
    for score in compare_rows(rows, METHOD_PAIRS, LSTM_SCORE):
        pair = (score.first, score.second)
        vote = score.sign
        line = sentence(score.text())
        for distance in compare_rows(rows, [pair], LSTM_FRECHET):
            line += f"; {distance.text()}"
            if distance.difference * vote > 0:  # the higher score has the larger distance too: no win
                vote = 0
        votes.append(vote)
        lines.append(f"{line}: {('no winner', *pair)[vote]}.")
    if not votes:
        return _no_pair(METHOD_PAIRS)
    rule = (
        "Samples of the LSTM prior at equal bits. The higher score wins a pair unless the Fréchet distance "
        f"points the other way. {LSTM_SCORE.rule} The claim needs two pairs, more than half of them won and none lost."
    )
    return _majority(votes), [rule, *lines, *_absent(METHOD_PAIRS, rows)]


def _scaling(result: Mapping[str, Any], rows: Rows) -> Outcome:
    rule = (
        "Growth of the gap (BCE of gs minus BCE of ish, both binary, so at equal bits) from few variables to "
        f"many. {BCE.rule} The claim needs a growing gap, and ish not behind at the large end."
    )
    found = [growth for growth in (row_gap_growth(rows), curve_gap_growth(result)) if growth is not None]
    if not found:
        need = "Needs binary rows of both methods at two sizes: gs-16x2, ish-16x2, gs-96x2 and ish-96x2."
        return UNDECIDED, [rule, need]
    signs = {growth.sign for growth in found}
    verdict = UNDECIDED if len(signs) > 1 else {1: SUPPORTED, -1: CONTRADICTED, 0: UNDECIDED}[signs.pop()]
    disagree = ["Rows and curves do not agree."] if len(found) > 1 and found[0].sign != found[1].sign else []
    return verdict, [rule, *(growth.text() for growth in found), *disagree]


def _category_sensitivity(result: Mapping[str, Any], rows: Rows) -> Outcome:
    words, lines = _alike_or_different(rows, CATEGORY_PAIRS)
    for categories in CURVE_CATEGORIES[1:]:
        deviation = equal_bits_deviation(result, categories)
        if deviation is not None:
            span = f"{deviation[0]:+.1f} to {deviation[1]:+.1f} nats"
            lines.append(f"Curves, K = {categories} against K = 2 interpolated at equal bits: BCE {span}.")
    if not words:
        verdict, reason = _no_pair(CATEGORY_PAIRS)
        return verdict, [*reason, *lines]
    settled = "open" not in words and _pair_count(CATEGORY_PAIRS, rows) > 1
    verdict = SUPPORTED if "different" in words else CONTRADICTED if settled else UNDECIDED
    rule = f"Rows of equal bits (within 4 %) that differ in the number of categories. {_ALIKE}"
    return verdict, [rule, *lines, *_absent(CATEGORY_PAIRS, rows)]


def _hyperparameters(rows: Rows, configs: Mapping[str, Any]) -> Outcome:
    limit = (
        "A count says how many settings there are, not how hard they are to set: the benchmark runs one "
        "setting of each method, some act only together with another, and the effort of tuning is not measured."
    )
    if not {"gs", "ish"} <= set(configs):
        return UNDECIDED, [limit, "The settings of the two methods were not given."]
    names = {method: [field.name for field in dataclasses.fields(configs[method])] for method in ("gs", "ish")}
    own = {a: [n for n in names[a] if n not in names[b]] for a, b in (("gs", "ish"), ("ish", "gs"))}
    lines = [f"{method}: {len(own[method])} settings of its own ({join(own[method]) or 'none'})." for method in own]
    changes = [abs(c.difference) for c in compare_rows(rows, CATEGORY_PAIRS, BCE)]
    if changes:
        moved = f"moves gs by up to {max(changes):.1f} nats at equal bits"
        lines.append(f"Besides, the number of categories {moved}; ish has no such choice.")
    gs, ish = len(own["gs"]), len(own["ish"])
    return (SUPPORTED if ish < gs else CONTRADICTED if ish > gs else UNDECIDED), [limit, *lines]


def _binary_and_recurrent(rows: Rows) -> Outcome:
    recurrent, lines = [], []
    for name, row in rows.items():
        priors = look_up(row, "priors") or {}
        others = (
            compare(priors.get("lstm"), priors.get(o), ("lstm", o), _PRIOR_SCORE) for o in ("uniform", "independent")
        )
        gains = [gain for gain in others if gain is not None]
        if gains:
            recurrent.append(min(gain.sign for gain in gains))
            against = join([f"{PRIOR_LABELS[gain.second]} {gain.second_value.text(2)}" for gain in gains])
            lines.append(f"Recurrent prior, {name}: LSTM {gains[0].first_value.text(2)} against {against}.")
    binary = compare_rows(rows, BINARY_PAIRS, LSTM_SCORE)
    lines += [f"Binary against ten categories: LSTM {comparison.text()}." for comparison in binary]
    rule = (
        "Both halves are needed, each with two comparisons or more, more than half of them won and none lost. "
        f"{LSTM_SCORE.rule}"
    )
    halves = {_majority(recurrent), _majority([comparison.sign for comparison in binary])}
    verdict = CONTRADICTED if CONTRADICTED in halves else UNDECIDED if UNDECIDED in halves else SUPPORTED
    missing = [] if recurrent else ["Needs rows sampled both from the LSTM prior and from another one."]
    return verdict, [
        rule,
        *lines,
        *missing,
        *(_absent(BINARY_PAIRS, rows) if binary else _no_pair(BINARY_PAIRS)[1]),
    ]


def _alike_or_different(rows: Rows, pairs: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """One word (alike, different, open) and one line for each figure that both rows of a pair hold."""
    words, lines = [], []
    for comparison in (*compare_rows(rows, pairs, BCE), *compare_rows(rows, pairs, LSTM_SCORE)):
        margin, note = MARGIN_SCORE, ""
        if comparison.metric is BCE:
            excess = [measured(rows[name], "excess_bce") for name in (comparison.first, comparison.second)]
            known = [value.mean for value in excess if value is not None]
            if not known:
                continue
            margin = MARGIN_EXCESS * max(min(known), 0.0)
            note = f", margin {margin:.1f}"
        words.append(_within(comparison, margin))
        lines.append(f"{sentence(comparison.text())}{note}: {words[-1]}.")
    return words, lines


def _within(comparison: Comparison, margin: float) -> str:
    """``alike`` or ``different`` if the spread cannot carry the difference across the margin, else ``open``."""
    size = abs(comparison.difference)
    if size + comparison.spread <= margin:
        return "alike"
    return "different" if size - comparison.spread > margin else "open"


def _pair_count(pairs: Sequence[tuple[str, str]], rows: Rows) -> int:
    return len(compare_rows(rows, pairs, BCE))


def _majority(votes: Sequence[int]) -> str:
    """Two votes at least: more than half of them won and none lost, or the reverse, else undecided."""
    if len(votes) < 2:
        return UNDECIDED
    wins, losses = votes.count(1), votes.count(-1)
    if 2 * wins > len(votes) and not losses:
        return SUPPORTED
    return CONTRADICTED if 2 * losses > len(votes) and not wins else UNDECIDED


def _no_pair(pairs: Sequence[tuple[str, str]]) -> Outcome:
    wanted = join([f"{a} with {b}" for a, b in pairs], "or")
    return UNDECIDED, [f"This run holds no pair of rows of equal bits for it; needed: {wanted}."]


def _absent(pairs: Sequence[tuple[str, str]], rows: Rows) -> list[str]:
    """A line that names the rows of ``pairs`` that this run does not hold, if there are any."""
    names = dict.fromkeys(name for pair in pairs for name in pair)
    absent = [name for name in names if name not in rows]
    return [f"Not in this run: {join(absent)}."] if absent else []
