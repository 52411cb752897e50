"""Names of Kubernetes objects: valid, short enough, stable, and two different things never share one."""

import re

from hypothesis import assume, given
from hypothesis import strategies as st

from raysmith.api.common import NAME_LIMIT
from raysmith.render import names

DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")

NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,45}[a-z0-9])?", fullmatch=True)
LONG_NAMES = st.from_regex(r"[a-z][-a-z0-9]{43,45}[a-z0-9]", fullmatch=True)
ANY_NAMES = NAMES | LONG_NAMES
ATTEMPTS = st.integers(min_value=1, max_value=9999)
DIGESTS = st.from_regex(r"[0-9a-f]{8}", fullmatch=True)
CLAIMS = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", fullmatch=True)


@given(ANY_NAMES, ATTEMPTS)
def test_a_ray_job_and_its_job_have_valid_names(name: str, attempt: int) -> None:
    ray_job, job = names.ray_job(name, attempt), names.preparation_job(name, attempt)
    assert DNS_1035.fullmatch(ray_job)
    assert len(ray_job) <= NAME_LIMIT
    assert DNS_1035.fullmatch(job)
    assert len(job) <= names.LABEL_LIMIT


@given(ANY_NAMES, DIGESTS)
def test_a_ray_service_and_a_config_map_have_valid_names(name: str, digest: str) -> None:
    ray_service, config_map = names.ray_service(name, digest), names.config_map(name, digest)
    assert DNS_1035.fullmatch(ray_service)
    assert len(ray_service) <= NAME_LIMIT
    assert DNS_1035.fullmatch(config_map)
    assert len(config_map) <= names.LABEL_LIMIT


@given(CLAIMS)
def test_a_volume_has_a_valid_name(claim: str) -> None:
    assert DNS_LABEL.fullmatch(names.volume(claim))
    assert len(names.volume(claim)) <= names.LABEL_LIMIT


@given(ANY_NAMES, ATTEMPTS, ANY_NAMES, ATTEMPTS)
def test_two_attempts_never_share_a_name(one: str, first: int, other: str, second: int) -> None:
    assume((one, first) != (other, second))
    assert names.ray_job(one, first) != names.ray_job(other, second)
    assert names.preparation_job(one, first) != names.preparation_job(other, second)


@given(LONG_NAMES, st.characters(codec="ascii", categories=["Ll"]), ATTEMPTS, DIGESTS)
def test_long_names_that_differ_in_their_last_letter_stay_different(name: str, last: str, attempt: int, digest: str) -> None:
    other = name[:-1] + last
    assume(name != other)
    assert names.ray_job(name, attempt) != names.ray_job(other, attempt)
    assert names.ray_service(name, digest) != names.ray_service(other, digest)
    assert names.config_map(name, digest) != names.config_map(other, digest)


@given(CLAIMS, CLAIMS)
def test_two_claims_never_share_a_volume(one: str, other: str) -> None:
    assume(one != other)
    assert names.volume(one) != names.volume(other)


def test_a_short_name_stays_readable() -> None:
    assert names.ray_job("support-bot", 2) == "support-bot-ft-2"
    assert names.preparation_job("support-bot", 2) == "support-bot-prepare-2"
    assert names.ray_service("support", "0a1b2c3d") == "support-sv-0a1b2c3d"
    assert names.service("support") == "support"


def test_names_do_not_change_between_releases() -> None:
    assert names.ray_job("a" * 47, 1) == "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-9c33367a-ft-1"
    assert names.digest({"b": 1, "a": [2]}) == names.digest({"a": [2], "b": 1}) == "63c9663d"
