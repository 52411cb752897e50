"""Amounts of resources, as core/v1 writes them."""

from decimal import Decimal
from typing import Any

import pytest

from raysmith.api.common import Resources
from raysmith.api.quantities import accelerators, amount, cpus

AMOUNTS: dict[Any, Decimal] = {
    2: Decimal(2),
    "2": Decimal(2),
    "+2": Decimal(2),
    "500m": Decimal("0.5"),
    "1.5": Decimal("1.5"),
    ".5": Decimal("0.5"),
    "1.": Decimal(1),
    "3k": Decimal(3000),
    "64Gi": Decimal(64 * 2**30),
    "64G": Decimal(64 * 10**9),
    "1e3": Decimal(1000),
    "1E3": Decimal(1000),
    "2E": Decimal(2 * 10**18),
    "2Ei": Decimal(2 * 2**60),
    "12E-1": Decimal("1.2"),
    "5n": Decimal("5e-9"),
    "7u": Decimal("7e-6"),
}


@pytest.mark.parametrize("quantity", AMOUNTS)
def test_an_amount_is_the_number_that_kubernetes_means(quantity: Any) -> None:
    assert amount(quantity) == AMOUNTS[quantity]


@pytest.mark.parametrize("text", ["", "a", "1.2.3", "1Gib", "-1", "1 Gi", "Gi", "1e", "0x10"])
def test_what_is_no_amount_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount such as 2, 500m or 64Gi"):
        amount(text)


CPUS: dict[str, tuple[dict[str, Any] | None, int]] = {
    "nothing is asked for": (None, 1),
    "only memory is asked for": ({"requests": {"memory": "1Gi"}}, 1),
    "less than a core is asked for": ({"requests": {"cpu": "250m"}}, 1),
    "a part of a core is asked for": ({"requests": {"cpu": "3500m"}}, 3),
    "the limit is higher than the request": ({"requests": {"cpu": 2}, "limits": {"cpu": 8}}, 2),
    "there is a limit only": ({"limits": {"cpu": "8"}}, 8),
}


@pytest.mark.parametrize("name", CPUS)
def test_cores_to_count_on_when(name: str) -> None:
    resources, expected = CPUS[name]
    assert cpus(None if resources is None else Resources.model_validate(resources)) == expected


ACCELERATORS: dict[str, bool] = {
    "nvidia.com/gpu": True,
    "amd.com/gpu": True,
    "nvidia.com/mig-1g.10gb": True,
    "nvidia.com/mig-1g.10gb.me": True,
    "rdma/ib": False,
    "cpu": False,
    "nvidia.com/gpumem": False,
}


@pytest.mark.parametrize("name", ACCELERATORS)
def test_resources_that_are_accelerators(name: str) -> None:
    assert bool(accelerators(Resources(limits={name: 1}))) == ACCELERATORS[name]


def test_no_accelerators_are_none() -> None:
    assert accelerators(Resources(limits={"nvidia.com/gpu": "0"})) == {}
    assert accelerators(Resources(requests={"nvidia.com/gpu": 1})) == {}
    assert accelerators(None) == {}
