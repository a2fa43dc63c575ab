import pytest

from jobs.broker import SettingsError, parse_settings, read_settings

SASL = """\
# a comment
security.protocol = SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.username=sluice
sasl.password=${env:PASSWORD}
ssl.truststore.type=PEM
ssl.truststore.location=/ca.pem
"""


def test_no_file_means_a_cluster_that_asks_for_nothing():
    assert read_settings(None).kafka_python() == {}
    assert read_settings(None).java() == {}


def test_kafka_python_gets_its_own_names():
    settings = parse_settings(SASL, "f", {"PASSWORD": "geheim"})
    assert settings.kafka_python() == {
        "security_protocol": "SASL_SSL",
        "ssl_check_hostname": True,
        "ssl_cafile": "/ca.pem",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "sluice",
        "sasl_plain_password": "geheim",
    }


def test_java_gets_a_login_module_with_the_secret_quoted():
    settings = parse_settings(SASL, "f", {"PASSWORD": 'a"b\\c'})
    assert settings.java()["sasl.jaas.config"] == (
        'org.apache.kafka.common.security.scram.ScramLoginModule required username="sluice" password="a\\"b\\\\c";'
    )
    assert "sasl.password" not in settings.java()


def test_a_java_login_line_serves_python_too():
    line = 'sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\\n  username="u" password="p\\"q";'
    settings = parse_settings(f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n{line}", "f", {})
    assert settings.kafka_python()["sasl_plain_username"] == "u"
    assert settings.kafka_python()["sasl_plain_password"] == 'p"q'


def test_secrets_are_masked_wherever_settings_are_shown(tmp_path):
    (tmp_path / "pw").write_text("geheim\n")
    settings = parse_settings(f"client.id=${{file:{tmp_path}/pw}}\nssl.key.password=geheim\nacks=all", "f", {})
    assert settings.properties["client.id"] == "geheim"
    assert "geheim" not in repr(settings)
    assert "geheim" not in str(settings)
    assert settings.masked() == {"client.id": "***", "ssl.key.password": "***", "acks": "all"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sasl.password=${env:ABSENT}", "f:1: sasl.password refers to the environment variable ABSENT, which is not set"),
        ("\nssl.key.password=${file:/absent}", "f:2: ssl.key.password refers to the file /absent: No such file or directory"),
        ("security.protocol=TLS", "f: security.protocol is 'TLS'; use one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ("security.protocol=SASL_SSL\nsasl.mechanism=GSSAPI", "f: sasl.mechanism is 'GSSAPI'; use one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
    ],
)
def test_a_wrong_file_is_named_with_the_mend(text, message):
    with pytest.raises(SettingsError) as error:
        parse_settings(text, "f", {})
    assert str(error.value) == message


def test_a_java_key_store_is_refused_for_python():
    settings = parse_settings("security.protocol=SSL\nssl.truststore.location=/t.jks", "f", {})
    with pytest.raises(SettingsError, match="PEM"):
        settings.kafka_python()
    assert settings.java()["ssl.truststore.location"] == "/t.jks"
