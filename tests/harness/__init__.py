"""What the tests share.

databases: settings, databases and their clones      network: a proxy with faults, black holes, refusing servers
worlds:    a connection of either kind               servers: servers that are stopped, killed and started again
drivers:   test bodies for threads and for tasks     pgbouncer: a PgBouncer, and the option --pgbouncer
waiting:   waiting for events                        projects: projects in a folder, commands, snapshots
examples:  how many examples a test tries            modules: typed modules, made and imported
"""

from pathlib import Path

import pytest

# So that an assert in them says what it found.
pytest.register_assert_rewrite(*(f"{__name__}.{file.stem}" for file in Path(__file__).parent.glob("[a-z]*.py")))
