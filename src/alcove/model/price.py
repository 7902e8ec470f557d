"""What a running workspace costs, by the operator's prices. Pure; nobody is billed by it."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from alcove.model.workspace import Resources

PRICE_MAX: Final = Decimal(1_000_000)
CURRENCY_MAX: Final = 8
_CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Prices:
    """Of one hour in which a workspace runs."""

    cpu: Decimal
    """Of one core."""
    gib: Decimal
    """Of one GiB of memory."""
    currency: str

    def hourly(self, resources: Resources) -> Decimal:
        return self.cpu * resources.cpu_millis / 1000 + self.gib * resources.memory_mib / 1024

    def say(self, amount: Decimal) -> str:
        """`1.50 EUR`; what is under a cent keeps two digits that matter, and nothing is lost."""
        if not amount or amount >= _CENT:
            return f"{amount:.2f} {self.currency}"
        return f"{amount:.{1 - amount.adjusted()}f} {self.currency}"


def read_price(text: str) -> Decimal:
    """An empty text is no price. Raises ValueError."""
    try:
        found = Decimal(text or "0")
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a price; write it like 0.03") from None
    if not found.is_finite() or not 0 <= found <= PRICE_MAX:
        raise ValueError(f"{text!r} is not between 0 and {PRICE_MAX:,}")
    return found


def read_prices(cpu: str, gib: str, currency: str) -> Prices | None:
    """None where no price is set. Raises ValueError."""
    if not cpu and not gib:
        return None
    return Prices(read_price(cpu), read_price(gib), currency)
