"""Settings: the environment, validated and frozen.

Every variable is read once, by `Settings()`. Everything that is wrong is reported in one `SettingsError`, with a line
for each fault; no line contains a part of a URL that could be a password. Every duration is a whole number of
milliseconds, in the environment and in the fields.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NoReturn, final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo, PGconn
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from rowsmith.errors import SettingsError

Role = Literal["runtime", "migration"]

# The limit of PostgreSQL's integer settings, and of libpq's connect_timeout.
_MAX_INT = 2_147_483_647
# NAMEDATALEN - 1: the server truncates a longer application_name.
_MAX_NAME = 63
_MAX_PORT = 65_535
_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}

_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
_SET_URL = "Set it to the database's URL, for example postgresql://user:password@localhost:5432/app."
_NOT_A_URL = f"is not a URL (keywords such as host=... dbname=... are not accepted). {_SET_URL}"
_ENCODE = (
    "Percent-encode these characters in the user name and the password: "
    "@ as %40, : as %3A, / as %2F, ? as %3F, # as %23, % as %25, space as %20."
)
_UNREADABLE = f"cannot be read as a PostgreSQL URL. {_ENCODE}"
_BAD_PORT = f"has a port that is not a number from 1 to 65535. {_ENCODE}"


def variable_name(field: str) -> str:
    """The environment variable that a field of `Settings` is read from: `max_idle` -> `DB_MAX_IDLE`."""
    return str(Settings.model_fields[field].validation_alias or f"db_{field}").upper()


_CONNECTION_STRING = re.compile(r"://|:[^@]*@|password\s*=", re.IGNORECASE)


def _shown(value: object) -> str:
    """A value as a message quotes it, unless it may be a connection string in the wrong variable."""
    text = value if isinstance(value, str) else repr(value)
    if not text.strip():
        return "empty"
    if _CONNECTION_STRING.search(text):
        return "a connection string"
    return repr(value) if len(text) <= _MAX_NAME else f"{len(text)} characters long"


def _digits(value: object) -> int | None:
    """The number made of digits alone; `int()` would also take 1_000, +5, and the digits of other scripts."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if not re.fullmatch("[0-9]+", text):
        return None
    # Eleven significant digits are too many already, and int() itself refuses 4301.
    return int(text.lstrip("0")[:11] or "0")


# The validators raise ValueError with the rest of the line: "DB_MAX_IDLE is 'x': expected ..." for all but the URLs.


def _whole_number(minimum: int, what: str = "a whole number") -> BeforeValidator:
    """A validator for a whole number from `minimum` to the largest that PostgreSQL takes."""

    def parse(value: object) -> int:
        number = _digits(value)
        if number is None or number < minimum:
            raise ValueError(f"{what}, {minimum} or more")
        if number > _MAX_INT:
            raise ValueError(f"{what}, at most {_MAX_INT}")
        return number

    return BeforeValidator(parse)


def _boolean(value: object) -> bool:
    text = str(value).strip().lower()
    if text not in _BOOLEANS:
        raise ValueError("true or false (or 1, 0, yes, no, on, off)")
    return _BOOLEANS[text]


def _name(value: object) -> str:
    """Printable ASCII only: the server replaces everything else in application_name, and shows it to other users."""
    text = value.strip() if isinstance(value, str) else ""
    if not re.fullmatch(f"[ -~]{{1,{_MAX_NAME}}}", text) or _CONNECTION_STRING.search(text):
        raise ValueError(f"a name of 1 to {_MAX_NAME} printable ASCII characters")
    return text


def _read_url(url: str) -> dict[str, str]:
    """The libpq parameters of a URL. Raises `psycopg.Error` or `UnicodeError`, whose text may contain the password."""
    # libpq knows two schemes in lower case; a URL's scheme may be in any case (RFC 3986, 3.1).
    parameters = conninfo_to_dict("postgresql://" + url.partition("://")[2])
    return {key: str(value) for key, value in parameters.items() if value is not None}


def _default_options(url: Mapping[str, str]) -> str | None:
    """The server options that libpq takes from a service file or from PGOPTIONS if a URL has none.

    libpq looks at them when it begins to connect: here to a socket that does not exist.
    """
    service = {key: url[key] for key in ("service", "servicefile") if key in url}
    probe = PGconn.connect_start(make_conninfo("", host="/nowhere", hostaddr="", **service).encode())
    try:
        return next((each.val.decode() for each in probe.info if each.keyword == b"options" and each.val), None)
    finally:
        probe.finish()


def _unknown_option(query: str) -> str | None:
    """The first option in a URL's query that libpq does not know; None if it may be part of a secret.

    An `&` that is not encoded in `?password=...` makes an "option" of the rest of the password.
    """
    # libpq marks what must not be displayed with "*" (manual, PQconndefaults).
    secret = {option.keyword.decode(): option.dispchar == b"*" for option in Conninfo.parse(b"")}
    secret["ssl"] = False  # `ssl=true` is read as `sslmode=require`
    for part in query.split("&"):
        option, is_pair, _ = part.partition("=")
        if secret.get(option) or not is_pair:
            return None
        if option not in secret:
            return option if re.fullmatch("[A-Za-z_]+", option) else None
    return None


def _url(value: object) -> SecretStr:
    """A URL that libpq can read. The ValueError has the rest of a sentence that begins with the variable."""
    given = value.get_secret_value() if isinstance(value, SecretStr) else value
    url = given.strip() if isinstance(given, str) else None
    if not url:
        raise ValueError(f"is {'not text' if url is None else 'empty'}. {_SET_URL}")
    parts = re.fullmatch("([A-Za-z][A-Za-z0-9+.-]*)://(.*)", url, re.DOTALL)
    if not parts:
        raise ValueError(_NOT_A_URL)
    scheme, rest = parts.groups()
    if scheme.lower() not in _SCHEMES:
        raise ValueError(f"has the scheme {scheme!r}: expected {'://, '.join(_SCHEMES)}://. {_SET_URL}")
    # More than one @ is ambiguous: libpq reads u:p@ss@host as the host "ss@host", and u:p/w@host as the port "p", so
    # that a part of the password would be logged as something else.
    authority, _, path = rest.partition("/")
    if authority.count("@") > 1 or "@" in path or "\0" in rest:
        raise ValueError(_UNREADABLE)
    try:
        ports = _read_url(url).get("port", "").split(",")
    except (psycopg.Error, UnicodeError):
        option = _unknown_option(rest.rpartition("@")[2].partition("?")[2])
        unknown = f"has the option {option!r}, which libpq does not know. Remove it from the URL."
        raise ValueError(unknown if option else _UNREADABLE) from None
    if not all(1 <= (_digits(port) or 0) <= _MAX_PORT for port in ports if port):
        raise ValueError(_BAD_PORT)
    return SecretStr(url)


# A peer that vanishes is noticed after a minute (manual, "Parameter Key Words"); the last one is in ms.
_KEEPALIVE = {
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}

_Url = Annotated[SecretStr, BeforeValidator(_url)]
_Count = Annotated[int, _whole_number(0)]
_PositiveCount = Annotated[int, _whole_number(1)]
_Milliseconds = Annotated[int, _whole_number(1, "a whole number of milliseconds")]
_Limit = Annotated[int, _whole_number(0, "a whole number of milliseconds (0 for no limit)")]
_Flag = Annotated[bool, BeforeValidator(_boolean)]
_Name = Annotated[str, BeforeValidator(_name)]


def _fault(error: ErrorDetails) -> str:
    """One line of the message, for one of pydantic's errors."""
    field = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return f"{field!r} is not a setting. The settings are: {', '.join(Settings.model_fields)}."
    variable, default = variable_name(field), Settings.model_fields[field].default
    if error["type"] == "missing":
        return f"{variable} is not set. {_SET_URL}"
    wrong = error["msg"].removeprefix("Value error, ")
    if field.endswith("_url"):
        return f"{variable} {wrong}"
    example = str(default).lower() if isinstance(default, bool) else default
    return f"{variable} is {_shown(error['input'])}: expected {wrong}. Example: {variable}={example}"


@final
class Settings(BaseSettings):
    """The configuration of one database, from keyword arguments, then the environment, then `.env`.

    `Settings()` reads the environment and, if it exists, the file `.env` in the current folder. The environment takes
    precedence over the file, and `Settings(max_connections=20)` over both. An empty variable is a fault, not the
    default. Raises `rowsmith.errors.SettingsError`, which lists every fault.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        env_prefix="DB_",  # the three that have a validation_alias are read without it
        env_file=".env",
        dotenv_filtering="only_existing",
    )

    database_url: _Url = Field(validation_alias="database_url", description="URL for the role of the program.")
    migration_database_url: _Url | None = Field(None, validation_alias="migration_database_url", description="For DDL.")
    # Before min_connections, whose validator needs it (and also runs for the default, as in all BaseSettings).
    max_connections: _PositiveCount = Field(10, description="Most connections in the pool; 1 or more.")
    min_connections: _Count = Field(2, description="Connections kept open; 0 or more, at most max_connections.")
    pool_timeout: _Milliseconds = Field(30_000, description="Longest wait for a free connection, in ms.")
    connection_timeout: _Milliseconds = Field(30_000, description="Longest time to establish a connection, in ms.")
    statement_timeout: _Limit = Field(60_000, description="Longest run of one statement, in ms; 0: no limit.")
    lock_timeout: _Limit = Field(0, description="Longest wait for one lock, in ms; 0: no limit.")
    idle_in_transaction_timeout: _Limit = Field(60_000, description="Longest idle transaction, in ms; 0: no limit.")
    max_lifetime: _Milliseconds = Field(3_600_000, description="Age at which a connection is replaced, in ms.")
    max_idle: _Milliseconds = Field(600_000, description="Idle time after which a spare one is closed, in ms.")
    connect_retries: _Count = Field(3, description="More attempts after a failed one; 0: none.")
    breaker_failures: _PositiveCount = Field(5, description="Failures in a row that open the circuit breaker.")
    breaker_reset: _Milliseconds = Field(10_000, description="Time until an open breaker allows one attempt, in ms.")
    leak_threshold: _Limit = Field(60_000, description="Time until a connection in use is logged, in ms; 0: never.")
    prepared_statements: _PositiveCount = Field(500, description="Most prepared statements of a connection; 1 or more.")
    pgbouncer: _Flag = Field(False, description="Transaction pooling: no session state, no prepared statements.")
    application_name: _Name = Field("rowsmith", description="Name in pg_stat_activity; 1 to 63 ASCII characters.")
    app_env: _Name = Field(
        "production", validation_alias="app_env", description="`development` logs every query; any other, errors only."
    )

    def __init__(self, **values: Any) -> None:
        """Raises `SettingsError`. pydantic's own error, which contains the values, is not chained to it."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            faults = [_fault(each) for each in error.errors(include_url=False)]
        except UnicodeDecodeError:
            faults = [".env is not UTF-8 text. Save it as UTF-8."]
        except OSError as error:
            faults = [f".env cannot be read: {error.strerror}. Make it readable, or remove it."]
        else:
            return
        count = "1 setting is" if len(faults) == 1 else f"{len(faults)} settings are"
        raise SettingsError("\n  ".join([f"rowsmith cannot start: {count} wrong.", *faults]))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Raises `SettingsError`. The message of pydantic's own `frozen` would quote the value."""
        raise SettingsError(f"Settings are frozen. Create new ones: Settings({name}=...).")

    @field_validator("min_connections")
    @classmethod
    def fits_in_the_pool(cls, value: int, info: ValidationInfo) -> int:
        """Compares the two sizes if `max_connections` is valid itself."""
        largest = info.data.get("max_connections", value)
        if value > largest:
            raise ValueError(f"at most {largest}, which is DB_MAX_CONNECTIONS")
        return value

    @property
    def development(self) -> bool:
        """Whether every query is logged."""
        return self.app_env == "development"

    def conninfo(self, role: Role = "runtime") -> str:
        """The libpq connection string for psycopg, with the password in it.

        The URL takes precedence: its `application_name`, `connect_timeout` and keepalives, and its `options`, which
        come after ours (the server uses the last `-c`). If it has no `options`, those of its service file, or else of
        PGOPTIONS, do. Only `client_encoding` is always UTF8, like the query files.
        connect_timeout is in whole seconds, rounded up, and at least 2, the minimum of libpq.

        The runtime role gets three timeouts for its session. The migration role gets `lock_timeout` alone, if it is not
        0, because building an index may take long. Behind PgBouncer neither gets any: a pooled connection has no
        session to set them on. Use ALTER ROLE ... SET there.
        """
        url = self._parameters(role)
        options = [f"-c {name}={value}" for name, value in self._session_settings(role).items()]
        if options:  # they would replace the others
            options.append(url.get("options") or _default_options(url) or "")
        parameters = {
            "application_name": self.application_name,
            **_KEEPALIVE,
            "connect_timeout": max(2, math.ceil(self.connection_timeout / 1000)),
            **url,
            "client_encoding": "UTF8",
            "options": " ".join(filter(None, options)) or url.get("options"),
        }
        return make_conninfo("", **parameters)

    def describe(self, role: Role = "runtime") -> dict[str, str | None]:
        """Where a role connects to, for logs: host, port, database and user, as far as the URL names them."""
        url = self._parameters(role)
        return {"database": url.get("dbname"), **{key: url.get(key) for key in ("host", "port", "user")}}

    def _parameters(self, role: Role) -> dict[str, str]:
        migration = self.migration_database_url if role == "migration" else None
        return _read_url((migration or self.database_url).get_secret_value())

    def _session_settings(self, role: Role) -> dict[str, int]:
        """The server settings of a new session, in ms: https://www.postgresql.org/docs/current/runtime-config-client.html"""
        if self.pgbouncer:
            return {}
        if role == "migration":
            return {"lock_timeout": self.lock_timeout} if self.lock_timeout else {}
        return {
            "statement_timeout": self.statement_timeout,
            "lock_timeout": self.lock_timeout,
            "idle_in_transaction_session_timeout": self.idle_in_transaction_timeout,
        }
