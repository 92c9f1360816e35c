# Generated from pgstore/testing/_async/__init__.py by `python tools/unasync.py`.

