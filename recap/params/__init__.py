"""Every knob, typed: ``params.yaml`` as frozen models, one class and one file per section.

Unknown keys and impossible values are refused with one message naming the key, what was expected
and what came. Nothing here imports torch or MLflow.
"""
