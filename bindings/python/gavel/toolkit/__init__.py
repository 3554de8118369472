"""The tools that make what the library runs: export, datasets, labels, probes and studies."""
