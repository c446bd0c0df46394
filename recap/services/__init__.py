"""A team's servers on one machine: PostgreSQL, MLflow, Prefect and a worker, on 127.0.0.1 alone."""
