"""Changing the options of a workflow that runs: its priority, its versioning override."""

from typing import Any

import temporalio.api.common.v1 as common_pb
import temporalio.api.workflow.v1 as workflow_pb
import temporalio.api.workflowservice.v1 as service_pb
from google.protobuf.field_mask_pb2 import FieldMask

from harness import commands, records
from harness.context import CLIENT_IDENTITY, Context, execution
from harness.raw import RawWorker
from harness.records import Record
from harness.registry import scenario

_Options = workflow_pb.WorkflowExecutionOptions
_AUTO_UPGRADE = workflow_pb.VersioningOverride(auto_upgrade=True)
_PRIORITY = common_pb.Priority(priority_key=2, fairness_key="tenant", fairness_weight=2.5)


async def _change(ctx: Context, workflow_id: str, options: Any, *paths: str, run_id: str = "") -> Record:
    request = service_pb.UpdateWorkflowExecutionOptionsRequest(
        namespace=ctx.namespace,
        workflow_execution=execution(workflow_id, run_id),
        workflow_execution_options=options,
        update_mask=FieldMask(paths=paths) if paths else None,
        identity=CLIENT_IDENTITY,
    )
    return await ctx.attempt(ctx.rpc("update_workflow_execution_options", request))


async def _seen(ctx: Context, workflow_id: str) -> Record:
    described = records.message(await ctx.proto_describe(workflow_id))["workflow_execution_info"]
    return {key: described.get(key) for key in ("priority", "versioning_info")}


@scenario
async def priority(ctx: Context) -> Record:
    """As a whole, field by field, to what it is, and away."""
    workflow_id = ctx.workflow_id()
    await ctx.start(workflow_id)
    own = common_pb.Priority(priority_key=4, fairness_key="other", fairness_weight=9)
    changes = {
        "whole": await _change(ctx, workflow_id, _Options(priority=_PRIORITY), "priority"),
        "the same": await _change(ctx, workflow_id, _Options(priority=_PRIORITY), "priority"),
        "key": await _change(ctx, workflow_id, _Options(priority=own), "priority.priority_key"),
        "two fields": await _change(
            ctx, workflow_id, _Options(priority=own), "priority.fairness_key", "priority.fairness_weight"
        ),
    }
    seen = await _seen(ctx, workflow_id)
    changes["no priority's key"] = await _change(ctx, workflow_id, _Options(), "priority.priority_key")
    changes["away"] = await _change(ctx, workflow_id, _Options(), "priority")
    return {
        "changes": changes,
        "seen": seen,
        "seen at last": await _seen(ctx, workflow_id),
        "history": await ctx.history(workflow_id),
    }


@scenario
async def versioning_override(ctx: Context) -> Record:
    """Set, set again, set with a priority, and taken away."""
    workflow_id = ctx.workflow_id()
    await ctx.start(workflow_id)
    override = _Options(versioning_override=_AUTO_UPGRADE)
    both = _Options(versioning_override=_AUTO_UPGRADE, priority=_PRIORITY)
    return {
        "set": await _change(ctx, workflow_id, override, "versioning_override"),
        "seen": await _seen(ctx, workflow_id),
        "again": await _change(ctx, workflow_id, override, "versioning_override"),
        "both": await _change(ctx, workflow_id, both, "versioning_override", "priority"),
        "away": await _change(ctx, workflow_id, _Options(), "versioning_override"),
        "seen at last": await _seen(ctx, workflow_id),
        "history": await ctx.history(workflow_id),
    }


@scenario
async def while_a_task_runs(ctx: Context) -> Record:
    """The event waits for the workflow task, and asks for none by itself."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    changed = await _change(ctx, workflow_id, _Options(priority=_PRIORITY), "priority")
    before = await ctx.history(workflow_id)
    await worker.complete(task, commands.schedule_activity("a", ctx.name("nobody")))
    again = await _change(ctx, workflow_id, _Options(), "priority")
    return {"changed": changed, "before": before, "again": again, "history": await ctx.history(workflow_id)}


@scenario
async def refusals(ctx: Context) -> Record:
    """No mask, masks that name nothing, half an override, options that may not be, workflows that are not there."""
    workflow_id, worker, closed = ctx.workflow_id(), RawWorker(ctx), ctx.workflow_id("closed")
    await ctx.start(closed)
    await worker.run_task(commands.complete_workflow())
    await ctx.start(workflow_id)
    options = _Options(priority=_PRIORITY, versioning_override=_AUTO_UPGRADE)
    negative = _Options(priority=common_pb.Priority(priority_key=-1))
    return {
        "no mask": await _change(ctx, workflow_id, options),
        "unknown path": await _change(ctx, workflow_id, options, "nothing"),
        "path in camel case": await _change(ctx, workflow_id, options, "versioningOverride"),
        "half": await _change(ctx, workflow_id, options, "versioning_override.behavior"),
        "other half": await _change(ctx, workflow_id, options, "versioning_override.deployment"),
        "no options": await _change(ctx, workflow_id, None, "priority"),
        "negative key": await _change(ctx, workflow_id, negative, "priority"),
        "empty override": await _change(
            ctx, workflow_id, _Options(versioning_override=workflow_pb.VersioningOverride()), "versioning_override"
        ),
        "closed": await _change(ctx, closed, options, "priority"),
        "unknown": await _change(ctx, ctx.name("ghost"), options, "priority"),
        "bad run id": await _change(ctx, workflow_id, options, "priority", run_id="nonsense"),
        "no workflow id": await _change(ctx, "", options, "priority"),
        "history": await ctx.history(workflow_id),
    }
