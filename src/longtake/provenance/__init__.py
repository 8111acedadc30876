"""Where a video comes from, signed into it, after the C2PA Technical Specification 2.x.

Finished files carry a manifest (`sign.sign_file`), live streams a signature a segment (`live.LiveSigner`), and
`verify.verify` checks both. Nothing here reaches the network, and nothing knows of takes.
"""
