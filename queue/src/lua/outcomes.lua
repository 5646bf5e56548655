local uid, from, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local s = spec_of(call('HGET', P .. 'job:' .. uid, 's'))
local found = {}
if not s then return found end
limit = math.min(limit, s.total - from)
-- In pieces: a call from a script can't have more than some thousand arguments.
for first = from, from + limit - 1, 1000 do
  local indexes = {}
  for index = first, math.min(first + 1000, from + limit) - 1 do
    indexes[#indexes + 1] = index
  end
  for i, record in ipairs(call('HMGET', P .. 'job:' .. uid, unpack(indexes))) do
    if record and not record:find('^A') then
      found[#found + 1] = { indexes[i], record }
    end
  end
end
return found
