"""`python -m longtake` is the `longtake` command."""

import sys

from longtake.cli import main

sys.exit(main())
