-- The servers' role and databases, made once, when PostgreSQL's volume is new (infra/compose.yaml).
SET log_min_error_statement = panic;  -- no statement with a password in the log
\getenv password ROLE_PASSWORD
CREATE ROLE recap LOGIN PASSWORD :'password';
CREATE DATABASE mlflow OWNER recap;
CREATE DATABASE mlflow_auth OWNER recap;
CREATE DATABASE prefect OWNER recap;
