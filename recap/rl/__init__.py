"""The policy update: rollout groups, advantages, the GRPO step, checkpoints.

Departures from stock DAPO and GRPO, each with the file that holds it:

1. Counter-aligned prefills. A share alpha of the prompts starts inside a flawed thought. The
   prefill belongs to the prompt's ids, so that no loss falls on it (``prompt_stream.py``,
   ``batch.py``).
2. Dynamic sampling on continuous rewards. A group is discarded if no reward exceeds epsilon, if all
   exceed tau, or if they do not differ by more than epsilon. DAPO asks for an accuracy strictly
   between 0 and 1 (``dynamic_sampling.py``).
3. Refill is bounded. After ``max_refill_rounds`` the batch stays short; k of K groups make k / K of
   a step's gradient. DAPO samples until the batch is full (``collection.py``, ``batch.py``).
4. Surplus groups may wait for a later update, for ``max_carry_age`` updates at most (off by
   default). They keep the log-probabilities of the policy that sampled them (``collection.py``).
5. One normaliser for the whole generation batch, whichever rows a mini-batch or a process gets.
   TRL's ``grpo`` and ``dr_grpo`` take the mean over each micro-batch's rows (``batch.py``,
   ``loss.py``).
6. ``aggregation: group_tokens`` takes the mean over each group's tokens first, as the paper's
   objective is written. DAPO takes one mean over all tokens of the batch (``batch.py``).
7. The old log-probabilities are the sampler's own. TRL computes them once more where it
   needs them (``batch.py``).
8. A truncated rollout earns ``truncated_reward``. DAPO's soft penalty on length is left out
   (``recap/rewards/router.py``). A rollout that the context cut off is unscored.
9. An unscored rollout has advantage 0 and takes no part in its group's mean
   (``dynamic_sampling.py``).
10. A step without a finite loss and gradient is skipped. Five in a row end training
    (``trainer.py``).
11. No KL term by default, as in DAPO: ``train.grpo.beta`` is 0.

The loss is a function of its own (``loss.py``). Its clip, surrogate and KL term equal TRL's to the
bit: ``tests/golden/test_rl_stock.py`` compares, and
``docs/decisions/0018-the-loss.md`` says why TRL's trainer is not a base class.
"""
