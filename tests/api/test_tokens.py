"""What is refused as an access token, and what an outside issuer's is good for. Every refusal is one and the same 401."""

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt
import pyotp
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from sqlalchemy import update
from sqlalchemy.orm import Session

import config
from domain.db import now
from domain.identity.models import Admin, AdminSession, Door
from tests.factories import make_admin
from web.auth import identity
from wsgi import create_app

ISSUER, AUDIENCE = "https://login.example", "marketplace"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
ON_ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def jwk(key, kid: str, algorithm: str, **more: str) -> dict[str, str]:
    return {**jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True), "kid": kid, **more}


KEYS = [jwk(RSA, "rsa", "RS256", use="sig", alg="RS256"), jwk(EC, "ec", "ES256"), jwk(ED, "ed", "EdDSA")]


@pytest.fixture
def jwks_file(tmp_path):
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": KEYS}))
    return file


@pytest.fixture
def settings(settings, jwks_file):
    return {**settings, "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE, "JWT_JWKS_FILE": str(jwks_file)}


@pytest.fixture
def row(app, engine) -> AdminSession:
    """A live API session of a finance admin."""
    with app.app_context(), Session(engine, expire_on_commit=False) as session:
        admin = make_admin(session, role="finance_admin", email="asha@example.com")
        admin.totp_secret, admin.totp_confirmed_at = identity().sealer.seal(SECRET, admin.id), now()
        made = AdminSession(admin_id=admin.id, door=Door.API, expires_at=now() + timedelta(hours=1))
        session.add(made)
        session.commit()
        return made


@pytest.fixture
def own_key(settings) -> bytes:
    return config.load(settings).derived_key("jwt")


@pytest.fixture
def call(client) -> Callable:
    def call(token: str, **headers: str):
        return client.get("/api/v1/admin/me", headers={"Authorization": f"Bearer {token}", **headers})

    return call


def own_claims(row: AdminSession, **changed: object) -> dict[str, object]:
    issued = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(row.admin_id),
        "sid": str(row.id),
        "jti": str(uuid4()),
        "iat": issued,
        "exp": issued + 600,
    }
    return without(claims, **changed)


def outside_claims(row: AdminSession, **changed: object) -> dict[str, object]:
    claims = own_claims(row)
    del claims["sid"]
    return without(claims, **changed)


GONE = object()


def without(claims: dict[str, object], **changed: object) -> dict[str, object]:
    return {name: value for name, value in {**claims, **changed}.items() if value is not GONE}


def b64(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: dict, claims: object, key: bytes, payload: str | None = None) -> str:
    """An HS256 signature over whatever header and payload."""
    message = f"{b64(header)}.{payload if payload is not None else b64(claims)}"
    signature = jwt.get_algorithm_by_name("HS256").sign(message.encode(), key)
    return f"{message}.{b64(signature)}"


OWN = {"alg": "HS256", "typ": "at+jwt"}

# Each makes one hostile token from a live session and the portal's own key: most are signed as only the portal could.
ATTACKS: dict[str, Callable[[AdminSession, bytes], str]] = {
    "no algorithm": lambda row, key: f"{b64({'alg': 'none', 'typ': 'at+jwt'})}.{b64(own_claims(row))}.",
    "no algorithm, a signature all the same": lambda row, key: f"{b64({'alg': 'none', 'typ': 'at+jwt'})}.{b64(own_claims(row))}.AAAA",
    "None": lambda row, key: f"{b64({'alg': 'None', 'typ': 'at+jwt'})}.{b64(own_claims(row))}.AAAA",
    "NONE": lambda row, key: f"{b64({'alg': 'NONE', 'typ': 'at+jwt'})}.{b64(own_claims(row))}.AAAA",
    "algorithm null": lambda row, key: signed({"alg": None, "typ": "at+jwt"}, own_claims(row), key),
    "algorithm a list": lambda row, key: signed({"alg": ["HS256"], "typ": "at+jwt"}, own_claims(row), key),
    "algorithm a number": lambda row, key: signed({"alg": 256, "typ": "at+jwt"}, own_claims(row), key),
    "algorithm in small letters": lambda row, key: signed({"alg": "hs256", "typ": "at+jwt"}, own_claims(row), key),
    "no algorithm named": lambda row, key: signed({"typ": "at+jwt"}, own_claims(row), key),
    "HS512 with the right key": lambda row, key: jwt.encode(own_claims(row), key * 2, "HS512", {"typ": "at+jwt"}),
    "HS256 with the issuer's public key as PEM": lambda row, key: signed({**OWN, "kid": "rsa"}, outside_claims(row), PUBLIC_PEM),
    "the same without a kid": lambda row, key: signed(OWN, own_claims(row), PUBLIC_PEM),
    "HS256 with the public JWK": lambda row, key: signed({**OWN, "kid": "rsa"}, outside_claims(row), json.dumps(KEYS[0]).encode()),
    "HS256 with the modulus": lambda row, key: signed({**OWN, "kid": "rsa"}, outside_claims(row), KEYS[0]["n"].encode()),
    "another secret": lambda row, key: signed(OWN, own_claims(row), b"x" * 32),
    "an empty secret": lambda row, key: signed(OWN, own_claims(row), b""),
    "the secret `secret`": lambda row, key: signed(OWN, own_claims(row), b"secret"),
    "no signature": lambda row, key: signed(OWN, own_claims(row), key).rpartition(".")[0] + ".",
    "two parts": lambda row, key: signed(OWN, own_claims(row), key).rpartition(".")[0],
    "four parts": lambda row, key: signed(OWN, own_claims(row), key) + ".AAAA",
    "five empty parts": lambda row, key: "....",
    "a flipped signature": lambda row, key: flipped(signed(OWN, own_claims(row), key)),
    "another payload under the signature": lambda row, key: swapped(signed(OWN, own_claims(row), key), own_claims(row, sub=str(uuid4()))),
    "another admin's id": lambda row, key: signed(OWN, own_claims(row, sub=str(uuid4())), key),
    "another session's id": lambda row, key: signed(OWN, own_claims(row, sid=str(uuid4())), key),
    "typ JWT": lambda row, key: signed({"alg": "HS256", "typ": "JWT"}, own_claims(row), key),
    "no typ": lambda row, key: signed({"alg": "HS256"}, own_claims(row), key),
    "a refresh token's typ": lambda row, key: signed({"alg": "HS256", "typ": "refresh"}, own_claims(row), key),
    "typ a number": lambda row, key: signed({"alg": "HS256", "typ": 1}, own_claims(row), key),
    "a kid of its own": lambda row, key: signed({**OWN, "kid": "1"}, own_claims(row), key),
    "a kid that is a path": lambda row, key: signed({**OWN, "kid": "../../../../dev/null"}, own_claims(row), b""),
    "a kid that is SQL": lambda row, key: signed({**OWN, "kid": "' UNION SELECT 'x' --"}, own_claims(row), b"x"),
    "a kid that is a list": lambda row, key: signed({**OWN, "kid": ["rsa"]}, own_claims(row), key),
    "a kid that is an object": lambda row, key: signed({**OWN, "kid": {"$ne": ""}}, own_claims(row), key),
    "a kid of 4 kB": lambda row, key: signed({**OWN, "kid": "k" * 4000}, own_claims(row), key),
    "its own key in jwk": lambda row, key: rs256(row, STRANGER, {"jwk": KEYS[0]}),
    "its own key behind jku": lambda row, key: rs256(row, STRANGER, {"jku": "https://evil.example/jwks.json"}),
    "its own key behind x5u": lambda row, key: rs256(row, STRANGER, {"x5u": "https://evil.example/cert.pem"}),
    "its own key in x5c": lambda row, key: rs256(row, STRANGER, {"x5c": ["AAAA"]}),
    "a critical extension": lambda row, key: signed({**OWN, "crit": ["exp"]}, own_claims(row), key),
    "an unencoded payload": lambda row, key: signed({**OWN, "b64": False, "crit": ["b64"]}, own_claims(row), key),
    "a compressed payload": lambda row, key: signed({**OWN, "zip": "DEF"}, own_claims(row), key),
    "another issuer": lambda row, key: signed(OWN, own_claims(row, iss="https://evil.example"), key),
    "the issuer in a list": lambda row, key: signed(OWN, own_claims(row, iss=[ISSUER]), key),
    "another audience": lambda row, key: signed(OWN, own_claims(row, aud="elsewhere"), key),
    "the audience among others": lambda row, key: signed(OWN, own_claims(row, aud=[AUDIENCE, "elsewhere"]), key),
    "the audience null": lambda row, key: signed(OWN, own_claims(row, aud=None), key),
    "the audience an object": lambda row, key: signed(OWN, own_claims(row, aud={AUDIENCE: 1}), key),
    **{f"without {name}": lambda row, key, n=name: signed(OWN, own_claims(row, **{n: GONE}), key) for name in ("iss", "aud", "sub", "sid")},
    **{f"without {name}": lambda row, key, n=name: signed(OWN, own_claims(row, **{n: GONE}), key) for name in ("jti", "iat", "exp")},
    "issued in an hour": lambda row, key: signed(OWN, own_claims(row, iat=int(time.time()) + 3600, exp=int(time.time()) + 7200), key),
    "not before an hour from now": lambda row, key: signed(OWN, own_claims(row, nbf=int(time.time()) + 3600), key),
    "exp as text": lambda row, key: signed(OWN, own_claims(row, exp="9999999999"), key),
    "exp true": lambda row, key: signed(OWN, own_claims(row, exp=True), key),
    "exp null": lambda row, key: signed(OWN, own_claims(row, exp=None), key),
    "exp a list": lambda row, key: signed(OWN, own_claims(row, exp=[9999999999]), key),
    "exp NaN": lambda row, key: signed(OWN, own_claims(row, exp=float("nan")), key),
    "iat infinite": lambda row, key: signed(OWN, own_claims(row, iat=float("inf")), key),
    "nbf text": lambda row, key: signed(OWN, own_claims(row, nbf="0"), key),
    "sub a number": lambda row, key: signed(OWN, own_claims(row, sub=1), key),
    "sub an object": lambda row, key: signed(OWN, own_claims(row, sub={"$gt": ""}), key),
    "sub no UUID": lambda row, key: signed(OWN, own_claims(row, sub="asha@example.com"), key),
    "sub with NUL": lambda row, key: signed(OWN, own_claims(row, sub="\x00"), key),
    "sub half of a surrogate pair": lambda row, key: signed(OWN, own_claims(row, sub="\ud800"), key),
    "sid null": lambda row, key: signed(OWN, own_claims(row, sid=None), key),
    "sid a number of 400 digits": lambda row, key: signed(OWN, own_claims(row, sid=10**399), key),
    "jti empty": lambda row, key: signed(OWN, own_claims(row, jti=""), key),
    "claims a list": lambda row, key: signed(OWN, ["sub", str(row.admin_id)], key),
    "claims null": lambda row, key: signed(OWN, None, key),
    "claims a number": lambda row, key: signed(OWN, 7, key),
    "claims no JSON": lambda row, key: signed(OWN, b"{'sub': 1}", key),
    "claims no UTF-8": lambda row, key: signed(OWN, b"\xff\xfe\xfd", key),
    "claims nested 5000 deep": lambda row, key: signed(OWN, b"[" * 5000, key),
    "claims a number of 5000 digits": lambda row, key: signed(OWN, b'{"exp": ' + b"9" * 5000 + b"}", key),
    "claims empty": lambda row, key: signed(OWN, {}, key, payload=""),
    "header a list": lambda row, key: signed(["HS256"], own_claims(row), key),
    "header no JSON": lambda row, key: f"{b64(b'not json')}.{b64(own_claims(row))}.AAAA",
    "header nested 2000 deep": lambda row, key: f"{b64(b'[' * 2000)}.{b64(own_claims(row))}.AAAA",
    "header no base64": lambda row, key: f"!!!!.{b64(own_claims(row))}.AAAA",
    "padded": lambda row, key: signed(OWN, own_claims(row), key) + "==",
    "larger than 8 kB": lambda row, key: signed(OWN, own_claims(row, filler="x" * 9000), key),
    "100 kB of one letter": lambda row, key: "a" * 100_000,
    "empty": lambda row, key: "",
    "a word": lambda row, key: "null",
    "a UUID": lambda row, key: str(row.id),
    "not ASCII": lambda row, key: "\u00e9\u00e9\u00e9.\u00e9\u00e9.\u00e9",
    "two tokens": lambda row, key: signed(OWN, own_claims(row), key) + ", " + signed(OWN, own_claims(row), key),
    "a JWE": lambda row, key: f"{b64({'alg': 'dir', 'enc': 'A128GCM'})}..AAAA.AAAA.AAAA",
    "a stranger's RS256": lambda row, key: rs256(row, STRANGER, {}),
    "RS256 under the EC key's kid": lambda row, key: jwt.encode(outside_claims(row), RSA, "RS256", {"kid": "ec"}),
    "ES256 under the RSA key's kid": lambda row, key: jwt.encode(outside_claims(row), EC, "ES256", {"kid": "rsa"}),
    "RS512 with the issuer's key": lambda row, key: jwt.encode(outside_claims(row), RSA, "RS512", {"kid": "rsa"}),
    "PS256 with the issuer's key": lambda row, key: jwt.encode(outside_claims(row), RSA, "PS256", {"kid": "rsa"}),
    "the issuer's key without its kid": lambda row, key: jwt.encode(outside_claims(row), RSA, "RS256"),
    "an unknown kid": lambda row, key: jwt.encode(outside_claims(row), RSA, "RS256", {"kid": "other"}),
    "the issuer's, for another audience": lambda row, key: outside(row, aud="elsewhere"),
    "the issuer's, without audience": lambda row, key: outside(row, aud=GONE),
    "the issuer's, audience an object": lambda row, key: outside(row, aud={AUDIENCE: True}),
    "the issuer's key, another issuer": lambda row, key: outside(row, iss="https://tenant-2.login.example"),
    "the issuer's, without exp": lambda row, key: outside(row, exp=GONE),
    "the issuer's, without iat": lambda row, key: outside(row, iat=GONE),
    "the issuer's, without sub": lambda row, key: outside(row, sub=GONE, email="asha@example.com"),
    "the issuer's, for nobody here": lambda row, key: outside(row, sub=str(uuid4())),
    "the issuer's, an unconfirmed address": lambda row, key: outside(row, sub="x", email="asha@example.com", email_verified=False),
    "the issuer's, an address with NUL": lambda row, key: outside(row, sub="x", email="asha@example.com\x00"),
    "the issuer's logout token": lambda row, key: jwt.encode(outside_claims(row), RSA, "RS256", {"kid": "rsa", "typ": "logout+jwt"}),
    "our own claims under the issuer's key, as ours": lambda row, key: jwt.encode(
        own_claims(row, sub=str(uuid4())), RSA, "RS256", {"kid": "rsa", "typ": "at+jwt"}
    ),
}


def rs256(row: AdminSession, key, header: dict) -> str:
    return jwt.encode(outside_claims(row), key, "RS256", {"kid": "rsa", **header})


def outside(row: AdminSession, key=RSA, algorithm: str = "RS256", kid: str = "rsa", **changed: object) -> str:
    return jwt.encode(outside_claims(row, **changed), key, algorithm, {"kid": kid})


def flipped(token: str) -> str:
    return token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:]


def swapped(token: str, claims: object) -> str:
    header, _, signature = token.split(".")
    return f"{header}.{b64(claims)}.{signature}"


class TestHostileTokens:
    def test_each_is_the_same_refusal(self, client, row, own_key):
        """One request after another on one database, since they are many and none leaves a trace."""
        wrong = []
        for name, attack in ATTACKS.items():
            token = attack(row, own_key)
            began = time.perf_counter()
            answer = client.get(
                "/api/v1/admin/me",
                headers={"Authorization": f"Bearer {token}"},
                environ_base={"REMOTE_ADDR": f"2001:db8:{len(wrong)}:{abs(hash(name)) % 65536:x}::1"},
            )
            seconds = time.perf_counter() - began
            error = (answer.json or {}).get("error", {})
            if (answer.status_code, error.get("code"), set(error)) != (401, "UNAUTHENTICATED", {"code", "message", "request_id"}):
                wrong.append(f"{name}: {answer.status_code} {answer.text[:200]}")
            if seconds > 1:
                wrong.append(f"{name}: {seconds:.1f} s")

        assert len(ATTACKS) > 90
        assert not wrong, "\n".join(wrong)

    def test_the_same_claims_honestly_signed_are_let_in(self, call, row, own_key):
        """Without this, the refusals above would prove nothing."""
        assert call(signed(OWN, own_claims(row), own_key)).status_code == 200

    def test_a_good_token_past_its_time_is_told_to_refresh(self, call, row, own_key):
        answer = call(signed(OWN, own_claims(row, iat=int(time.time()) - 1000, exp=int(time.time())), own_key))

        assert (answer.status_code, answer.json["error"]["code"]) == (401, "TOKEN_EXPIRED")
        assert "refresh" in answer.json["error"]["message"]

    def test_a_token_past_its_time_that_was_never_good_is_not(self, call, row):
        answer = call(signed(OWN, own_claims(row, iat=1, exp=2), b"x" * 32))

        assert answer.json["error"]["code"] == "UNAUTHENTICATED"

    def test_a_portal_session_opens_no_api(self, call, engine, row, own_key):
        with Session(engine) as session:
            session.execute(update(AdminSession).values(door="portal"))
            session.commit()

        assert call(signed(OWN, own_claims(row), own_key)).status_code == 401


@ON_ONE_DATABASE
class TestAnOutsideIssuer:
    @pytest.mark.parametrize(("key", "algorithm", "kid"), [(RSA, "RS256", "rsa"), (EC, "ES256", "ec"), (ED, "EdDSA", "ed")])
    def test_its_tokens_let_the_admin_in_whose_id_they_name(self, call, row, key, algorithm, kid):
        data = call(outside(row, key, algorithm, kid)).json["data"]

        assert (data["id"], data["role"]["id"]) == (str(row.admin_id), "finance_admin")

    def test_or_the_one_whose_address_they_name(self, call, row):
        answer = call(outside(row, sub="auth0|1234", email="Asha@Example.com", email_verified=True))

        assert answer.json["data"]["id"] == str(row.admin_id)

    def test_not_when_id_and_address_are_two_admins(self, call, engine, row):
        with Session(engine) as session:
            make_admin(session, email="ravi@example.com")
            session.commit()

        assert call(outside(row, email="ravi@example.com")).status_code == 401

    def test_an_audience_among_several_will_do(self, call, row):
        assert call(outside(row, aud=["elsewhere", AUDIENCE])).status_code == 200

    def test_a_disabled_admin_is_out_at_once(self, call, engine, row):
        assert call(outside(row)).status_code == 200
        with Session(engine) as session:
            session.execute(update(Admin).values(disabled_at=now()))
            session.commit()

        assert call(outside(row)).status_code == 401

    def test_the_second_factor_comes_in_the_header(self, call, row):
        assert call(outside(row)).json["data"]["mfa"] == {"enrolled": True, "verified": False, "verified_at": None, "fresh": False}

        digits = pyotp.TOTP(SECRET).at(datetime.now(UTC))
        assert call(outside(row), **{"X-MFA-Code": digits}).json["data"]["mfa"]["fresh"] is True

    def test_there_is_no_session_to_take_the_second_step_in(self, client, row):
        answer = client.post("/api/v1/admin/auth/mfa", json={"code": "123456"}, headers={"Authorization": f"Bearer {outside(row)}"})

        assert (answer.status_code, answer.json["error"]["code"]) == (403, "MFA_REQUIRED")
        assert "X-MFA-Code" in answer.json["error"]["message"]

    def test_signing_out_ends_no_session_of_ours(self, client, row):
        answer = client.post("/api/v1/admin/auth/logout", headers={"Authorization": f"Bearer {outside(row)}"})

        assert (answer.status_code, answer.json["data"]["sessions_ended"]) == (200, 0)

    def test_expired_ones_say_so(self, call, row):
        answer = call(outside(row, iat=int(time.time()) - 1000, exp=int(time.time()) - 60))

        assert answer.json["error"]["code"] == "TOKEN_EXPIRED"

    def test_a_key_added_to_the_file_counts_from_the_next_call_on(self, call, row, jwks_file):
        token = outside(row, STRANGER, kid="new")
        assert call(token).status_code == 401

        jwks_file.write_text(json.dumps({"keys": [*KEYS, jwk(STRANGER, "new", "RS256")]}))

        assert call(token).status_code == 200

    def test_a_key_taken_out_counts_no_longer(self, call, row, jwks_file):
        jwks_file.write_text(json.dumps({"keys": KEYS[1:]}))

        assert call(outside(row)).status_code == 401

    @pytest.mark.parametrize("broken", ["", "{", '{"keys": 1}', '{"keys": [1]}', "[]"])
    def test_a_file_half_written_leaves_the_keys_of_before(self, call, row, jwks_file, broken):
        assert call(outside(row)).status_code == 200
        jwks_file.write_text(broken)

        assert call(outside(row)).status_code == 200

    @pytest.mark.parametrize(
        "useless",
        [
            {"kty": "oct", "kid": "rsa", "k": b64(PUBLIC_PEM)},
            {**KEYS[0], "use": "enc"},
            {**KEYS[0], "alg": "RS512"},
            jwk(rsa.generate_private_key(public_exponent=65537, key_size=1024), "rsa", "RS256"),
        ],
        ids=["a shared secret", "an encryption key", "another algorithm", "1024 bits"],
    )
    def test_keys_that_are_no_such_keys_are_left_out(self, call, row, jwks_file, useless):
        jwks_file.write_text(json.dumps({"keys": [useless]}))

        assert call(outside(row)).status_code == 401
        assert call(signed({**OWN, "kid": "rsa"}, outside_claims(row), PUBLIC_PEM)).status_code == 401

    def test_the_only_key_needs_no_name(self, call, row, jwks_file):
        jwks_file.write_text(json.dumps({"keys": [jwk(ED, "ed", "EdDSA")]}))

        assert call(jwt.encode(outside_claims(row), ED, "EdDSA")).status_code == 200

    def test_without_its_file_nobodys_tokens_but_ours_count(self, settings, row):
        alone = create_app(config.load({name: value for name, value in settings.items() if name != "JWT_JWKS_FILE"}))

        answer = alone.test_client().get("/api/v1/admin/me", headers={"Authorization": f"Bearer {outside(row)}"})

        assert answer.status_code == 401
