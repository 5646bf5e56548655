// What BullMQ does with the work that the queue's benchmark does, on the Redis whose URL is the first argument:
// jobs are added, processed by a worker of concurrency 100 that does nothing, and removed when they are complete.
// Prints one line of JSON: jobs per second, added one by one and in bulk.
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';

const JOBS = 20_000;
const WARM_UP = 2_000;
const CONCURRENCY = 100;
/// As many adders, or as large a bulk.
const TOGETHER = 100;
// As large as the payload of a picture in the queue's benchmark.
const PAYLOAD = { kind: 'textToImage', prompt: 'a lighthouse at dusk, oil on canvas, '.repeat(8), steps: 30, seed: 42 };
const OPTIONS = { removeOnComplete: true, attempts: 3 };

const url = process.argv[2];
const connect = () => new Redis(url, { maxRetriesPerRequest: null });

async function oneByOne(queue, count) {
  let left = count;
  const adder = async () => {
    while (left-- > 0) await queue.add('picture', PAYLOAD, OPTIONS);
  };
  await Promise.all(Array.from({ length: TOGETHER }, adder));
}

async function inBulk(queue, count) {
  const jobs = Array.from({ length: TOGETHER }, () => ({ name: 'picture', data: PAYLOAD, opts: OPTIONS }));
  for (let added = 0; added < count; added += TOGETHER) await queue.addBulk(jobs);
}

/// Jobs per second from the first add to the last completion.
async function rate(name, add) {
  const connections = [connect(), connect()];
  const queue = new Queue(name, { connection: connections[0] });
  let done = 0;
  let target = WARM_UP;
  let reached;
  const worker = new Worker(name, async () => {}, { connection: connections[1], concurrency: CONCURRENCY });
  worker.on('completed', () => {
    done += 1;
    if (done === target) reached();
  });
  const run = async (count) => {
    done = 0;
    target = count;
    const all = new Promise((resolve) => (reached = resolve));
    const began = process.hrtime.bigint();
    await Promise.all([add(queue, count), all]);
    return (count * 1e9) / Number(process.hrtime.bigint() - began);
  };
  await run(WARM_UP);
  const perSecond = await run(JOBS);
  await worker.close();
  await queue.close();
  for (const connection of connections) connection.disconnect();
  return perSecond;
}

const single = await rate('single', oneByOne);
const bulk = await rate('bulk', inBulk);
console.log(JSON.stringify({ single, bulk }));
