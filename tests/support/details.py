"""What no detail may say."""

from __future__ import annotations

import re

# A class of Python's, an errno tuple, a line of C: what nobody on call should have to read.
JARGON = re.compile(r"Error|Exception\b|Errno|\[SSL|_ssl\.c|\([0-9]+, '")
