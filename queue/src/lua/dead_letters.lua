-- Dead letters, by job: of the job whose first is the oldest first.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: how many to skip, how many to return.
-- Returns uid, index and state of each.
local skip, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local found = {}
for _, uid in ipairs(call('ZRANGE', P .. 'dead', 0, -1)) do
  local key = P .. 'dead:' .. uid
  local here = call('ZCARD', key)
  if skip < here and #found < limit then
    for _, index in ipairs(call('ZRANGE', key, skip, skip + limit - #found - 1)) do
      local state = call('HGET', P .. 'job:' .. uid, index)
      if state then found[#found + 1] = { uid, tonumber(index), state } end
    end
  end
  skip = math.max(skip - here, 0)
  if #found >= limit then break end
end
return found
