"""Who may call: every route with every kind of token, of an issuer that is asked for its keys over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from dicom_core.authorization import Role
from tests import dicomweb
from tests.issuer import AUDIENCE, Issuer, SigningKey, claims, confused, issuing, signed, unsigned
from tests.routes import Route, function_app, routes
from tests.serving import Service, served, storage_settings
from tools.local_host.azurite import Azurite
from tools.local_host.host import KEY

ORIGIN = "https://viewer.example"
SESSION = requests.Session()
BY_METHOD = {
    "GET": Role.READ,
    "HEAD": Role.READ,
    "POST": Role.WRITE,
    "PUT": Role.WRITE,
    "DELETE": Role.DELETE,
}
ANY_ROLE = ("answer_unknown", "retrieve_capabilities")
OF_ADMINISTRATORS = ("list_subscribers", "list_failures", "retry_failures")
ALL = routes(function_app())
WITHOUT_TOKEN = ("check_health", "retrieve_api_description")
ASKING_FOR_TOKENS = [route for route in ALL if route.name not in WITHOUT_TOKEN]


@pytest.fixture(scope="module")
def rsa() -> SigningKey:
    """The key that the issuer signs with."""
    return SigningKey("first")


@pytest.fixture(scope="module")
def elliptic() -> SigningKey:
    """Another key of the issuer."""
    return SigningKey("second", "ES256")


@pytest.fixture(scope="module")
def issuer(rsa: SigningKey, elliptic: SigningKey) -> Iterator[Issuer]:
    """The issuer that the service trusts."""
    with issuing(rsa, elliptic) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(azurite: Azurite, issuer: Issuer) -> Iterator[Service]:
    """The service, for holders of tokens."""
    with served(**trusting(issuer, azurite)) as running:
        yield running


def trusting(issuer: Issuer, azurite: Azurite) -> dict[str, str]:
    """Settings for holders of tokens."""
    return {
        **storage_settings(azurite.connection_string),
        "TRIGGER_SECONDS": "3600",
        "DicomAuthentication": "entra",
        "DicomIssuer": f"https://elsewhere.example/tenant, {issuer.url}/",
        "DicomAudience": f"other, {AUDIENCE}",
    }


def ask(root: str, route: Route, **headers: str | None) -> requests.Response:
    """Ask for what the path of a route leads to."""
    content = dicomweb.joined([]) if route.method in ("POST", "PUT") else b""
    fields = {"Content-Type": dicomweb.MULTIPART, "Origin": ORIGIN, **headers}
    return SESSION.request(route.method, root + route.path, data=content, headers=fields, timeout=30)


def bearer(token: str) -> dict[str, str]:
    """The field with a token."""
    return {"Authorization": f"Bearer {token}"}


@dataclass(frozen=True, slots=True)
class Attempt:
    """What may be used to forge a token."""

    issuer: Issuer
    rsa: SigningKey
    elliptic: SigningKey

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Claims that would count."""
        return claims(self.issuer.url, roles=["Dicom.Admin"], **changed)

    def token(self, **changed: Any) -> str:
        """A token of the issuer."""
        return signed(self.rsa, self.claims(**changed))


def hours(number: float) -> int:
    """A time, from now on."""
    return int(time.time() + number * 3600)


REFUSED: dict[str, tuple[Callable[[Attempt], dict[str, str]], str]] = {
    "no token": (lambda made: {}, ""),
    "another scheme": (lambda made: {"Authorization": "Basic Zm9vOmJhcg=="}, ""),
    "nothing": (lambda made: {"Authorization": "Bearer"}, "no token"),
    "two words": (lambda made: bearer("a b"), "no token"),
    "too long": (lambda made: bearer("a" * 20000), "no token"),
    "garbage": (lambda made: bearer("garbage"), "no signed JSON Web Token"),
    "garbage in three parts": (lambda made: bearer("a.b.c"), "no signed JSON Web Token"),
    "without its signature": (
        lambda made: bearer(made.token().rpartition(".")[0] + "."),
        "its signature is not",
    ),
    "changed": (
        lambda made: bearer(
            ".".join(
                part if number != 1 else unsigned(made.claims(sub="else")).split(".")[1]
                for number, part in enumerate(made.token().split("."))
            )
        ),
        "its signature is not",
    ),
    "expired": (lambda made: bearer(made.token(exp=hours(-0.1))), "it has expired"),
    "not valid yet": (lambda made: bearer(made.token(nbf=hours(0.1))), "it is not valid yet"),
    "issued later": (lambda made: bearer(made.token(iat=hours(0.1))), "it is not valid yet"),
    "wrong audience": (lambda made: bearer(made.token(aud="api://another")), "another audience"),
    "no audience": (lambda made: bearer(made.token(aud=None)), "lacks one of the claims"),
    "no expiry": (lambda made: bearer(made.token(exp=None)), "lacks one of the claims"),
    "wrong issuer": (lambda made: bearer(made.token(iss="https://evil.example")), "its issuer is none"),
    "issuer with another end": (
        lambda made: bearer(made.token(iss=f"{made.issuer.url}/")),
        "its issuer is none",
    ),
    "wrong key": (
        lambda made: bearer(signed(SigningKey("first"), made.claims())),
        "its signature is not",
    ),
    "unknown key": (
        lambda made: bearer(signed(SigningKey("third"), made.claims())),
        "its key is none",
    ),
    "key of another kind": (
        lambda made: bearer(signed(made.rsa, made.claims(), kid="second")),
        "its algorithm is none",
    ),
    "alg none": (lambda made: bearer(unsigned(made.claims(), "first")), "its algorithm is none"),
    "public key as secret": (
        lambda made: bearer(confused(made.rsa, made.claims())),
        "its algorithm is none",
    ),
}


@pytest.mark.parametrize(("made", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_token_that_does_not_count(
    guarded: Service,
    issuer: Issuer,
    rsa: SigningKey,
    elliptic: SigningKey,
    made: Callable[[Attempt], dict[str, str]],
    reason: str,
) -> None:
    """Every route answers 401 and says why and what would help, also to a page (RFC 6750 3)."""
    fields = made(Attempt(issuer, rsa, elliptic))

    for route in ASKING_FOR_TOKENS:
        answer = ask(guarded.root, route, **fields)

        assert answer.status_code == 401, (route, answer.text)
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge.startswith('Bearer realm="dicom"')
        assert ('error="invalid_token"' in challenge) == bool(reason)
        assert reason in challenge
        assert reason in answer.text or route.method == "HEAD"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "WWW-Authenticate" in answer.headers["Access-Control-Expose-Headers"]


def named(route: Route) -> Role:
    """The role that a route names: by its method, as the data actions of the managed service are."""
    return Role.ADMIN if route.name in OF_ADMINISTRATORS else BY_METHOD[route.method]


def needed(route: Route) -> frozenset[Role]:
    """The roles of which a route asks for one."""
    return frozenset(Role) if route.name in ANY_ROLE else frozenset({named(route), Role.ADMIN})


GRANTS: dict[str, tuple[dict[str, Any], frozenset[Role]]] = {
    **{role: ({"roles": [str(role)]}, frozenset({role})) for role in Role},
    **{f"scope {role}": ({"scp": f"openid {role}"}, frozenset({role})) for role in Role},
    "roles of an uploader and a reader": (
        {"roles": ["Dicom.Write", "Dicom.Read"]},
        frozenset({Role.WRITE, Role.READ}),
    ),
    "all that the user may not": ({"roles": ["Dicom.Read"], "scp": "Dicom.Write"}, frozenset()),
    "no role": ({}, frozenset()),
    "another role": ({"roles": ["dicom.read", "Admin"]}, frozenset()),
}


@pytest.mark.parametrize(("granting", "roles"), GRANTS.values(), ids=GRANTS.keys())
def test_roles(guarded: Service, issuer: Issuer, granting: dict[str, Any], roles: frozenset[Role]) -> None:
    """What a route does is done for those with its role, and for nobody else; 403 names the role."""
    token = issuer.token(**granting)

    for route in ASKING_FOR_TOKENS:
        answer = ask(guarded.root, route, **bearer(token))

        if needed(route) & roles:
            assert answer.status_code not in (401, 403, 500), (route, answer.text)
        else:
            assert answer.status_code == 403, (route, answer.text)
            challenge = answer.headers["WWW-Authenticate"]
            assert 'error="insufficient_scope"' in challenge
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            if route.name not in ANY_ROLE:
                assert f'scope="{named(route)}"' in challenge
                assert f"the role {named(route)}" in challenge


def test_uploader_who_may_only_write(guarded: Service, issuer: Issuer) -> None:
    """With `Dicom.Write` alone instances are stored and replaced, and nothing can be seen or deleted."""
    one = dicomweb.made()
    uploader = bearer(issuer.token(roles=["Dicom.Write"]))
    reader = bearer(issuer.token(scp="Dicom.Read"))

    stored = dicomweb.post(f"{guarded.url}/studies", one.content, **uploader)
    replaced = dicomweb.post(f"{guarded.url}/studies", one.content, method="PUT", **uploader)

    assert (stored.status_code, replaced.status_code) == (200, 200)
    url = f"{guarded.url}/{one.path}"
    assert dicomweb.get(url, "application/dicom", **uploader).status_code == 403
    assert requests.delete(url, headers=uploader, timeout=30).status_code == 403
    assert dicomweb.get(url, "application/dicom", **reader).content == one.content


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_algorithm_of_rsa_keys(guarded: Service, issuer: Issuer, rsa: SigningKey, algorithm: str) -> None:
    """A key without an algorithm may be used with all of its kind (RFC 7518 3.1)."""
    token = signed(rsa, claims(issuer.url, scp="Dicom.Read"), algorithm)

    assert requests.get(f"{guarded.url}/studies", headers=bearer(token), timeout=30).status_code in (200, 204)


def test_elliptic_key(guarded: Service, issuer: Issuer, elliptic: SigningKey) -> None:
    """So does a token of an elliptic key count."""
    token = issuer.token(elliptic, scp="Dicom.Read")

    assert requests.get(f"{guarded.url}/studies", headers=bearer(token), timeout=30).status_code in (200, 204)


@pytest.mark.parametrize("changed", [{"exp": -60}, {"nbf": 60}, {"iat": 60}], ids=str)
def test_clocks_that_differ(guarded: Service, issuer: Issuer, changed: dict[str, int]) -> None:
    """The clocks of issuer and service may differ by two minutes."""
    times = {name: int(time.time()) + seconds for name, seconds in changed.items()}
    token = issuer.token(scp="Dicom.Read", **times)

    assert requests.get(f"{guarded.url}/studies", headers=bearer(token), timeout=30).status_code in (200, 204)


def test_two_tokens(guarded: Service, issuer: Issuer) -> None:
    """A request with two tokens is refused: another reader of it might take the other one."""
    field = f"Authorization: Bearer {issuer.token(roles=['Dicom.Read'])}"

    answer = dicomweb.raw(guarded.url, dicomweb.request("GET /v2/studies", field, field))

    assert (answer.status, "several" in answer.text) == (401, True)


def test_health_check_without_token(guarded: Service) -> None:
    """Who balances the load has no token."""
    assert requests.get(f"{guarded.root}/health/check", timeout=30).status_code == 200


def test_api_description_without_token(guarded: Service) -> None:
    """What says how to get in is told outside."""
    assert requests.get(f"{guarded.url}/api.json", timeout=30).status_code == 200


@pytest.mark.parametrize(
    "route", [route for route in ALL if route.name != "check_health"], ids=lambda r: r.name
)
def test_preflight_without_token(guarded: Service, route: Route) -> None:
    """A browser asks without a token whether a page may send one (fetch.spec.whatwg.org)."""
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": route.method}

    answer = requests.options(guarded.root + route.path, headers=headers, timeout=30)

    assert (answer.status_code, answer.content) == (204, b"")
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]


def test_payload_of_who_may_not_store(guarded: Service) -> None:
    """Nothing of a payload is read before it is known who sends it."""
    fields = (f"Content-Type: {dicomweb.MULTIPART}", f"Content-Length: {1 << 30}", "Expect: 100-continue")

    answer = dicomweb.raw(guarded.url, dicomweb.request("POST /v2/studies", *fields))

    assert answer.status == 401


def test_keys_that_change(azurite: Azurite) -> None:
    """A new key of the issuer is fetched when a token names it; when the issuer is gone its keys still count."""
    with (
        issuing(SigningKey("old")) as issuer,
        served(**trusting(issuer, azurite)) as running,
    ):
        url = f"{running.url}/studies?StudyInstanceUID=1.2.3"
        statuses = [requests.get(url, headers=bearer(issuer.token(scp="Dicom.Read")), timeout=30).status_code]
        issuer.keys = [SigningKey("new")]
        statuses += [
            requests.get(url, headers=bearer(issuer.token(scp="Dicom.Read")), timeout=30).status_code
        ]
        issuer.away = True
        later = issuer.token(scp="Dicom.Read", jti="later")
        statuses += [requests.get(url, headers=bearer(later), timeout=30).status_code]

        assert statuses == [204, 204, 204]
        assert [path.rpartition("/")[2] for path in issuer.fetched] == ["openid-configuration", "keys"] * 2


def test_issuer_that_does_not_answer(azurite: Azurite) -> None:
    """503 and when to ask again where there are no keys: who asks is neither known nor wrong."""
    with issuing(SigningKey("key")) as issuer:
        issuer.away = True
        with served(**trusting(issuer, azurite)) as running:
            url, token = f"{running.url}/studies", issuer.token(scp="Dicom.Read")
            answer = requests.get(url, headers={**bearer(token), "Origin": ORIGIN}, timeout=30)

            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert requests.get(f"{running.root}/health/check", timeout=30).status_code == 200


REFUSING = {
    "nothing set": ({}, "set DicomAuthentication"),
    "anonymous": ({"DicomAuthentication": "anonymous"}, "DicomAuthentication is anonymous"),
    "no audience": (
        {"DicomAuthentication": "entra", "DicomIssuer": "https://issuer.example"},
        "set DicomAudience",
    ),
}


@pytest.mark.parametrize(("settings", "text"), REFUSING.values(), ids=REFUSING.keys())
def test_service_in_azure_that_is_open(azurite: Azurite, settings: dict[str, str], text: str) -> None:
    """In Azure nobody is served until the settings say who may call; the answer to all says which is missing."""
    storage = storage_settings(azurite.connection_string)
    with served(WEBSITE_HOSTNAME="dicom.azurewebsites.net", **storage, **settings) as running:
        for route in ALL:
            answer = ask(running.root, route, Authorization="Bearer token")

            assert answer.status_code == 503, route
            assert text in answer.text or route.method == "HEAD"
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
        preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
        assert requests.options(f"{running.url}/studies", headers=preflight, timeout=30).status_code == 204


@pytest.fixture(scope="module")
def keyed(azurite: Azurite) -> Iterator[Service]:
    """The service in Azure, for holders of a function key."""
    storage = storage_settings(azurite.connection_string)
    azure = {"WEBSITE_HOSTNAME": "dicom.azurewebsites.net", "DicomAuthentication": "function-key"}
    with served(TRIGGER_SECONDS="3600", **azure, **storage) as running:
        yield running


@pytest.mark.parametrize("key", [None, "wrong"])
def test_function_key_missing(keyed: Service, key: str | None) -> None:
    """The host asks for a function key before it calls any function but those that tell of the service."""
    statuses = {
        route.name: ask(keyed.root, route, **{"x-functions-key": key}).status_code
        for route in ALL
        if route.method != "HEAD"
    }

    assert [statuses.pop(name) for name in (*WITHOUT_TOKEN, "retrieve_capabilities")] == [200, 200, 404]
    assert set(statuses.values()) == {401}


def test_function_key(keyed: Service) -> None:
    """With the key every route can be called."""
    for route in ALL:
        answer = ask(keyed.root, route, **{"x-functions-key": KEY})

        assert answer.status_code not in (401, 403, 500), (route, answer.text)


def test_function_key_in_query(keyed: Service) -> None:
    """The key may be a parameter, which is no parameter of a search then."""
    answer = requests.get(f"{keyed.url}/studies?StudyInstanceUID=1.2.3&code={KEY}", timeout=30)

    assert (answer.status_code, "Warning" in answer.headers) == (204, False)
