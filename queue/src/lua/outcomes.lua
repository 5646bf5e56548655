-- What came of a job's images.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: uid, first index, how many indexes to look at.
-- Returns indexes and states.
local uid, from, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local s = spec_of(call('HGET', P .. 'job:' .. uid, 'record'))
local found = {}
if not s then return found end
limit = math.min(limit, s.total - from)
-- In pieces: a call from a script can't have more than some thousand arguments.
for first = from, from + limit - 1, 1000 do
  local indexes = {}
  for index = first, math.min(first + 1000, from + limit) - 1 do indexes[#indexes + 1] = index end
  for i, state in ipairs(call('HMGET', P .. 'job:' .. uid, unpack(indexes))) do
    if state and state:find('^d') then found[#found + 1] = { indexes[i], state } end
  end
end
return found
