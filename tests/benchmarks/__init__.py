"""Large bundles and what it costs to read them: ``generate`` writes one, ``measure`` writes ``docs/performance.md``."""
