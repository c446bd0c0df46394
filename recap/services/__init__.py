"""A team's servers on one machine: PostgreSQL, a store, MLflow, Prefect, a worker, on 127.0.0.1."""
