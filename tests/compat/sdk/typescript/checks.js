// Runs workflows of the TypeScript SDK against a server.
//
//   node checks.js --address 127.0.0.1:7233    a server that is up; of a cluster its nodes, with commas between them:
//                                              the worker is at the last one, the client at the first
//   node checks.js --server PATH               a server that the SDK's test environment starts and stops
//
// Prints one line per check, "ok NAME" or "FAIL NAME: why"; sdk.py counts them.
'use strict';

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const { parseArgs } = require('node:util');

const { Client, Connection, WorkflowUpdateFailedError, WorkflowFailedError } = require('@temporalio/client');
const { TestWorkflowEnvironment } = require('@temporalio/testing');
const { DefaultLogger, NativeConnection, Runtime, Worker, bundleWorkflowCode } = require('@temporalio/worker');

const activities = require('./activities');

const CHECK_MS = 20_000;
const TASK_QUEUE = 'sdk-typescript';

const checks = {
  async activity_signal_query_update(client) {
    const handle = await start(client, 'basket', 2);
    await handle.signal('addItem', 'tea');
    while ((await handle.query('total')) !== 3) await pause();
    await assert.rejects(handle.executeUpdate('rename', { args: [''] }), WorkflowUpdateFailedError);
    assert.equal(await handle.executeUpdate('rename', { args: ['Ada'] }), '');
    await handle.signal('addItem', 'milk');
    assert.deepEqual(await handle.result(), { owner: 'Ada', sum: 7 });
  },

  async timer(client) {
    const handle = await start(client, 'rest', 200);
    assert.ok((await handle.result()) >= 200);
  },

  async children(client) {
    const handle = await start(client, 'parent', 3);
    assert.deepEqual(await handle.result(), [0, 2, 4]);
  },

  async continue_as_new(client) {
    const handle = await start(client, 'countdown', 2);
    assert.equal(await handle.result(), 3);
    const { runId } = await client.workflow.getHandle(handle.workflowId).describe();
    assert.notEqual(runId, handle.firstExecutionRunId);
  },

  async cancel(client) {
    const handle = await start(client, 'sleeper');
    await handle.cancel();
    await assert.rejects(handle.result(), WorkflowFailedError);
    assert.equal((await handle.describe()).status.name, 'CANCELLED');
  },

  async list(client) {
    const handle = await start(client, 'rest', 1);
    await handle.result();
    const query = `WorkflowId = '${handle.workflowId}' AND ExecutionStatus = 'Completed'`;
    for (;;) {
      const found = [];
      for await (const run of client.workflow.list({ query })) found.push(run.runId);
      if (found.length > 0) return assert.deepEqual(found, [handle.firstExecutionRunId]);
      await pause();
    }
  },
};

const start = (client, type, ...args) =>
  client.workflow.start(type, { args, taskQueue: TASK_QUEUE, workflowId: `${type}-${randomUUID()}` });

const pause = () => new Promise((resolve) => setTimeout(resolve, 50));

async function check(name, body) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${CHECK_MS} ms`)), CHECK_MS);
  });
  try {
    await Promise.race([body(), late]);
    console.log(`ok typescript.${name}`);
    return true;
  } catch (error) {
    console.log(`FAIL typescript.${name}: ${String(error).split('\n')[0]}`);
    console.error(error);
    return false;
  } finally {
    clearTimeout(timer);
  }
}

async function runAll(where, client, connection, namespace) {
  // The worker would tell of the attempts that fail on purpose.
  const logger = new DefaultLogger('ERROR');
  const worker = await Worker.create({
    activities,
    connection,
    namespace,
    taskQueue: TASK_QUEUE,
    workflowBundle: await bundleWorkflowCode({ workflowsPath: require.resolve('./workflows'), logger }),
  });
  return await worker.runUntil(async () => {
    let passed = true;
    for (const [name, body] of Object.entries(checks)) {
      passed = (await check(`${where}.${name}`, () => body(client))) && passed;
    }
    return passed;
  });
}

async function againstAddresses(addresses) {
  const connection = await Connection.connect({ address: addresses.at(0) });
  const native = await NativeConnection.connect({ address: addresses.at(-1) });
  try {
    return await runAll('address', new Client({ connection }), native, 'default');
  } finally {
    await native.close();
    await connection.close();
  }
}

async function againstOwn(path) {
  let environment;
  const started = await check('create_local', async () => {
    environment = await TestWorkflowEnvironment.createLocal({
      server: { executable: { type: 'existing-path', path }, namespace: 'sdk-typescript' },
    });
  });
  if (!started) return false;
  const passed = await runAll('local', environment.client, environment.nativeConnection, environment.namespace);
  return (await check('teardown', () => environment.teardown())) && passed;
}

async function main() {
  const { values } = parseArgs({ options: { address: { type: 'string' }, server: { type: 'string' } } });
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const passed = values.server ? await againstOwn(values.server) : await againstAddresses(values.address.split(','));
  process.exitCode = passed ? 0 : 1;
}

main().catch((error) => {
  console.log(`FAIL typescript.main: ${String(error).split('\n')[0]}`);
  console.error(error);
  process.exitCode = 1;
});
