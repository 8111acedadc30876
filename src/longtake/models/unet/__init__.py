"""The 3-D UNet of ModelScope's text-to-video and its relatives, plain and with StreamingT2V's two memories."""
