"""How the Python and Java clients of a Kafka cluster are set up, from one file of Kafka client properties.

    security.protocol=SASL_SSL
    sasl.mechanism=SCRAM-SHA-512
    sasl.username=sluice
    sasl.password=${env:KAFKA_PASSWORD}
    ssl.truststore.type=PEM
    ssl.truststore.location=/etc/kafka/ca.pem

The names are Kafka's own, so a file that a Java client uses works as it is; `sasl.username` and `sasl.password` are
short for the `sasl.jaas.config` of PLAIN and SCRAM. A value may be, or contain, `${env:NAME}` or `${file:/path}`, and
no secret can be given in any other way: there is no flag for one. Secrets never appear in a `repr` or an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MASK = "***"

_REFERENCE = re.compile(r"\$\{(env|file):([^}]*)\}")
_SECRET_KEY = re.compile(r"password|secret|jaas|token|\.key$|certificate", re.IGNORECASE)
_JAAS_VALUE = re.compile(r"""(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s";]+))""")
_LOGIN_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


class SettingsError(Exception):
    """A wrong or unreadable settings file: the user's to mend; names file, line and key, never a value."""


@dataclass(frozen=True, slots=True, repr=False)
class ClientSettings:
    """Kafka client properties by their Java names, references already replaced.

    secret: keys whose values must not be shown. source: the file, for messages.
    """

    properties: Mapping[str, str] = field(default_factory=dict)
    secret: frozenset[str] = frozenset()
    source: str = "no file"

    def __repr__(self) -> str:
        return f"ClientSettings({self.masked()!r}, source={self.source!r})"

    def masked(self) -> dict[str, str]:
        """The properties with every secret replaced, for people to read."""
        return {k: MASK if k in self.secret else v for k, v in self.properties.items()}

    def java(self) -> dict[str, str]:
        """For a Java client or Flink's connector."""
        given = {k: v for k, v in self.properties.items() if k not in ("sasl.username", "sasl.password")}
        user, password = self.properties.get("sasl.username"), self.properties.get("sasl.password")
        if user is not None and password is not None and "sasl.jaas.config" not in given:
            module = _LOGIN_MODULES[self._mechanism()]
            given["sasl.jaas.config"] = f"{module} required username={_quoted(user)} password={_quoted(password)};"
        return given

    def kafka_python(self) -> dict[str, Any]:
        """Keyword arguments of kafka-python's clients, beside `bootstrap_servers`."""
        arguments: dict[str, Any] = {}
        if self.protocol != "PLAINTEXT":
            arguments["security_protocol"] = self.protocol
        if "client.id" in self.properties:
            arguments["client_id"] = self.properties["client.id"]
        if self.protocol.endswith("SSL"):
            arguments.update(self._ssl_files())
        if self.protocol.startswith("SASL"):
            arguments.update(self._sasl())
        return arguments

    def aiokafka(self) -> dict[str, Any]:
        """Keyword arguments of aiokafka's clients (and of what is built on them), beside `bootstrap_servers`."""
        arguments: dict[str, Any] = {}
        if self.protocol != "PLAINTEXT":
            arguments["security_protocol"] = self.protocol
        if self.protocol.endswith("SSL"):
            arguments["ssl_context"] = self.ssl_context()
        if self.protocol.startswith("SASL"):
            arguments.update(self._sasl())
        return arguments

    def ssl_context(self) -> Any:
        """An ssl.SSLContext of the files named."""
        import ssl

        files = self._ssl_files()
        try:
            context = ssl.create_default_context(cafile=files.get("ssl_cafile"))
            context.check_hostname = files["ssl_check_hostname"]
            if "ssl_certfile" in files:
                context.load_cert_chain(files["ssl_certfile"], files.get("ssl_keyfile"), files.get("ssl_password"))
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"{self.source}: the certificates cannot be read: {error}") from error
        return context

    @property
    def protocol(self) -> str:
        return self.properties.get("security.protocol", "PLAINTEXT").upper()

    def _mechanism(self) -> str:
        return self.properties.get("sasl.mechanism", "PLAIN").upper()

    def _sasl(self) -> dict[str, Any]:
        user, password = self.properties.get("sasl.username"), self.properties.get("sasl.password")
        if "sasl.jaas.config" in self.properties:
            found = {
                key: re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
                for key, quoted, plain in _JAAS_VALUE.findall(self.properties["sasl.jaas.config"])
            }
            user, password = found.get("username", user), found.get("password", password)
        if user is None or password is None:
            raise SettingsError(f"{self.source}: {self.protocol} needs sasl.username and sasl.password, or sasl.jaas.config")
        return {"sasl_mechanism": self._mechanism(), "sasl_plain_username": user, "sasl_plain_password": password}

    def _ssl_files(self) -> dict[str, Any]:
        files: dict[str, Any] = {
            "ssl_check_hostname": self.properties.get("ssl.endpoint.identification.algorithm", "https") != ""
        }
        for store, argument in (("truststore", "ssl_cafile"), ("keystore", "ssl_certfile")):
            location = self.properties.get(f"ssl.{store}.location")
            if location is None:
                continue
            if self.properties.get(f"ssl.{store}.type", "JKS").upper() != "PEM":
                raise SettingsError(
                    f"{self.source}: ssl.{store}.location must be a PEM file, because Python reads no other; "
                    f"convert it and set ssl.{store}.type=PEM"
                )
            files[argument] = location
        if "ssl.key.password" in self.properties:
            files["ssl_password"] = self.properties["ssl.key.password"]
        return files


def read_settings(path: Path | str | None, environment: Mapping[str, str] | None = None) -> ClientSettings:
    """The settings in a Java properties file; None = a cluster that asks for nothing."""
    if path is None:
        return ClientSettings()
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"{path}: cannot be read: {reason}") from error
    return parse_settings(text, str(path), os.environ if environment is None else environment)


def parse_settings(text: str, source: str, environment: Mapping[str, str]) -> ClientSettings:
    """The settings in the text of a properties file; `source` is what errors call it."""
    properties: dict[str, str] = {}
    secret: set[str] = set()
    for number, line in _logical_lines(text):
        match = re.match(r"([^=:\s]+)\s*[=:\s]\s*(.*)", line) or re.match(r"(\S+)()$", line)
        if match is None:
            raise SettingsError(f"{source}:{number}: not a property; write key=value")
        key, value = match.group(1), match.group(2).rstrip()
        if _SECRET_KEY.search(key) or _REFERENCE.search(value):
            secret.add(key)
        properties[key] = _REFERENCE.sub(lambda found, n=number, k=key: _referenced(found, f"{source}:{n}: {k}", environment), value)
    settings = ClientSettings(properties, frozenset(secret), source)
    _check(settings)
    return settings


def _check(settings: ClientSettings) -> None:
    given = settings.properties
    if settings.protocol not in PROTOCOLS:
        raise SettingsError(f"{settings.source}: security.protocol is {settings.protocol!r}; use one of {', '.join(PROTOCOLS)}")
    if settings.protocol.startswith("SASL") and "sasl.jaas.config" not in given and settings._mechanism() not in _LOGIN_MODULES:
        raise SettingsError(
            f"{settings.source}: sasl.mechanism is {settings._mechanism()!r}; use one of {', '.join(_LOGIN_MODULES)}"
        )


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """(number of its first line, text) of each property: comments and blank lines gone, continued lines joined."""
    lines: list[tuple[int, str]] = []
    held: tuple[int, str] | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if held is None and (not line or line[0] in "#!"):
            continue
        first, before = held or (number, "")
        ends_open = (len(line) - len(line.rstrip("\\"))) % 2 == 1
        held = (first, before + line[:-1]) if ends_open else None
        if held is None:
            lines.append((first, before + line))
    return [*lines, held] if held else lines


def _referenced(found: re.Match[str], where: str, environment: Mapping[str, str]) -> str:
    kind, name = found.groups()
    if kind == "env":
        if name not in environment:
            raise SettingsError(f"{where} refers to the environment variable {name}, which is not set")
        return environment[name]
    try:
        return Path(name).read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"{where} refers to the file {name}: {reason}") from error


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
