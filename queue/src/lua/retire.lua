-- Retires a worker that holds nothing.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: term, worker.
-- Returns whether it did.
local fenced = deposed(ARGV[1])
if fenced then return fenced end
local worker = ARGV[2]
if call('EXISTS', P .. 'held:' .. worker) == 1 then return 0 end
give_order(worker, 'retire', 0, clock())
return 1
