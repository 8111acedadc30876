"""StreamingT2V's two memories for Wan-shaped transformers (arXiv 2403.14773): adapters beside weights that stay."""
