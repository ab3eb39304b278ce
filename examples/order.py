"""An order as a durable workflow: start a Perdure server, then run this file.

    pip install temporalio
    python examples/order.py [--address 127.0.0.1:7233]

One process plays the worker, which runs the workflow and its activities, and the client, which places the order and
talks to it. Charging the card fails twice on purpose: the server retries it. The order waits for a signal from the
warehouse, can be asked for its status by a query, and changes its delivery address by an update that it may refuse.
"""

import argparse
import asyncio
import gc
import logging
import sys
import uuid
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.worker import Worker

TASK_QUEUE = "orders"


@dataclass
class Order:
    """What the customer wants."""

    item: str
    quantity: int
    address: str


@dataclass
class Receipt:
    """What the customer gets in the end."""

    payment: str
    parcel: str
    address: str


@activity.defn
async def reserve_stock(order: Order) -> None:
    say("activity", f"reserved {order.quantity} x {order.item}")


@activity.defn
async def charge_card(order: Order) -> str:
    attempt = activity.info().attempt
    if attempt < 3:
        say("activity", f"charging the card, attempt {attempt}: the bank does not answer")
        raise ApplicationError("the bank does not answer", type="BankUnavailable")
    say("activity", f"charging the card, attempt {attempt}: paid")
    return f"payment-{order.quantity * 7}"


@activity.defn
async def ship(order: Order) -> str:
    say("activity", f"handed the parcel to the courier, to {order.address}")
    return "parcel-1"


@workflow.defn
class OrderWorkflow:
    """Reserve, charge, wait until the warehouse has packed, rest a moment, ship."""

    def __init__(self) -> None:
        self._status = "new"
        self._address = ""
        self._packed_by = ""

    @workflow.run
    async def run(self, order: Order) -> Receipt:
        self._address = order.address
        soon = timedelta(seconds=10)

        self._status = "reserving stock"
        await workflow.execute_activity(reserve_stock, order, start_to_close_timeout=soon)

        self._status = "charging the card"
        payment = await workflow.execute_activity(
            charge_card,
            order,
            start_to_close_timeout=soon,
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=300)),
        )

        self._status = "waiting for the warehouse"
        await workflow.wait_condition(lambda: bool(self._packed_by))

        self._status = f"packed by {self._packed_by}, waiting for the courier"
        await workflow.sleep(timedelta(seconds=1))

        self._status = "shipping"
        parcel = await workflow.execute_activity(
            ship, Order(order.item, order.quantity, self._address), start_to_close_timeout=soon
        )
        self._status = "shipped"
        return Receipt(payment, parcel, self._address)

    @workflow.signal
    def packed(self, by: str) -> None:
        self._packed_by = by

    @workflow.query
    def status(self) -> str:
        return self._status

    @workflow.update
    def change_address(self, address: str) -> str:
        previous, self._address = self._address, address
        return previous

    @change_address.validator
    def check_address(self, address: str) -> None:
        if not address.strip():
            raise ApplicationError("an address must not be empty")


async def place_order(client: Client) -> None:
    """Plays the customer and the warehouse."""
    order_id = f"order-{uuid.uuid4().hex[:8]}"
    handle = await client.start_workflow(
        OrderWorkflow.run, Order("teapot", 3, "1 Old Street"), id=order_id, task_queue=TASK_QUEUE
    )
    say("client", f"placed {order_id}")

    seen = ""
    while seen != "waiting for the warehouse":
        status = await handle.query(OrderWorkflow.status)
        if status != seen:
            say("query", status)
        seen = status
        await asyncio.sleep(0.1)

    previous = await handle.execute_update(OrderWorkflow.change_address, "2 New Street")
    say("update", f"the address was {previous}, now it is 2 New Street")
    try:
        await handle.execute_update(OrderWorkflow.change_address, "  ")
    except WorkflowUpdateFailedError as refusal:
        say("update", f"refused: {refusal.cause}")

    await handle.signal(OrderWorkflow.packed, "Ada")
    say("signal", "the warehouse has packed the parcel")

    receipt = await handle.result()
    say("client", f"done: {receipt.payment}, {receipt.parcel}, delivered to {receipt.address}")
    events = (await handle.fetch_history()).events
    say("client", f"the server kept {len(events)} events; see them with: temporal workflow show -w {order_id}")


async def reachable(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


def say(who: str, text: str) -> None:
    print(f"{who:>8} | {text}", flush=True)


async def main() -> int:
    parser = argparse.ArgumentParser(description="Runs one order as a durable workflow.")
    parser.add_argument("--address", default="127.0.0.1:7233", help="host:port of the server")
    parser.add_argument("--namespace", default="default")
    arguments = parser.parse_args()
    # The worker would print a stack trace for each attempt that the bank spoils.
    logging.getLogger("temporalio.activity").setLevel(logging.CRITICAL)
    if not await reachable(arguments.address):
        print(f"no server at {arguments.address}; start one first", file=sys.stderr)
        return 1
    runtime = Runtime(telemetry=TelemetryConfig())
    client = await Client.connect(arguments.address, namespace=arguments.namespace, runtime=runtime)
    async with Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[OrderWorkflow],
        activities=[reserve_stock, charge_card, ship],
    ):
        await place_order(client)
    return 0


if __name__ == "__main__":
    code = asyncio.run(main())
    # The SDK's threads must be gone before the interpreter goes, or it may abort. They end with the runtime, which is
    # main's own (the default one would live on) and held by cycles around the client and the worker.
    gc.collect()
    sys.exit(code)
