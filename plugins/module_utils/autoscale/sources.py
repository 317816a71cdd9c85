# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics from elsewhere: the length of a Redis list, what a command prints, a Prometheus query.

Each has a timeout and, where a reading carries its time, an age limit. What cannot be read is unknown with the reason,
never zero. Secrets go through sockets, headers and environments, never through a command line.
"""

from __future__ import annotations

import dataclasses
import errno
import math
import os
import re
import selectors
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import typing as t
import unicodedata
from urllib.parse import urlencode

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.numbers import amount
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.module import SECRET_LENGTH

Options = t.Mapping[str, t.Any]
#: which option says what kind of source it is
KINDS = ("redis_list", "command", "prometheus")
TIMEOUT, MAX_AGE = 2.0, 120.0
#: the most seconds that a timeout may be
LONGEST = 3600.0
#: options that are part of what a source is logged in with
SECRETS = ("token", "username", "password")
#: seconds beyond its time limit that a source has to say what came of it, and those that a command in an instance needs besides
GRACE, IN_INSTANCE = 1.0, 12.0
#: bytes of what a command prints that are read, and of its errors
MOST, MOST_ERRORS = 65536, 4096
#: codes that a shell has for no such program, for one that cannot be run, and, with the signal added, for one that a signal ended
NO_PROGRAM, NOT_RUN, BY_SIGNAL = 127, 126, 128
#: runs a command in an instance, ends with its code, and lets no more through than is read. Who prints on gets SIGPIPE, as in any pipe;
#: the rest of the errors is dropped. 3 is where the output goes, 4 takes the code, and 5 leads the output past the errors.
BOUNDED = f"""exec 3>&1
code=$({{
    {{ {{ (exec "$@") 3>&- 4>&- 5>&-; echo $? >&4; }} 2>&1 >&5 | {{ head -c {MOST_ERRORS} >&2; cat >/dev/null; }}; }} 5>&1 |
        head -c {MOST + 1} >&3
}} 4>&1)
exit "$code"
"""


class Connection(t.Protocol):
    """What is needed of the LXD client, for commands that run in an instance."""

    def execute(self, instance: str, argv: t.Sequence[str], *, timeout: float = 60.0) -> tuple[int, str, str]:
        """Run a command in an instance; returns its exit code, standard output and standard error."""


class Unknown(Exception):
    """A reading could not be had; the text says why."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """A value and when it was measured, in seconds since the epoch."""

    value: float
    time: float


def read_all(lxd: Connection, sources: t.Sequence[Options], now: float) -> list[dict[str, t.Any]]:
    """Ask all sources at once; one ``{"name", "value", "time", "why"}`` for each, value None where it is unknown.

    :raises InvalidInput: what :func:`check` refuses; whatever else is wrong with a source makes its value unknown
    """
    check(sources)
    asked = [_Asked(lxd, source, now) for source in sources]
    return [one.answer() for one in asked]


class _Asked:
    """A source that is being asked. One that answers bit by bit, so that no single read takes too long, is not waited for either."""

    def __init__(self, lxd: Connection, source: Options, now: float) -> None:
        self._source = source
        self._said: list[dict[str, t.Any]] = []
        self._until = time.monotonic() + _timeout(source) + (IN_INSTANCE if _instance(source) else 0.0) + GRACE
        # Nobody waits for it when the run ends.
        self._thread = threading.Thread(target=self._ask, args=(lxd, now), daemon=True)
        self._thread.start()

    def _ask(self, lxd: Connection, now: float) -> None:
        self._said.append(read(lxd, self._source, now))

    def answer(self) -> dict[str, t.Any]:
        """As :func:`read` gives it."""
        self._thread.join(max(self._until - time.monotonic(), 0.0))
        for said in self._said:
            return said
        return _unknown(self._source, f"it did not say all within {_timeout(self._source):g} s")


def _timeout(source: Options) -> float:
    return float(source.get("timeout") or TIMEOUT)


def _instance(source: Options) -> str:
    return str((source.get("command") or {}).get("instance") or "")


def _kind(source: Options) -> str:
    return next(kind for kind in KINDS if source.get(kind))


def _unknown(source: Options, why: str) -> dict[str, t.Any]:
    return {"name": str(source["name"]), "value": None, "time": None, "why": f"{_WORDS[_kind(source)]}: {_hidden(why)}"}


def _hidden(text: str, url: str = "") -> str:
    """The text without what stands before the host in URLs.

    :param url: one that it may speak of, and of whose user and password there may be more than the end of a word shows
    """
    inside = _user_info(url)
    return _USER_INFO.sub("***@", text.replace(inside, "***@") if inside else text)


def _user_info(url: str) -> str:
    """What stands before the host of a URL, up to and with its last @."""
    inside, at, _host = url.partition("://")[2].rpartition("@")
    return inside + at


def _without_secrets(text: str, options: Options) -> str:
    """The text without what a source of these options is logged in with, also where it is not in a URL.

    It has to be whole: of a secret that is cut off nothing is found but what the end of the text has of it.
    """
    environment = options.get("environment") or {}
    values = (_plain(environment, name) for name in environment)
    secrets = {_plain(options, "password"), _plain(options, "token"), *(value for value in values if len(value) >= SECRET_LENGTH)}
    for secret in sorted(secrets - {""}, key=len, reverse=True):
        text = _without_begin(text.replace(secret, "***"), secret)
    return _hidden(text, _plain(options, "url"))


def _without_begin(text: str, secret: str) -> str:
    """The text without the beginning of a secret that it ends with, where it was cut off within."""
    lengths = range(min(len(secret), len(text)), SECRET_LENGTH - 1, -1)
    cut = next((length for length in lengths if text.endswith(secret[:length])), 0)
    return f"{text[:-cut]}***" if cut else text


def _plain(options: Options, name: str) -> str:
    """A value without white space around it, such as the line break that a block scalar of YAML ends with."""
    return str(options.get(name) or "").strip()


def _unsendable(source: Options) -> list[str]:
    """The options with a control character inside. None of them has one in earnest, and in a header it is a mistake that gets quoted."""
    given = [(kind, source.get(kind) or {}) for kind in KINDS]
    named = [(f"{kind}.{name}", _plain(options, name)) for kind, options in given for name in SECRETS]
    return [where for where, text in named if any(unicodedata.category(character) == "Cc" for character in text)]


def check(sources: t.Sequence[Options]) -> None:
    """Refuse sources that cannot be asked, whatever answers; raises InvalidInput with all that is wrong.

    Those are one without a name, of no kind or of two, two of one name, a command that cannot be started, and seconds that are none.
    """
    wrong = []
    names = [str(source.get("name") or "") for source in sources]
    for source, name in zip(sources, names, strict=True):
        kinds = [kind for kind in KINDS if source.get(kind)]
        if not name or names.count(name) > 1:
            wrong.append(f"a source is named {name!r}; every source has a name of its own")
        if len(kinds) != 1:
            wrong.append(f"source {name!r} has {' and '.join(kinds) or 'no kind'}; give exactly one of {', '.join(KINDS)}")
        wrong += [f"source {name!r} has a line break or another control character in {where}" for where in _unsendable(source)]
        wrong += [f"source {name!r}: {words}" for words in (*_bad_seconds(source), *_bad_command(source.get("command") or {}))]
    if wrong:
        raise InvalidInput(f"gb_autoscale_sources: {'; '.join(wrong)}.")


def _bad_seconds(source: Options) -> t.Iterator[str]:
    for name, most, usual in (("timeout", LONGEST, TIMEOUT), ("max_age", math.inf, MAX_AGE)):
        value = source.get(name)
        bounds = f"above 0{f' and at most {most:g}' if most < math.inf else ''}"
        if value is not None and not 0 < float(value) <= most:
            yield f"{name} is {value}, it must be seconds {bounds}; without it they are {usual:g}"


def _bad_command(options: Options) -> t.Iterator[str]:
    """What cannot be started whatever is installed. What stands after a = in the environment may be secret and is not quoted."""
    if not options:
        return
    argv = [str(word) for word in options.get("argv") or ()]
    if not argv or not argv[0]:
        yield f"command.argv is {argv}, it must begin with the program to run"
    for word in argv:
        if "\0" in word:
            yield f"command.argv has a NUL in {word!r}, which no argument can have; remove it"
    for name, value in (options.get("environment") or {}).items():
        begin = str(name).partition("=")[0]
        if not begin or begin != str(name) or "\0" in begin:
            yield f"command.environment has a name that begins with {begin!r}; give one that is not empty, without = and NUL"
        if "\0" in str(value):
            yield f"command.environment has a NUL in the value of {begin!r}, which none can have; remove it"


def read(lxd: Connection, source: Options, now: float) -> dict[str, t.Any]:
    """One reading; whatever goes wrong makes it unknown and says why."""
    kind = _kind(source)
    try:
        found = _READERS[kind](lxd, source[kind], _timeout(source), now)
        oldest = float(source.get("max_age") or MAX_AGE)
        if now - found.time > oldest:
            raise Unknown(f"its last value is {now - found.time:.0f} s old, more than {oldest:.0f} s")
        if amount(found.value) is None:
            raise Unknown(f"its value is {found.value!r}, which is no number from 0 up")
    except Unknown as error:
        return _unknown(source, _without_secrets(str(error), source[kind]))
    except Exception as error:
        # One source must not end the tick, whatever it raises: a wrong path, a host that is no name, a mistake of our own.
        return _unknown(source, _without_secrets(f"{type(error).__name__}: {error}", source[kind]))
    return {"name": str(source["name"]), "value": found.value, "time": found.time, "why": ""}


# --- a Redis list --------------------------------------------------------------------------------------------------


def _redis(_lxd: Connection, options: Options, timeout: float, now: float) -> Reading:
    where = f"{options.get('host') or '127.0.0.1'}:{options.get('port') or 6379}"
    host, _colon, port = where.rpartition(":")
    deadline = time.monotonic() + timeout
    commands = []
    user, password = _plain(options, "username"), _plain(options, "password")
    if password:
        commands.append(["AUTH", *([user] if user else []), password])
    if options.get("db"):
        # A user who may read the list only may be allowed no other command.
        commands.append(["SELECT", str(options["db"])])
    commands.append(["LLEN", str(options["list"])])
    try:
        with socket.create_connection((host, int(port)), timeout=timeout) as plain:
            connection = _encrypted(plain, options, host) if options.get("tls") else plain
            return Reading(_ask(connection, commands, options, deadline), now)
    except OSError as error:
        raise Unknown(f"Redis at {where} gave no answer within {timeout:g} s ({error})") from error


def _encrypted(plain: socket.socket, options: Options, host: str) -> socket.socket:
    context = ssl.create_default_context(cafile=options.get("ca_cert") or None)
    return context.wrap_socket(plain, server_hostname=host)


def _ask(connection: socket.socket, commands: t.Sequence[t.Sequence[str]], options: Options, deadline: float) -> float:
    """Send all commands at once, as Redis allows, and return the integer that the last one answers."""
    with connection.makefile("rb") as answers:
        connection.sendall(b"".join(_encoded(command) for command in commands))
        answer = b""
        for command in commands:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            answer = answers.readline(65536).strip()
            if not answer or answer.startswith(b"-"):
                said = _without_secrets(answer[1:].decode(errors="replace"), options)
                raise Unknown(f"Redis refused {command[0]}: {said[:200] or 'it closed the connection'}")
    if not answer.startswith(b":") or not answer[1:].isdigit():
        raise Unknown(f"Redis answered {_without_secrets(answer.decode(errors='replace'), options)[:80]!r}, which is no length")
    return float(answer[1:])


def _encoded(command: t.Sequence[str]) -> bytes:
    parts = [part.encode() for part in command]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


# --- a command -----------------------------------------------------------------------------------------------------


def _command(lxd: Connection, options: Options, timeout: float, now: float) -> Reading:
    argv, instance = [str(word) for word in options["argv"]], str(options.get("instance") or "")
    what = f"{argv[0]} in {instance}" if instance else argv[0]
    try:
        if instance:
            # The time limit is kept in the instance, where the command would otherwise go on.
            bounded = ["sh", "-c", BOUNDED, "sh", *argv]
            code, out, err = lxd.execute(instance, ["timeout", "-k", "1", f"{timeout:g}", *bounded], timeout=timeout + 10)
        else:
            environment = {str(key): str(value) for key, value in (options.get("environment") or {}).items()}
            code, out, err = _here(argv, environment, timeout)
    except subprocess.TimeoutExpired as error:
        raise Unknown(f"{what} did not end within {timeout:g} s") from error
    except ScalingError as error:
        raise Unknown(str(error)) from error
    for broken, why in (
        (len(out) > MOST, f"prints more than a number: over {MOST} bytes"),
        (instance and code in (124, 137), f"did not end within {timeout:g} s"),
        (code != 0, f"ended with {code}: {_without_secrets(err.strip(), options)[:200]}"),
    ):
        if broken:
            raise Unknown(f"{what} {why}")
    return Reading(_one_number(what, out, options), now)


def _one_number(what: str, out: str, options: Options) -> float:
    """NaN where it is none or several; the digits of a number are not grouped, as Python would have it."""
    words = out.split()
    try:
        return float(words[0].replace("_", "?")) if len(words) == 1 else math.nan
    except ValueError:
        raise Unknown(f"{what} printed {_without_secrets(out.strip(), options)[:80]!r} and not one number") from None


def _here(argv: t.Sequence[str], environment: t.Mapping[str, str], timeout: float) -> tuple[int, str, str]:
    """The code that a command ends with, as a shell has it, its output and its errors, as far as they are read.

    In a session of its own: what a probe that hangs has started ends with it, instead of being left behind tick after tick. What it is
    looked up in is the PATH of its own environment.

    :raises subprocess.TimeoutExpired: it, or who has its output, did not end in time
    """
    until = time.monotonic() + timeout
    try:
        process = _started(argv, {**os.environ, **environment})
    except OSError as error:
        return NO_PROGRAM if isinstance(error, FileNotFoundError) else NOT_RUN, "", error.strerror or str(error)
    with process:
        try:
            out, err = _heard(process, until)
            if len(out) > MOST:
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait(max(until - time.monotonic(), 0.001))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return code if code >= 0 else BY_SIGNAL - code, out.decode(errors="replace"), err.decode(errors="replace")


def _started(argv: t.Sequence[str], given: t.Mapping[str, str]) -> subprocess.Popen[bytes]:
    """The process of a command in an environment. A script that does not name its interpreter is the shell's, as anywhere."""
    null, pipe = subprocess.DEVNULL, subprocess.PIPE

    def start(argv: t.Sequence[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(argv, env=given, stdin=null, stdout=pipe, stderr=pipe, start_new_session=True)

    try:
        return start(argv)
    except OSError as error:
        script = shutil.which(argv[0], path=given.get("PATH"))
        if error.errno != errno.ENOEXEC or script is None:
            raise
        return start(["/bin/sh", script, *argv[1:]])


def _heard(process: subprocess.Popen[bytes], until: float) -> tuple[bytes, bytes]:
    """What a process prints and its errors, until all who could print have closed both, or it has printed more than is read.

    :raises subprocess.TimeoutExpired: that was not so ``until`` then, on the monotonic clock
    """
    out, err = bytearray(), bytearray()
    with selectors.DefaultSelector() as streams:
        for stream, said, most in ((process.stdout, out, MOST + 1), (process.stderr, err, MOST_ERRORS)):
            streams.register(t.cast("t.IO[bytes]", stream), selectors.EVENT_READ, (said, most))
        while streams.get_map() and len(out) <= MOST:
            left = until - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(process.args, left)
            for key, _events in streams.select(left):
                said, most = key.data
                part = os.read(key.fd, MOST)
                said += part[: most - len(said)]
                if not part:
                    streams.unregister(key.fileobj)
    return bytes(out), bytes(err)


# --- a Prometheus query --------------------------------------------------------------------------------------------


def _prometheus(_lxd: Connection, options: Options, timeout: float, now: float) -> Reading:
    from ansible_collections.generalbots.scaling.plugins.module_utils.http import HttpClient

    url, token = _plain(options, "url"), _plain(options, "token")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    user = _plain(options, "username")
    auth = (user, _plain(options, "password")) if user else None
    client = HttpClient(url, timeout=timeout, headers=headers, auth=auth, verify=options.get("ca_cert") or True, retries=0)
    try:
        answer = client.request("GET", "/api/v1/query?" + urlencode({"query": options["query"]})).json()
    except (ScalingError, ValueError) as error:
        raise Unknown(_unquotable(error, url) or _hidden(str(error), url)) from error
    try:
        if answer.get("warnings"):
            warning = _without_secrets(str(answer["warnings"][0]), options)
            raise Unknown(f"Prometheus warns that its answer may not be whole: {warning[:200]}")
        return _sample(answer["data"])
    except (AttributeError, KeyError, TypeError, IndexError, ValueError) as error:
        raise Unknown(f"{_hidden(url, url)} answered something else than an instant query's result") from error


def _unquotable(error: Exception, url: str) -> str:
    """What to say instead of an error whose own words hold a secret, or a part of one that cannot be told from the rest."""
    from requests.exceptions import InvalidHeader

    if isinstance(error.__cause__, InvalidHeader) or isinstance(error, UnicodeEncodeError):
        return "what it is given to log in with cannot be sent in a header"
    if {*"/?#"} & {*_user_info(url)}:
        return "it cannot be asked, and its URL has one of / ? # before an @: in a password they are written %2F %3F %23"
    return ""


def _sample(data: Options) -> Reading:
    """A scalar, or a vector of exactly one element."""
    result = data["result"]
    if data["resultType"] == "vector":
        if len(result) != 1:
            raise Unknown(f"the query gives {len(result)} values; it must give one, for example by sum()")
        result = result[0]["value"]
    moment, value = result
    return Reading(float(value), float(moment))


#: what stands before the host in a URL within a text
_USER_INFO = re.compile(r"(?<=://)[^\s/?#]*@")
_READERS: t.Mapping[str, t.Callable[[Connection, Options, float, float], Reading]] = {
    "redis_list": _redis,
    "command": _command,
    "prometheus": _prometheus,
}
_WORDS: t.Mapping[str, str] = {"redis_list": "the Redis list", "command": "the command", "prometheus": "the Prometheus query"}
