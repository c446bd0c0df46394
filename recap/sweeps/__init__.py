"""Ablation sweeps: their cells, the measurements, and the results page.

    params.yaml -> section.py -> design.py (cells) -> project.py (a separate DVC project)
    -> fingerprint.py (a cell's dependencies) -> ledger.py (measurements)
    -> results.py (the current ones) -> tables.py, claims.py, pictures.py -> page.py

Leaves out running a sweep (flows/sweep.py).
"""
