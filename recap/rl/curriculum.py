"""An adaptive curriculum: alpha and prefill length of a domain follow its solve rate.

Not in the paper, whose two dials stand still. After each update's rollouts, in each domain d that
had prefilled ones,

    s_d      = share of their scored rewards above tau
    alpha_d  <- clip(alpha_d  + step * (s_d - target), the bounds of curriculum_alpha)
    length_d <- clip(length_d + step * (s_d - target) * (high - low), low, high)

where length_d is the longest prefill and low to high is ``prefill_length``. docs/curriculum.md says
why. Pure functions; leaves out who is prefilled at an alpha (``recap.prefill.inject``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from recap.params.train import Train
from recap.prefill.inject import Injection
from recap.types.rollouts import RolloutGroup
from recap.types.row import Domain


def adapt(injection: Injection, groups: Sequence[RolloutGroup], train: Train) -> Injection:
    """The injection of the next update, given all groups drawn for this one.

    A domain without a scored prefilled rollout stays where it is.
    """
    low, high = injection.lengths
    alphas, longest = dict(injection.alphas), dict(injection.longest)
    for domain, alpha in injection.alphas.items():
        rate = solve_rate(domain, groups, train.tau)
        if rate is None:
            continue
        move = train.curriculum_step * (rate - train.curriculum_target)
        alphas[domain] = _clip(alpha + move, *train.curriculum_alpha)
        length = injection.longest_of(domain) + move * (high - low)
        longest[domain] = _clip(length, low, high)
    return replace(injection, alphas=alphas, longest=longest)


def solve_rate(domain: Domain, groups: Sequence[RolloutGroup], tau: float) -> float | None:
    """Share of the domain's scored prefilled rollouts with a reward above ``tau``."""
    solved = [
        reward.value > tau
        for group in groups
        if group.prompt.prefill and group.prompt.record.domain == domain
        for reward in group.rewards
        if reward.value is not None
    ]
    return fmean(solved) if solved else None


def levels(injection: Injection) -> dict[str, float]:
    """Where the curriculum stands: ``alpha_<domain>`` and ``length_<domain>``, the longest."""
    return {f"alpha_{domain}": alpha for domain, alpha in injection.alphas.items()} | {
        f"length_{domain}": injection.longest_of(domain) for domain in injection.alphas
    }


def at_levels(injection: Injection, saved: Mapping[str, float]) -> Injection:
    """The injection with its ``levels`` put back."""
    return replace(
        injection,
        alphas={domain: saved[f"alpha_{domain}"] for domain in injection.alphas},
        longest={domain: saved[f"length_{domain}"] for domain in injection.alphas},
    )


def numbers(
    injection: Injection, groups: Sequence[RolloutGroup], tau: float
) -> dict[str, int | float | None]:
    """What an update's line says: the levels its prompts were drawn at, and how it went there."""
    rates = {
        f"solved_prefilled_{domain}": solve_rate(domain, groups, tau) for domain in injection.alphas
    }
    return {**levels(injection), **rates}


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
