"""Variation and agreement: worked examples that are published, independent computations, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from calibrate.gauge.agreement import against_truth, cohen_kappa, fleiss_kappa, over_repeats, share
from calibrate.gauge.variation import analyse, flip_chance, range_limits


def _numbers(text: str) -> list[float]:
    return [float(word) for word in text.split()]


# AIAG, Measurement Systems Analysis, 4th edition, table III-B 6a (gauge study data): 10 parts, appraisers A, B, C, 3 trials.
MANUAL = np.array(
    _numbers("""
     0.29  0.41  0.64   0.08  0.25  0.07   0.04 -0.11 -0.15
    -0.56 -0.68 -0.58  -0.47 -1.22 -0.68  -1.38 -1.13 -0.96
     1.34  1.17  1.27   1.19  0.94  1.34   0.88  1.09  0.67
     0.47  0.50  0.64   0.01  1.03  0.20   0.14  0.20  0.11
    -0.80 -0.92 -0.84  -0.56 -1.20 -1.28  -1.46 -1.07 -1.45
     0.02 -0.11 -0.21  -0.20  0.22  0.06  -0.29 -0.67 -0.49
     0.59  0.75  0.66   0.47  0.55  0.83   0.02  0.01  0.21
    -0.31 -0.20 -0.17  -0.63  0.08 -0.34  -0.46 -0.56 -0.49
     2.26  1.99  2.01   1.80  2.12  2.19   1.77  1.45  1.87
    -1.36 -1.25 -1.31  -1.68 -1.62 -1.50  -1.49 -1.77 -2.16
    """)
).reshape(10, 3, 3)

# NIST StRD, one-way analysis of variance, data set SiRstv: 5 instruments, 5 values each.
SIRSTV = np.array(
    _numbers("""
    196.3052 196.1240 196.1890 196.2569 196.3403
    196.3042 196.3825 196.1669 196.3257 196.0422
    196.1303 196.2005 196.2889 196.0343 196.1811
    196.2795 196.1748 196.1494 196.1485 195.9885
    196.2119 196.1051 196.1850 196.0052 196.2090
    """)
).reshape(5, 1, 5)

# D. C. Montgomery, Design and Analysis of Experiments, "The random effects model": strength of cloth from 4 looms.
LOOMS = np.array([[98, 97, 99, 96], [91, 90, 93, 92], [96, 95, 97, 95], [95, 96, 99, 98]], float).reshape(4, 1, 4)

# Fleiss (1971), table 1: 30 patients, 6 psychiatrists each, 5 diagnoses.
FLEISS = """
    00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031
    00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006
"""
# The example of Wikipedia's page on Fleiss' kappa: 10 subjects, 14 raters, 5 categories.
TENFOLD = """
    0 0 0 0 14   0 2 6 4 2   0 0 3 5 6   0 3 9 2 0   2 2 8 1 1   7 7 0 0 0   3 2 6 3 0   2 5 3 2 2   6 5 2 1 0   0 2 2 3 7
"""


def test_the_manuals_gauge_study() -> None:
    """Table III-B 8 and appendix A of the manual: the figures it prints."""
    found = analyse(MANUAL)
    assert found.ev == pytest.approx(0.199933, abs=1e-6)
    assert found.av == pytest.approx(0.226838, abs=1e-6)
    assert found.interaction == 0.0
    assert found.grr == pytest.approx(0.302373, abs=2e-6)
    assert found.pv == pytest.approx(1.042327, abs=1e-6)
    assert found.tv == pytest.approx(1.085, abs=5e-4)
    assert found.grr_percent == pytest.approx(27.9, abs=0.05)
    assert 100 * found.ev / found.tv == pytest.approx(18.4, abs=0.05)
    assert 100 * found.av / found.tv == pytest.approx(20.9, abs=0.05)
    assert 100 * found.pv / found.tv == pytest.approx(96.0, abs=0.05)
    assert found.ndc == 4
    assert found.f_interaction == pytest.approx(0.434, abs=5e-4)
    assert not found.interaction_kept


def test_one_appraiser_is_one_way_analysis_of_variance() -> None:
    """SiRstv's certified mean squares; and the same from scipy."""
    between, within, f = 1.27865654000000e-02, 1.08318280000000e-02, 1.18046237440255
    found = analyse(SIRSTV)
    assert found.ev == pytest.approx(within**0.5, rel=1e-10)
    assert found.pv == pytest.approx(((between - within) / 5) ** 0.5, rel=1e-9)
    assert (found.av, found.interaction, found.f_interaction) == (0.0, 0.0, None)
    assert stats.f_oneway(*SIRSTV[:, 0]).statistic == pytest.approx(f, rel=1e-10)
    for scores in (SIRSTV, MANUAL[:, :1]):
        parts, _, repeats = scores.shape
        mean_squares = scores[:, 0].mean(axis=1).var(ddof=1) * repeats, scores[:, 0].var(axis=1, ddof=1).mean()
        again = analyse(scores)
        assert again.ev**2 == pytest.approx(mean_squares[1])
        assert again.pv**2 == pytest.approx((mean_squares[0] - mean_squares[1]) / repeats)
        assert again.tv**2 == pytest.approx(again.ev**2 + again.pv**2)
        assert parts >= 4


def test_the_textbooks_looms() -> None:
    """Variance components 1.90 and 6.96; intervals of the error's variance 0.98 to 5.17, of the looms' share 0.38 to 0.98."""
    found = analyse(LOOMS)
    assert found.ev**2 == pytest.approx(1.90, abs=0.005)
    assert found.pv**2 == pytest.approx(6.96, abs=0.005)
    assert (found.ev_low**2, found.ev_high**2) == pytest.approx((0.98, 5.17), abs=0.01)
    assert found.grr_percent_low is not None
    assert found.grr_percent_high is not None
    shares = [1 - (percent / 100) ** 2 for percent in (found.grr_percent_high, found.grr_percent_low)]
    assert shares == pytest.approx([0.38, 0.98], abs=0.01)


def test_simulated_variation_is_found_and_intervals_hold() -> None:
    rng = np.random.default_rng(4)
    studies, ev, pv = 400, 0.5, 2.0
    true = 100 * ev / np.hypot(ev, pv)
    found = [analyse(rng.normal(0, pv, (10, 1, 1)) + rng.normal(0, ev, (10, 1, 10))) for _ in range(studies)]
    assert np.mean([one.ev**2 for one in found]) == pytest.approx(ev**2, rel=0.02)
    assert np.mean([one.pv**2 for one in found]) == pytest.approx(pv**2, rel=0.08)
    held = sum(one.ev_low <= ev <= one.ev_high for one in found)
    assert stats.binomtest(held, studies, 0.95).pvalue > 1e-3
    lows, highs = ([getattr(one, f"grr_percent_{end}") for one in found] for end in ("low", "high"))
    held = sum(low <= true <= high for low, high in zip(lows, highs, strict=True))
    assert stats.binomtest(held, studies, 0.95).pvalue > 1e-3


def test_a_real_interaction_is_kept_and_found() -> None:
    rng = np.random.default_rng(6)
    found = []
    for _ in range(200):
        effects = rng.normal(0, 2, (10, 1, 1)), rng.normal(0, 1, (1, 4, 1)), rng.normal(0, 0.8, (10, 4, 1))
        found.append(analyse(sum(effects) + rng.normal(0, 0.3, (10, 4, 3))))
    assert all(one.interaction_kept for one in found)
    assert all(one.grr_percent_low is None for one in found), "no exact interval is known"
    components = [np.mean([getattr(one, name) ** 2 for one in found]) for name in ("ev", "interaction", "av", "pv")]
    assert components == pytest.approx([0.09, 0.64, 1.0, 4.0], rel=0.15)


def test_a_gauge_without_any_variation_has_no_categories_to_count() -> None:
    still = np.repeat(np.arange(4.0), 3).reshape(4, 1, 3)
    found = analyse(still)
    assert (found.ev, found.grr_percent, found.ndc) == (0.0, 0.0, None)
    assert (found.grr_percent_low, found.grr_percent_high) == (0.0, 0.0)
    nothing = analyse(np.ones((4, 1, 3)))
    assert (nothing.tv, nothing.grr_percent, nothing.grr_percent_low) == (0.0, None, None)
    noise = analyse(np.array([[0.0, 2.0], [2.0, 0.0], [1.0, 1.0]])[:, None])
    assert (noise.pv, noise.grr_percent, noise.ndc) == (0.0, 100.0, 1), "a negative part variance is none"
    with pytest.raises(ValueError, match="2 parts and 2 repeats"):
        analyse(np.ones((4, 1, 1)))


@pytest.mark.parametrize(
    ("repeats", "d3", "d4"),
    [(2, 0.0, 3.267), (3, 0.0, 2.574), (5, 0.0, 2.114), (7, 0.076, 1.924), (10, 0.223, 1.777), (20, 0.415, 1.585)],
)
def test_limits_of_the_range_chart_are_the_tables(repeats: int, d3: float, d4: float) -> None:
    """ASTM's table of control chart constants (Joglekar, Statistical Methods for Six Sigma, appendix G)."""
    assert range_limits(repeats) == pytest.approx((d3, d4), abs=1e-3)


def test_flip_chances_are_the_normal_tails() -> None:
    assert flip_chance(0.0) == 0.5
    assert flip_chance(1.0) == flip_chance(-1.0) == pytest.approx(0.1587, abs=1e-4)
    rng = np.random.default_rng(8)
    rejected = rng.normal(10 - 1.3 * 0.2, 0.2, 20_000) > 10
    assert rejected.mean() == pytest.approx(flip_chance(-1.3), abs=0.01)


def test_kappa_of_fleiss_own_example() -> None:
    """0.430 in the paper; 0.4302445 by R's irr."""
    counts = np.array([[int(digit) for digit in row] for row in FLEISS.split()])
    assert counts.sum(axis=0).tolist() == [26, 26, 30, 55, 43]
    assert fleiss_kappa(counts) == pytest.approx(0.4302445, abs=1e-7)
    assert fleiss_kappa(np.array(_numbers(TENFOLD), int).reshape(10, 5)) == pytest.approx(0.210, abs=5e-4)
    with pytest.raises(ValueError, match="same number"):
        fleiss_kappa(np.array([[1, 2], [2, 2]]))


@pytest.mark.parametrize(
    ("table", "kappa"), [([[45, 5], [3, 97]], 0.88), ([[45, 2], [3, 100]], 0.92), ([[42, 9], [6, 93]], 0.77)]
)
def test_kappas_of_the_manuals_attribute_study(table: list[list[int]], kappa: float) -> None:
    """Chapter III, section C: 50 parts, 3 trials, appraisers A, B and C against the reference."""
    assert cohen_kappa(np.array(table)) == pytest.approx(kappa, abs=0.005)


def test_kappa_against_the_truth_is_scikit_learns() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        bad = rng.random(12) < 0.4
        bad[:2] = True, False
        rejected = rng.random((12, 5)) < np.where(bad, 0.8, 0.1)[:, None]
        expected = cohen_kappa_score(rejected.ravel(), np.repeat(bad, 5))
        assert against_truth(rejected, bad).kappa == pytest.approx(expected)


def test_intervals_of_kappa_are_the_published_ones() -> None:
    """105 objects rated twice, 31, 12, 4 and 58 of each pair.

    From D. G. Bonett's R package statpsych, ci.kappa: Fleiss' kappa 0.6737, standard error 0.0748; Cohen's 0.6757, 0.0734.
    """
    pairs = np.repeat([[False, False], [False, True], [True, False], [True, True]], [31, 12, 4, 58], axis=0)
    fleiss = over_repeats(pairs)
    cohen = against_truth(pairs[:, :1], pairs[:, 1])
    for found, kappa, error in ((fleiss, 0.6736597, 0.07479965), (cohen, 0.6756757, 0.07344761)):
        assert found.kappa == pytest.approx(kappa, abs=1e-6)
        assert found.low is not None
        assert found.high is not None
        half = float(stats.t.ppf(0.975, 104)) * error
        assert (found.low, found.high) == pytest.approx((kappa - half, kappa + half), abs=0.006)


def test_repeats_of_a_part_are_not_counted_as_parts() -> None:
    """The interval of 10 parts stays as wide when the same verdicts are taken ten times as often."""
    bad = np.arange(10) < 5
    rejected = bad[:, None] ^ (np.arange(10) % 4 == 0)[:, None]
    once, often = (against_truth(np.repeat(rejected, n, axis=1), bad) for n in (2, 20))
    assert (once.low, once.high) == pytest.approx((often.low, often.high))


def test_perfect_agreement_is_as_sure_as_its_parts_are_many() -> None:
    lows = []
    for parts in (10, 40):
        bad = np.arange(parts) % 2 == 0
        found = over_repeats(np.repeat(bad[:, None], 4, axis=1))
        assert (found.kappa, found.high) == (1.0, 1.0)
        assert found.low is not None
        lows.append(found.low)
        assert found.low == pytest.approx((share(parts, parts).low - 0.5) / 0.5)
    assert lows == pytest.approx([0.383, 0.824], abs=1e-3)


def test_where_all_verdicts_are_the_same_kappa_is_not_defined() -> None:
    never = np.zeros((5, 3), bool)
    assert over_repeats(never).kappa is None
    blind = against_truth(never, np.array([True, False, False, True, False]))
    assert blind.kappa == pytest.approx(0.0), "it sees nothing"
    assert (blind.low, blind.high) == (None, None)
    one = never.copy()
    one[2, 1] = True
    found = over_repeats(one)
    assert found.kappa is not None
    assert (found.low, found.high) == (None, None), "without that part there is no kappa"


def test_shares_have_the_exact_interval() -> None:
    """Clopper and Pearson's for 9 of 10."""
    found = share(9, 10)
    assert (found.low, found.high) == pytest.approx((0.5550, 0.9975), abs=1e-4)
    assert share(0, 10).low == 0.0
