"""Where the models come from: the catalogue of pairs, fetching, and conversion to local folders.

`catalog` alone answers which folders a pair lives in, and imports neither torch nor transformers.
`python -m services.models` lists and fetches pairs; `convert` runs in a process of its own.
"""
