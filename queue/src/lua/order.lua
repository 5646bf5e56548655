-- Tells a worker what to do.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: term, worker, order, time left in ms if it is doomed.
-- Returns nothing.
local fenced = deposed(ARGV[1])
if fenced then return fenced end
local _, worker, order, left = unpack(ARGV)
local now = clock()
give_order(worker, order, order == 'doomed' and now + tonumber(left) or 0, now)
