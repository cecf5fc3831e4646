"""Reference values for statistics, calibration and best-of-n from scipy and numpy.

    python test/oracle/statistics_scipy.py test/fixtures/objectives/statistics.json
"""

import json
import sys
from itertools import combinations

import numpy as np
import scipy
from scipy import optimize, special, stats

rng = np.random.default_rng(7)

x = np.round(rng.normal(size=40), 1)
y = np.round(0.6 * x + rng.normal(size=40), 1)
interval = stats.t.interval(0.95, len(x) - 1, loc=x.mean(), scale=stats.sem(x))

d = np.concatenate([[0.0], np.linspace(0.3, 5, 12)])
best_of_n = d * (1.4 - 0.22 * d) + rng.normal(size=13) * 0.05
reinforcement = d * (1.1 - 0.5 * np.log(np.maximum(d, 1e-300))) + rng.normal(size=13) * 0.05


def law(feature, reward):
    design = np.stack([d, -feature], axis=1)
    (a, b), *_ = np.linalg.lstsq(design, reward, rcond=None)
    residual = reward - design @ [a, b]
    curve = lambda t: -(a * t - b * (t * t if feature is square else t * np.log(t)))  # noqa: E731
    peak = optimize.minimize_scalar(curve, bounds=(0.01, 50), method="bounded", options=dict(xatol=1e-10))
    return dict(
        reward=reward.tolist(),
        a=a,
        b=b,
        peakDistance=peak.x,
        peakReward=-peak.fun,
        rSquared=1 - (residual**2).sum() / ((reward - reward.mean()) ** 2).sum(),
    )


square = d * d
margins = rng.normal(loc=0.8, scale=2.5, size=300)
labels = special.expit(margins / 1.7 + rng.normal(size=300) * 0.4)
flipped = np.where(rng.random(300) < 0.2, -margins, margins)


def nll(temperature, m, target):
    return float(np.mean(np.logaddexp(0, m / temperature) - target * m / temperature))


def temperature(m, target):
    result = optimize.minimize_scalar(
        lambda t: nll(np.exp(t), m, target), bounds=(-6, 6), method="bounded", options=dict(xatol=1e-12)
    )
    return float(np.exp(result.x))


probabilities = special.expit(np.abs(flipped))
outcomes = (flipped > 0).astype(float)
edges = np.linspace(0.5, 1, 11)
bin_of = np.clip(np.digitize(probabilities, edges) - 1, 0, 9)
ece = sum(
    (bin_of == b).mean() * abs(probabilities[bin_of == b].mean() - outcomes[bin_of == b].mean())
    for b in range(10)
    if (bin_of == b).any()
)

# Best-of-n by enumerating every subset; the second list has ties, broken evenly.
proxy = rng.normal(size=9)
gold = proxy + rng.normal(size=9)
tied = np.round(proxy)


def best_of(ranker, n):
    subsets = list(combinations(range(9), n))
    picks = [gold[[i for i in s if ranker[i] == max(ranker[j] for j in s)]].mean() for s in subsets]
    return float(np.mean(picks))


ps = [0.0005, 0.025, 0.1, 0.4, 0.5, 0.7, 0.975, 0.9999]
fixture = dict(
    versions=dict(scipy=scipy.__version__, numpy=np.__version__),
    student=[dict(p=p, df=df, t=float(stats.t.ppf(p, df))) for df in (1, 2, 4, 9.5, 30, 1000) for p in ps],
    normal=[dict(p=p, z=float(stats.norm.ppf(p))) for p in [*ps, 1e-12]],
    logGamma=[dict(x=v, value=float(special.gammaln(v))) for v in (0.1, 0.5, 1, 2.5, 10, 171.3, 12500)],
    incompleteBeta=[
        dict(x=v, a=a, b=b, value=float(special.betainc(a, b, v)))
        for v in (0.01, 0.3, 0.9)
        for a, b in ((0.5, 0.5), (2, 7), (40, 0.5), (500, 500))
    ],
    wilson=[
        dict(k=k, n=n, interval=list(stats.binomtest(k, n).proportion_ci(0.95, method="wilson")))
        for k, n in ((0, 10), (7, 10), (793, 1000), (50, 50))
    ],
    x=x.tolist(),
    y=y.tolist(),
    mean=x.mean(),
    variance=x.var(ddof=1),
    tInterval=list(interval),
    quantiles=[dict(p=p, value=float(np.quantile(x, p))) for p in (0, 0.1, 0.33, 0.5, 0.975, 1)],
    ranks=stats.rankdata(x).tolist(),
    pearson=stats.pearsonr(x, y).statistic,
    spearman=stats.spearmanr(x, y).statistic,
    kendall=stats.kendalltau(x, y).statistic,
    distances=d.tolist(),
    bestOfNLaw=law(square, best_of_n),
    reinforcementLaw=law(np.where(d > 0, d * np.log(np.maximum(d, 1e-300)), 0), reinforcement),
    margins=margins.tolist(),
    labels=labels.tolist(),
    flipped=flipped.tolist(),
    softNll=nll(1, margins, labels),
    hardNll=nll(2.5, flipped, 1),
    softTemperature=temperature(margins, labels),
    hardTemperature=temperature(flipped, 1),
    ece=ece,
    brier=float(np.mean((probabilities - outcomes) ** 2)),
    proxy=proxy.tolist(),
    gold=gold.tolist(),
    tied=tied.tolist(),
    bestOfN=[dict(n=n, gold=best_of(proxy, n), tied=best_of(tied, n)) for n in range(1, 10)],
)
with open(sys.argv[1], "w") as file:
    json.dump(fixture, file)
    file.write("\n")
