"""The parameters, typed: ``params.yaml`` as frozen models, one class and one file per section.

Unknown keys and impossible values are refused with one message that names the key, the expected and
the given value. This package imports neither torch nor MLflow.
"""
