-- Takes back what was noted of a job that was not created after all.
-- KEYS and ARGV: as record.lua, without the cost.
-- Returns nothing.
if noted(KEYS[1], ARGV[1]) then
  redis.call('HDEL', KEYS[1], 'job:' .. ARGV[1])
  for _, hash in ipairs({ KEYS[1], KEYS[2] }) do
    add(hash, ARGV[2], 'jobs', -1)
    add(hash, ARGV[2], 'images', -tonumber(ARGV[3]))
  end
end
