"""What is needed to measure one peer, a module each; `line.py` says what such a module offers."""
