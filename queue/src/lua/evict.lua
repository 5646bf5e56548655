-- Takes back what a worker holds, as many tasks as one script may; it claims nothing more for ever.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: term, worker.
-- Returns how many, and whether there are more.
local fenced = deposed(ARGV[1])
if fenced then return fenced end
local worker = ARGV[2]
local now = clock()
give_order(worker, 'evicted', 0, now)
local found = call('HRANDFIELD', P .. 'held:' .. worker, BATCH)
for _, task in ipairs(found) do interrupt(task, worker, now) end
send_events()
return { #found, call('EXISTS', P .. 'held:' .. worker) }
