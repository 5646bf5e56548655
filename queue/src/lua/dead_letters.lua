local skip, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local found = {}
for _, task in ipairs(call('ZRANGE', P .. 'dead', skip, skip + limit - 1)) do
  local uid, index = task:match('^(.*)/(%d+)$')
  local record = call('HGET', P .. 'job:' .. uid, index)
  if record then found[#found + 1] = { uid, tonumber(index), record } end
end
return found
