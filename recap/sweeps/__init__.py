"""Ablation sweeps: which cells there are, what was measured of them, what it says.

    params.yaml -> section.py -> design.py (cells) -> project.py (a DVC project of their own)
    -> fingerprint.py (what a cell depends on) -> ledger.py (what was measured)
    -> results.py (what counts of it) -> tables.py, claims.py, pictures.py -> page.py

Leaves out running them: flows/sweep.py.
"""
