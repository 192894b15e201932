from __future__ import annotations

from typing import Any

from rl_discrete.bench.code_charts import rate_distortion_chart


def row(name: str, code_length: float, bce: float) -> dict[str, Any]:
    def one(value: float) -> dict[str, Any]:
        return {"mean": value, "std": 0.0, "values": [value]}

    method = name.partition("-")[0]
    lstm = {"code_length": one(code_length)}
    return {"name": name, "method": method, "reconstruction_bce": one(bce), "priors": {"lstm": lstm}}


def test_names_stand_on_their_own_side_of_neighbouring_points() -> None:
    rows = [row("gs-16x2", 9.5, 105.6), row("ish-16x2", 9.7, 105.5), row("gs-96x2", 49.8, 71.0)]
    figure = rate_distortion_chart({"rows": rows})
    assert figure is not None
    names = [text for text in figure.axes[0].texts if "x2" in text.get_text()]
    sides = {text.get_text(): text.get_horizontalalignment() for text in names}
    assert sides == {"gs-16x2": "right", "ish-16x2": "left", "gs-96x2": "left"}
