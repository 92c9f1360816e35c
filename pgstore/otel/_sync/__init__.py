# Generated from pgstore/otel/_async/__init__.py by `python tools/unasync.py`.

