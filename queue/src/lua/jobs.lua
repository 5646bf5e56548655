-- There is no list of jobs to keep: their keys are found by looking through all. Runs where the pool's slot is.
local pattern = P:gsub('[%[%]*?\\]', '\\%0') .. 'job:*'
local next, keys = unpack(call('SCAN', ARGV[1], 'MATCH', pattern, 'COUNT', 1000))
for i, key in ipairs(keys) do keys[i] = key:sub(#P + 5) end
return { next, keys }
