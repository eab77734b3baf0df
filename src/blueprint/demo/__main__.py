"""`python -m blueprint.demo`. Exit codes: 0 success, 2 could not run, 130 stopped by Ctrl-C."""

import sys

try:
    from blueprint.demo.run import main

    code = main()
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "rich":
        raise
    sys.stderr.write("The demo needs the package rich, which is not installed. Run: pip install 'rowsmith[all]'\n")
    code = 2
except KeyboardInterrupt:  # during the imports, or a second Ctrl-C
    code = 130
sys.exit(code)
