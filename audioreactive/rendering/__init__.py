"""Motion on a generator -> frames, in batches; previews."""
