"""Enhance: a stream of video in, a larger and cleaner stream of video out.

SDEdit (arXiv 2108.01073) in windows that overlap, joined by randomized blending (StreamingT2V, arXiv 2403.14773 §4.3).

- `tiling`: which frames a window has. `blending`: how two windows are joined. `levels`, `solver`: noise levels, steps.
- `window`: one window on its way. `wavefront` (exact) and `live`: two ways of streaming them, latents in and out.
- `enhancement`: pixels in, pixels out. `wan`, `unet`, `refiner`: networks. `enhancer`: all of it, opened from a folder.

Shapes: C channels, T latent frames, H W latent cells; latents `[1, C, T, H, W]`; pixel frames `uint8 [T, H, W, 3]`.
"""
