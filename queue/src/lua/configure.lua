-- What a pool's owner wants.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: term, whether it is suspended; then for each capacity its name, how many classes it serves, and of each the
-- name and the promise in ms.
-- Returns nothing.
local fenced = deposed(ARGV[1])
if fenced then return fenced end
local fields = { 'suspended', ARGV[2] }
local i = 3
while i <= #ARGV do
  local capacity, classes = ARGV[i], {}
  local n = tonumber(ARGV[i + 1])
  for k = 1, n do classes[k] = { ARGV[i + 2 * k], tonumber(ARGV[i + 2 * k + 1]) } end
  fields[#fields + 1] = 'classes:' .. capacity
  fields[#fields + 1] = cmsgpack.pack(classes)
  i = i + 2 + 2 * n
end
call('DEL', P .. 'settings')
call('HSET', P .. 'settings', unpack(fields))
