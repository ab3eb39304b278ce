'use strict';

const { activityInfo } = require('@temporalio/activity');

// Fails once, so that the server has to retry it.
async function price(item) {
  if (activityInfo().attempt === 1) throw new Error('the first attempt always fails');
  return item.length;
}

module.exports = { price };
