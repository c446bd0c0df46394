"""What happened, and who is champion: the only home of MLflow."""
