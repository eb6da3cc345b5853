"""The tests of nnbackend. `conftest.py` says on which backends they run, `cases.py` what the generic ones run through."""
