"""Notebook 03, more data and better data: 3.16 and 3.17."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from vfm_course.exercises.judge import expect_close, expect_equal, expect_several
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch03_objectives:"


# 3.16 --------------------------------------------------------------------------------------------------------------
def check_power_law(answer, draw):
    a, b, floor = (draw.uniform(1, low=low, high=high).item() for low, high in ((3.0, 6.0), (0.3, 0.5), (0.3, 0.6)))
    x = torch.tensor([100.0, 300.0, 700.0, 2000.0, 9000.0, 30000.0]) * draw.uniform(1, low=0.8, high=1.2)
    # Measured with error, so that what a line through two of the points says is not what all of them say.
    error = torch.tensor([0.2, -0.15, 0.1, -0.2, -0.1, 0.1]) * draw.uniform(6, low=0.8, high=1.2)
    y = floor + a * x**-b * error.exp()
    both = torch.stack([x.double().log(), (y.double() - floor).log()])
    covariance = torch.cov(both)
    slope = (covariance[0, 1] / covariance[0, 0]).item()
    want = (both[1].mean() - slope * both[0].mean()).exp().item()
    got_a, got_b = expect_several(answer(x, y, floor), 2, "The answer (a, b)")
    expect_close(got_b, -slope, "The exponent b", rtol=2e-3)
    expect_close(got_a, want, "The factor a", rtol=2e-3)


def _line(u, v):
    """Intercept and slope of v over u by least squares."""
    slope = ((u - u.mean()) * (v - v.mean())).sum() / (u - u.mean()).square().sum()
    return (v.mean() - slope * u.mean()).item(), slope.item()


def _power(intercept, slope):
    return torch.tensor(intercept).exp().item(), -slope


def power_no_floor(x, y, floor):
    return _power(*_line(x.log(), y.log()))


def power_floor_added(x, y, floor):
    return _power(*_line(x.log(), (y + floor).log()))


def power_negative(x, y, floor):
    intercept, slope = _line(x.log(), (y - floor).log())
    return torch.tensor(intercept).exp().item(), slope


def power_log_of_a(x, y, floor):
    intercept, slope = _line(x.log(), (y - floor).log())
    return intercept, -slope


def power_exponential(x, y, floor):
    return _power(*_line(x, (y - floor).log()))


def power_straight(x, y, floor):
    intercept, slope = _line(x.log(), y - floor)
    return intercept, -slope


def power_sideways(x, y, floor):
    intercept, slope = _line((y - floor).log(), x.log())
    return _power(-intercept / slope, 1 / slope)


def power_ends(x, y, floor):
    log_x, log_y = x.log(), (y - floor).log()
    slope = ((log_y[-1] - log_y[0]) / (log_x[-1] - log_x[0])).item()
    return _power((log_y[0] - slope * log_x[0]).item(), slope)


def power_two_bases(x, y, floor):
    return _power(*_line(x.log10(), (y - floor).log10()))


def power_order(x, y, floor):
    intercept, slope = _line(x.log(), (y - floor).log())
    return -slope, torch.tensor(intercept).exp().item()


# 3.17 --------------------------------------------------------------------------------------------------------------
# Eleven pictures: a copy of another one; a row of three, each like the next and the ends unlike; two that resemble each
# other less than the threshold asks for; four that are like nothing. Each with the score of its caption.
_SCORES = {
    "twin": 0.90, "copy": 0.95, "first": 0.10, "middle": 0.87, "last": 0.83, "pair": 0.60, "like it": 0.75,
    "a": 0.65, "b": 0.45, "c": 0.35, "d": 0.25,
}  # fmt: skip
_DROPPED = {"copy", "middle"}
_APART = (("twin", "copy"), ("middle", "last"), ("pair", "like it"))


def check_curate(answer, draw):
    axes, angle = torch.eye(10), torch.deg2rad(torch.tensor([20.0, 40.0, 45.0, 10.0]))
    (c20, c40, c45, c10), (s20, s40, s45, s10) = angle.cos(), angle.sin()
    units = {
        "twin": axes[0], "copy": c10 * axes[0] + s10 * axes[1],
        "first": axes[2], "middle": c20 * axes[2] + s20 * axes[3], "last": c40 * axes[2] + s40 * axes[3],
        "pair": axes[4], "like it": c45 * axes[4] + s45 * axes[5],
        "a": axes[6], "b": axes[7], "c": axes[8], "d": axes[9],
    }  # fmt: skip
    order = _order(draw)
    turn = torch.linalg.qr(draw.normal(10, 10)).Q
    length = torch.tensor([2.5 if name in ("pair", "like it") else 0.8 for name in order])
    embeddings = torch.stack([units[name] for name in order]) @ turn
    embeddings = embeddings * length[:, None] * draw.uniform(11, 1, low=0.9, high=1.1)
    scores = torch.tensor([_SCORES[name] for name in order]) + draw.uniform(11, low=-0.01, high=0.01)
    # Nine are left: the best four of them (3.4 rounded up), and the best five (4.5 rounded up).
    for share, count in ((0.375, 4), (0.5, 5)):
        best = sorted(set(_SCORES) - _DROPPED, key=_SCORES.get, reverse=True)[:count]
        want = torch.tensor(sorted(order.index(name) for name in best))
        expect_equal(answer(embeddings, scores, 0.9, share), want, f"The pictures kept at a share of {share}")


def _order(draw):
    """Names in an order in which one copy follows at once, the others do not, and the best by score do not ascend."""
    while True:
        order = draw.pick([name for name in _SCORES if name != "middle"], len(_SCORES) - 1)
        order.insert(order.index("first") + 1, "middle")
        place = {name: n for n, name in enumerate(order)}
        apart = all(place[one] + 1 < place[other] for one, other in _APART)
        best = [place[name] for name in ("twin", "last", "like it", "a")]
        if apart and best != sorted(best):
            return order


def _without_copies(embeddings, threshold, normalised=True):
    unit, kept = F.normalize(embeddings, dim=1) if normalised else embeddings, []
    for i in range(len(unit)):
        if not kept or (unit[kept] @ unit[i]).max() < threshold:
            kept.append(i)
    return torch.tensor(kept)


def _best(left, scores, share, most=True):
    count = int(-(-share * len(left) // 1))
    return left[scores[left].topk(count, largest=most).indices].sort().values


def curate_lengths(embeddings, scores, threshold, share):
    return _best(_without_copies(embeddings, threshold, normalised=False), scores, share)


def curate_like_any_before(embeddings, scores, threshold, share):
    unit = F.normalize(embeddings, dim=1)
    alike = (unit @ unit.T).tril(-1).amax(dim=1) >= threshold
    return _best((~alike).nonzero().flatten(), scores, share)


def curate_both_dropped(embeddings, scores, threshold, share):
    unit = F.normalize(embeddings, dim=1)
    alike = (unit @ unit.T - torch.eye(len(unit))).amax(dim=1) >= threshold
    return _best((~alike).nonzero().flatten(), scores, share)


def curate_neighbours_only(embeddings, scores, threshold, share):
    unit = F.normalize(embeddings, dim=1)
    alike = torch.cat([torch.tensor([False]), (unit[1:] * unit[:-1]).sum(dim=1) >= threshold])
    return _best((~alike).nonzero().flatten(), scores, share)


def curate_best_copy(embeddings, scores, threshold, share):
    order = scores.argsort(descending=True)
    return _best(order[_without_copies(embeddings[order], threshold)], scores, share)


def curate_scores_first(embeddings, scores, threshold, share):
    best = _best(torch.arange(len(scores)), scores, share)
    return best[_without_copies(embeddings[best], threshold)]


def curate_scores_only(embeddings, scores, threshold, share):
    return _best(torch.arange(len(scores)), scores, share)


def curate_copies_only(embeddings, scores, threshold, share):
    return _without_copies(embeddings, threshold)


def curate_share_of_all(embeddings, scores, threshold, share):
    left = _without_copies(embeddings, threshold)
    count = int(-(-share * len(scores) // 1))
    return left[scores[left].topk(count).indices].sort().values


def curate_rounded_down(embeddings, scores, threshold, share):
    left = _without_copies(embeddings, threshold)
    return left[scores[left].topk(int(share * len(left))).indices].sort().values


def curate_worst(embeddings, scores, threshold, share):
    return _best(_without_copies(embeddings, threshold), scores, share, most=False)


def curate_by_score(embeddings, scores, threshold, share):
    best = _best(_without_copies(embeddings, threshold), scores, share)
    return best[scores[best].argsort(descending=True)]


def curate_places(embeddings, scores, threshold, share):
    left = _without_copies(embeddings, threshold)
    return scores[left].topk(int(-(-share * len(left) // 1))).indices.sort().values


EXERCISES = (
    Exercise(
        id="3.16",
        notebook="03",
        title="A power law",
        level="I",
        minutes=8,
        points=2,
        hints=(
            "Without the floor, y - floor = a * x**(-b), and its logarithm is log(a) - b * log(x): a straight line.",
            "Least squares: slope = sum of (u - mean u) * v, over the sum of (u - mean u)², with u = log(x).",
            "b is minus the slope; a is the exponential of the intercept, mean v - slope * mean u.",
        ),
        reference=_REFERENCE + "fit_power_law",
        check=check_power_law,
        mistakes=(
            Mistake(
                power_no_floor, "The floor was not subtracted: near it the curve bends, and b comes out too small."
            ),
            Mistake(power_floor_added, "The floor was added to y; subtract it."),
            Mistake(power_negative, "b has the wrong sign: it is minus the slope, and positive when y falls."),
            Mistake(power_log_of_a, "This is the logarithm of a: take its exponential."),
            Mistake(power_exponential, "The line is over x itself: that is an exponential, not a power law."),
            Mistake(power_straight, "The line is through y - floor itself; take the logarithm of both."),
            Mistake(power_sideways, "log(x) was fitted on log(y - floor): it is y that is measured with error."),
            Mistake(power_ends, "Only the first and the last point were used; all of them have a say."),
            Mistake(power_two_bases, "The logarithm has base 10, but `exp` takes it back to base e."),
            Mistake(power_order, "a comes first, then b."),
        ),
    ),
    Exercise(
        id="3.17",
        notebook="03",
        title="Fewer pictures, better ones",
        level="I",
        minutes=12,
        points=4,
        hints=(
            "A loop and a list `kept`: compare picture i with those in the list, and with no others.",
            "`unit[kept] @ unit[i]` are its cosines; keep it if all are below `threshold`, or the list is empty.",
            "`scores[left].topk(count).indices` are places among those left: `left[…]` gives the pictures' numbers.",
        ),
        reference=_REFERENCE + "curate",
        check=check_curate,
        mistakes=(
            Mistake(curate_lengths, "These are dot products: make the embeddings unit length first."),
            Mistake(
                curate_like_any_before,
                "A picture was dropped for being like one that was dropped itself: compare with those kept.",
            ),
            Mistake(curate_both_dropped, "All pictures of a group of copies were dropped; the first one stays."),
            Mistake(curate_neighbours_only, "Each picture was compared with the one before it; copies lie anywhere."),
            Mistake(curate_best_copy, "The best copy by score was kept; the first in order stays."),
            Mistake(
                curate_scores_first, "The scores decided first; drop the copies, then take the best of those left."
            ),
            Mistake(curate_scores_only, "No copies were dropped."),
            Mistake(curate_copies_only, "The copies were dropped, but the scores did not decide anything."),
            Mistake(curate_share_of_all, "The share was taken of all pictures; it is one of those left."),
            Mistake(curate_rounded_down, "The number was rounded down; round up."),
            Mistake(curate_worst, "These are the lowest scores."),
            Mistake(curate_by_score, "The pictures are the right ones; put their numbers in ascending order."),
            Mistake(curate_places, "These are places among the pictures left; the numbers in the folder are wanted."),
        ),
    ),
)
