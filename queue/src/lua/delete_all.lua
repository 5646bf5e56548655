-- Removes the keys of the pool, as many as one script may.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: term, cursor.
-- Returns the next cursor; 0 after the last.
local fenced = deposed(ARGV[1])
if fenced then return fenced end
-- A pool that is made again meanwhile fills its queue anew.
if ARGV[2] == '0' then call('UNLINK', P .. 'epoch') end
local pattern = P:gsub('[%[%]*?\\]', '\\%0') .. '*'
local next, keys = unpack(call('SCAN', ARGV[2], 'MATCH', pattern, 'COUNT', BATCH))
if #keys > 0 then call('UNLINK', unpack(keys)) end
return next
