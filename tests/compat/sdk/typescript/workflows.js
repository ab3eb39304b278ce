'use strict';

const wf = require('@temporalio/workflow');

const { price } = wf.proxyActivities({
  startToCloseTimeout: '10s',
  retry: { initialInterval: '50ms' },
});

const addItem = wf.defineSignal('addItem');
const total = wf.defineQuery('total');
const rename = wf.defineUpdate('rename');

// A basket: items come by signal, are priced by an activity, and the update that names the owner lets it end.
async function basket(expected) {
  const items = [];
  let sum = 0;
  let owner = '';
  wf.setHandler(addItem, (item) => void items.push(item));
  wf.setHandler(total, () => sum);
  wf.setHandler(
    rename,
    (name) => {
      const previous = owner;
      owner = name;
      return previous;
    },
    {
      validator: (name) => {
        if (!name) throw new wf.ApplicationFailure('a name must not be empty');
      },
    },
  );
  for (let n = 0; n < expected; n++) {
    await wf.condition(() => items.length > 0);
    sum += await price(items.shift());
  }
  await wf.condition(() => owner !== '');
  return { owner, sum };
}

async function rest(milliseconds) {
  const before = Date.now();
  await wf.sleep(milliseconds);
  return Date.now() - before;
}

async function parent(count) {
  const children = Array.from({ length: count }, (_, n) => wf.executeChild(double, { args: [n] }));
  return await Promise.all(children);
}

async function double(n) {
  return 2 * n;
}

// Runs `rounds` times more, each time as a new run.
async function countdown(rounds, runs = 1) {
  if (rounds === 0) return runs;
  await wf.continueAsNew(rounds - 1, runs + 1);
}

async function sleeper() {
  try {
    await wf.sleep('1 hour');
  } catch (error) {
    if (!wf.isCancellation(error)) throw error;
    await wf.CancellationScope.nonCancellable(() => price('tidy up'));
    throw error;
  }
}

module.exports = { basket, countdown, double, parent, rest, sleeper };
