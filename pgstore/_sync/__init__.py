# Generated from pgstore/_async/__init__.py by `python tools/unasync.py`.

