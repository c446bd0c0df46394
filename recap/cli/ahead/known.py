"""Where models and data sets that profiles name by a folder are published, and under which terms.

For advice alone: nothing here is downloaded or trusted. Licences and access as their cards stated
them in 2026-11; data sets' licences stand with their loaders.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """``hub``: its name there. ``gated``: terms have to be accepted on its page.

    ``made``: how it is made, where nobody publishes it; ``hub`` is then what it is made from.
    """

    hub: str
    licence: str | None
    gated: bool = False
    made: str = ""


R1 = "deepseek-ai/DeepSeek-R1-Distill"
SAFETY = "fine-tune {} on STAR-1's safety subset (UCSC-VLAA/STAR-1), as the paper does"
ALIGNED = "fine-tune {} on STAR-1's safe reasoning (UCSC-VLAA/STAR-1)"
MODELS = {
    "deepseek-r1-distill-llama-8b": Known(f"{R1}-Llama-8B", "mit"),
    "deepseek-r1-distill-qwen-1.5b": Known(f"{R1}-Qwen-1.5B", "mit"),
    "deepseek-r1-distill-qwen-7b": Known(f"{R1}-Qwen-7B", "mit"),
    "deepseek-r1-distill-qwen-14b": Known(f"{R1}-Qwen-14B", "mit"),
    "granite-guardian-3.1-8b": Known("ibm-granite/granite-guardian-3.1-8b", "apache-2.0"),
    "granite-guardian-3.1-2b": Known("ibm-granite/granite-guardian-3.1-2b", "apache-2.0"),
    "llama-3.1-8b-instruct": Known("meta-llama/Llama-3.1-8B-Instruct", "llama3.1", gated=True),
    "dsqwen-7b-star1-refusing": Known(f"{R1}-Qwen-7B", "mit", made=SAFETY),
    "dsqwen-7b-star1-aligned": Known(f"{R1}-Qwen-7B", "mit", made=ALIGNED),
    "dsqwen-1.5b-star1-refusing": Known(f"{R1}-Qwen-1.5B", "mit", made=SAFETY),
    "dsqwen-1.5b-star1-aligned": Known(f"{R1}-Qwen-1.5B", "mit", made=ALIGNED),
    "deepscaler-1.5b-preview": Known("agentica-org/DeepScaleR-1.5B-Preview", "mit"),
    "deepscaler-1.5b-star1-refusing": Known(
        "agentica-org/DeepScaleR-1.5B-Preview", "mit", made=SAFETY
    ),
    "qwen2.5-1.5b-instruct": Known("Qwen/Qwen2.5-1.5B-Instruct", "apache-2.0"),
}
"""By the last part of an origin, in small letters."""
DATA = {
    "gsm8k": Known("openai/gsm8k", None),
    "star1": Known("UCSC-VLAA/STAR-1", None),
    "xstest": Known("natolambert/xstest-v2-copy", None),
    "strongreject": Known("walledai/StrongREJECT", None),
    "math500": Known("HuggingFaceH4/MATH-500", None),
    "beavertails": Known("PKU-Alignment/BeaverTails", None),
    "star_benign": Known("UCSC-VLAA/STAR-benign-915", None),
    "hendrycks_math": Known("EleutherAI/hendrycks_math", None),
    "aime2024": Known("HuggingFaceH4/aime_2024", None),
    "wildjailbreak": Known("allenai/wildjailbreak", None, gated=True),
    "fortress": Known("ScaleAI/fortress_public", None),
    "fortress_or": Known("ScaleAI/fortress_public", None),
}
"""By the name of the loader."""


def how(known: Known | None, folder: str, *, data: bool = False) -> str:
    """How to get what should be in ``folder``."""
    if known is None:
        return f"put it into {folder}"
    if known.made:
        return f"{known.made.format(known.hub)}; put the result into {folder}"
    page = f"https://huggingface.co/{'datasets/' if data else ''}{known.hub}"
    terms = f"accept its terms on {page}, `hf auth login`, then " if known.gated else ""
    kind = "--repo-type dataset " if data else ""
    return f"{terms}`hf download {kind}{known.hub} --local-dir {folder}`"
